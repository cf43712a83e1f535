package server

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
)

// TestRefusedBeforeItsBody has the host refuse invocations: neither are their bodies waited for, nor do they leave anything behind.
func TestRefusedBeforeItsBody(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	var invoked atomic.Int64
	s := start(t, func(context.Context, host.Source, *host.Request) (*host.Response, error) {
		invoked.Add(1)
		return &host.Response{Status: 200}, nil
	}, options{admit: func() error {
		if full.Load() {
			return &host.Error{Code: host.CodeOverloaded, Detail: "full", RetryAfter: 7 * time.Second}
		}
		return nil
	}})
	s.deployed("a", "", "one", "")
	if a := s.get("/p/a"); a.StatusCode != 200 || invoked.Load() != 1 {
		t.Fatalf("%d, %d invocations", a.StatusCode, invoked.Load())
	}
	full.Store(true)
	s.log.reset()
	for _, request := range []string{
		"GET /p/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /p/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx",
	} {
		a := s.raw(request)
		wantOverloaded(t, a)
		if a.Header.Get("Retry-After") != "7" || a.Header.Get("Sortie-Version") != "1" || a.Header.Get("Sortie-Invocation") == "" {
			t.Errorf("header = %v", a.Header)
		}
		if s.reports.find(a.Header.Get("Sortie-Invocation")) != nil {
			t.Error("it has a report")
		}
	}
	if invoked.Load() != 1 || s.log.String() != "" {
		t.Errorf("%d invocations, log: %s", invoked.Load(), s.log)
	}
	eventually(t, "given back", func() bool { return s.memory.Used() == 0 }) // soon after the answer
	if a := s.get("/livez"); a.StatusCode != 200 {
		t.Errorf("/livez = %d", a.StatusCode)
	}
	full.Store(false)
	if a := s.send("POST", "/p/a", bytes.NewReader(make([]byte, 1000))); a.StatusCode != 200 {
		t.Errorf("once there is room: %d %s", a.StatusCode, a.body)
	}
}

// TestRealOverload has one invocation hold the only place, beside which nobody may wait.
func TestRealOverload(t *testing.T) {
	t.Parallel()
	s, stop := startRealWith(t, t.TempDir(), func(o *manifest.Operator) { o.Process.Invocations, o.Process.Queue = 1, 0 })
	defer stop()
	s.deployed("tea", "", string(responding(418, nil, "short and stout")), "")
	s.deployed("loops", "limits: {wall: 2s, cpu: 10s}", string(loops), "")
	looping := make(chan string, 1)
	var told atomic.Bool // that the other was refused
	go func() {
		for { // the other may have the only place when it comes, and on a slow machine not come in time
			response, err := s.client().RoundTrip(mustRequest(t, s.url+"/p/loops"))
			if err != nil {
				looping <- err.Error()
				return
			}
			_ = response.Body.Close()
			if response.StatusCode != 503 && (response.StatusCode != 504 || told.Load()) {
				looping <- fmt.Sprint(response.StatusCode)
				return
			}
		}
	}()
	var refused answer
	eventually(t, "refused", func() bool { refused = s.get("/p/tea"); return refused.StatusCode != 418 })
	told.Store(true)
	wantOverloaded(t, refused)
	if !strings.Contains(refused.problem().Detail, "process.queue") {
		t.Errorf("detail = %q", refused.problem().Detail)
	}
	if got := <-looping; got != "504" {
		t.Errorf("the one that ran: %s", got)
	}
	if a := s.get("/p/tea"); a.StatusCode != 418 {
		t.Errorf("afterwards: %d %s", a.StatusCode, a.body)
	}
}

// TestBodiesAndGuestsShareMemory has the runtime's memory full: a body finds no room.
func TestBodiesAndGuestsShareMemory(t *testing.T) {
	t.Parallel()
	s, stop := startRealWith(t, t.TempDir(), func(o *manifest.Operator) { o.Process.Memory = 64 << 20 })
	defer stop()
	s.deployed("echo", "", string(echoing()), "")
	if a := s.send("POST", "/p/echo", strings.NewReader("hello")); a.body != "hello" {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	var guests int64
	var refused answer
	eventually(t, "no room", func() bool { // what the answer before held comes back soon after it
		if rest := s.memory.Limit() - s.memory.Used(); s.memory.Take(rest) {
			guests += rest
		}
		refused = s.send("POST", "/p/echo", strings.NewReader("hello"))
		return refused.StatusCode != 200
	})
	wantOverloaded(t, refused)
	s.memory.Release(guests)
	if a := s.send("POST", "/p/echo", strings.NewReader("hello")); a.body != "hello" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
