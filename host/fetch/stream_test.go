package fetch_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// bothProtocols runs a test over HTTP/1.1 and over HTTP/2.
func bothProtocols(t *testing.T, handler http.HandlerFunc, p fetch.Policy, test func(t *testing.T, b *bench, url string)) {
	t.Run("http/1.1", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, fetch.Config{}, p), serve(t, handler).URL)
	})
	t.Run("h2", func(t *testing.T) {
		t.Parallel()
		up, trust := serveTLS(t, handler)
		test(t, open(t, fetch.Config{TLS: trust}, p), up.URL)
	})
}

// streamError reads a stream to its end and returns its error.
func streamError(t *testing.T, r io.Reader) *fetch.Error {
	t.Helper()
	_, err := io.Copy(io.Discard, r)
	e, ok := errors.AsType[*fetch.Error](err)
	if !ok {
		t.Fatalf("reading gave %v", err)
	}
	return e
}

// TestStreamAsItArrives: the first piece is there before the second is written.
func TestStreamAsItArrives(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			next := make(chan string)
			handler := func(w http.ResponseWriter, _ *http.Request) {
				for piece := range next {
					io.WriteString(w, piece)
					w.(http.Flusher).Flush()
				}
			}
			var b *bench
			url := ""
			if protocol == "h2" {
				up, trust := serveTLS(t, handler)
				b, url = open(t, fetch.Config{TLS: trust}, loopback()), up.URL
			} else {
				b, url = open(t, fetch.Config{}, loopback()), serve(t, handler).URL
			}
			got := make(chan fetch.Result, 1)
			go func() { got <- b.do(&fetch.Request{URL: url, Stream: true}) }()
			next <- "first"
			resp := wantOK(t, within(t, "the head", got))
			buf := make([]byte, 32)
			for _, piece := range []string{"first", "second"} {
				if piece == "second" {
					next <- piece
				}
				if n, err := io.ReadFull(resp.BodyReader, buf[:len(piece)]); err != nil || string(buf[:n]) != piece {
					t.Fatalf("got %q, %v", buf[:n], err)
				}
			}
			if r := b.session.Records()[0]; r.State != fetch.Fulfilled || b.engine.SlotsInUse() != 1 {
				t.Errorf("while reading: %s, %d slots", r.State, b.engine.SlotsInUse())
			}
			close(next)
			if n, err := resp.BodyReader.Read(buf); n != 0 || err != io.EOF {
				t.Errorf("at the end: %d, %v", n, err)
			}
			if b.engine.SlotsInUse() != 0 {
				t.Errorf("%d slots in use after the end", b.engine.SlotsInUse())
			}
			if r := b.session.Records()[0]; r.Bytes != 11 || r.Exchanges[0].Decoded != 11 || r.Code != "" {
				t.Errorf("record %+v", r)
			}
			if u := b.session.Usage(); u.Bytes != 11 || u.Requests != 1 {
				t.Errorf("usage %+v", u)
			}
		})
	}
}

// TestStreamHoldsTheUpstreamBack: of a body that is not read, the upstream can write only what connections buffer.
func TestStreamHoldsTheUpstreamBack(t *testing.T) {
	t.Parallel()
	const total = 64 << 20
	var written [2]atomic.Int64 // over HTTP/1.1 and HTTP/2
	p := withLimits(func(l *manifest.FetchLimits) { l.ResponseBytes, l.TotalBytes = total, total })
	bothProtocols(t, func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 64<<10)
		for n := 0; n < total; n += len(piece) {
			if _, err := w.Write(piece); err != nil {
				return
			}
			written[r.ProtoMajor-1].Add(int64(len(piece)))
		}
	}, p, func(t *testing.T, b *bench, url string) {
		resp := wantOK(t, b.do(&fetch.Request{URL: url, Stream: true}))
		mine := &written[0]
		if strings.HasPrefix(url, "https:") {
			mine = &written[1]
		}
		eventually(t, "the upstream to be held back", func() bool {
			before := mine.Load()
			time.Sleep(100 * time.Millisecond)
			return before > 0 && before == mine.Load()
		})
		// What the connection's two ends buffer is a few MiB.
		if n := mine.Load(); n > total/2 {
			t.Errorf("the upstream wrote %d bytes nobody read", n)
		}
		resp.BodyReader.Close()
		if b.engine.SlotsInUse() != 0 {
			t.Errorf("%d slots in use", b.engine.SlotsInUse())
		}
	})
}

