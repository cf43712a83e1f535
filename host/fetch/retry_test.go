package fetch_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// flaky answers with a status for the first requests, then with 200.
func flaky(t testing.TB, failures int32, status int, header ...string) (string, *atomic.Int32) {
	var seen atomic.Int32
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if seen.Add(1) > failures {
			fmt.Fprint(w, "fine")
			return
		}
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, "not yet")
	})
	return up.URL, &seen
}

var thrice = &fetch.Retry{Attempts: 3, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond}

func TestRetryStatuses(t *testing.T) {
	t.Parallel()
	key := fields("idempotency-key", "1")
	for name, tc := range map[string]struct {
		r        fetch.Request
		failures int32
		status   int
		attempts int
		ok       bool
	}{
		"second try":              {fetch.Request{Retry: thrice}, 1, 503, 2, true},
		"last try":                {fetch.Request{Retry: thrice}, 2, 429, 3, true},
		"never":                   {fetch.Request{Retry: thrice}, 9, 503, 3, false},
		"no retry asked for":      {fetch.Request{}, 9, 503, 1, false},
		"a status not listed":     {fetch.Request{Retry: thrice}, 9, 501, 1, false},
		"one that was listed":     {fetch.Request{Retry: &fetch.Retry{Attempts: 2, Backoff: 1, Statuses: []int{404}}}, 1, 404, 2, true},
		"none listed":             {fetch.Request{Retry: &fetch.Retry{Attempts: 2, Backoff: 1, Statuses: []int{}}}, 1, 503, 1, false},
		"post":                    {fetch.Request{Method: "POST", Body: []byte("x"), Retry: thrice}, 9, 503, 1, false},
		"patch":                   {fetch.Request{Method: "PATCH", Retry: thrice}, 9, 503, 1, false},
		"put":                     {fetch.Request{Method: "PUT", Body: []byte("x"), Retry: thrice}, 1, 503, 2, true},
		"post with a key":         {fetch.Request{Method: "POST", Body: []byte("x"), Retry: thrice, Header: key}, 1, 503, 2, true},
		"post with a key, empty":  {fetch.Request{Method: "POST", Retry: thrice, Header: key}, 1, 503, 2, true},
		"expected after trying":   {fetch.Request{Retry: thrice, Expect: "2xx"}, 2, 503, 3, true},
		"the policy's ceiling no": {fetch.Request{Retry: &fetch.Retry{Attempts: 20, Backoff: 1, MaxBackoff: 1}}, 14, 503, 15, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up, seen := flaky(t, tc.failures, tc.status)
			b := open(t, fetch.Config{}, loopback())
			tc.r.URL = up
			resp := wantOK(t, b.do(&tc.r))
			if (resp.Status == 200) != tc.ok || resp.Attempts != tc.attempts || int(seen.Load()) != tc.attempts {
				t.Errorf("status %d after %d attempts, the upstream saw %d", resp.Status, resp.Attempts, seen.Load())
			}
			want := map[bool]string{true: "fine", false: "not yet"}[tc.ok]
			if string(resp.Body) != want {
				t.Errorf("body %q", resp.Body)
			}
			if u := b.session.Usage(); u.Requests != tc.attempts || u.Bytes != int64(len(want)) {
				t.Errorf("usage %+v", u)
			}
		})
	}
}

func TestRetryOfThePolicy(t *testing.T) {
	t.Parallel()
	up, seen := flaky(t, 2, 503)
	p := loopback()
	p.Retry = manifest.Retry{Attempts: 3, Backoff: 1, MaxBackoff: 1}
	wantOK(t, open(t, fetch.Config{}, p).do(&fetch.Request{URL: up}))
	if seen.Load() != 3 {
		t.Errorf("%d attempts", seen.Load())
	}
}

