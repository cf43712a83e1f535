package fetch_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// refusing is an HTTP/2 upstream that refuses to look at the first streams, which invites the client to send the same again, and answers
// 204 to the others.
func refusing(t testing.TB, refusals int32) (string, *tls.Config, *atomic.Int32) {
	var seen atomic.Int32
	// Only its certificate is used.
	pki := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(pki.Close)
	cert := pki.TLS.Certificates[0]
	up := serveRaw(t, func(_ int, raw net.Conn) {
		c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}})
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c, preface); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					f.WriteSettingsAck()
				}
			case *http2.HeadersFrame:
				if seen.Add(1) <= refusals {
					f.WriteRSTStream(frame.StreamID, http2.ErrCodeRefusedStream)
				} else {
					// 0x89: ":status: 204" of HPACK's static table.
					f.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.StreamID, BlockFragment: []byte{0x89}, EndStream: true, EndHeaders: true})
				}
			}
		}
	})
	return "https" + strings.TrimPrefix(up, "http"), trusting(pki), &seen
}

// TestRefusedStreams: however often a request goes out, it is counted as often.
func TestRefusedStreams(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]fetch.Request{
		"GET":    {Method: "GET"},
		"POST":   {Method: "POST"},
		"body":   {Method: "POST", Body: []byte("x")},
		"DELETE": {Method: "DELETE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, roots, seen := refusing(t, 1)
			b := open(t, fetch.Config{TLS: roots}, loopback())
			r.URL = url
			res := b.do(&r)
			attempts := wantOK(t, res).Attempts
			if n := int(seen.Load()); attempts != 2 || n != 2 || b.session.Usage().Requests != 2 {
				t.Errorf("the upstream saw %d requests; attempts %d, %+v", n, attempts, b.session.Usage())
			}
		})
	}
	t.Run("budget", func(t *testing.T) {
		t.Parallel()
		url, roots, seen := refusing(t, 9)
		b := open(t, fetch.Config{TLS: roots}, withLimits(func(l *manifest.FetchLimits) { l.Requests = 2 }))
		wantCode(t, b.do(&fetch.Request{Method: "POST", URL: url}), failure.LimitRequests)
		if n := seen.Load(); n > 3 {
			t.Errorf("the upstream saw %d requests", n)
		}
	})
	t.Run("for ever", func(t *testing.T) {
		t.Parallel()
		url, roots, seen := refusing(t, 99)
		b := open(t, fetch.Config{TLS: roots}, loopback())
		err := wantCode(t, b.do(&fetch.Request{Method: "PUT", Body: []byte("x"), URL: url}), failure.ReadError)
		if n := int(seen.Load()); err.Attempts != 4 || n != 4 || b.session.Usage().Requests != 4 {
			t.Errorf("the upstream saw %d requests; %+v, %+v", n, err, b.session.Usage())
		}
	})
	t.Run("budget of one", func(t *testing.T) {
		t.Parallel()
		url, roots, seen := refusing(t, 99)
		b := open(t, fetch.Config{TLS: roots}, withLimits(func(l *manifest.FetchLimits) { l.Requests = 1 }))
		if err := wantCode(t, b.do(&fetch.Request{URL: url}), failure.ReadError); err.Attempts != 1 || seen.Load() != 1 {
			t.Errorf("the upstream saw %d requests; %+v", seen.Load(), err)
		}
	})
}

// TestGracefulGoAway: a server that winds its connections up while requests are coming fails none of them.
func TestGracefulGoAway(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	server, roots := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if seen.Add(1)%20 == 0 {
			w.Header().Set("Connection", "close") // a GOAWAY, over HTTP/2
		}
	})
	b := open(t, fetch.Config{TLS: roots}, withLimits(func(l *manifest.FetchLimits) { l.Requests, l.Concurrency = 10_000, 8 }))
	g := group(server.URL, 1000)
	for i, r := range g.Requests {
		if i%2 == 1 {
			r.Method, r.Body = "POST", []byte("x")
		}
	}
	total := 0
	for _, r := range b.session.Group(context.Background(), g) {
		total += wantOK(t, r).Attempts
	}
	if n := b.session.Usage().Requests; n != total {
		t.Errorf("%d attempts, %d charged", total, n)
	}
}
