package fetch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

func TestSessionClose(t *testing.T) {
	t.Parallel()
	up := newGate()
	server := serve(t, up.ServeHTTP)
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Concurrency = 5 }))
	var mu sync.Mutex
	var results []fetch.Result
	note := func(r fetch.Result) {
		mu.Lock()
		results = append(results, r)
		mu.Unlock()
	}
	for range 10 { // five in flight, five waiting
		b.session.Start(&fetch.Request{URL: server.URL}, note)
	}
	b.session.StartGroup(&fetch.Group{Mode: fetch.AllSettled, Concurrency: 2, Requests: group(server.URL, 6).Requests}, func(_ int, r fetch.Result) { note(r) }, func() {})
	eventually(t, "five in flight", func() bool { return up.inFlight() == 5 })
	b.session.Close()
	if len(results) != 16 || b.engine.SlotsInUse() != 0 {
		t.Errorf("%d have settled, %d slots in use", len(results), b.engine.SlotsInUse())
	}
	for _, r := range results {
		wantCode(t, r, failure.Cancelled)
	}
	eventually(t, "the upstream to know", func() bool { return up.gone.Load() == 5 })
	if u := b.session.Usage(); u.Requests != 5 {
		t.Errorf("usage %+v: only five were sent", u)
	}

	// Whatever is asked of it afterwards is cancelled, at once.
	wantCode(t, b.do(&fetch.Request{URL: server.URL}), failure.Cancelled)
	for _, r := range b.session.Group(context.Background(), group(server.URL, 3)) {
		wantCode(t, r, failure.Cancelled)
	}
	called := false
	call := b.session.Start(&fetch.Request{URL: server.URL}, func(fetch.Result) { called = true })
	if !called || call.State() != fetch.Cancelled {
		t.Error("a fetch after the end wasn't settled at once")
	}
	b.session.Close()
	if u := b.session.Usage(); u.Requests != 5 {
		t.Errorf("usage %+v", u)
	}
}

func TestSessionEndsWithItsContext(t *testing.T) {
	t.Parallel()
	up := newGate()
	server := serve(t, up.ServeHTTP)
	b := open(t, fetch.Config{}, loopback())
	ctx, cancel := context.WithCancel(context.Background())
	session := b.client.Session(ctx)
	defer session.Close()
	outcome := make(chan fetch.Result, 1)
	session.Start(&fetch.Request{URL: server.URL}, func(r fetch.Result) { outcome <- r })
	eventually(t, "in flight", func() bool { return up.inFlight() == 1 })
	cancel()
	wantCode(t, within(t, "the outcome", outcome), failure.Cancelled)
	wantCode(t, session.Do(context.Background(), &fetch.Request{URL: server.URL}), failure.Cancelled)
}

func TestDoEndsWithItsContext(t *testing.T) {
	t.Parallel()
	up := newGate()
	server := serve(t, up.ServeHTTP)
	b := open(t, fetch.Config{}, loopback())
	ctx, cancel := context.WithCancel(context.Background())
	outcome := make(chan fetch.Result, 1)
	go func() { outcome <- b.session.Do(ctx, &fetch.Request{URL: server.URL}) }()
	eventually(t, "in flight", func() bool { return up.inFlight() == 1 })
	cancel()
	wantCode(t, within(t, "the outcome", outcome), failure.Cancelled)
	if err := wantCode(t, b.session.Do(ctx, &fetch.Request{URL: server.URL}), failure.Cancelled); err.Message != "cancelled by the caller" {
		t.Error(err.Message)
	}
	expired, done := context.WithTimeout(context.Background(), -1)
	defer done()
	err := wantCode(t, b.session.Do(expired, &fetch.Request{URL: server.URL}), failure.Cancelled)
	if err.Message != "cancelled because the caller's deadline has passed" || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err, err.Err)
	}
	for _, r := range b.session.Group(ctx, group(server.URL, 2)) {
		wantCode(t, r, failure.Cancelled)
	}
	close(up.opened)
	wantOK(t, b.do(&fetch.Request{URL: server.URL})) // the session goes on
}

