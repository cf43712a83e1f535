package fetch_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// TestAnEndWeCausedIsNone: a server that sees us go ends its answer properly, and with TLS that can be read while the connection is being
// closed. It isn't the whole answer all the same.
func TestAnEndWeCausedIsNone(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	s.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
	s.StartTLS()
	t.Cleanup(s.Close)
	b := open(t, fetch.Config{TLS: trusting(s)}, withLimits(func(l *manifest.FetchLimits) { l.Requests = 10_000 }))
	for i := range 200 {
		res := b.do(&fetch.Request{URL: s.URL, Timeout: 5 * time.Millisecond, Stream: i > 50})
		if res.Response != nil && res.Response.Stream {
			_, err := io.ReadAll(res.Response.BodyReader)
			e, ok := errors.AsType[*fetch.Error](err)
			if !ok {
				t.Fatalf("a stream that was cut off ended with %v", err)
			}
			res = fetch.Result{State: fetch.Rejected, Err: e}
		}
		wantCode(t, res, failure.Timeout)
	}
}

// TestUnreadUploadIsSentAgain: what a server refuses before it was sent may be sent with the next attempt, whole, and nothing of the first
// attempt gets in its way.
func TestUnreadUploadIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/1.1", "h2"} {
		var n atomic.Int32
		handler := func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1)%2 == 1 { // at once
				w.WriteHeader(503)
				return
			}
			io.Copy(w, r.Body)
		}
		cfg, url := fetch.Config{}, ""
		if protocol == "h2" {
			up, trust := serveTLS(t, handler)
			cfg.TLS, url = trust, up.URL
		} else {
			url = serve(t, handler).URL
		}
		b := open(t, cfg, withLimits(func(l *manifest.FetchLimits) { l.Requests = 10_000 }))
		for range 300 {
			n.Store(0)
			body := strings.Repeat("x", 1000)
			res := b.do(&fetch.Request{Method: "PUT", URL: url, BodyReader: io.NopCloser(strings.NewReader(body)), Retry: &fetch.Retry{Attempts: 2, Backoff: 1, MaxBackoff: 1}})
			resp := wantOK(t, res)
			once, twice := resp.Status == 503 && resp.Attempts == 1, resp.Status == 200 && resp.Attempts == 2 && string(resp.Body) == body
			if !once && !twice {
				t.Fatalf("%s: status %d after %d attempts, %d bytes", protocol, resp.Status, resp.Attempts, len(resp.Body))
			}
		}
	}
}

// TestRefusedForEver: net/http sends a request without a body again whenever a server blames the protocol for it, over a new connection each
// time.
func TestRefusedForEver(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	url, roots := serveFrames(t, func(f *http2.Framer, frame http2.Frame) bool {
		if _, ok := frame.(*http2.HeadersFrame); ok {
			seen.Add(1)
			f.WriteRSTStream(frame.Header().StreamID, http2.ErrCodeProtocol)
		}
		return true
	})
	b := open(t, fetch.Config{TLS: roots}, loopback())
	err := wantCode(t, b.do(&fetch.Request{Method: "POST", URL: url}), failure.ReadError)
	time.Sleep(50 * time.Millisecond) // for one that isn't counted to arrive
	if n := int(seen.Load()); n != 4 || b.session.Usage().Requests != n || err.Attempts != n {
		t.Errorf("the upstream saw %d requests; %+v, %s", n, b.session.Usage(), fmt.Sprint(err))
	}
	b = open(t, fetch.Config{TLS: roots}, withLimits(func(l *manifest.FetchLimits) { l.Requests = 1 }))
	seen.Store(0)
	wantCode(t, b.do(&fetch.Request{Method: "POST", URL: url}), failure.LimitRequests)
	time.Sleep(50 * time.Millisecond)
	if n := seen.Load(); n != 1 || b.session.Usage().Requests != 1 {
		t.Errorf("the upstream saw %d requests of the one that is allowed; %+v", n, b.session.Usage())
	}
}
