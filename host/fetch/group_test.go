package fetch_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// cast is an upstream whose answers are in the path: /ok and /bad (a 500) at once, /hang when the caller has gone. It answers only
// once all hanging ones have arrived, so that there's something to cancel.
type cast struct {
	url      string
	hanging  sync.WaitGroup
	gone     atomic.Int32
	sessions *bench
}

func newCast(t testing.TB, hangs int) *cast {
	c := &cast{}
	c.hanging.Add(hangs)
	c.url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/hang") {
			c.hanging.Done()
			<-r.Context().Done()
			c.gone.Add(1)
			return
		}
		c.hanging.Wait()
		if strings.HasPrefix(r.URL.Path, "/bad") {
			w.WriteHeader(500)
		}
		fmt.Fprint(w, r.URL.Path)
	}).URL
	c.sessions = open(t, fetch.Config{}, loopback())
	return c
}

// run makes a group of the words, and tells the states in one line.
func (c *cast) run(g fetch.Group, words string) (string, []fetch.Result) {
	for word := range strings.FieldsSeq(words) {
		g.Requests = append(g.Requests, &fetch.Request{URL: c.url + "/" + word, Expect: "2xx"})
	}
	results := c.sessions.session.Group(context.Background(), &g)
	var states []string
	for _, r := range results {
		states = append(states, r.State.String())
	}
	return strings.Join(states, " "), results
}

func TestModes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		mode  fetch.Mode
		count int
		words string
		want  string
	}{
		{fetch.All, 0, "ok ok ok", "fulfilled fulfilled fulfilled"},
		{fetch.All, 0, "hang bad hang", "cancelled rejected cancelled"},
		{fetch.AllSettled, 0, "ok bad ok", "fulfilled rejected fulfilled"},
		{fetch.Any, 0, "hang ok hang", "cancelled fulfilled cancelled"},
		{fetch.Any, 0, "hang ok", "cancelled fulfilled"},
		{fetch.Any, 0, "bad bad", "rejected rejected"},
		{fetch.Race, 0, "hang ok hang", "cancelled fulfilled cancelled"},
		{fetch.Race, 0, "hang bad hang", "cancelled rejected cancelled"},
		{fetch.Quorum, 2, "ok hang ok", "fulfilled cancelled fulfilled"},
		{fetch.Quorum, 2, "bad hang bad", "rejected cancelled rejected"}, // it can't come to two any more
		{fetch.Quorum, 3, "hang bad hang", "cancelled rejected cancelled"},
		{fetch.Quorum, 1, "hang ok", "cancelled fulfilled"},
	} {
		t.Run(fmt.Sprint(tc.mode, " ", tc.words), func(t *testing.T) {
			t.Parallel()
			c := newCast(t, strings.Count(tc.words, "hang"))
			got, results := c.run(fetch.Group{Mode: tc.mode, Count: tc.count}, tc.words)
			if got != tc.want {
				t.Fatalf("got  %s,\nwant %s", got, tc.want)
			}
			for i, word := range strings.Fields(tc.words) {
				switch results[i].State {
				case fetch.Fulfilled:
					if string(wantOK(t, results[i]).Body) != "/"+word {
						t.Errorf("result %d is another's", i)
					}
				case fetch.Rejected:
					wantCode(t, results[i], failure.HTTPStatus)
				case fetch.Cancelled:
					if err := wantCode(t, results[i], failure.Cancelled); err.Message != "cancelled because its group is decided" {
						t.Error(err.Message)
					}
				}
			}
			if n := c.sessions.engine.SlotsInUse(); n != 0 {
				t.Errorf("%d slots in use", n)
			}
			eventually(t, "the losers' upstream to know", func() bool { return int(c.gone.Load()) == strings.Count(tc.words, "hang") })
		})
	}
}

// TestAnyPassesOverDenials: what is refused before it is sent is a rejection like others.
func TestAnyPassesOverDenials(t *testing.T) {
	t.Parallel()
	c := newCast(t, 0)
	g := &fetch.Group{Mode: fetch.Any, Requests: []*fetch.Request{{URL: "https://elsewhere.example/"}, {URL: c.url + "/ok"}}}
	results := c.sessions.session.Group(context.Background(), g)
	wantCode(t, results[0], failure.HostDenied)
	wantOK(t, results[1])

	// With all, one denial is enough, and what comes after it isn't even started.
	g = &fetch.Group{Mode: fetch.All, Requests: []*fetch.Request{{URL: "https://elsewhere.example/"}, {URL: c.url + "/ok"}}}
	before := c.sessions.session.Usage().Requests
	results = c.sessions.session.Group(context.Background(), g)
	wantCode(t, results[0], failure.HostDenied)
	wantCode(t, results[1], failure.Cancelled)
	if now := c.sessions.session.Usage().Requests; now != before {
		t.Errorf("%d requests", now-before)
	}
}

