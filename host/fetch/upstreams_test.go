package fetch_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/fetch/policy"
	"github.com/sortie-run/sortie/host/fetch/upstream"
	"github.com/sortie-run/sortie/host/manifest"
)

func matching(t testing.TB, patterns ...string) *policy.Patterns {
	t.Helper()
	var list []manifest.Pattern
	for _, text := range patterns {
		p, err := manifest.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	set, err := policy.CompilePatterns(list)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestBreaker: an origin that fails is left alone for a while, by the client that saw it fail.
func TestBreaker(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	var well atomic.Bool
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		if !well.Load() {
			w.WriteHeader(500)
		}
	})
	b := open(t, fetch.Config{Upstreams: []fetch.Upstream{{Match: matching(t, up.URL), Settings: upstream.Settings{
		Breaker: &upstream.Breaker{Failures: 0.5, Requests: 4, Window: time.Minute, Pause: 2 * time.Second},
	}}}}, loopback())
	for range 4 {
		wantOK(t, b.do(&fetch.Request{URL: up.URL}))
	}
	e := wantCode(t, b.do(&fetch.Request{URL: up.URL, Retry: &fetch.Retry{Attempts: 3}}), failure.CircuitOpen)
	if n.Load() != 4 || !e.Retryable || e.Attempts != 0 || b.session.Usage().Requests != 4 {
		t.Errorf("the upstream saw %d; %+v; usage %+v", n.Load(), e, b.session.Usage())
	}
	x := b.session.Records()[4].Exchanges
	if len(x) != 1 || x[0].Code != failure.CircuitOpen || x[0].Phases.Send >= 0 {
		t.Errorf("exchanges %+v", x)
	}
	other, err := b.engine.Client(loopback())
	if err != nil {
		t.Fatal(err)
	}
	s := other.Session(t.Context())
	wantOK(t, s.Do(t.Context(), &fetch.Request{URL: up.URL}))
	well.Store(true)
	eventually(t, "the breaker to close", func() bool { return b.do(&fetch.Request{URL: up.URL}).State == fetch.Fulfilled })
	for range 5 {
		wantOK(t, b.do(&fetch.Request{URL: up.URL}))
	}
}

// TestRateOfAnOrigin: the operator's rate counts for all clients together; waiting for it is waiting for the pool.
func TestRateOfAnOrigin(t *testing.T) {
	t.Parallel()
	up := serve(t, func(http.ResponseWriter, *http.Request) {})
	cfg := fetch.Config{Upstreams: []fetch.Upstream{{Match: matching(t, up.URL), Rate: &upstream.Rate{N: 3, Per: time.Hour}}}}
	b := open(t, cfg, loopback())
	other, err := b.engine.Client(loopback())
	if err != nil {
		t.Fatal(err)
	}
	s := other.Session(t.Context())
	wantOK(t, b.do(&fetch.Request{URL: up.URL}))
	wantOK(t, s.Do(t.Context(), &fetch.Request{URL: up.URL}))
	wantOK(t, b.do(&fetch.Request{URL: up.URL}))
	if e := wantCode(t, s.Do(t.Context(), &fetch.Request{URL: up.URL}), failure.RateLimited); !e.Retryable {
		t.Errorf("%+v", e)
	}
	if u := b.session.Usage(); u.Requests != 2 || b.engine.SlotsInUse() != 0 {
		t.Errorf("usage %+v, %d slots", u, b.engine.SlotsInUse())
	}
}

// TestAdaptiveConcurrency: no more at once than the limit, and everything is given back.
func TestAdaptiveConcurrency(t *testing.T) {
	t.Parallel()
	up := newGate()
	server := serve(t, up.ServeHTTP)
	b := open(t, fetch.Config{Upstreams: []fetch.Upstream{{Match: matching(t, server.URL), Settings: upstream.Settings{
		Adaptive: &upstream.Adaptive{Initial: 2, Min: 1, Max: 4},
	}}}}, loopback())
	results := make(chan fetch.Result, 8)
	for range 8 {
		b.session.Start(&fetch.Request{URL: server.URL}, func(r fetch.Result) { results <- r })
	}
	eventually(t, "two in flight", func() bool { return up.inFlight() == 2 })
	wantCode(t, b.do(&fetch.Request{URL: server.URL, Timeout: 20 * time.Millisecond}), failure.Timeout)
	if n := up.inFlight(); n != 2 {
		t.Errorf("%d in flight", n)
	}
	close(up.opened)
	for range 8 {
		wantOK(t, within(t, "an answer", results))
	}
}

// TestTLSByOrigin: roots, client certificate and least version are those of the origin's entry.
func TestTLSByOrigin(t *testing.T) {
	t.Parallel()
	start := func(edit func(*tls.Config)) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, c := range r.TLS.PeerCertificates {
				io.WriteString(w, c.Subject.Organization[0])
			}
		}))
		s.TLS = &tls.Config{}
		edit(s.TLS)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	asking := start(func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
	old := start(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	mine := trusting(asking)
	mine.Certificates = asking.TLS.Certificates
	newest := trusting(old)
	newest.MinVersion = tls.VersionTLS13

	b := open(t, fetch.Config{TLS: trusting(old), Upstreams: []fetch.Upstream{{Match: matching(t, asking.URL), TLS: mine}}}, loopback())
	if resp := wantOK(t, b.do(&fetch.Request{URL: asking.URL})); string(resp.Body) != "Acme Co" {
		t.Errorf("got %s", resp.Body)
	}
	if resp := wantOK(t, b.do(&fetch.Request{URL: old.URL})); len(resp.Body) != 0 {
		t.Error("the certificate went to another origin")
	}
	without := open(t, fetch.Config{TLS: trusting(asking)}, loopback())
	if r := without.do(&fetch.Request{URL: asking.URL}); r.State != fetch.Rejected {
		t.Errorf("got %+v", r)
	}
	strict := open(t, fetch.Config{Upstreams: []fetch.Upstream{{Match: matching(t, old.URL), TLS: newest}}}, loopback())
	wantCode(t, strict.do(&fetch.Request{URL: old.URL}), failure.TLSError)
	lax := trusting(old)
	lax.InsecureSkipVerify, lax.RootCAs = true, nil
	wantCode(t, open(t, fetch.Config{Upstreams: []fetch.Upstream{{Match: matching(t, old.URL), TLS: lax}}}, loopback()).do(&fetch.Request{URL: old.URL}), failure.TLSError)
}

// TestHedgeAtP95: without enough answers there's no hedge; with them, one goes out when an answer takes longer than nearly all have.
func TestHedgeAtP95(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	var slow atomic.Bool
	up := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if n.Add(1); slow.CompareAndSwap(true, false) {
			<-r.Context().Done()
		}
	})
	p := loopback()
	p.Hedge = fetch.HedgeP95
	p.Limits.Requests = 1000
	b := open(t, fetch.Config{}, p)
	for range 30 {
		wantOK(t, b.do(&fetch.Request{URL: up.URL, Hedge: fetch.HedgeNever}))
	}
	if n.Load() != 30 {
		t.Fatalf("the upstream saw %d", n.Load())
	}
	slow.Store(true)
	if resp := wantOK(t, b.do(&fetch.Request{URL: up.URL})); resp.Attempts != 2 {
		t.Errorf("%d attempts", resp.Attempts)
	}
}
