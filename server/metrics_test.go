package server

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	invoke := func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		if r.Path == "/fail" {
			return nil, host.NewError(host.CodePluginError, "no")
		}
		return &host.Response{Status: 200}, nil
	}
	s := start(t, invoke, options{operator: "retention: {versions: 1}", record: func(r *host.Report) {
		r.Fetches = []fetch.Record{{}, {Code: "timeout"}}
	}})
	s.deployed("a", "", "one", "")
	s.deployed("b", "", "one", "")
	for _, path := range []string{"/p/a", "/p/a", "/p/a/fail", "/p/b", "/p/nobody"} {
		s.get(path)
	}
	a := s.get("/metrics")
	for _, want := range []string{
		`sortie_invocations_total{code="ok",plugin="a",version="1"} 2`, `sortie_invocations_total{code="plugin_error",plugin="a",version="1"} 1`,
		`sortie_invocation_duration_seconds_count{plugin="a"} 3`, `sortie_fetches_total{code="ok",plugin="a"} 3`,
		`sortie_fetches_total{code="timeout",plugin="a"} 3`, `sortie_fetch_duration_seconds_count{plugin="a"} 6`, `sortie_queue_depth 0`,
		`sortie_slots_in_use 0`, `sortie_build_info{version="test"} 1`,
	} {
		if !strings.Contains(a.body, want+"\n") {
			t.Errorf("no %s in\n%s", want, a.body)
		}
	}
	if strings.Contains(a.body, "nobody") {
		t.Error("a name that a caller chose is a label")
	}
	// Versions and plugins that go take their series along.
	s.deployed("a", "", "two", "")
	s.deployed("a", "", "three", "")
	s.get("/p/a")
	s.send("DELETE", "/v1/plugins/b", nil)
	a = s.get("/metrics")
	for _, gone := range []string{`plugin="b"`, `version="1"`} {
		if strings.Contains(a.body, gone) {
			t.Errorf("%s is still there:\n%s", gone, a.body)
		}
	}
	if want := fmt.Sprintf(`sortie_invocations_total{code="ok",plugin="a",version="%d"} 1`, 3); !strings.Contains(a.body, want) {
		t.Errorf("no %s in\n%s", want, a.body)
	}
}

func TestMetricsAreOfAll(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{token: "geheim"})
	some, _ := s.newToken(`{"role":"deploy","plugins":["a*","b"]}`)
	all, _ := s.newToken(`{"role":"read"}`)
	for token, want := range map[string]int{some: 403, all: 200} {
		s.token = token
		if a := s.get("/metrics"); a.StatusCode != want {
			t.Errorf("%d, want %d", a.StatusCode, want)
		}
	}
}

func BenchmarkMetrics(b *testing.B) {
	m := newMetrics("test", func() host.Stats { return host.Stats{} })
	v := &version{plugin: "a"}
	r := &host.Report{Fetches: make([]fetch.Record, 10)}
	b.ReportAllocs()
	for b.Loop() {
		m.count(v, r)
	}
}
