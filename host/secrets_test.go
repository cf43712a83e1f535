package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/hosttest"
	"github.com/sortie-run/sortie/host/manifest"
)

// TestEchoedSecretsAreRedacted: an upstream that sends the secret back makes the plugin a party to it, but none of those who read what the
// host has on record, or the invocation's error.
func TestEchoedSecretsAreRedacted(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-of-the-operator"
	var told int
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told++
		w.Header().Set("X-Echo", r.Header.Get("X-Key"))
		io.WriteString(w, r.Header.Get("X-Key"))
	}))
	t.Cleanup(up.Close)
	op, err := manifest.ParseOperator([]byte(`
private: ["http://127.0.0.1:*"]
secrets: {KEY: {env: KEY, allow: ["http://127.0.0.1:*"], plugins: ["*"]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	engine := fetch.New(fetch.Config{})
	t.Cleanup(engine.Close)
	rt, err := host.New(t.Context(), host.Config{Engine: engine, Operator: op, Secrets: map[string]string{"KEY": secret}, CacheDir: cacheDir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close(context.Background()) })
	m, _, err := op.Manifest([]byte("name: guest\n" + allowLoopback + "secrets: [{name: KEY, header: X-Key, format: '{secret}'}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := rt.Load(t.Context(), host.Source{Name: "guest", Version: 1, Wasm: hosttest.Build(t, guestDir), Manifest: m})
	if err != nil {
		t.Fatal(err)
	}
	_, report, err := try(p, "", "/tell", "url", up.URL+"/?q")
	if err == nil || told != 2 {
		t.Fatalf("error %v, %d requests", err, told)
	}
	text, jsonErr := json.Marshal(report)
	if jsonErr != nil {
		t.Fatal(jsonErr)
	}
	for what, text := range map[string]string{"the report": string(text), "the error": err.Error()} {
		if strings.Contains(text, secret) {
			t.Errorf("%s: %s", what, text)
		}
		if !strings.Contains(text, "it says [secret]") {
			t.Errorf("%s doesn't show what was left out: %s", what, text)
		}
	}
	if n := strings.Count(string(text), "it says [secret]"); n != 3 { // logged, printed, and the error
		t.Errorf("%d times in %s", n, text)
	}
}

// TestSecretsRotate changes a secret while its plugin is loaded, and while an invocation runs that had the former value.
func TestSecretsRotate(t *testing.T) {
	t.Parallel()
	const first, second = "first-of-the-operator", "second-of-the-operator"
	var rt *host.Runtime
	var up *httptest.Server
	give := func(value string) {
		if err := rt.SetSecrets(map[string]host.Secret{"KEY": {Value: value, Allow: []string{up.URL}, Plugins: []string{"guest"}}}); err != nil {
			t.Error(err)
		}
	}
	var got []string
	up = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("X-Key"))
		give(second)
		w.Header().Set("X-Echo", r.Header.Get("X-Key"))
		io.WriteString(w, r.Header.Get("X-Key"))
	}))
	t.Cleanup(up.Close)
	op, err := manifest.ParseOperator([]byte(`private: ["http://127.0.0.1:*"]`))
	if err != nil {
		t.Fatal(err)
	}
	engine := fetch.New(fetch.Config{})
	t.Cleanup(engine.Close)
	rt, err = host.New(t.Context(), host.Config{Engine: engine, Operator: op, CacheDir: cacheDir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close(context.Background()) })
	m, _, err := op.Deployed("guest", []byte(allowLoopback+"secrets: [{name: KEY, header: X-Key, format: '{secret}'}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	src := host.Source{Name: "guest", Version: 1, Wasm: hosttest.Build(t, guestDir), Manifest: m}
	var refused *host.Error
	if _, err := rt.Load(t.Context(), src); !errors.As(err, &refused) || refused.Code != host.CodeInvalidManifest || !strings.Contains(refused.Detail, `"KEY"`) {
		t.Fatalf("loaded without its secret: %v", err)
	}
	src.Deployed = true
	p, err := rt.Load(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	give(first)
	for _, value := range []string{first, second} {
		_, report, err := try(p, "", "/tell", "url", up.URL+"/?q")
		text, jsonErr := json.Marshal(report)
		if err == nil || jsonErr != nil || strings.Contains(string(text)+err.Error(), "-of-the-operator") || !strings.Contains(string(text), "it says [secret]") {
			t.Errorf("%v, %v: %s", err, jsonErr, text)
		}
		if got[0] != value {
			t.Errorf("sent %q, want %q", got, value)
		}
		got = nil
	}
	if err := rt.SetSecrets(nil); err != nil {
		t.Fatal(err)
	}
	_, report, _ := try(p, "", "/tell", "url", up.URL+"/?q")
	if len(got) != 0 || len(report.Fetches) == 0 || report.Fetches[0].Code != "host_denied" {
		t.Errorf("removed: %q was sent; %+v", got, report.Fetches)
	}
}
