package sortiehttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortiehttp"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

// do sends one request within an invocation, by a client with these options, and closes the response's body.
func do(t *testing.T, h *sortietest.Host, req *http.Request, opts ...sortie.Option) (resp *http.Response, body string, err error) {
	t.Helper()
	h.Do(func(ctx context.Context) {
		if resp, err = sortiehttp.Client(opts...).Do(req.WithContext(ctx)); err != nil {
			return
		}
		defer resp.Body.Close()
		var b []byte
		if b, err = io.ReadAll(resp.Body); err == nil {
			body = string(b)
		}
	})
	return resp, body, err
}

func newRequest(t *testing.T, method, target string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestRequestAndResponse(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Reply("https://x.example/*", sortietest.Reply{Status: 201, Header: map[string]string{"x-out": "1", "content-type": "text/plain"}, Body: "done"})
	req := newRequest(t, "PUT", "https://x.example/a%2Fb?q=%20#fragment", strings.NewReader("body"))
	req.Header.Set("X-In", "1")
	req.Host = "other.example"
	before := req.Clone(t.Context())
	resp, body, err := do(t, h, req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 201 || resp.Status != "201 Created" || resp.Proto != "HTTP/1.1" || !resp.ProtoAtLeast(1, 1) || body != "done" {
		t.Errorf("got %+v with %q", resp, body)
	}
	if resp.Header.Get("X-Out") != "1" || resp.Header["Content-Type"] == nil || resp.Request.URL.String() != req.URL.String() {
		t.Errorf("got %+v", resp)
	}
	sent := h.Requests()[0]
	if sent.Method != "PUT" || sent.URL != "https://x.example/a%2Fb?q=%20" || string(sent.Body) != "body" || sent.Header.Get("x-in") != "1" {
		t.Errorf("sent %+v", sent)
	}
	if len(req.Header) != len(before.Header) || req.URL.String() != before.URL.String() || req.ContentLength != before.ContentLength {
		t.Errorf("the request has changed: %+v", req)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for want, u := range map[string]*url.URL{
		"https://x.example/a?b":      {Scheme: "https", Host: "x.example", Path: "/a", RawQuery: "b", Fragment: "c", User: url.UserPassword("me", "secret")},
		"https://x.example/a%2Fb":    {Scheme: "https", Host: "x.example", Opaque: "//x.example/a%2Fb"},
		"https://x.example/c%2Fd?e":  {Scheme: "https", Host: "x.example", Opaque: "/c%2Fd", RawQuery: "e"},
		"https://x.example:8443/%20": {Scheme: "https", Host: "x.example:8443", Path: "/ "},
	} {
		h := sortietest.New(t)
		h.Reply("*", sortietest.Reply{})
		if _, _, err := do(t, h, &http.Request{URL: u}); err != nil {
			t.Error(err)
			continue
		}
		sent := h.Requests()[0]
		if sent.URL != want || sent.Method != "GET" {
			t.Errorf("%s %s was fetched, want %s", sent.Method, sent.URL, want)
		}
		if got, want := sent.Header.Get("authorization"), map[bool]string{true: "Basic bWU6c2VjcmV0"}[u.User != nil]; got != want {
			t.Errorf("%s: authorization is %q, want %q", u, got, want)
		}
	}
}

// The client follows redirects: so its CheckRedirect is asked, its jar sees every cookie, and each hop is a fetch.
func TestRedirectsAndCookies(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Reply("https://x.example/a", sortietest.Reply{Status: 302, Header: map[string]string{"location": "/b", "set-cookie": "seen=1; Path=/"}})
	h.Func("https://x.example/b", func(r *sortie.Request) (*sortie.Response, error) { return sortie.Text(r.Header.Get("cookie")), nil })
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	h.Do(func(ctx context.Context) {
		client, via := sortiehttp.Client(), 0
		client.Jar = jar
		client.CheckRedirect = func(_ *http.Request, before []*http.Request) error { via = len(before); return nil }
		req, _ := http.NewRequestWithContext(ctx, "GET", "https://x.example/a", nil)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if string(body) != "seen=1" || err != nil || via != 1 || resp.Request.URL.Path != "/b" {
			t.Errorf("got %q, %v after %d hops, from %s", body, err, via, resp.Request.URL)
		}
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		if resp, err := client.Do(req); err != nil || resp.StatusCode != 302 || resp.Header.Get("Location") != "/b" {
			t.Errorf("got %+v, %v", resp, err)
		}
	})
	if n := len(h.Requests()); n != 3 {
		t.Errorf("%d fetches", n)
	}
}

// A redirect that keeps the body has it sent again, from GetBody.
func TestRedirectWithBody(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Reply("POST https://x.example/a", sortietest.Reply{Status: 307, Header: map[string]string{"location": "https://y.example/"}})
	h.Func("POST https://y.example/", func(r *sortie.Request) (*sortie.Response, error) { return sortie.Text(string(r.Body)), nil })
	if _, body, err := do(t, h, newRequest(t, "POST", "https://x.example/a", bytes.NewBufferString("again"))); body != "again" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for code, class := range map[string]error{
		"host_denied": sortie.ErrDenied, "limit_bytes": sortie.ErrLimit, "connect_timeout": sortie.ErrNetwork, "tls_error": sortie.ErrNetwork,
		"circuit_open": sortie.ErrUnavailable, "timeout": context.DeadlineExceeded,
	} {
		h := sortietest.New(t)
		h.Reply("*", sortietest.Reply{Code: code})
		_, _, err := do(t, h, newRequest(t, "GET", "https://x.example/", nil))
		var known *sortie.Error
		var wrapped *url.Error
		if !errors.As(err, &known) || known.Code != code || !errors.Is(err, class) || !errors.As(err, &wrapped) {
			t.Errorf("%s: got %v", code, err)
		} else if wrapped.Timeout() != strings.HasSuffix(code, "timeout") {
			t.Errorf("%s: Timeout is %v", code, wrapped.Timeout())
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   string
	}{
		"trailers": {func(r *http.Request) { r.Trailer = http.Header{"X": nil} }, "trailers"},
		"no URL":   {func(r *http.Request) { r.URL = nil }, "no URL"},
		"too long": {func(r *http.Request) { r.ContentLength = 1 }, "is longer"},
		"nothing":  {func(r *http.Request) { r.Body = nil }, "there is none"},
		"short":    {func(r *http.Request) { r.ContentLength = 9 }, "ContentLength is 9, and it has 4 bytes"},
		"broken":   {func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(strings.NewReader("bo"), failing{broken})) }, "broken"},
	} {
		h := sortietest.New(t)
		h.Reply("*", sortietest.Reply{})
		req := newRequest(t, "POST", "https://x.example/", strings.NewReader("body"))
		c.change(req)
		closed := new(atomic.Int64)
		if closed.Store(1); req.Body != nil {
			closed = watchClose(req)
		}
		h.Do(func(ctx context.Context) {
			_, err := new(sortiehttp.Transport).RoundTrip(req.WithContext(ctx))
			var known *sortie.Error
			if !errors.As(err, &known) || !errors.Is(err, sortie.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v", name, err)
			}
		})
		if closed.Load() != 1 {
			t.Errorf("%s: the body was closed %d times", name, closed.Load())
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// watchClose counts how often a request's body is closed.
func watchClose(req *http.Request) *atomic.Int64 {
	c := &closing{ReadCloser: req.Body}
	req.Body = c
	return &c.n
}

type closing struct {
	io.ReadCloser
	n atomic.Int64
}

func (c *closing) Close() error {
	c.n.Add(1)
	return c.ReadCloser.Close()
}

func TestTheRequestsBodyIsClosed(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]sortietest.Reply{"answer": {Body: "a"}, "no content": {Status: 204}, "failure": {Code: "connect_error"}} {
		h := sortietest.New(t)
		h.Reply("*", reply)
		req := newRequest(t, "POST", "https://x.example/", strings.NewReader("body"))
		closed := watchClose(req)
		if _, _, err := do(t, h, req); (err != nil) != (name == "failure") {
			t.Errorf("%s: %v", name, err)
		}
		if closed.Load() != 1 {
			t.Errorf("%s: the body was closed %d times", name, closed.Load())
		}
	}
}

// A stream that is refused before it has begun is closed all the same.
func TestRefusedUpload(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	req := newRequest(t, "POST", "https://x.example/", io.NopCloser(strings.NewReader("body")))
	closed := watchClose(req)
	if _, _, err := do(t, h, req, sortie.WithTimeout(-1)); !errors.Is(err, sortie.ErrInvalid) || closed.Load() != 1 {
		t.Errorf("got %v, closed %d times", err, closed.Load())
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Reply("https://x.example/", sortietest.Reply{Code: "connect_error", Times: 2})
	h.Reply("https://x.example/", sortietest.Reply{Body: "third time"})
	retry := sortie.WithRetry(sortie.Retry{Attempts: 3, Backoff: time.Millisecond})
	opts := []sortie.Option{retry, sortie.WithHeader("x-option", "1"), sortie.WithRedirect(sortie.RedirectError)}
	_, body, err := do(t, h, newRequest(t, "GET", "https://x.example/", nil), opts...)
	if body != "third time" || err != nil || h.Requests()[0].Header.Get("x-option") != "1" {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestContextRulesTheFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sortietest.New(t)
		h.Reply("https://x.example/", sortietest.Reply{Delay: time.Minute})
		h.Do(func(ctx context.Context) {
			start := time.Now()
			timed, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			req := newRequest(t, "GET", "https://x.example/", nil)
			if _, err := sortiehttp.Client().Do(req.WithContext(timed)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("deadline: %v", err)
			}
			client := sortiehttp.Client()
			client.Timeout = time.Second
			_, err := client.Do(req.WithContext(ctx))
			if wrapped := new(url.Error); !errors.As(err, &wrapped) || !wrapped.Timeout() {
				t.Errorf("client's time-out: %v", err)
			}
			cancelled, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			if _, err := sortiehttp.Client().Do(req.WithContext(cancelled)); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("took %s", took)
			}
		})
	})
}

func TestFetchesOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sortietest.New(t)
		h.Reply("https://x.example/*", sortietest.Reply{Delay: time.Second, Body: "a"})
		h.Do(func(ctx context.Context) {
			start, client := time.Now(), sortiehttp.Client()
			var wg sync.WaitGroup
			for i := range 10 {
				wg.Go(func() {
					req := newRequest(t, "GET", fmt.Sprintf("https://x.example/%d", i), nil)
					resp, err := client.Do(req.WithContext(ctx))
					if err != nil {
						t.Error(err)
						return
					}
					resp.Body.Close()
				})
			}
			wg.Wait()
			if took := time.Since(start); took != time.Second || h.MaxInFlight() != 10 {
				t.Errorf("took %s with %d at once", took, h.MaxInFlight())
			}
		})
	})
}