// TestSlowReaderIsNotASlowUpstream: read_timeout counts only while something is read.
func TestSlowReaderIsNotASlowUpstream(t *testing.T) {
	t.Parallel()
	p := withLimits(func(l *manifest.FetchLimits) { l.ReadTimeout = long / 2 })
	bothProtocols(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Write(make([]byte, 300<<10))
	}, p, func(t *testing.T, b *bench, url string) {
		resp := wantOK(t, b.do(&fetch.Request{URL: url, Stream: true}))
		time.Sleep(time.Duration(long)) // twice the limit, without a byte
		if n, err := io.Copy(io.Discard, resp.BodyReader); n != 300<<10 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
	})
}

func TestStreamFailures(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(make([]byte, 4<<20))
	z.Close()
	for _, c := range []struct {
		name    string
		code    failure.Code
		limits  func(*manifest.FetchLimits)
		request fetch.Request
		handler http.HandlerFunc
	}{
		{"a body that stalls", failure.ReadTimeout, func(l *manifest.FetchLimits) { l.ReadTimeout = long }, fetch.Request{}, stall}, // long enough for the head
		{"the whole time", failure.Timeout, nil, fetch.Request{Timeout: time.Duration(long)}, stall},
		{"the attempt's time", failure.Timeout, nil, fetch.Request{AttemptTimeout: time.Duration(long)}, stall},
		{"a body that is cut", failure.ReadError, nil, fetch.Request{}, func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte("some"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}},
		{"more than response_bytes", failure.ResponseTooLarge, func(l *manifest.FetchLimits) { l.ResponseBytes = 1000 }, fetch.Request{}, func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			w.Write(make([]byte, 1001))
		}},
		{"more than total_bytes", failure.LimitBytes, func(l *manifest.FetchLimits) { l.TotalBytes = 1000 }, fetch.Request{}, func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			w.Write(make([]byte, 1001))
		}},
		{"a bomb", failure.ResponseTooLarge, func(l *manifest.FetchLimits) { l.ResponseBytes = 1 << 20 }, fetch.Request{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(zipped.Bytes())
		}},
		{"a coding that is broken", failure.DecodeError, nil, fetch.Request{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(zipped.Bytes()[:zipped.Len()-20])
			w.Write([]byte("nonsense to the end!"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := loopback()
			if c.limits != nil {
				p = withLimits(c.limits)
			}
			bothProtocols(t, c.handler, p, func(t *testing.T, b *bench, url string) {
				r := c.request
				r.URL, r.Stream = url, true
				resp := wantOK(t, b.do(&r))
				if e := streamError(t, resp.BodyReader); e.Code != c.code || e.URL != url+"/" {
					t.Errorf("got %v of %s", e, e.URL)
				}
				if e := streamError(t, resp.BodyReader); e.Code != c.code {
					t.Errorf("the second time %v", e)
				}
				if b.engine.SlotsInUse() != 0 {
					t.Error("a slot is left in use")
				}
				if r := b.session.Records()[0]; r.State != fetch.Fulfilled || r.Code != c.code || r.Exchanges[0].Code != c.code {
					t.Errorf("record %+v", r)
				}
			})
		})
	}
}

// stall sends some of a body and then nothing until the client goes.
func stall(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, "some")
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// TestUnreadStreamEndsWithItsSession: a body that nobody reads gives its slot back.
func TestUnreadStreamEndsWithItsSession(t *testing.T) {
	t.Parallel()
	bothProtocols(t, stall, loopback(), func(t *testing.T, b *bench, url string) {
		resp := wantOK(t, b.do(&fetch.Request{URL: url, Stream: true}))
		reading := make(chan error, 1)
		go func() { _, err := io.Copy(io.Discard, resp.BodyReader); reading <- err }()
		other := wantOK(t, b.do(&fetch.Request{URL: url, Stream: true}))
		if b.engine.SlotsInUse() != 2 {
			t.Fatalf("%d slots in use", b.engine.SlotsInUse())
		}
		b.session.Close()
		if b.engine.SlotsInUse() != 0 {
			t.Errorf("%d slots in use after the session", b.engine.SlotsInUse())
		}
		if e, ok := errors.AsType[*fetch.Error](within(t, "the reader to come back", reading)); !ok || e.Code != failure.Cancelled {
			t.Errorf("reading ended with %v", e)
		}
		if e := streamError(t, other.BodyReader); e.Code != failure.Cancelled {
			t.Error(e)
		}
	})
}

