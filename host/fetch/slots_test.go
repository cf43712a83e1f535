package fetch_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// gate is an upstream that holds its requests until it is opened, and counts them.
type gate struct {
	mu        sync.Mutex
	now, most int
	total     int
	opened    chan struct{}
	gone      atomic.Int32 // requests whose caller went away
}

func newGate() *gate { return &gate{opened: make(chan struct{})} }

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.now++
	g.total++
	g.most = max(g.most, g.now)
	g.mu.Unlock()
	select {
	case <-g.opened:
		fmt.Fprint(w, r.URL.Path)
	case <-r.Context().Done():
		g.gone.Add(1)
	}
	g.mu.Lock()
	g.now--
	g.mu.Unlock()
}

func (g *gate) inFlight() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

func group(url string, n int) *fetch.Group {
	g := &fetch.Group{Mode: fetch.AllSettled}
	for i := range n {
		g.Requests = append(g.Requests, &fetch.Request{URL: fmt.Sprintf("%s/%d", url, i)})
	}
	return g
}

func TestTwentyAtOnce(t *testing.T) {
	t.Parallel()
	up := newGate()
	server := serve(t, up.ServeHTTP)
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Concurrency = 20 }))
	results := make(chan []fetch.Result, 1)
	go func() { results <- b.session.Group(context.Background(), group(server.URL, 20)) }()
	eventually(t, "20 in flight", func() bool { return up.inFlight() == 20 })
	if n := b.engine.SlotsInUse(); n != 20 {
		t.Errorf("%d slots in use", n)
	}
	close(up.opened)
	for i, r := range within(t, "results", results) {
		if got, want := string(wantOK(t, r).Body), fmt.Sprintf("/%d", i); got != want {
			t.Errorf("result %d is that of %s", i, got)
		}
	}
	if n := b.engine.SlotsInUse(); n != 0 {
		t.Errorf("%d slots left in use", n)
	}
}

func TestNeverMoreThanAllowed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg   fetch.Config
		edit  func(*manifest.FetchLimits)
		group int
	}{
		"policy":  {edit: func(l *manifest.FetchLimits) { l.Concurrency = 5 }},
		"group":   {edit: func(l *manifest.FetchLimits) { l.Concurrency = 20 }, group: 5},
		"origin":  {cfg: fetch.Config{PerOrigin: 5}, edit: func(l *manifest.FetchLimits) { l.Concurrency = 20 }},
		"process": {cfg: fetch.Config{Fetches: 5}, edit: func(l *manifest.FetchLimits) { l.Concurrency = 20 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var now, most, arrived atomic.Int32
			var rounds [4]chan struct{}
			for i := range rounds {
				rounds[i] = make(chan struct{})
			}
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				// None of five is answered before all have come, so that the limit is reached in every round.
				i := arrived.Add(1) - 1
				if i%5 == 4 {
					close(rounds[i/5])
				}
				select {
				case <-rounds[i/5]:
				case <-r.Context().Done():
				}
				now.Add(-1)
				fmt.Fprint(w, r.URL.Path)
			})
			b := open(t, tc.cfg, withLimits(tc.edit))
			g := group(server.URL, 20)
			g.Concurrency = tc.group
			for i, r := range b.session.Group(context.Background(), g) {
				if got, want := string(wantOK(t, r).Body), fmt.Sprintf("/%d", i); got != want {
					t.Errorf("result %d is that of %s", i, got)
				}
			}
			if m := most.Load(); m != 5 {
				t.Errorf("the upstream saw %d at once", m)
			}
		})
	}
}

func TestPoolTimeout(t *testing.T) {
	t.Parallel()
	up := newGate()
	server := serve(t, up.ServeHTTP)
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) {
		l.Concurrency, l.PoolTimeout = 1, manifest.Duration(30*time.Millisecond)
	}))
	first := make(chan fetch.Result, 1)
	b.session.Start(&fetch.Request{URL: server.URL}, func(r fetch.Result) { first <- r })
	eventually(t, "one in flight", func() bool { return up.inFlight() == 1 })
	err := wantCode(t, b.do(&fetch.Request{Method: "POST", URL: server.URL}), failure.PoolTimeout)
	if !err.Retryable || err.Attempts != 0 || err.Message != "no slot within pool_timeout, 30ms" {
		t.Errorf("got %+v", err)
	}
	close(up.opened)
	wantOK(t, within(t, "the first", first))
	if u := b.session.Usage(); u.Requests != 1 {
		t.Errorf("usage %+v: what was never sent counts as sent", u)
	}
}

// TestWaitingCountsForTheWhole: a fetch that only waits dies of its own time, not of pool_timeout.
func TestWaitingCountsForTheWhole(t *testing.T) {
	t.Parallel()
	up := newGate()
	server := serve(t, up.ServeHTTP)
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Concurrency = 1 }))
	b.session.Start(&fetch.Request{URL: server.URL}, func(fetch.Result) {})
	eventually(t, "one in flight", func() bool { return up.inFlight() == 1 })
	err := wantCode(t, b.do(&fetch.Request{URL: server.URL, Timeout: 30 * time.Millisecond}), failure.Timeout)
	if err.Message != "the fetch wasn't over within its timeout, 30ms" {
		t.Error(err.Message)
	}
	b.session.Close()
}

func TestCancelAThousandThenUseThemAll(t *testing.T) {
	t.Parallel()
	n := min(1000, (openFiles()-256)/4) // both ends of the connections, and again before the first are gone
	if n < 2 {
		t.Skip("too few files can be open")
	}
	up := newGate()
	server := serve(t, up.ServeHTTP)
	p := withLimits(func(l *manifest.FetchLimits) {
		l.Requests, l.Concurrency = 3*n, n
	})
	b := open(t, fetch.Config{Fetches: n, PerOrigin: n}, p)
	var cancelled sync.WaitGroup
	var calls []*fetch.Call
	for range n {
		cancelled.Add(1)
		calls = append(calls, b.session.Start(&fetch.Request{URL: server.URL}, func(r fetch.Result) {
			defer cancelled.Done()
			if r.State != fetch.Cancelled {
				t.Errorf("got %s, %v", r.State, r.Err)
			}
		}))
	}
	eventually(t, "all in flight", func() bool { return up.inFlight() == n })
	for _, c := range calls {
		c.Cancel()
	}
	cancelled.Wait()
	if used := b.engine.SlotsInUse(); used != 0 {
		t.Fatalf("%d slots left in use", used)
	}
	eventually(t, "the upstream to have seen them go", func() bool { return int(up.gone.Load()) == n })

	results := make(chan []fetch.Result, 1)
	go func() { results <- b.session.Group(context.Background(), group(server.URL, n)) }()
	eventually(t, "the whole pool in use again", func() bool { return up.inFlight() == n })
	close(up.opened)
	for _, r := range within(t, "results", results) {
		wantOK(t, r)
	}
}
