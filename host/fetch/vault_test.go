package fetch_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// withVault is loopback for the plugin prices, with a secret of the vault's for X-Key, and bounds of the manifest's own.
func withVault(t *testing.T, v *fetch.Vault, bounds ...string) fetch.Policy {
	t.Helper()
	p := loopback()
	p.Vault, p.Plugin = v, "prices"
	s := fetch.Secret{Name: "KEY", Header: "X-Key", Format: "Bearer {secret}"}
	for _, bound := range bounds {
		pattern, err := manifest.ParsePattern(bound)
		if err != nil {
			t.Fatal(err)
		}
		s.Allow = append(s.Allow, pattern)
	}
	p.Secrets = []fetch.Secret{s}
	return p
}

func set(t *testing.T, v *fetch.Vault, value string, allow, plugins []string) {
	t.Helper()
	if err := v.Set(map[string]fetch.Given{"KEY": {Value: value, Allow: allow, Plugins: plugins}}); err != nil {
		t.Fatal(err)
	}
}

// keyed is an upstream that answers with the X-Key it got, and counts its requests.
func keyed(t *testing.T) (string, *atomic.Int32) {
	t.Helper()
	var n atomic.Int32
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("X-Echo", r.Header.Get("X-Key"))
		fmt.Fprint(w, r.Header.Get("X-Key"))
	})
	return up.URL, &n
}

func TestVault(t *testing.T) {
	t.Parallel()
	here, _ := keyed(t)
	there, _ := keyed(t)
	every := []string{"http://127.0.0.1:*"}
	all := []string{"*"}
	for _, c := range []struct {
		name   string
		bounds []string // of the manifest
		change func(v *fetch.Vault)
		want   string // answer, or message, of a fetch to here
	}{
		{"another value", nil, func(v *fetch.Vault) { set(t, v, "new", every, all) }, "Bearer new"},
		{"the same", nil, func(v *fetch.Vault) { set(t, v, "old", every, all) }, "Bearer old"},
		{"removed", []string{here}, func(v *fetch.Vault) { _ = v.Set(nil) }, `the fetch needs the secret "KEY", which the operator has removed`},
		{"removed, and nobody knows where it would go", nil, func(v *fetch.Vault) { _ = v.Set(nil) }, `the fetch needs the secret "KEY", which the operator has removed`},
		{"removed, where the fetch doesn't need it", []string{there}, func(v *fetch.Vault) { _ = v.Set(nil) }, ""},
		{"without a value", nil, func(v *fetch.Vault) { set(t, v, "", every, all) }, `the fetch needs the secret "KEY", whose value can't be had; the server's log says why`},
		{"for other plugins", nil, func(v *fetch.Vault) { set(t, v, "new", every, []string{"search-*"}) }, `the fetch needs the secret "KEY", which the operator doesn't give to this plugin any more`},
		{"for other URLs, as the manifest wants it", []string{here}, func(v *fetch.Vault) { set(t, v, "new", []string{there}, all) }, `the fetch needs the secret "KEY", which the operator doesn't let be sent there any more`},
		{"for other URLs, and the manifest says nothing", nil, func(v *fetch.Vault) { set(t, v, "new", []string{there}, all) }, ""},
		{"for nowhere", nil, func(v *fetch.Vault) { set(t, v, "new", nil, all) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := new(fetch.Vault)
			set(t, v, "old", every, all)
			b := open(t, fetch.Config{}, withVault(t, v, c.bounds...))
			r := wantOK(t, b.do(&fetch.Request{URL: here}))
			if got := string(r.Body); got != "Bearer old" && (len(c.bounds) == 0 || c.bounds[0] != there) {
				t.Errorf("before: %q", got)
			}
			c.change(v)
			res := b.do(&fetch.Request{URL: here})
			if strings.HasPrefix(c.want, "the fetch") {
				wantCode(t, res, failure.HostDenied)
				if res.Err == nil || res.Err.Message != c.want || res.Err.Attempts != 0 || res.Err.Retryable {
					t.Errorf("%+v", res.Err)
				}
			} else if got := string(wantOK(t, res).Body); got != c.want {
				t.Errorf("after: %q, want %q", got, c.want)
			}
			// Set back, it's as before.
			set(t, v, "old", every, all)
			wantOK(t, b.do(&fetch.Request{URL: here}))
		})
	}
}

// TestVaultAndRedirects: a redirect's hop needs the secret too, and nothing is sent without it.
func TestVaultAndRedirects(t *testing.T) {
	t.Parallel()
	there, n := keyed(t)
	v := new(fetch.Vault)
	var here string
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = v.Set(map[string]fetch.Given{}) // while the fetch is under way
		http.Redirect(w, &http.Request{Method: "GET"}, there, http.StatusFound)
	})
	here = up.URL
	b := open(t, fetch.Config{}, withVault(t, v, there))
	set(t, v, "old", []string{there}, []string{"*"})
	res := b.do(&fetch.Request{URL: here})
	wantCode(t, res, failure.HostDenied)
	if n.Load() != 0 {
		t.Error("something was sent without the secret")
	}
}

