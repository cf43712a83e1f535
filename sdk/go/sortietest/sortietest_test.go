package sortietest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

// get fetches a URL in an invocation of h and returns the response's text or the error's code.
func get(h *sortietest.Host, url string, opts ...sortie.Option) (got string) {
	h.Do(func(ctx context.Context) { got = outcome(sortie.Get(ctx, url, opts...)) })
	return got
}

func outcome(resp *sortie.Response, err error) string {
	var e *sortie.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(resp.Status, " ", resp.Text())
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ pattern, url string }{
		{"https://x.example/a", "https://x.example/a"},
		{"https://x.example/a", "https://x.example/a?q=1#f"},
		{"https://x.example/a?q=1", "https://x.example/a?q=1"},
		{"GET https://x.example", "https://X.example:443/"},
		{"https://x.example/*", "https://x.example/a/b?c"},
		{"https://x.example/a?*", "https://x.example/a?b"},
		{"http://x.example:8080/%20", "http://x.example:8080/%20"},
	} {
		h := sortietest.New(t)
		h.Reply(c.pattern, sortietest.Reply{Body: "yes"})
		if got := get(h, c.url); got != "200 yes" {
			t.Errorf("%s doesn't match %s: %s", c.pattern, c.url, got)
		}
	}
}

// silent is a test that only remembers that it has failed.
type silent struct {
	testing.TB
	mu     sync.Mutex
	errors []string
}

func (s *silent) Errorf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errors = append(s.errors, fmt.Sprintf(format, args...))
}

func TestUnknownRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ pattern, url string }{
		{"https://x.example/a", "https://x.example/ab"},
		{"https://x.example/a?q=1", "https://x.example/a"},
		{"POST https://x.example/a", "https://x.example/a"},
		{"https://x.example/a/*", "https://x.example/a"},
		{"https://x.example/", "http://x.example/"},
	} {
		s := &silent{TB: t}
		h := sortietest.New(s)
		h.Reply(c.pattern, sortietest.Reply{})
		if got := get(h, c.url); got != "host_denied" {
			t.Errorf("%s with %s: %s", c.url, c.pattern, got)
		}
		if len(s.errors) != 1 || !strings.Contains(s.errors[0], c.pattern) {
			t.Errorf("the test was told %q", s.errors)
		}
	}
}

func TestRepliesInTurn(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Reply("https://x.example/", sortietest.Reply{Body: "first", Times: 2})
	h.Reply("https://x.example/", sortietest.Reply{Code: "tls_error", Times: 1})
	h.Reply("https://x.example/*", sortietest.Reply{Status: 202, JSON: 1})
	for i, want := range []string{"200 first", "200 first", "tls_error", "202 1", "202 1"} {
		if got := get(h, "https://x.example/"); got != want {
			t.Errorf("%d: %s, want %s", i, got, want)
		}
	}
}

func TestFunc(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Func("https://x.example/*", func(req *sortie.Request) (*sortie.Response, error) {
		switch {
		case strings.HasSuffix(req.URL, "/typed"):
			return nil, &sortie.Error{Code: "rate_limited"}
		case strings.HasSuffix(req.URL, "/plain"):
			return nil, errors.New("cable cut")
		case strings.HasSuffix(req.URL, "/neither"):
			return nil, nil
		}
		return sortie.JSON(200, req.Header), nil
	})
	for url, want := range map[string]string{"typed": "rate_limited", "plain": "connect_error", "neither": "connect_error", "": `200 {"a":["b"]}`} {
		if got := get(h, "https://x.example/"+url, sortie.WithHeader("A", "b"), sortie.WithHeader("Host", "dropped")); got != want {
			t.Errorf("%q: %s, want %s", url, got, want)
		}
	}
}

