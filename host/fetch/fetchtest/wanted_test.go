package fetchtest

import (
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
)

// TestWanted: what is wrong is told, and what is right is not.
func TestWanted(t *testing.T) {
	t.Parallel()
	n := &network{up: &upstream{}, other: &upstream{}, plain: &upstream{}}
	n.up.seen.Store(1)
	n.up.gone.Store(1)
	sent := []fetch.Record{{State: fetch.Fulfilled, Hops: 1, Cache: fetch.CacheHit, Exchanges: []fetch.Exchange{{}}}}
	ok := &fetch.Response{Status: 200, Body: []byte("a body"), Header: []fetch.Field{{Name: "x", Value: "1"}, {Name: "x", Value: "2"}}, Attempts: 2, URL: "http://a/b?c"}
	bad := &fetch.Error{Code: "http_status", Message: "no", Attempts: 3, Retryable: true, Response: &fetch.Response{Status: 500}}
	for _, c := range []struct {
		want  string
		got   fetch.Result
		right bool
	}{
		{`200`, fetch.Result{State: fetch.Fulfilled, Response: ok}, true},
		{`200 "a body" ~"bod" x:"1, 2" -y attempts=2 direct at=/b?c length=6 # requests=1 bytes=6 seen=1 gone=1 cache=hit hops=1`, fetch.Result{State: fetch.Fulfilled, Response: ok}, true},
		{`201`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 "another"`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 ~"another"`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 x:1`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 -x`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 attempts=1`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 redirected`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 at=/`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 unheard`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 un=heard`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 # requests=2`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 # bytes=5`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 # cache=miss`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 # hops=0`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 | 200`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`200 ; 200`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`timeout`, fetch.Result{State: fetch.Fulfilled, Response: ok}, false},
		{`http_status 500 retryable attempts=3 says="n"`, fetch.Result{State: fetch.Rejected, Err: bad}, true},
		{`timeout/http_status 500`, fetch.Result{State: fetch.Rejected, Err: bad}, true},
		{`500`, fetch.Result{State: fetch.Rejected, Err: bad}, false},
		{`http_status`, fetch.Result{State: fetch.Rejected, Err: bad}, false},
		{`http_status 500 final`, fetch.Result{State: fetch.Rejected, Err: bad}, false},
		{`http_status 500 says=x`, fetch.Result{State: fetch.Rejected, Err: bad}, false},
		{`cancelled`, fetch.Result{State: fetch.Cancelled, Err: &fetch.Error{Code: "cancelled"}}, true},
		{`cancelled`, fetch.Result{State: fetch.Rejected, Err: &fetch.Error{Code: "cancelled"}}, false},
	} {
		w, err := parseWanted(c.want)
		if err != nil {
			t.Fatalf("%s: %v", c.want, err)
		}
		got := Outcome{Results: [][]fetch.Result{{c.got}}, Usage: fetch.Usage{Requests: 1, Bytes: 6}, Records: sent}
		if wrong := w.compare(got, n, false); (len(wrong) == 0) != c.right {
			t.Errorf("%s: wrong is %q", c.want, wrong)
		}
	}
	for _, text := range []string{`"no status"`, `200 # what=1`, `200 *x`} {
		if _, err := parseWanted(text); err == nil {
			t.Errorf("%q is understood", text)
		}
	}
	if len(always(Outcome{Records: []fetch.Record{{State: fetch.Running}}}, n)) != 2 {
		t.Error("a fetch that never ended, and a request that isn't on record, are both wrong")
	}
}
