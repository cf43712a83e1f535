package fetch_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// A limit that is meant to be reached is short; one that mustn't be although time passes is long, for the sake of busy machines.
const (
	short = manifest.Duration(200 * time.Millisecond)
	long  = manifest.Duration(2 * time.Second)
)

// hang keeps a connection open until the client goes.
func hang(c net.Conn) { io.Copy(io.Discard, c) }

// slowly writes text a byte at a time, each well within the long limit.
func slowly(c net.Conn, text string) {
	for i := range len(text) {
		if _, err := c.Write([]byte{text[i]}); err != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestEachTimeoutHasItsCode sets one limit short at a time: only its own code may come.
func TestEachTimeoutHasItsCode(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
	stalledHead := func(_ int, c net.Conn) { readHead(c); hang(c) }
	stalledBody := func(_ int, c net.Conn) { readHead(c); io.WriteString(c, head+"some"); hang(c) }
	dripping := func(_ int, c net.Conn) { readHead(c); io.WriteString(c, head); slowly(c, strings.Repeat("x", 1000)) }
	big := &fetch.Request{Method: "PUT", Body: make([]byte, 64<<20)}
	for name, tc := range map[string]struct {
		handle  func(int, net.Conn) // nil: never reads the body, so that the buffers fill up
		edit    func(*manifest.FetchLimits)
		request *fetch.Request
		code    failure.Code
		message string
	}{
		"read, head":    {stalledHead, func(l *manifest.FetchLimits) { l.ReadTimeout = short }, nil, failure.ReadTimeout, "no byte arrived for read_timeout, 200ms"},
		"read, body":    {stalledBody, func(l *manifest.FetchLimits) { l.ReadTimeout = short }, nil, failure.ReadTimeout, "no byte arrived for read_timeout, 200ms"},
		"whole, head":   {stalledHead, func(l *manifest.FetchLimits) { l.Timeout = short }, nil, failure.Timeout, "the fetch wasn't over within its timeout, 200ms"},
		"whole, body":   {stalledBody, func(l *manifest.FetchLimits) { l.Timeout = short }, nil, failure.Timeout, "the fetch wasn't over within its timeout, 200ms"},
		"whole, drip":   {dripping, func(l *manifest.FetchLimits) { l.Timeout, l.ReadTimeout = 2*long, long }, nil, failure.Timeout, "the fetch wasn't over within its timeout, 4s"},
		"attempt":       {stalledHead, func(l *manifest.FetchLimits) { l.AttemptTimeout = short }, nil, failure.Timeout, "the attempt wasn't over within attempt_timeout, 200ms"},
		"attempt, drip": {dripping, func(l *manifest.FetchLimits) { l.AttemptTimeout, l.ReadTimeout = 2*long, long }, nil, failure.Timeout, "the attempt wasn't over within attempt_timeout, 4s"},
		"write": {nil, func(l *manifest.FetchLimits) {
			l.WriteTimeout, l.RequestBytes = short, 64<<20
		}, big, failure.WriteTimeout, "no byte could be sent for write_timeout, 200ms"},
		"whole, writing": {nil, func(l *manifest.FetchLimits) {
			l.Timeout, l.RequestBytes = short, 64<<20
		}, big, failure.Timeout, "the fetch wasn't over within its timeout, 200ms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			over := make(chan struct{})
			if tc.handle == nil {
				tc.handle = func(_ int, c net.Conn) { readHead(c); <-over }
			}
			up := serveRaw(t, tc.handle)
			t.Cleanup(func() { close(over) })
			b := open(t, fetch.Config{}, withLimits(tc.edit))
			r := fetch.Request{}
			if tc.request != nil {
				r = *tc.request
			}
			r.URL = up
			err := wantCode(t, b.do(&r), tc.code)
			if err.Message != tc.message {
				t.Errorf("message %q", err.Message)
			}
			// The whole time may be over before the first attempt has begun.
			whole := strings.HasPrefix(name, "whole")
			if err.Attempts > 1 || err.Attempts == 0 && !whole || err.Retryable != (tc.code != failure.Timeout) {
				t.Errorf("got %+v", err)
			}
			if n := b.engine.SlotsInUse(); n != 0 {
				t.Errorf("%d slots in use", n)
			}
		})
	}
}

// TestConnectTimeout covers resolving, connecting and the TLS handshake.
func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	edit := func(l *manifest.FetchLimits) { l.ConnectTimeout = short }
	t.Run("tls", func(t *testing.T) {
		up := serveRaw(t, func(_ int, c net.Conn) { hang(c) })
		b := open(t, fetch.Config{}, withLimits(edit))
		err := wantCode(t, b.do(&fetch.Request{URL: "https" + strings.TrimPrefix(up, "http")}), failure.ConnectTimeout)
		if err.Message != "no connection within connect_timeout, 200ms" || !err.Retryable {
			t.Errorf("got %+v", err)
		}
	})
	t.Run("dns", func(t *testing.T) {
		b := open(t, fetch.Config{Resolver: deafResolver{}}, withLimits(edit))
		wantCode(t, b.do(&fetch.Request{URL: "http://a.test/"}), failure.ConnectTimeout)
	})
	t.Run("whole", func(t *testing.T) {
		b := open(t, fetch.Config{Resolver: deafResolver{}}, withLimits(func(l *manifest.FetchLimits) { l.Timeout = short }))
		wantCode(t, b.do(&fetch.Request{URL: "http://a.test/"}), failure.Timeout)
	})
	t.Run("cancelled", func(t *testing.T) {
		b := open(t, fetch.Config{Resolver: deafResolver{}}, loopback())
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(10*time.Millisecond, cancel)
		wantCode(t, b.session.Do(ctx, &fetch.Request{URL: "http://a.test/"}), failure.Cancelled)
	})
}

