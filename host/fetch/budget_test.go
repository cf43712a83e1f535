package fetch_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	up := serve(t, func(http.ResponseWriter, *http.Request) { seen.Add(1) })
	b := open(t, fetch.Config{}, loopback())
	g := &fetch.Group{Mode: fetch.AllSettled}
	for range 65 {
		g.Requests = append(g.Requests, &fetch.Request{URL: up.URL})
	}
	results := b.session.Group(context.Background(), g)
	for _, r := range results[:64] {
		wantOK(t, r)
	}
	err := wantCode(t, results[64], failure.LimitRequests)
	if !strings.Contains(err.Message, "requests is 64") || err.Attempts != 0 || err.Retryable {
		t.Errorf("got %+v", err)
	}
	if n := seen.Load(); n != 64 {
		t.Errorf("the upstream saw %d requests", n)
	}
	if u := b.session.Usage(); u.Requests != 64 {
		t.Errorf("usage %+v", u)
	}
	// The next session of the same client has a budget of its own.
	next := b.client.Session(context.Background())
	wantOK(t, next.Do(context.Background(), &fetch.Request{URL: up.URL}))
}

func TestDeniedFetchesCostNothing(t *testing.T) {
	t.Parallel()
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Requests = 1 }))
	for range 10 {
		wantCode(t, b.do(&fetch.Request{URL: "https://elsewhere.example/"}), failure.HostDenied)
	}
	if u := b.session.Usage(); u.Requests != 0 {
		t.Errorf("usage %+v", u)
	}
}

func TestRequestTooLarge(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.RequestBytes = 10 }))
	wantOK(t, b.do(&fetch.Request{Method: "POST", URL: up.URL, Body: make([]byte, 10)}))
	err := wantCode(t, b.do(&fetch.Request{Method: "POST", URL: up.URL, Body: make([]byte, 11)}), failure.RequestTooLarge)
	if err.Message != "request_bytes is 10; the request's body has 11" {
		t.Error(err.Message)
	}
}

func TestResponseTooLarge(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var size int
		fmt.Sscan(r.URL.Query().Get("size"), &size)
		if r.URL.Path == "/known" {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		chunk := make([]byte, 64<<10)
		for size > 0 {
			n, err := w.Write(chunk[:min(size, len(chunk))])
			if size -= n; err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	})
	for _, path := range []string{"/known", "/unknown"} {
		for size, code := range map[int]failure.Code{8 << 20: "", 8<<20 + 1: failure.ResponseTooLarge} {
			t.Run(fmt.Sprint(path, size), func(t *testing.T) {
				t.Parallel()
				b := open(t, fetch.Config{}, loopback())
				r := b.do(&fetch.Request{URL: fmt.Sprintf("%s%s?size=%d", up.URL, path, size)})
				if code == "" {
					if resp := wantOK(t, r); len(resp.Body) != size {
						t.Errorf("%d bytes", len(resp.Body))
					}
					return
				}
				err := wantCode(t, r, code)
				if !strings.Contains(err.Message, "response_bytes is 8388608") || !strings.Contains(err.Message, "8388609") {
					t.Error(err.Message)
				}
			})
		}
	}
}

func TestTotalBytes(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/unknown" {
			w.(http.Flusher).Flush()
		}
		w.Write(make([]byte, 600))
	})
	for _, path := range []string{"/known", "/unknown"} {
		t.Run(path, func(t *testing.T) {
			b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.TotalBytes = 1000 }))
			wantOK(t, b.do(&fetch.Request{URL: up.URL + path}))
			err := wantCode(t, b.do(&fetch.Request{URL: up.URL + path}), failure.LimitBytes)
			if err.Message != "total_bytes is 1000; with this response it would be 1200 or more" {
				t.Error(err.Message)
			}
			if u := b.session.Usage(); u.Bytes != 600 || u.Requests != 2 {
				t.Errorf("usage %+v", u)
			}
			// What was refused wasn't charged: a smaller response still fits.
			wantOK(t, b.do(&fetch.Request{Method: "HEAD", URL: up.URL + path}))
		})
	}
}