func TestGroupTimeout(t *testing.T) {
	t.Parallel()
	c := newCast(t, 2)
	got, results := c.run(fetch.Group{Mode: fetch.AllSettled, Timeout: 4 * time.Second}, "ok hang hang")
	if got != "fulfilled rejected rejected" {
		t.Fatal(got)
	}
	for _, r := range results[1:] {
		if err := wantCode(t, r, failure.Timeout); err.Message != "the group wasn't over within its timeout, 4s" || err.Retryable {
			t.Errorf("got %+v", err)
		}
	}
}

// TestGroupTimeoutReachesTheWaiting: members held back by the group's concurrency time out with it.
func TestGroupTimeoutReachesTheWaiting(t *testing.T) {
	t.Parallel()
	c := newCast(t, 1)
	got, _ := c.run(fetch.Group{Mode: fetch.AllSettled, Concurrency: 1, Timeout: time.Duration(long)}, "hang ok ok")
	if got != "rejected rejected rejected" {
		t.Fatal(got)
	}
	if n := c.sessions.session.Usage().Requests; n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestGroupConcurrencyHoldsBackTheStart(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) { time.Sleep(500 * time.Millisecond) })
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.PoolTimeout = short }))
	g := group(up.URL, 9)
	g.Concurrency = 1
	for _, r := range g.Requests {
		r.Timeout = 4 * time.Second // each, from its own start; all together take longer
	}
	for _, r := range b.session.Group(context.Background(), g) {
		wantOK(t, r)
	}
}

func TestStartGroup(t *testing.T) {
	t.Parallel()
	up := newGate()
	server := serve(t, up.ServeHTTP)
	b := open(t, fetch.Config{}, loopback())
	var told [4]atomic.Int32
	var early atomic.Int32
	done := make(chan struct{})
	g := group(server.URL, 4)
	g.Concurrency = 2
	call := b.session.StartGroup(g, func(i int, r fetch.Result) {
		told[i].Add(1)
		select {
		case <-done:
			early.Add(1)
		default:
		}
	}, func() { close(done) })
	eventually(t, "two in flight", func() bool { return up.inFlight() == 2 })
	if call.State(0) != fetch.Running || call.State(3) != fetch.Pending {
		t.Errorf("%s and %s", call.State(0), call.State(3))
	}
	call.CancelMember(3) // before it is started, and it settles before any other has
	eventually(t, "the last to be told", func() bool { return told[3].Load() == 1 })
	if call.State(3) != fetch.Cancelled || call.State(0) != fetch.Running || call.State(2) != fetch.Pending {
		t.Errorf("%s, %s and %s", call.State(3), call.State(0), call.State(2))
	}
	call.CancelMember(3)
	call.CancelMember(0)
	eventually(t, "the third to take the first's place", func() bool { return call.State(2) == fetch.Running && call.State(0) == fetch.Cancelled })
	call.Cancel()
	within(t, "done", done)
	for i := range told {
		if n := told[i].Load(); n != 1 || call.State(i) != fetch.Cancelled {
			t.Errorf("member %d: told %d times, %s", i, n, call.State(i))
		}
	}
	if early.Load() != 0 {
		t.Error("done came before the last member was told")
	}
	if n := b.session.Usage().Requests; n != 3 {
		t.Errorf("%d requests", n)
	}
}

func TestInvalidGroups(t *testing.T) {
	t.Parallel()
	b := open(t, fetch.Config{}, loopback())
	up := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	for _, g := range []fetch.Group{
		{Mode: 9}, {Mode: fetch.Quorum}, {Mode: fetch.Quorum, Count: 3}, {Mode: fetch.Quorum, Count: -1}, {Concurrency: -1}, {Timeout: -1},
	} {
		g.Requests = []*fetch.Request{{URL: up.URL}, {URL: up.URL}}
		if err := g.Check(); failure.CodeOf(err) != failure.InvalidRequest {
			t.Errorf("%+v: %v", g, err)
		}
		for _, r := range b.session.Group(context.Background(), &g) {
			wantCode(t, r, failure.InvalidRequest)
		}
	}
	if results := b.session.Group(context.Background(), &fetch.Group{}); len(results) != 0 {
		t.Errorf("an empty group has %d results", len(results))
	}
	if err := (&fetch.Group{Mode: fetch.Quorum, Count: 1}).Check(); err == nil {
		t.Error("a quorum of nobody")
	}
}

func TestParseMode(t *testing.T) {
	t.Parallel()
	for _, m := range []fetch.Mode{fetch.All, fetch.AllSettled, fetch.Any, fetch.Race, fetch.Quorum} {
		if got, err := fetch.ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%s: %v, %v", m, got, err)
		}
	}
	if _, err := fetch.ParseMode("some"); failure.CodeOf(err) != failure.InvalidRequest {
		t.Error(err)
	}
	if m, err := fetch.ParseMode(""); err != nil || m != fetch.All {
		t.Error(m, err)
	}
}