func TestRetryFailures(t *testing.T) {
	t.Parallel()
	t.Run("connect", func(t *testing.T) {
		const url = "http://127.0.0.1:1" // a port that was free a moment ago may be another test's by now
		b := open(t, fetch.Config{}, loopback())
		if err := wantCode(t, b.do(&fetch.Request{URL: url, Retry: thrice}), failure.ConnectError); err.Attempts != 3 || b.session.Usage().Requests != 3 {
			t.Errorf("got %+v", err)
		}
		if err := wantCode(t, b.do(&fetch.Request{Method: "POST", URL: url, Retry: thrice}), failure.ConnectError); err.Attempts != 1 || !err.Retryable {
			t.Errorf("got %+v", err)
		}
	})
	t.Run("cut body", func(t *testing.T) {
		up := serveRaw(t, func(n int, c net.Conn) {
			readHead(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"+map[bool]string{true: "cut", false: "whole"}[n < 3])
		})
		resp := wantOK(t, open(t, fetch.Config{}, loopback()).do(&fetch.Request{URL: up, Retry: thrice}))
		if resp.Attempts != 3 || string(resp.Body) != "whole" {
			t.Errorf("got %+v", resp)
		}
	})
	t.Run("attempt timeout", func(t *testing.T) {
		up := serveRaw(t, func(n int, c net.Conn) {
			readHead(c)
			if n < 3 {
				hang(c)
			}
			io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		})
		r := &fetch.Request{URL: up, Retry: &fetch.Retry{Attempts: 20, Backoff: 1, MaxBackoff: 1}, AttemptTimeout: 500 * time.Millisecond}
		if resp := wantOK(t, open(t, fetch.Config{}, loopback()).do(r)); resp.Attempts < 3 { // on a busy machine the third may be late too
			t.Errorf("got %+v", resp)
		}
	})
	t.Run("budget", func(t *testing.T) {
		up, seen := flaky(t, 9, 503)
		b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Requests = 2 }))
		if err := wantCode(t, b.do(&fetch.Request{URL: up, Retry: thrice}), failure.LimitRequests); err.Attempts != 2 || seen.Load() != 2 {
			t.Errorf("got %+v, seen %d", err, seen.Load())
		}
	})
	for name, code := range map[string]failure.Code{"decode": failure.DecodeError, "too large": failure.ResponseTooLarge} {
		t.Run(name, func(t *testing.T) {
			var seen atomic.Int32
			up := serve(t, func(w http.ResponseWriter, r *http.Request) {
				seen.Add(1)
				w.Header().Set("Content-Encoding", map[failure.Code]string{failure.DecodeError: "gzip"}[code])
				w.Write(make([]byte, 100))
			})
			b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.ResponseBytes = 99 }))
			wantCode(t, b.do(&fetch.Request{URL: up.URL, Retry: thrice}), code)
			if seen.Load() != 1 {
				t.Errorf("%d attempts at what no attempt changes", seen.Load())
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	t.Run("seconds", func(t *testing.T) {
		t.Parallel()
		up, _ := flaky(t, 1, 503, "Retry-After", "1")
		resp := wantOK(t, open(t, fetch.Config{}, loopback()).do(&fetch.Request{URL: up, Retry: thrice}))
		if resp.Attempts != 2 || resp.Elapsed < time.Second {
			t.Errorf("%d attempts in %s", resp.Attempts, resp.Elapsed)
		}
	})
	t.Run("a date in the past", func(t *testing.T) {
		t.Parallel()
		up, _ := flaky(t, 1, 503, "Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT")
		if resp := wantOK(t, open(t, fetch.Config{}, loopback()).do(&fetch.Request{URL: up, Retry: thrice})); resp.Attempts != 2 {
			t.Errorf("%d attempts", resp.Attempts)
		}
	})
	t.Run("beyond the whole", func(t *testing.T) {
		t.Parallel()
		for _, after := range []string{"3600", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)} {
			up, seen := flaky(t, 1, 503, "Retry-After", after)
			resp := wantOK(t, open(t, fetch.Config{}, loopback()).do(&fetch.Request{URL: up, Retry: thrice}))
			if resp.Status != 503 || string(resp.Body) != "not yet" || seen.Load() != 1 {
				t.Errorf("%s: got %+v", after, resp)
			}
		}
	})
}

// TestRetryOfAHop repeats the hop that failed, not what led there: the POST is sent once.
func TestRetryOfAHop(t *testing.T) {
	t.Parallel()
	var posts, gets atomic.Int32
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			posts.Add(1)
			http.Redirect(w, r, "/there", 303)
		} else if gets.Add(1) < 3 {
			w.WriteHeader(503)
		}
	})
	b := open(t, fetch.Config{}, loopback())
	resp := wantOK(t, b.do(&fetch.Request{Method: "POST", URL: up.URL, Retry: thrice}))
	if posts.Load() != 1 || gets.Load() != 3 || resp.Status != 200 || resp.Attempts != 3 || b.session.Usage().Requests != 4 {
		t.Errorf("%d POSTs, %d GETs, %+v", posts.Load(), gets.Load(), resp)
	}
}

func TestNoSlotWhilePausing(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		w.Header().Set("Retry-After", "50")
		w.WriteHeader(503)
	})
	b := open(t, fetch.Config{}, loopback())
	call := b.session.Start(&fetch.Request{URL: up.URL, Retry: thrice}, func(fetch.Result) {})
	eventually(t, "one attempt, and the slot back", func() bool { return seen.Load() == 1 && b.engine.SlotsInUse() == 0 })
	eventually(t, "pending", func() bool { return call.State() == fetch.Pending })
	b.session.Close()
	if call.State() != fetch.Cancelled {
		t.Errorf("state %s", call.State())
	}
}

