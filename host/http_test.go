package host_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

func TestEcho(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, "name: guest")
	resp, report, err := p.Invoke(context.Background(), &host.Request{
		Method: "POST", Path: "/echo", RawQuery: "a=b%20c", Host: "h.test", Body: []byte("in"),
		Header: http.Header{"X-In": {"yes"}, "Sortie-Secret": {"no"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(resp.Body); got != "POST h.test b c in" || resp.Status != 201 {
		t.Errorf("%d %q", resp.Status, got)
	}
	fields := fmt.Sprint(resp.Header)
	if strings.Contains(fields, "forged") || !strings.Contains(fields, "{x-seen 1 yes}") {
		t.Errorf("fields %s", fields)
	}
	if p.Kind() != "http" || report.Status != 201 || report.Code != "" || report.ID == "" || report.Total <= 0 || report.Memory == 0 {
		t.Errorf("report %+v", report)
	}
}

func TestEveryInvocationIsClean(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, "name: guest")
	seen := map[string]bool{}
	for range 20 {
		if body, _ := call(t, p, "/state"); body != "1" {
			t.Fatalf("the %sth call in one state", body)
		}
		body, _ := call(t, p, "/clock")
		v := fromJSON[struct {
			Unix   int64
			Random string
		}](t, body)
		if seen[v.Random] || time.Since(time.Unix(v.Unix, 0)).Abs() > time.Minute {
			t.Fatalf("clock %d, random %s", v.Unix, v.Random)
		}
		seen[v.Random] = true
	}
}

func TestConfigAndLog(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, "config: {region: eu}")
	if body, _ := call(t, p, "/config", "key", "region"); body != "eu true" {
		t.Error(body)
	}
	if body, _ := call(t, p, "/config", "key", "other"); body != " false" {
		t.Error(body)
	}
	_, report := call(t, p, "/log")
	var got []string
	for _, l := range report.Logs {
		got = append(got, l.Level+" "+l.Message)
	}
	want := []string{"info hello n=1", "error bad", "info printed", "warn half a line"}
	if !slices.Equal(got, want) {
		t.Errorf("log %q", got)
	}
	_, report = call(t, p, "/print")
	if n := len(report.Logs); n > 2000 || !strings.Contains(report.Logs[n-1].Message, "limit") {
		t.Errorf("%d lines, the last is %v", n, report.Logs[n-1])
	}
}

// The first line: 20 fetches of 200 ms overlap as far as concurrency allows, and results keep their order.
func TestGroupOverlaps(t *testing.T) {
	t.Parallel()
	const yaml = "fetch: {allow: [{url: 'http://127.0.0.1:*', private: true}], limits: {concurrency: 20}}"
	for _, tc := range []struct{ concurrency, most, rounds int64 }{{20, 20, 1}, {5, 5, 4}} {
		t.Run(fmt.Sprint(tc.concurrency), func(t *testing.T) {
			t.Parallel()
			p := load(t, newRuntime(t, fetch.Config{}), guestDir, yaml)
			var g gauge
			const each = 200 * time.Millisecond
			srv := httptest.NewServer(g.crowd(tc.most, each))
			defer srv.Close()
			start := time.Now()
			body, report := call(t, p, "/group", "n", "20", "url", srv.URL+"/", "concurrency", strconv.FormatInt(tc.concurrency, 10))
			elapsed := time.Since(start)
			for i, got := range fromJSON[[]string](t, body) {
				if got != "fulfilled "+strconv.Itoa(i) {
					t.Errorf("result %d is %s", i, got)
				}
			}
			if g.most.Load() != tc.most {
				t.Errorf("%d in flight at once, want %d", g.most.Load(), tc.most)
			}
			if least := time.Duration(tc.rounds) * each; elapsed < least {
				t.Errorf("done after %s, %d rounds take %s", elapsed, tc.rounds, least)
			}
			if len(report.Fetches) != 20 || report.Budget[0].Used != 20 {
				t.Errorf("%d fetches reported, budget %+v", len(report.Fetches), report.Budget[0])
			}
		})
	}
}

// When the handler returns, whatever is in flight is cancelled: fetches, groups, and streams that are being read.
func TestReturningCancelsTheRest(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, allowLoopback)
	var g gauge
	hold := g.hold(time.Minute)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			w.(http.Flusher).Flush()
			eventually(t, "the others are in flight", func() bool { return g.now.Load() == 3 })
			fmt.Fprint(w, "x")
			w.(http.Flusher).Flush()
		}
		hold(w, r)
	}))
	defer srv.Close()
	body, report := call(t, p, "/abandon", "url", srv.URL+"/")
	if body != "left" || len(report.Fetches) != 4 {
		t.Errorf("%s, %d fetches", body, len(report.Fetches))
	}
	eventually(t, "four cancellations", func() bool { return g.gone.Load() == 4 })
	for _, f := range report.Fetches {
		if f.Code != "cancelled" {
			t.Errorf("%s: %s, %s", f.URL, f.State, f.Code)
		}
	}
}