// TestStreamsOutliveTheirGroup: a group is over when its members have their heads.
func TestStreamsOutliveTheirGroup(t *testing.T) {
	t.Parallel()
	bothProtocols(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
		w.Write(bytes.Repeat([]byte("x"), 200<<10))
	}, loopback(), func(t *testing.T, b *bench, url string) {
		results := b.session.Group(context.Background(), &fetch.Group{Mode: fetch.AllSettled, Timeout: time.Minute, Requests: []*fetch.Request{
			{URL: url, Stream: true}, {URL: url + "/slow", Stream: true}, {URL: url, Stream: true, Hedge: time.Minute},
		}})
		wantOK(t, results[1]).BodyReader.Close()
		for _, i := range []int{0, 2} {
			if n, err := io.Copy(io.Discard, wantOK(t, results[i]).BodyReader); n != 200<<10 || err != nil {
				t.Errorf("read %d of member %d, %v", n, i, err)
			}
		}
	})
}

// TestHedgedStream: the winner's body goes on when the loser is cancelled.
func TestHedgedStream(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			var n, gone atomic.Int32
			handler := func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/warm" && n.Add(1) == 1 {
					<-r.Context().Done()
					gone.Add(1)
					return
				}
				w.(http.Flusher).Flush()
				w.Write(bytes.Repeat([]byte("x"), 200<<10))
			}
			cfg, url := fetch.Config{}, ""
			if protocol == "h2" {
				up, trust := serveTLS(t, handler)
				cfg.TLS, url = trust, up.URL
			} else {
				url = serve(t, handler).URL
			}
			b := open(t, cfg, loopback())
			wantOK(t, b.do(&fetch.Request{URL: url + "/warm"})) // so that the first attempt is the first to arrive
			resp := wantOK(t, b.do(&fetch.Request{URL: url, Stream: true, Hedge: 300 * time.Millisecond}))
			if n, err := io.Copy(io.Discard, resp.BodyReader); n != 200<<10 || err != nil {
				t.Errorf("read %d, %v", n, err)
			}
			eventually(t, "the loser to go", func() bool { return gone.Load() == 1 })
			x := b.session.Records()[1].Exchanges
			if len(x) != 2 || x[0].Code != failure.Cancelled || x[0].Hedge || !x[1].Hedge || x[1].Attempt != 2 {
				t.Errorf("exchanges %+v", x)
			}
		})
	}
}

// pieces is a body that is given one piece at a time.
type pieces struct {
	next   chan string
	closed chan struct{}
}

func (p *pieces) Read(b []byte) (int, error) {
	select {
	case s, ok := <-p.next:
		if !ok {
			return 0, io.EOF
		}
		return copy(b, s), nil
	case <-p.closed:
		return 0, io.ErrClosedPipe
	}
}

func (p *pieces) Close() error { close(p.closed); return nil }

func newPieces() *pieces { return &pieces{make(chan string), make(chan struct{})} }