// TestNoSilentReplay: a request under which a kept-alive connection dies is sent once more if it may be, and that counts.
func TestNoSilentReplay(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		r      fetch.Request
		head   string // what comes of the response before the connection breaks
		always bool   // it breaks under each
		sent   int
		ok     bool
	}{
		"GET":          {fetch.Request{Method: "GET"}, "", false, 2, true},
		"HEAD":         {fetch.Request{Method: "HEAD"}, "", false, 2, true},
		"DELETE":       {fetch.Request{Method: "DELETE"}, "", false, 2, true},
		"PUT":          {fetch.Request{Method: "PUT", Body: []byte("x")}, "", false, 2, true},
		"keyed":        {fetch.Request{Method: "POST", Header: fields("Idempotency-Key", "1")}, "", false, 2, true},
		"keyed, body":  {fetch.Request{Method: "POST", Body: []byte("x"), Header: fields("Idempotency-Key", "1")}, "", false, 2, true},
		"X-key":        {fetch.Request{Method: "POST", Header: fields("X-Idempotency-Key", "1")}, "", false, 1, false},
		"POST":         {fetch.Request{Method: "POST"}, "", false, 1, false},
		"POST, body":   {fetch.Request{Method: "POST", Body: []byte("x")}, "", false, 1, false},
		"answer begun": {fetch.Request{Method: "GET"}, "HTTP/1.1 200 OK\r\nContent-Length: 1", false, 1, false},
		"twice":        {fetch.Request{Method: "GET"}, "", true, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			requests := 0
			up := serveRaw(t, func(_ int, c net.Conn) {
				for {
					if readHead(c) == "" {
						return
					}
					mu.Lock()
					requests++
					stale := requests == 2 || tc.always && requests > 2
					mu.Unlock()
					if stale {
						io.WriteString(c, tc.head)
						return // the request was read, and the connection closed
					}
					io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
				}
			})
			b := open(t, fetch.Config{}, loopback())
			wantOK(t, b.do(&fetch.Request{URL: up}))
			session := b.client.Session(context.Background())
			tc.r.URL = up
			res := session.Do(context.Background(), &tc.r)
			attempts := 0
			if tc.ok {
				attempts = wantOK(t, res).Attempts
			} else {
				// The end may be met while a body is still being written.
				if res.Err == nil || res.Err.Code != failure.ReadError && (res.Err.Code != failure.WriteError || tc.r.Body == nil) {
					t.Fatalf("got %+v", res)
				}
				attempts = res.Err.Attempts
			}
			mu.Lock()
			defer mu.Unlock()
			if attempts != tc.sent || requests-1 != tc.sent || session.Usage().Requests != tc.sent {
				t.Errorf("%d attempts, the upstream saw %d requests, %+v", attempts, requests-1, session.Usage())
			}
		})
	}
}

func TestHedge(t *testing.T) {
	t.Parallel()
	var seen, gone atomic.Int32
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if seen.Add(1) == 1 { // the first attempt hangs
			<-r.Context().Done()
			gone.Add(1)
			return
		}
		fmt.Fprint(w, "second")
	})
	b := open(t, fetch.Config{}, loopback())
	resp := wantOK(t, b.do(&fetch.Request{URL: up.URL, Hedge: 10 * time.Millisecond}))
	if string(resp.Body) != "second" || resp.Attempts != 2 || b.session.Usage().Requests != 2 || b.engine.SlotsInUse() != 0 {
		t.Errorf("got %+v, %+v", resp, b.session.Usage())
	}
	eventually(t, "the loser to be cancelled", func() bool { return gone.Load() == 1 })
}

func TestHedgeOnlyWhereItHelps(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		if r.URL.Path == "/slow" {
			time.Sleep(50 * time.Millisecond)
		}
	})
	b := open(t, fetch.Config{}, loopback())
	wantOK(t, b.do(&fetch.Request{URL: up.URL, Hedge: time.Minute}))
	wantOK(t, b.do(&fetch.Request{Method: "POST", URL: up.URL + "/slow", Hedge: time.Millisecond}))
	if seen.Load() != 2 {
		t.Errorf("the upstream saw %d requests", seen.Load())
	}
	// The budget has no room for the second attempt: the first goes on.
	b = open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Requests = 1 }))
	if resp := wantOK(t, b.do(&fetch.Request{URL: up.URL + "/slow", Hedge: time.Millisecond})); resp.Attempts != 1 {
		t.Errorf("got %+v", resp)
	}
}
