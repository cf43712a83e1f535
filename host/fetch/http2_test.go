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

// serveFrames is an HTTP/2 upstream that answers a frame of the client's with what answer writes; it does settings by itself. The connection
// is closed when answer returns false.
func serveFrames(t testing.TB, answer func(f *http2.Framer, frame http2.Frame) bool) (string, *tls.Config) {
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
			if settings, ok := frame.(*http2.SettingsFrame); ok && !settings.IsAck() {
				f.WriteSettingsAck()
			}
			if !answer(f, frame) {
				c.CloseWrite()
				io.Copy(io.Discard, c) // or the reset that comes of unread bytes would overtake what was written
				return
			}
		}
	})
	return "https" + strings.TrimPrefix(up, "http"), trusting(pki)
}

// head is a response's header of one field, which HPACK's static table has.
func head(f *http2.Framer, stream uint32, field byte, end bool) {
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{field}, EndStream: end, EndHeaders: true})
}

const status200, status204 = 0x88, 0x89

// refusing is an HTTP/2 upstream that refuses to look at the first streams, which invites the client to send the same again, and answers
// 204 to the others.
func refusing(t testing.TB, refusals int32) (string, *tls.Config, *atomic.Int32) {
	var seen atomic.Int32
	url, roots := serveFrames(t, func(f *http2.Framer, frame http2.Frame) bool {
		if frame, ok := frame.(*http2.HeadersFrame); ok {
			if seen.Add(1) <= refusals {
				f.WriteRSTStream(frame.StreamID, http2.ErrCodeRefusedStream)
			} else {
				head(f, frame.StreamID, status204, true)
			}
		}
		return true
	})
	return url, roots, &seen
}