func TestCodesBeforeSending(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Reply("https://x.example/*", sortietest.Reply{})
	for _, c := range []struct {
		want string
		req  *sortie.Request
	}{
		{"invalid_url", &sortie.Request{URL: ""}},
		{"invalid_url", &sortie.Request{URL: "/relative"}},
		{"invalid_url", &sortie.Request{URL: "https:///x"}},
		{"invalid_url", &sortie.Request{URL: "https://u:p@x.example/"}},
		{"invalid_url", &sortie.Request{URL: "https://x.example/\t"}},
		{"invalid_request", &sortie.Request{URL: "https://x.example/\n"}},
		{"unsupported_protocol", &sortie.Request{URL: "ftp://x.example/"}},
		{"invalid_request", &sortie.Request{URL: "https://x.example/", Method: "G T"}},
		{"invalid_request", &sortie.Request{URL: "https://x.example/", Method: "trace"}},
		{"invalid_request", &sortie.Request{URL: "https://x.example/", Header: sortie.Header{"a": {"b\r\n"}}}},
		{"invalid_request", (&sortie.Request{URL: "https://x.example/"}).With(sortie.WithExpect("ok"))},
		{"request_too_large", &sortie.Request{URL: "https://x.example/", Body: make([]byte, 1<<20+1)}},
	} {
		h.Do(func(ctx context.Context) {
			if got := outcome(sortie.Fetch(ctx, c.req)); got != c.want {
				t.Errorf("%+v: %s, want %s", c.req, got, c.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := sortietest.New(t)
		h.Limit(sortietest.Limits{Requests: 3, Concurrency: 2, ResponseBytes: 10, TotalBytes: 15, Timeout: 20 * time.Second})
		h.Reply("https://x.example/slow", sortietest.Reply{Delay: time.Minute})
		h.Reply("https://x.example/8", sortietest.Reply{Body: "12345678"})
		h.Reply("https://x.example/11", sortietest.Reply{Body: "12345678901"})
		for _, c := range [][]string{
			{"8", "200 12345678", "8", "limit_bytes", "11", "response_too_large", "8", "limit_requests"},
			{"slow", "timeout"},
			{"8", "200 12345678"}, // every invocation has a budget of its own
		} {
			h.Do(func(ctx context.Context) {
				for ; len(c) > 0; c = c[2:] {
					if got := outcome(sortie.Get(ctx, "https://x.example/"+c[0])); got != c[1] {
						t.Errorf("%s: %s, want %s", c[0], got, c[1])
					}
				}
			})
		}
		h.Do(func(ctx context.Context) {
			slow := &sortie.Request{URL: "https://x.example/slow"}
			got := map[string]int{}
			for _, r := range sortie.AllSettled(ctx, []*sortie.Request{slow, slow, slow}) {
				got[outcome(r.Response, r.Err)]++
			}
			if got["timeout"] != 2 || got["pool_timeout"] != 1 || h.MaxInFlight() != 2 {
				t.Errorf("three where two can run: %v, %d in flight", got, h.MaxInFlight())
			}
		})
	})
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Limit(sortietest.Limits{Redirects: 3})
	to := func(status int, location string) sortietest.Reply {
		return sortietest.Reply{Status: status, Header: map[string]string{"Location": location}}
	}
	h.Reply("https://x.example/loop", to(302, "loop"))
	h.Reply("https://x.example/away", to(307, "https://y.example/end"))
	h.Reply("https://x.example/see", to(303, "/end"))
	h.Reply("https://x.example/ftp", to(301, "ftp://x.example/"))
	h.Func("https://*", func(req *sortie.Request) (*sortie.Response, error) {
		return sortie.Text(fmt.Sprint(req.Method, " ", req.URL, " ", len(req.Body), " ", req.Header.Get("authorization"))), nil
	})
	for _, c := range []struct{ path, mode, want string }{
		{"loop", "", "too_many_redirects"},
		{"loop", "manual", "302 "},
		{"loop", "error", "redirect_blocked"},
		{"ftp", "", "unsupported_protocol"},
		{"away", "follow", "200 POST https://y.example/end 1 "},
		{"see", "", "200 GET https://x.example/end 0 secret"},
	} {
		h.Do(func(ctx context.Context) {
			resp, err := sortie.Post(ctx, "https://x.example/"+c.path, "", []byte("b"),
				sortie.WithRedirect(sortie.Redirect(c.mode)), sortie.WithHeader("authorization", "secret"))
			if got := outcome(resp, err); got != c.want {
				t.Errorf("%s %s: %s, want %s", c.path, c.mode, got, c.want)
			}
			if err == nil && resp.Attempts != 1 {
				t.Errorf("%s %s: %d attempts", c.path, c.mode, resp.Attempts)
			}
			if err == nil && resp.Redirected != (c.mode != "manual") {
				t.Errorf("%s %s: Redirected is %v", c.path, c.mode, resp.Redirected)
			}
		})
	}
}

func TestRetriedOnlyIfItMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			method, code string
			status       int
			want         int
		}{
			{"GET", "connect_error", 0, 3}, {"POST", "connect_error", 0, 1}, {"GET", "rate_limited", 0, 1}, {"GET", "read_error", 0, 3}, {"POST", "read_error", 0, 1},
			{"GET", "tls_error", 0, 1}, {"GET", "", 503, 3}, {"POST", "", 503, 1}, {"GET", "", 404, 1},
		} {
			h := sortietest.New(t)
			h.Reply("https://x.example/", sortietest.Reply{Code: c.code, Status: c.status})
			h.Do(func(ctx context.Context) {
				resp, err := sortie.Fetch(ctx, &sortie.Request{Method: c.method, URL: "https://x.example/"}, sortie.WithRetry(sortie.Retry{Attempts: 3}))
				var e *sortie.Error
				got := 0
				if errors.As(err, &e) {
					got = e.Attempts
				} else {
					got = resp.Attempts
				}
				if got != c.want {
					t.Errorf("%s %s %d: %d attempts, want %d", c.method, c.code, c.status, got, c.want)
				}
			})
		}
	})
}

func TestClientGone(t *testing.T) {
	sortie.Handle(func(ctx context.Context, _ *sortie.Request) (*sortie.Response, error) {
		return sortie.Get(ctx, "https://x.example/")
	})
	synctest.Test(t, func(t *testing.T) {
		h := sortietest.New(t)
		h.Reply("https://x.example/", sortietest.Reply{Delay: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := h.Invoke("GET", "/", sortietest.Context(ctx)); err == nil || time.Since(start) != time.Second {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
	})
}

func TestInvocationsOverlapWithinAHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := sortietest.New(t)
		h.Reply("https://x.example/", sortietest.Reply{Delay: time.Second})
		start := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { get(h, "https://x.example/") })
		}
		wg.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// Hosts of parallel tests take turns, so that each plugin sees its own config.
func TestHostsTakeTurns(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			h := sortietest.New(t)
			h.Config(map[string]any{"i": i})
			h.Do(func(context.Context) {
				if got, _ := sortie.Config("i"); got != fmt.Sprint(i) {
					t.Errorf("config of %d is %s", i, got)
				}
			})
		})
	}
	wg.Wait()
}