func TestLengths(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Reply("https://x.example/*", sortietest.Reply{Body: "four"})
	resp, _, err := do(t, h, newRequest(t, "HEAD", "https://x.example/", nil))
	if err != nil || resp.Body != http.NoBody {
		t.Errorf("HEAD: %+v, %v", resp, err)
	}
	h.Reply("https://y.example/", sortietest.Reply{Status: 204})
	resp, _, err = do(t, h, newRequest(t, "GET", "https://y.example/", nil))
	if err != nil || resp.Body != http.NoBody || resp.ContentLength != 0 {
		t.Errorf("204: %+v, %v", resp, err)
	}
	// The host leaves the length out where it has decoded, and so does sortietest always.
	resp, body, err := do(t, h, newRequest(t, "GET", "https://x.example/", nil))
	if err != nil || resp.ContentLength != -1 || !resp.Uncompressed || body != "four" {
		t.Errorf("GET: %+v, %v", resp, err)
	}
}

// A GET with an empty body of unknown length has none; others keep theirs.
func TestEmptyBodies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ method, body string }{{"GET", ""}, {"GET", "filter"}, {"DELETE", ""}, {"POST", ""}, {"POST", "data"}} {
		h := sortietest.New(t)
		h.Reply("*", sortietest.Reply{})
		req := newRequest(t, c.method, "https://x.example/", io.NopCloser(strings.NewReader(c.body)))
		closed := watchClose(req)
		if _, _, err := do(t, h, req); err != nil {
			t.Fatal(err)
		}
		if sent := h.Requests()[0]; string(sent.Body) != c.body || closed.Load() != 1 {
			t.Errorf("%v: sent %q, closed %d times", c, sent.Body, closed.Load())
		}
	}
}

func TestReadAfterClose(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Reply("*", sortietest.Reply{Body: "body"})
	resp, _, err := do(t, h, newRequest(t, "GET", "https://x.example/", nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resp.Body.Read(make([]byte, 1)); err != http.ErrBodyReadAfterClose {
		t.Errorf("got %v", err)
	}
}