// The first failure of several goroutines cancels the others through their context, in the host too.
func TestGoroutinesCancelEachOther(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, allowLoopback)
	var g gauge
	hold := g.hold(time.Minute)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/0" {
			eventually(t, "the others are in flight", func() bool { return g.now.Load() == 2 })
			w.WriteHeader(http.StatusTeapot)
			return
		}
		hold(w, r)
	}))
	defer srv.Close()
	body, _ := call(t, p, "/errgroup", "url", srv.URL+"/")
	if body != `["http_status false true","cancelled true true","cancelled true true"]` {
		t.Error(body)
	}
	eventually(t, "two cancellations", func() bool { return g.gone.Load() == 2 })
}

func TestAnyCancelsLosers(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, allowLoopback)
	var g gauge
	slow := g.hold(time.Minute)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/3" {
			eventually(t, "all in flight", func() bool { return g.now.Load() == 4 })
			return
		}
		slow(w, r)
	}))
	defer srv.Close()
	if body, _ := call(t, p, "/group", "n", "5", "url", srv.URL+"/", "mode", "any"); !strings.Contains(body, `"status":200`) {
		t.Error(body)
	}
	eventually(t, "four cancellations", func() bool { return g.gone.Load() == 4 })
}

func TestAsCompleted(t *testing.T) {
	t.Parallel()
	op := manifest.DefaultOperator()
	op.Private = []string{"http://127.0.0.1:*"}
	rt, engine := start(t, fetch.Config{}, op)
	p := load(t, rt, guestDir, allowLoopback)
	var all atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Path[1:])
		all.Add(1)
		eventually(t, "my turn", func() bool { return all.Load() == 4 && engine.SlotsInUse() == n+1 }) // those before are over
		time.Sleep(30 * time.Millisecond)                                                              // and have been seen
	}))
	defer srv.Close()
	if body, _ := call(t, p, "/group", "n", "4", "url", srv.URL+"/", "mode", "as_completed"); body != "[3,2,1,0]" {
		t.Error(body)
	}
}

func TestGoroutinesOverlap(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir,
		"fetch: {allow: [{url: 'http://127.0.0.1:*', private: true}], limits: {concurrency: 16}}")
	var g gauge
	srv := httptest.NewServer(g.crowd(16, 50*time.Millisecond))
	defer srv.Close()
	body, report := call(t, p, "/goroutines", "n", "48", "url", srv.URL+"/")
	for i, got := range fromJSON[[]string](t, body) {
		if got != strconv.Itoa(i) {
			t.Errorf("result %d is %s", i, got)
		}
	}
	if g.most.Load() != 16 {
		t.Errorf("%d in flight at once, want 16", g.most.Load())
	}
	if report.Fetch < 150*time.Millisecond || report.Fetch > report.Total {
		t.Errorf("fetches were under way for %s of %s; three rounds take 150ms", report.Fetch, report.Total)
	}
}

func TestTimerBesideFetchAndCancel(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, allowLoopback)
	var g gauge
	srv := httptest.NewServer(g.hold(time.Minute))
	defer srv.Close()
	if body, _ := call(t, p, "/timer", "after", "2s", "url", srv.URL+"/"); body != "timer true" {
		t.Error(body)
	}
	eventually(t, "the upstream sees the cancellation", func() bool { return g.gone.Load() == 1 })
}

func TestCallerGoesAway(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, allowLoopback)
	var g gauge
	srv := httptest.NewServer(g.hold(time.Minute))
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		eventually(t, "in flight", func() bool { return g.now.Load() == 1 })
		cancel()
	}()
	_, report, err := p.Invoke(ctx, &host.Request{Path: "/fetch", RawQuery: "url=" + srv.URL})
	if err == nil || report.Code != host.CodeCancelled || report.Fetches[0].State != fetch.Cancelled {
		t.Errorf("%v, %+v", err, report)
	}
	eventually(t, "the upstream sees the cancellation", func() bool { return g.gone.Load() == 1 })
}
