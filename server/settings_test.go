package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
)

func reload(t *testing.T, s *testServer, yaml string) {
	t.Helper()
	op, err := manifest.ParseOperator([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(op); err != nil {
		t.Fatal(err)
	}
}

// TestReload has what is deployed run under new ceilings, while what runs goes on under the old ones and keeps its report.
func TestReload(t *testing.T) {
	t.Parallel()
	entered, let := make(chan string, 10), make(chan struct{})
	invoke := func(_ context.Context, src host.Source, r *host.Request) (*host.Response, error) {
		if r.Path == "/wait" {
			entered <- r.ID
			<-let
		}
		return &host.Response{Status: 200, Body: fmt.Append(nil, src.Manifest.Fetch.Limits.Requests, " ", src.Version)}, nil
	}
	s := start(t, invoke, options{operator: "ceilings: {fetch: {limits: {requests: 100}}}"})
	s.deployed("a", "fetch: {limits: {requests: 500}}", "one", "")
	running := s.later("/p/a/wait")
	id := <-entered
	reload(t, s, "ceilings: {fetch: {limits: {requests: 7}}}\nretention: {versions: 1}\nplugins: {a: {access: public}}")
	if a := s.get("/p/a"); a.body != "7 1" {
		t.Errorf("after the reload: %d %s", a.StatusCode, a.body)
	}
	if _, open := s.host.counts("one"); open != 2 {
		t.Errorf("%d guests are open: the old one runs, the new one was called", open)
	}
	close(let)
	if a := <-running; a.body != "100 1" {
		t.Errorf("what ran: %d %s", a.StatusCode, a.body)
	}
	if a := s.get("/v1/invocations/" + id); a.StatusCode != 200 {
		t.Errorf("its report: %d %s", a.StatusCode, a.body)
	}
	eventually(t, "the old guest is closed", func() bool { _, open := s.host.counts("one"); return open == 1 })
	s.deployed("a", "access: public", "two", "")
	s.deployed("a", "access: public", "three", "")
	if p, _ := s.shows("a"); p.Versions != 2 { // one, and what rollback needs
		t.Errorf("%d versions under the new retention", p.Versions)
	}
	if err := s.Reload(&manifest.Operator{Signatures: manifest.Signatures{Keys: []string{"no key"}}}); err == nil {
		t.Error("a configuration that can't be used was taken")
	}
	if a := s.get("/p/a"); a.StatusCode != 200 {
		t.Errorf("after a reload that failed: %d %s", a.StatusCode, a.body)
	}
}

// TestReloadUnderLoad reloads while plugins are called, deployed and rolled back: no call fails.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{})
	s.deployed("a", "", "module 0", "")
	s.deployed("b", "", "module", "")
	stop, others := make(chan struct{}), sync.WaitGroup{}
	var calls atomic.Int64
	for _, name := range []string{"a", "b"} {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				calls.Add(1)
				if a := s.get("/p/" + name); a.StatusCode != 200 {
					t.Errorf("%d %s", a.StatusCode, a.body)
				}
			}
		})
	}
	others.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			a := s.send(http.MethodPut, "/v1/plugins/a", strings.NewReader(fmt.Sprint("module ", n)), "Content-Type", "application/wasm")
			if a.StatusCode != 201 {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			s.rolls("a", "")
		}
	})
	for n := range 20 {
		reload(t, s, fmt.Sprintf("ceilings: {fetch: {limits: {requests: %d}}}", n+1))
	}
	close(stop)
	others.Wait()
	t.Logf("%d calls", calls.Load())
}