func TestEngineClose(t *testing.T) {
	t.Parallel()
	up := newGate()
	server := serve(t, up.ServeHTTP)
	b := open(t, fetch.Config{}, loopback())
	outcome := make(chan fetch.Result, 1)
	b.session.Start(&fetch.Request{URL: server.URL}, func(r fetch.Result) { outcome <- r })
	eventually(t, "in flight", func() bool { return up.inFlight() == 1 })
	b.engine.Close()
	wantCode(t, within(t, "the outcome", outcome), failure.Cancelled)
	if _, err := b.engine.Client(loopback()); err == nil {
		t.Error("a client of a closed engine")
	}
	wantCode(t, b.client.Session(context.Background()).Do(context.Background(), &fetch.Request{URL: server.URL}), failure.Cancelled)
	b.engine.Close()
}

func TestStates(t *testing.T) {
	t.Parallel()
	up := newGate()
	server := serve(t, up.ServeHTTP)
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Concurrency = 1 }))
	outcome := make(chan fetch.Result, 2)
	first := b.session.Start(&fetch.Request{URL: server.URL}, func(r fetch.Result) { outcome <- r })
	eventually(t, "in flight", func() bool { return up.inFlight() == 1 })
	second := b.session.Start(&fetch.Request{URL: server.URL}, func(r fetch.Result) { outcome <- r })
	if first.State() != fetch.Running || second.State() != fetch.Pending {
		t.Errorf("%s and %s", first.State(), second.State())
	}
	second.Cancel()
	wantCode(t, within(t, "the second", outcome), failure.Cancelled)
	second.Cancel()
	close(up.opened)
	wantOK(t, within(t, "the first", outcome))
	first.Cancel()
	if first.State() != fetch.Fulfilled || second.State() != fetch.Cancelled {
		t.Errorf("%s and %s", first.State(), second.State())
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	up := serve(t, func(http.ResponseWriter, *http.Request) {})
	b := open(t, fetch.Config{}, loopback())
	b.do(&fetch.Request{URL: "https://elsewhere.example/" + strings.Repeat("a", 5000)})
	b.do(&fetch.Request{URL: up.URL})
	b.do(&fetch.Request{URL: up.URL, Method: strings.Repeat("M", 64)})
	for _, method := range []string{strings.Repeat("M", 65), strings.Repeat("\xff", 5000)} {
		wantCode(t, b.do(&fetch.Request{URL: up.URL, Method: method}), failure.InvalidRequest)
	}
	records := b.session.Records()
	if len(records) != 5 || records[0].Code != failure.HostDenied || len(records[0].URL) > 1100 || len(records[0].Message) > 500 {
		t.Fatalf("got %+v", records)
	}
	for _, r := range records {
		if len(r.Method) > 64 {
			t.Errorf("method %s", r.Method)
		}
	}
	if records[2].State != fetch.Fulfilled || len(records[2].Method) != 64 {
		t.Errorf("got %+v", records[2])
	}
	text, err := json.Marshal(records[1])
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got["state"] != "fulfilled" || got["status"] != 200.0 || got["method"] != "GET" || got["attempts"] != 1.0 ||
		got["elapsed_ms"].(float64) <= 0 || got["start_ms"].(float64) <= 0 || got["rule"] != "http://127.0.0.1:*" {
		t.Errorf("got %s", text)
	}

	for i := range 5000 {
		b.do(&fetch.Request{URL: fmt.Sprintf("https://elsewhere.example/%d", i)})
	}
	if n := len(b.session.Records()); n != 4096 || b.session.Unrecorded() != 5005-4096 {
		t.Errorf("%d records, %d unrecorded", n, b.session.Unrecorded())
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	b := open(t, fetch.Config{}, loopback())
	if d := b.client.Explain("GET", "https://elsewhere.example/"); d.Allowed || d.Code != failure.HostDenied || d.Reason == "" {
		t.Errorf("got %+v", d)
	}
}