// TestUploadFromAReader: pieces go out as they come, and a reader that is slow isn't the upstream's fault.
func TestUploadFromAReader(t *testing.T) {
	t.Parallel()
	p := withLimits(func(l *manifest.FetchLimits) { l.WriteTimeout = long / 2 })
	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 16)
			handler := func(w http.ResponseWriter, r *http.Request) {
				buf := make([]byte, 64)
				for {
					n, err := r.Body.Read(buf)
					if n > 0 {
						got <- string(buf[:n])
					}
					if err != nil {
						break
					}
				}
				fmt.Fprint(w, r.ContentLength)
			}
			cfg, url := fetch.Config{}, ""
			if protocol == "h2" {
				up, trust := serveTLS(t, handler)
				cfg.TLS, url = trust, up.URL
			} else {
				url = serve(t, handler).URL
			}
			b := open(t, cfg, p)
			body := newPieces()
			done := make(chan fetch.Result, 1)
			b.session.Start(&fetch.Request{Method: "POST", URL: url, BodyReader: body}, func(r fetch.Result) { done <- r })
			for _, piece := range []string{"one", "two"} {
				body.next <- piece
				if s := within(t, "the piece", got); s != piece {
					t.Errorf("the upstream got %q", s)
				}
				time.Sleep(time.Duration(long)) // twice the limit
			}
			close(body.next)
			if resp := wantOK(t, within(t, "the answer", done)); string(resp.Body) != "-1" {
				t.Errorf("content length %s", resp.Body)
			}
			within(t, "the reader to be closed", body.closed)
			if x := b.session.Records()[0].Exchanges[0]; x.Sent < 6 {
				t.Errorf("sent %d bytes", x.Sent)
			}
		})
	}
}

func TestUploadsThatCannotBe(t *testing.T) {
	t.Parallel()
	handler := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/again":
			w.WriteHeader(503)
		case "/307":
			http.Redirect(w, r, "/", 307)
		case "/303":
			http.Redirect(w, r, "/", 303)
		case "/wait": // for the client to see what is wrong
			<-r.Context().Done()
		}
	}
	for _, c := range []struct {
		name     string
		path     string
		body     io.Reader
		length   int64
		whole    string
		code     failure.Code // empty: an answer
		status   int
		attempts int32
	}{
		{"longer than request_bytes", "/", strings.NewReader(strings.Repeat("x", 1001)), 0, "", failure.RequestTooLarge, 0, 1},
		{"announced as longer than request_bytes", "/", strings.NewReader("x"), 1001, "", failure.RequestTooLarge, 0, 0},
		{"shorter than announced", "/", strings.NewReader("x"), 2, "", failure.InvalidRequest, 0, 1},
		{"longer than announced", "/wait", strings.NewReader("xxx"), 2, "", failure.InvalidRequest, 0, 1},
		{"a reader and bytes", "/", strings.NewReader("x"), 1, "x", failure.InvalidRequest, 0, 0},
		{"a reader that fails", "/", io.MultiReader(strings.NewReader("x"), failingReader{}), 0, "", failure.Cancelled, 0, 1},
		{"of a known length", "/", strings.NewReader("xx"), 2, "", "", 200, 1},
		{"not tried again", "/again", strings.NewReader("x"), 0, "", "", 503, 1},
		{"not sent on", "/307", strings.NewReader("x"), 0, "", failure.RedirectBlocked, 0, 1},
		{"left behind by a 303", "/303", strings.NewReader("x"), 0, "", "", 200, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.RequestBytes = 1000 }))
			hedge := time.Nanosecond
			if c.path == "/303" {
				hedge = 0 // the GET after it may be hedged
			}
			res := b.do(&fetch.Request{Method: "PUT", URL: serve(t, handler).URL + c.path, BodyReader: io.NopCloser(c.body), BodyLength: c.length, Body: []byte(c.whole),
				Hedge: hedge, Retry: &fetch.Retry{Attempts: 3, Backoff: time.Millisecond}})
			attempts := b.session.Records()[0].Attempts
			if c.code != "" {
				wantCode(t, res, c.code)
			} else if resp := wantOK(t, res); resp.Status != c.status {
				t.Errorf("status %d", resp.Status)
			}
			if attempts != int(c.attempts) {
				t.Errorf("%d attempts", attempts)
			}
		})
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("the source is gone") }

// TestCancelledUploadClosesItsReader: a read that waits comes back.
func TestCancelledUploadClosesItsReader(t *testing.T) {
	t.Parallel()
	arrived := make(chan bool, 1)
	up := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- true
		io.Copy(io.Discard, r.Body)
	})
	b := open(t, fetch.Config{}, loopback())
	body := newPieces()
	done := make(chan fetch.Result, 1)
	call := b.session.Start(&fetch.Request{Method: "POST", URL: up.URL, BodyReader: body}, func(r fetch.Result) { done <- r })
	within(t, "one in flight", arrived)
	call.Cancel()
	wantCode(t, within(t, "its end", done), failure.Cancelled)
	within(t, "the reader to be closed", body.closed)
	b.session.Close()
}