// TestNoDialOutlivesItsSession, though net/http would let it.
func TestNoDialOutlivesItsSession(t *testing.T) {
	t.Parallel()
	r := &busyResolver{}
	b := open(t, fetch.Config{Resolver: r}, loopback())
	outcome := make(chan fetch.Result, 3)
	for _, url := range []string{"http://a.test/", "https://b.test/"} {
		b.session.Start(&fetch.Request{URL: url}, func(r fetch.Result) { outcome <- r })
	}
	// One that ends on its own, with the session going on.
	call := b.session.Start(&fetch.Request{URL: "https://c.test/"}, func(r fetch.Result) { outcome <- r })
	eventually(t, "three dials", func() bool { return r.now.Load() == 3 })
	call.Cancel()
	wantCode(t, within(t, "the third's outcome", outcome), failure.Cancelled)
	eventually(t, "the third's dial to end", func() bool { return r.now.Load() == 2 })
	b.session.Close()
	for range 2 {
		wantCode(t, within(t, "an outcome", outcome), failure.Cancelled)
	}
	eventually(t, "no dial under way", func() bool { return r.now.Load() == 0 })
}

// busyResolver never answers, and counts what it is asked.
type busyResolver struct{ now atomic.Int32 }

func (r *busyResolver) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	r.now.Add(1)
	defer r.now.Add(-1)
	<-ctx.Done()
	return nil, ctx.Err()
}

type deafResolver struct{}

func (deafResolver) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestSlowIsNotIdle: heads and bodies that drip never die of the idle limit.
func TestSlowIsNotIdle(t *testing.T) {
	t.Parallel()
	up := serveRaw(t, func(_ int, c net.Conn) {
		readHead(c)
		slowly(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789")
	})
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.ReadTimeout = long }))
	resp := wantOK(t, b.do(&fetch.Request{URL: up}))
	if string(resp.Body) != "0123456789" || resp.Elapsed < time.Duration(long) {
		t.Errorf("got %+v", resp)
	}
}

// TestSlowUploadIsNotIdle: over HTTP/1.1 and HTTP/2, as long as the upstream takes something now and then.
func TestSlowUploadIsNotIdle(t *testing.T) {
	t.Parallel()
	handler := func(w http.ResponseWriter, r *http.Request) {
		buf, n := make([]byte, 320<<10), 0
		for {
			m, err := io.ReadFull(r.Body, buf)
			n += m
			if err != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		w.Write([]byte{byte(n >> 20)})
	}
	plain := serve(t, handler)
	secure, roots := serveTLS(t, handler)
	for _, url := range []string{plain.URL, secure.URL} {
		b := open(t, fetch.Config{TLS: roots}, withLimits(func(l *manifest.FetchLimits) { l.WriteTimeout, l.RequestBytes = long, 8<<20 }))
		resp := wantOK(t, b.do(&fetch.Request{Method: "PUT", URL: url, Body: bytes.Repeat([]byte("x"), 8<<20)}))
		if resp.Body[0] != 8 {
			t.Errorf("%s: %d MiB arrived", url, resp.Body[0])
		}
	}
}

// TestStalledUploadOverHTTP2: the stream's window is full, the connection isn't.
func TestStalledUploadOverHTTP2(t *testing.T) {
	t.Parallel()
	up, roots := serveTLS(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	b := open(t, fetch.Config{TLS: roots}, withLimits(func(l *manifest.FetchLimits) { l.WriteTimeout, l.RequestBytes = short, 8<<20 }))
	wantCode(t, b.do(&fetch.Request{Method: "PUT", URL: up.URL, Body: make([]byte, 8<<20)}), failure.WriteTimeout)
}

func TestRequestsCanOnlyShorten(t *testing.T) {
	t.Parallel()
	up := serveRaw(t, func(_ int, c net.Conn) { hang(c) })
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Timeout, l.AttemptTimeout = 10*short, short }))
	for _, r := range []*fetch.Request{
		{URL: up, Timeout: time.Hour, AttemptTimeout: time.Hour},
		{URL: up, Timeout: -1, AttemptTimeout: -1},
	} {
		err := wantCode(t, b.do(r), failure.Timeout)
		if !strings.Contains(err.Message, "attempt_timeout, 200ms") {
			t.Error(err.Message)
		}
	}
	err := wantCode(t, b.do(&fetch.Request{URL: up, Timeout: 20 * time.Millisecond}), failure.Timeout)
	if !strings.Contains(err.Message, "timeout, 20ms") {
		t.Error(err.Message)
	}
}
