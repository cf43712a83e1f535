package fetch

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// TestOverBeforeItIsSent: of a fetch that has ended nothing is sent, though a connection waits for it, and that goes on waiting.
func TestOverBeforeItIsSent(t *testing.T) {
	t.Parallel()
	var posts atomic.Int32
	var addresses atomic.Pointer[string]
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts.Add(1)
		} else if before := addresses.Swap(&r.RemoteAddr); before != nil && *before != r.RemoteAddr {
			t.Error("another connection")
		}
	}))
	defer up.Close()
	e := New(Config{})
	defer e.Close()
	c, err := e.Client(Policy{
		Rules: []manifest.Rule{{URL: "http://127.0.0.1:*", Private: true}}, Private: []string{"http://127.0.0.1:*"}, Limits: manifest.Default().Fetch.Limits,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := c.Session(t.Context())
	defer s.Close()
	for range 10 {
		if res := s.Do(context.Background(), &Request{URL: up.URL}); res.Err != nil {
			t.Fatal(res.Err)
		}
		f := newFlight(s.ctx, context.Background(), s, &Request{URL: up.URL, Method: "POST"})
		if fail := f.prepare(); fail != nil {
			t.Fatal(fail)
		}
		f.clock.end(stopGuest)
		if _, fail, _ := f.send(f.base, &f.first, nil); fail == nil || fail.Code != failure.Cancelled {
			t.Error(fail)
		}
		f.finish()
	}
	if n := posts.Load(); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
}