func TestVaultRefuses(t *testing.T) {
	t.Parallel()
	here, _ := keyed(t)
	v := new(fetch.Vault)
	set(t, v, "old", []string{here}, []string{"prices"})
	b := open(t, fetch.Config{}, withVault(t, v))
	for what, bad := range map[string]fetch.Given{
		"a value": {Value: "hunter2\r\nX: y", Allow: []string{here}, Plugins: []string{"*"}}, "a pattern": {Value: "hunter2", Allow: []string{"ftp://x"}, Plugins: []string{"*"}},
	} {
		err := v.Set(map[string]fetch.Given{"KEY": bad})
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), `"KEY"`) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := string(wantOK(t, b.do(&fetch.Request{URL: here})).Body); got != "Bearer old" {
		t.Errorf("after changes that failed: %q", got)
	}
	if !v.Has("KEY") || v.Has("OTHER") || new(fetch.Vault).Has("KEY") {
		t.Error("Has")
	}
}

// TestFormerSecretsAreRedacted: what an invocation had from an upstream before the secret was changed isn't shown by what's recorded of it.
func TestFormerSecretsAreRedacted(t *testing.T) {
	t.Parallel()
	here, _ := keyed(t)
	v := new(fetch.Vault)
	set(t, v, "first-value", []string{here}, []string{"*"})
	b := open(t, fetch.Config{}, withVault(t, v))
	wantOK(t, b.do(&fetch.Request{URL: here + "/first-value"}))
	set(t, v, "second-value", []string{here}, []string{"*"})
	wantOK(t, b.do(&fetch.Request{URL: here + "/second-value"}))
	check := func(when string) {
		t.Helper()
		text := fmt.Sprintf("%+v", b.session.Records()) + b.client.Redact("first-value, Bearer first-value, second-value, Bearer second-value")
		if strings.Contains(text, "first-value") || strings.Contains(text, "second-value") || !strings.Contains(text, "[secret]") {
			t.Errorf("%s: %s", when, text)
		}
	}
	check("rotated")
	if err := v.Set(nil); err != nil {
		t.Fatal(err)
	}
	check("removed")
	another := open(t, fetch.Config{}, withVault(t, v))
	if got := another.client.Redact("second-value"); got != "[secret]" {
		t.Errorf("by a client that is newer: %q", got)
	}
}

// TestCacheAfterRotation: what was stored for one value is nothing to a fetch with another.
func TestCacheAfterRotation(t *testing.T) {
	t.Parallel()
	here, n := keyed(t)
	v := new(fetch.Vault)
	set(t, v, "old", []string{here}, []string{"*"})
	p := withVault(t, v, here)
	p.Cache.Bytes = 1 << 20
	b := open(t, fetch.Config{}, p)
	for range 2 {
		wantOK(t, b.do(&fetch.Request{URL: here}))
	}
	if n.Load() != 1 {
		t.Fatalf("%d requests: nothing was stored", n.Load())
	}
	set(t, v, "new", []string{here}, []string{"*"})
	if got := string(wantOK(t, b.do(&fetch.Request{URL: here})).Body); got != "Bearer new" {
		t.Errorf("from the cache: %q", got)
	}
	if err := v.Set(nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.do(&fetch.Request{URL: here}), failure.HostDenied)
}

// TestRotationWhileFetching has two fields of one value each time: none is ever older than what was set when its fetch began, and the two are of
// the same.
func TestRotationWhileFetching(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Key")+" "+r.Header.Get("X-Other"))
	})
	v := new(fetch.Vault)
	p := withVault(t, v, up.URL)
	p.Limits.Requests = 1 << 20
	p.Secrets = append(p.Secrets, fetch.Secret{Name: "OTHER", Header: "X-Other", Format: "{secret}", Allow: p.Secrets[0].Allow})
	rotate := func(n int64) error {
		given := fetch.Given{Value: fmt.Sprintf("v%d", n), Allow: []string{up.URL}, Plugins: []string{"prices"}}
		return v.Set(map[string]fetch.Given{"KEY": given, "OTHER": given})
	}
	if err := rotate(0); err != nil {
		t.Fatal(err)
	}
	b := open(t, fetch.Config{}, p)
	var done atomic.Int64 // the last that Set has returned from
	var fetching, rotating sync.WaitGroup
	turn := make(chan struct{}) // each fetch lets one rotation happen while it is under way
	rotating.Go(func() {
		for n := int64(1); ; n++ {
			if _, more := <-turn; !more {
				return
			}
			if err := rotate(n); err != nil {
				t.Error(err)
				return
			}
			done.Store(n)
		}
	})
	for range 4 {
		fetching.Go(func() {
			for range 100 {
				select {
				case turn <- struct{}{}:
				default:
				}
				least := done.Load()
				res := b.do(&fetch.Request{URL: up.URL})
				if res.Err != nil {
					t.Error(res.Err)
					return
				}
				var one, two int64
				if _, err := fmt.Sscanf(string(res.Response.Body), "Bearer v%d v%d", &one, &two); err != nil || one != two || one < least {
					t.Errorf("sent %q, when v%d had been set", res.Response.Body, least)
				}
				b.client.Redact("x")
			}
		})
	}
	fetching.Wait()
	close(turn)
	rotating.Wait()
	if done.Load() < 20 {
		t.Errorf("only %d rotations", done.Load())
	}
}
