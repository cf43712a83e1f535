package fetch_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// spoil puts a proxy in front of an upstream that does to its traffic what toxics say.
func spoil(t *testing.T, upstream string) *toxiproxy.Proxy {
	t.Helper()
	p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), t.Name(), "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// TestFaults: the right code for each, and nothing left over: no slot, no connection, no goroutine, and the origin works again right after.
func TestFaults(t *testing.T) {
	t.Parallel()
	zerolog.SetGlobalLevel(zerolog.Disabled) // one of the toxics has a logger of its own
	short := func(l *manifest.FetchLimits) {
		l.ReadTimeout, l.WriteTimeout = manifest.Duration(150*time.Millisecond), manifest.Duration(150*time.Millisecond)
	}
	for _, c := range []struct {
		name   string
		toxic  string // as the API takes it; empty: the proxy is switched off
		limits func(*manifest.FetchLimits)
		upload int
		whole  time.Duration
		codes  string // any of them; empty: it succeeds
	}{
		{"latency", `{"type":"latency","attributes":{"latency":20}}`, nil, 0, 0, ""},
		{"jitter", `{"type":"latency","attributes":{"latency":10,"jitter":10}}`, nil, 0, 0, ""},
		{"more latency than read_timeout", `{"type":"latency","attributes":{"latency":60000}}`, short, 0, 0, "read_timeout"},
		{"more latency than the whole time", `{"type":"latency","attributes":{"latency":60000}}`, nil, 0, 150 * time.Millisecond, "timeout"},
		{"slices", `{"type":"slicer","attributes":{"average_size":1000,"size_variation":500,"delay":10}}`, nil, 0, 0, ""},
		{"a slow close", `{"type":"slow_close","attributes":{"delay":20}}`, nil, 0, 0, ""},
		{"a reset at once", `{"type":"reset_peer","attributes":{"timeout":0}}`, nil, 0, 0, "read_error write_error connect_error"},
		{"a reset while waiting", `{"type":"reset_peer","stream":"upstream","attributes":{"timeout":20}}`, nil, 0, 0, "read_error write_error connect_error"},
		{"little bandwidth", `{"type":"bandwidth","attributes":{"rate":1}}`, nil, 0, 300 * time.Millisecond, "timeout"},
		{"a cut in the body", `{"type":"limit_data","attributes":{"bytes":20000}}`, nil, 0, 0, "read_error"},
		{"a cut in the head", `{"type":"limit_data","attributes":{"bytes":10}}`, nil, 0, 0, "read_error connect_error tls_error protocol_error"},
		{"nothing comes back", `{"type":"timeout","attributes":{"timeout":0}}`, short, 0, 0, "read_timeout"},
		{"it closes without a word", `{"type":"timeout","attributes":{"timeout":30}}`, nil, 0, 0, "read_error connect_error"},
		{"an upload that isn't read", `{"type":"bandwidth","stream":"upstream","attributes":{"rate":0}}`, short, 16 << 20, 0, "write_timeout"},
		{"an upload that is cut", `{"type":"limit_data","stream":"upstream","attributes":{"bytes":30000}}`, nil, 16 << 20, 0, "write_error read_error"},
		{"nobody there", "", nil, 0, 0, "connect_error read_error write_error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := withLimits(func(l *manifest.FetchLimits) {
				l.RequestBytes = 32 << 20
				if c.limits != nil {
					c.limits(l)
				}
			})
			for _, protocol := range []string{"http/1.1", "h2"} {
				t.Run(protocol, func(t *testing.T) {
					t.Parallel()
					spoiled(t, protocol, p, c.toxic, c.upload, c.whole, strings.Fields(c.codes))
				})
			}
		})
	}
}

