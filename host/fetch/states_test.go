package fetch_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// wantStates checks which states a fetch came through, and that their times agree with the record's.
func wantStates(t *testing.T, r fetch.Record, want ...fetch.State) {
	t.Helper()
	var got []fetch.State
	at := r.Start
	for _, s := range r.States {
		got = append(got, s.State)
		if s.At < at || s.At > r.Start+r.Elapsed {
			t.Errorf("%s at %s, after %s and until %s", s.State, s.At, at, r.Start+r.Elapsed)
		}
		at = s.At
	}
	if !slices.Equal(got, want) || r.States[0].At != r.Start {
		t.Errorf("states %v, want %v", r.States, want)
	}
}

// TestStatesOfAFetch: how long a fetch waited for its slot is on the record, while it waits and afterwards.
func TestStatesOfAFetch(t *testing.T) {
	t.Parallel()
	up := newGate()
	server := serve(t, up.ServeHTTP)
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Concurrency = 1 }))
	outcomes := make(chan fetch.Result, 3)
	note := func(r fetch.Result) { outcomes <- r }
	b.session.Start(&fetch.Request{URL: server.URL}, note)
	eventually(t, "in flight", func() bool { return up.inFlight() == 1 })
	b.session.Start(&fetch.Request{URL: server.URL}, note)
	third := b.session.Start(&fetch.Request{URL: server.URL}, note)
	third.Cancel()
	wantCode(t, within(t, "the third", outcomes), failure.Cancelled)
	records := b.session.Records()
	wantStates(t, records[0], fetch.Pending, fetch.Running)
	wantStates(t, records[1], fetch.Pending)
	wantStates(t, records[2], fetch.Pending, fetch.Cancelled)

	close(up.opened)
	wantOK(t, within(t, "one", outcomes))
	wantOK(t, within(t, "the other", outcomes))
	records = b.session.Records()
	wantStates(t, records[0], fetch.Pending, fetch.Running, fetch.Fulfilled)
	wantStates(t, records[1], fetch.Pending, fetch.Running, fetch.Fulfilled)
	// The first gives its slot back before it settles, so only that it had it before the second did is sure.
	if first, second := records[0].States, records[1].States; second[1].At <= first[1].At || second[1].At < records[2].States[1].At {
		t.Errorf("the second had its slot at %s; the first at %s, and the third was cancelled before", second[1].At, first[1].At)
	}

	text, err := json.Marshal(records[0])
	if err != nil {
		t.Fatal(err)
	}
	const want = `"states":\[\{"state":"pending","at_ms":[\d.]+\},\{"state":"running","at_ms":[\d.]+\},\{"state":"fulfilled","at_ms":[\d.]+\}\],"exchanges":\[`
	if !regexp.MustCompile(want).Match(text) {
		t.Errorf("%s", text)
	}
	if text, err := json.Marshal(fetch.Record{}); err != nil || !regexp.MustCompile(`"states":\[\],`).Match(text) {
		t.Errorf("%s, %v", text, err)
	}
}

// TestStatesWithoutASlot: what nothing is sent for never runs.
func TestStatesWithoutASlot(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "max-age=600") })
	b := open(t, fetch.Config{}, caching())
	wantOK(t, b.do(&fetch.Request{URL: up.URL}))
	wantOK(t, b.do(&fetch.Request{URL: up.URL}))
	wantCode(t, b.do(&fetch.Request{URL: "https://elsewhere.example/"}), failure.HostDenied)
	records := b.session.Records()
	wantStates(t, records[0], fetch.Pending, fetch.Running, fetch.Fulfilled)
	wantStates(t, records[1], fetch.Pending, fetch.Fulfilled)
	wantStates(t, records[2], fetch.Pending, fetch.Rejected)
}

// TestStatesOfAGroup: members that the mode cancels before their turn have never run.
func TestStatesOfAGroup(t *testing.T) {
	t.Parallel()
	up := serve(t, func(http.ResponseWriter, *http.Request) {})
	b := open(t, fetch.Config{}, loopback())
	g := group(up.URL, 3)
	g.Mode, g.Concurrency = fetch.Any, 1
	b.session.Group(t.Context(), g)
	records := b.session.Records()
	wantStates(t, records[0], fetch.Pending, fetch.Running, fetch.Fulfilled)
	wantStates(t, records[1], fetch.Pending, fetch.Cancelled)
	wantStates(t, records[2], fetch.Pending, fetch.Cancelled)
}

// TestStatesOfSeveralAttempts: it is the first slot that counts, be it a retry's or a hedge's that comes after.
func TestStatesOfSeveralAttempts(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			w.WriteHeader(503)
		}
	})
	b := open(t, fetch.Config{}, loopback())
	wantOK(t, b.do(&fetch.Request{URL: up.URL, Retry: &fetch.Retry{Attempts: 2, Backoff: time.Millisecond}}))
	r := b.session.Records()[0]
	wantStates(t, r, fetch.Pending, fetch.Running, fetch.Fulfilled)
	if x := r.Exchanges; len(x) != 2 || r.States[1].At > x[0].Start+x[0].Elapsed {
		t.Errorf("running from %s; exchanges %+v", r.States[1].At, x)
	}

	gate := newGate()
	hedged := serve(t, gate.ServeHTTP)
	outcome := make(chan fetch.Result, 1)
	b.session.Start(&fetch.Request{URL: hedged.URL, Hedge: time.Millisecond}, func(r fetch.Result) { outcome <- r })
	eventually(t, "both in flight", func() bool { return gate.inFlight() == 2 })
	close(gate.opened)
	wantOK(t, within(t, "the outcome", outcome))
	r = b.session.Records()[1]
	wantStates(t, r, fetch.Pending, fetch.Running, fetch.Fulfilled)
	if x := r.Exchanges; len(x) != 2 || r.States[1].At > x[1].Start+x[1].Elapsed {
		t.Errorf("running from %s; exchanges %+v", r.States[1].At, x)
	}
}