// TestHTTP2ErrorCodes: the code by which an upstream ends a stream or a connection says whether the protocol was broken, whenever it comes.
func TestHTTP2ErrorCodes(t *testing.T) {
	t.Parallel()
	ends := map[string]func(f *http2.Framer, stream uint32, code http2.ErrCode) bool{
		"at once": func(f *http2.Framer, stream uint32, code http2.ErrCode) bool {
			f.WriteRSTStream(stream, code)
			return true
		},
		"after the head": func(f *http2.Framer, stream uint32, code http2.ErrCode) bool {
			head(f, stream, status200, false)
			f.WriteRSTStream(stream, code)
			return true
		},
		"in the body": func(f *http2.Framer, stream uint32, code http2.ErrCode) bool {
			head(f, stream, status200, false)
			f.WriteData(stream, false, []byte("some"))
			f.WriteRSTStream(stream, code)
			return true
		},
		"and the connection": func(f *http2.Framer, stream uint32, code http2.ErrCode) bool {
			f.WriteRSTStream(stream, code)
			f.WriteGoAway(stream, code, []byte("gone"))
			return false
		},
		"the connection alone": func(f *http2.Framer, stream uint32, code http2.ErrCode) bool {
			f.WriteGoAway(stream, code, []byte(`", ErrCode=NO_ERROR, stream error: stream ID 1; CANCEL; `))
			return false
		},
		"the connection in the body": func(f *http2.Framer, stream uint32, code http2.ErrCode) bool {
			head(f, stream, status200, false)
			f.WriteData(stream, false, []byte("some"))
			f.WriteGoAway(stream, code, []byte("ErrCode=PROTOCOL_ERROR, "))
			return false
		},
		"the connection before the stream": func(f *http2.Framer, _ uint32, code http2.ErrCode) bool {
			f.WriteGoAway(0, code, nil)
			return true
		},
	}
	closes := map[string]bool{"and the connection": true, "the connection alone": true, "the connection in the body": true}
	for code, want := range map[http2.ErrCode]failure.Code{
		http2.ErrCodeProtocol:           failure.ProtocolError,
		http2.ErrCodeFlowControl:        failure.ProtocolError,
		http2.ErrCodeSettingsTimeout:    failure.ProtocolError,
		http2.ErrCodeStreamClosed:       failure.ProtocolError,
		http2.ErrCodeFrameSize:          failure.ProtocolError,
		http2.ErrCodeCompression:        failure.ProtocolError,
		http2.ErrCodeInadequateSecurity: failure.ProtocolError,
		http2.ErrCodeHTTP11Required:     failure.ProtocolError,
		http2.ErrCodeInternal:           failure.ReadError,
		http2.ErrCodeCancel:             failure.ReadError,
		http2.ErrCodeConnect:            failure.ReadError,
		http2.ErrCodeEnhanceYourCalm:    failure.ReadError,
		0xe:                             failure.ReadError,
		0xffffffff:                      failure.ReadError,
	} {
		for how, end := range ends {
			for name, r := range map[string]fetch.Request{
				"GET":    {},
				"POST":   {Method: "POST", Body: []byte("x")},
				"upload": {Method: "PUT", Body: make([]byte, 1<<20)},
			} {
				t.Run(strings.Join([]string{code.String(), how, name}, "/"), func(t *testing.T) {
					t.Parallel()
					url, roots := serveFrames(t, func(f *http2.Framer, frame http2.Frame) bool {
						// As early as possible; but a connection is closed when a short request is over, or writing that would be what fails.
						_, first := frame.(*http2.HeadersFrame)
						if name == "upload" || closes[how] {
							_, first = frame.(*http2.DataFrame)
						}
						return !first || end(f, frame.Header().StreamID, code)
					})
					b := open(t, fetch.Config{TLS: roots}, loopback())
					r.URL = url
					res := b.do(&r)
					if name == "upload" && closes[how] && res.Err != nil && (res.Err.Code == failure.WriteError || res.Err.Code == failure.ReadError) {
						return // net/http's writer may see that the connection is closed before its reader says why
					}
					err := wantCode(t, res, want)
					if err.Retryable != (r.Method != "POST") || err.Attempts != 1 || b.engine.SlotsInUse() != 0 {
						t.Errorf("%+v, %d slots in use", err, b.engine.SlotsInUse())
					}
				})
			}
		}
	}
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

// TestFullHTTP2Connection: limits count requests, not connections: where a server takes no more streams on one, another is opened.
func TestFullHTTP2Connection(t *testing.T) {
	t.Parallel()
	const streams, requests = 2, 7
	var now atomic.Int32
	let := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if now.Add(1) == requests {
			close(let)
		}
		select {
		case <-let:
		case <-r.Context().Done():
		}
	}))
	var opened atomic.Int32
	s.EnableHTTP2, s.Config.HTTP2 = true, &http.HTTP2Config{MaxConcurrentStreams: streams}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	b := open(t, fetch.Config{TLS: trusting(s)}, loopback())
	g := &fetch.Group{}
	for range requests {
		g.Requests = append(g.Requests, &fetch.Request{URL: s.URL})
	}
	for _, r := range b.session.Group(t.Context(), g) {
		wantOK(t, r)
	}
	if n := opened.Load(); n < (requests+streams-1)/streams {
		t.Errorf("%d connections for %d requests at once, with %d streams at most on each", n, requests, streams)
	}
	for _, r := range b.session.Records() {
		for _, x := range r.Exchanges {
			if x.Status != 0 && x.Protocol != "HTTP/2.0" { // without, it came to a connection that was just full, and was sent again
				t.Errorf("protocol %s", x.Protocol)
			}
		}
	}
}

// TestAStreamTooMany: what a connection that was in use refuses in the words for a stream too many is sent once more.
func TestAStreamTooMany(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	url, roots := serveFrames(t, func(f *http2.Framer, frame http2.Frame) bool {
		if _, ok := frame.(*http2.HeadersFrame); ok {
			if stream := frame.Header().StreamID; n.Add(1) == 2 {
				f.WriteRSTStream(stream, http2.ErrCodeProtocol)
			} else {
				head(f, stream, status204, true)
			}
		}
		return true
	})
	b := open(t, fetch.Config{TLS: roots}, loopback())
	wantOK(t, b.do(&fetch.Request{URL: url}))
	if resp := wantOK(t, b.do(&fetch.Request{URL: url})); resp.Attempts != 2 || b.session.Usage().Requests != 3 || n.Load() != 3 {
		t.Errorf("%d attempts, %+v, the upstream saw %d", resp.Attempts, b.session.Usage(), n.Load())
	}
}