func spoiled(t *testing.T, protocol string, p fetch.Policy, toxic string, upload int, whole time.Duration, codes []string) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(bytes.Repeat([]byte("x"), 100<<10))
	}
	cfg, scheme, addr := fetch.Config{}, "http://", ""
	if protocol == "h2" {
		up, trust := serveTLS(t, handler)
		cfg.TLS, scheme, addr = trust, "https://", up.Listener.Addr().String()
	} else {
		addr = serve(t, handler).Listener.Addr().String()
	}
	proxy := spoil(t, addr)
	b := open(t, cfg, p)
	request := &fetch.Request{URL: scheme + proxy.Listen}
	// So that over HTTP/2 it isn't the handshake that suffers; on a busy machine the short limits may end it.
	eventually(t, "the origin to work", func() bool { return b.do(request).State == fetch.Fulfilled })
	if toxic == "" {
		proxy.Stop()
	} else if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		t.Fatal(err)
	}
	faulty := &fetch.Request{URL: request.URL, Timeout: whole}
	if upload > 0 {
		faulty.Method, faulty.Body = "POST", make([]byte, upload)
	}
	switch r := b.do(faulty); {
	case len(codes) == 0:
		if resp := wantOK(t, r); len(resp.Body) != 100<<10 {
			t.Errorf("%d bytes", len(resp.Body))
		}
	case r.Err == nil || !slices.Contains(codes, string(r.Err.Code)):
		t.Errorf("got %+v %v, want one of %q", r.Response != nil, r.Err, codes)
	}
	if n := b.engine.SlotsInUse(); n != 0 {
		t.Errorf("%d slots are left in use", n)
	}
	if toxic == "" {
		if err := proxy.Start(); err != nil {
			t.Fatal(err)
		}
	} else {
		proxy.Toxics.ResetToxics(context.Background())
	}
	// A connection that suffered may still be taken for good; a new attempt is what callers have for that.
	eventually(t, "the origin to work again", func() bool { return b.do(request).State == fetch.Fulfilled })
	records := b.session.Records()
	sent := 0
	for _, r := range records {
		sent += len(r.Exchanges)
	}
	if u := b.session.Usage(); u.Requests != sent {
		t.Errorf("%d requests were charged, %d exchanges are on record", u.Requests, sent)
	}
	b.client.Close()
}

// TestFaultsAndRetries: an upstream that is reset now and then is reached in the end.
func TestFaultsAndRetries(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 10<<10)) })
	proxy := spoil(t, up.Listener.Addr().String())
	if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(`{"type":"reset_peer","toxicity":0.5,"attributes":{"timeout":0}}`)); err != nil {
		t.Fatal(err)
	}
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Requests, l.Concurrency = 10000, 10 }))
	g := group("http://"+proxy.Listen, 50)
	for _, r := range g.Requests {
		r.Retry = &fetch.Retry{Attempts: 30, Backoff: time.Millisecond}
	}
	allowed := []failure.Code{failure.ReadError, failure.WriteError, failure.ConnectError}
	done := 0
	for _, r := range b.session.Group(context.Background(), g) {
		if r.State == fetch.Fulfilled {
			done++
		} else if !slices.Contains(allowed, r.Err.Code) { // the retry budget may be used up
			t.Errorf("got %v", r.Err)
		}
	}
	if done < 25 || b.engine.SlotsInUse() != 0 {
		t.Errorf("%d of 50, %d slots in use", done, b.engine.SlotsInUse())
	}
}

// still is a resolver that doesn't answer until its question is given up.
type still struct{}

func (still) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestCancelTenThousand: each way of ending fetches gives every slot back, and then all of them can be had at once.
func TestCancelTenThousand(t *testing.T) {
	t.Parallel()
	const n = 10000
	p := withLimits(func(l *manifest.FetchLimits) { l.Requests, l.Concurrency = 100*n, n })
	cfg := fetch.Config{Fetches: n, PerOrigin: n, Resolver: still{}}
	cfg.DNS.TTL = -1 // the cache gives lookups up by itself
	b := open(t, cfg, p)
	fill := func(s *fetch.Session) (calls []*fetch.Call, settled *sync.WaitGroup) {
		settled = new(sync.WaitGroup)
		settled.Add(n)
		for i := range n {
			calls = append(calls, s.Start(&fetch.Request{URL: fmt.Sprintf("http://h%d.test", i%100)}, func(r fetch.Result) {
				defer settled.Done()
				if r.State != fetch.Cancelled {
					t.Errorf("got %s, %v", r.State, r.Err)
				}
			}))
		}
		eventually(t, "every slot in use", func() bool { return b.engine.SlotsInUse() == n })
		return calls, settled
	}
	empty := func(how string) {
		t.Helper()
		if used := b.engine.SlotsInUse(); used != 0 {
			t.Fatalf("%d slots in use after %s", used, how)
		}
	}
	calls, settled := fill(b.session)
	for _, c := range calls {
		c.Cancel()
	}
	settled.Wait()
	empty("cancelling each")

	_, settled = fill(b.session)
	b.session.Close()
	settled.Wait()
	empty("closing the session")

	ctx, cancel := context.WithCancel(context.Background())
	_, settled = fill(b.client.Session(ctx))
	cancel()
	settled.Wait()
	eventually(t, "the slots back after the context's end", func() bool { return b.engine.SlotsInUse() == 0 })

	_, settled = fill(b.client.Session(context.Background()))
	b.client.Close()
	settled.Wait()
	empty("closing the client")
}
