package host_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
)

// TestCacheAndHedgeOfAManifest: what a manifest says of them is what the plugin's fetches do, across its invocations.
func TestCacheAndHedgeOfAManifest(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1); r.URL.Path == "/slow" && n.Load() == 2 {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Cache-Control", "max-age=600")
		fmt.Fprint(w, "fine")
	}))
	defer srv.Close()
	rt := newRuntime(t, fetch.Config{})
	p := load(t, rt, guestDir, "fetch: {hedge: 1s, cache: {bytes: 1MiB}, allow: [{url: 'http://127.0.0.1:*', private: true}]}\n")
	for i, want := range []fetch.CacheState{fetch.CacheMiss, fetch.CacheHit} {
		_, report := call(t, p, "/fetch", "url", srv.URL)
		if f := report.Fetches[0]; f.State != fetch.Fulfilled || f.Cache != want || len(f.Exchanges) != 1-i {
			t.Errorf("invocation %d: %+v", i, f)
		}
	}
	if n.Load() != 1 {
		t.Fatalf("the upstream saw %d", n.Load())
	}
	_, report := call(t, p, "/fetch", "url", srv.URL+"/slow")
	if f := report.Fetches[0]; f.State != fetch.Fulfilled || f.Attempts != 2 || !f.Exchanges[1].Hedge {
		t.Errorf("%+v", f)
	}
}
