package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParsePhases(t *testing.T) {
	t.Parallel()
	got, err := parsePhases("150:30s,0.5:250ms")
	if err != nil {
		t.Fatal(err)
	}
	want := []phase{{150, 30 * time.Second}, {0.5, 250 * time.Millisecond}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(phase{})); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "150", "150:", "x:1s", "0:1s", "-1:1s", "Inf:1s", "NaN:1s", "1:0s", "1:1s,"} {
		if got, err := parsePhases(bad); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	got := schedule([]phase{{2, time.Second}, {4, time.Second}, {1, 500 * time.Millisecond}})
	const ms = time.Millisecond
	want := []arrival{{0, 0}, {500 * ms, 0}, {1000 * ms, 1}, {1250 * ms, 1}, {1500 * ms, 1}, {1750 * ms, 1}, {2000 * ms, 2}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(arrival{})); diff != "" {
		t.Error(diff)
	}
}

func TestOutcomeOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want outcome
	}{
		{nil, answered},
		{&statusError{status: 503, retryAfter: "1"}, shed},
		{&statusError{status: 503}, bare},
		{&statusError{status: 500, retryAfter: "1"}, failed},
		{fmt.Errorf("the body: %w", &wrongError{"nothing"}), wrong},
		{errors.New("connection reset"), failed},
	} {
		if got := outcomeOf(test.err); got != test.want {
			t.Errorf("%v: got %d, want %d", test.err, got, test.want)
		}
	}
}

func TestBookCounts(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	b := newBook([]phase{{4, 500 * ms}, {4, 600 * ms}})
	b.enter(arrival{0, 0}, 1*ms, 11*ms, nil)
	b.enter(arrival{100 * ms, 0}, 100*ms, 130*ms, nil)
	b.enter(arrival{250 * ms, 0}, 250*ms, 251*ms, &statusError{status: 503, retryAfter: "1"})
	b.enter(arrival{500 * ms, 1}, 504*ms, 600*ms, nil) // late by 4 ms, which counts
	b.enter(arrival{750 * ms, 1}, 750*ms, 751*ms, &statusError{status: 503})
	b.enter(arrival{1050 * ms, 1}, 1050*ms, 1051*ms, &wrongError{"another's"})
	b.enter(arrival{1090 * ms, 1}, 1090*ms, 1091*ms, errors.New("reset"))
	want := []phaseSeen{
		{
			Rate: 4, Seconds: 0.5, Sent: 3, OK: 2, Shed: 1,
			Latency: &percentiles{20.5, 28.1, 29.81, 30}, Shedded: &percentiles{1, 1, 1, 1}, Late: &percentiles{0, 0.8, 0.98, 1},
			Windows: []windowSeen{{At: 0, OK: 2, P50: 20.5}, {At: 0.25, Shed: 1}},
		},
		{
			Rate: 4, Seconds: 0.6, Sent: 4, OK: 1, Bare: 1, Wrong: 1, Failed: 1, Error: "status 503: ",
			Latency: &percentiles{100, 100, 100, 100}, Late: &percentiles{0, 2.8, 3.88, 4},
			Windows: []windowSeen{{At: 0, OK: 1, P50: 100}, {At: 0.25}, {At: 0.5}},
		},
	}
	near := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })
	if diff := cmp.Diff(want, b.close(), near); diff != "" {
		t.Error(diff)
	}
}

func TestBackAfter(t *testing.T) {
	t.Parallel()
	seen := func(medians ...float64) phaseSeen {
		var p phaseSeen
		for i, m := range medians {
			w := windowSeen{At: float64(i) / 4, P50: m}
			if m > 0 {
				w.OK = 1
			}
			p.Windows = append(p.Windows, w)
		}
		return p
	}
	for _, test := range []struct {
		name string
		seen phaseSeen
		want float64
		ok   bool
	}{
		{"at once", seen(10, 10, 10, 10, 10), 0, true},
		{"soon", seen(90, 10, 10, 10, 10, 10), 0.25, true},
		{"not at the first good window", seen(90, 10, 90, 10, 10, 10, 10), 0.75, true},
		{"a window without an answer isn't a good one", seen(90, 0, 10, 10, 10, 10), 0.5, true},
		{"never", seen(90, 90, 90, 90, 90), 0, false},
		{"not seen", seen(), 0, false},
	} {
		if got, ok := test.seen.backAfter(15); got != test.want || ok != test.ok {
			t.Errorf("%s: got %g, %t, want %g, %t", test.name, got, ok, test.want, test.ok)
		}
	}
}

// TestOpenLoopKeepsItsSchedule holds that a slow server doesn't slow the arrivals down, and that latency counts from when a request was due.
func TestOpenLoopKeepsItsSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		slow := roundTripper(func(r *http.Request) (*http.Response, error) {
			id := r.URL.Query().Get("id")
			w := httptest.NewRecorder()
			switch i := n.Add(1); {
			case i == 3:
				id = "another's"
			case i%2 == 0:
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusServiceUnavailable)
				return w.Result(), nil
			}
			time.Sleep(3 * time.Second)
			fmt.Fprintf(w, `{"id":%q}`, id)
			return w.Result(), nil
		})
		g := &generator{client: &http.Client{Transport: slow}, request: trivial{}, base: "http://server"}
		begun := time.Now()
		got := g.open(t.Context(), []phase{{10, time.Second}})[0]
		if took := time.Since(begun); took != 3800*time.Millisecond {
			t.Errorf("it took %v, not the 800 ms until the last right request was due and the 3 s that it took", took)
		}
		if got.Sent != 10 || got.OK != 4 || got.Shed != 5 || got.Wrong != 1 || got.Failed != 0 || !strings.HasPrefix(got.Error, "wrong answer") {
			t.Errorf("got %+v", got)
		}
		if got.Latency.P50 != 3000 || got.Shedded.Max != 0 || got.Late.Max != 0 {
			t.Errorf("got latencies %+v, refusals %+v, lateness %+v", got.Latency, got.Shedded, got.Late)
		}
	})
}

func TestClosedLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := roundTripper(func(r *http.Request) (*http.Response, error) {
			time.Sleep(100 * time.Millisecond)
			w := httptest.NewRecorder()
			fmt.Fprintf(w, `{"id":%q}`, r.URL.Query().Get("id"))
			return w.Result(), nil
		})
		g := &generator{client: &http.Client{Transport: server}, request: trivial{}, base: "http://server"}
		got := g.closed(t.Context(), 3, time.Second)
		if want := (closedSeen{Callers: 3, Rate: 30, OK: 30, P50: 100}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
