package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sortie-run/sortie/host"
)

// echoes streams back each piece of its request's body.
func echoes(_ context.Context, r *host.Request, w io.Writer) error {
	buffer := make([]byte, 1<<10)
	for {
		n, err := r.BodyReader.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func TestPieces(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		s := start(t, streaming(echoes), options{http2: http2, stream: true})
		s.deployed("a", "", "one", "")
		r, w := io.Pipe()
		response := s.open(t.Context(), "POST", "/p/a", r)
		for i := range 5 {
			piece := fmt.Sprintf("piece %d;", i)
			if _, err := io.WriteString(w, piece); err != nil {
				t.Fatal(err)
			}
			reads(t, response.Body, piece) // before there is a next one
		}
		if used := s.memory.Used(); used != 2*streamHeld {
			t.Errorf("%d bytes are held", used)
		}
		_ = w.Close()
		if rest, err := io.ReadAll(response.Body); len(rest) > 0 || err != nil || response.Trailer.Get("Server-Timing") == "" {
			t.Errorf("the rest: %q, %v, %v", rest, err, response.Trailer)
		}
		if report := s.reported(response); report.Code != "" {
			t.Errorf("report: %+v", report)
		}
	})
}

// TestPiecesKeepTheConnection: a body that was read to its end leaves nothing behind.
func TestPiecesKeepTheConnection(t *testing.T) {
	t.Parallel()
	s := start(t, streaming(echoes), options{stream: true})
	s.deployed("a", "", "one", "")
	conn := s.dial()
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for i := range 3 {
		if _, err := io.WriteString(conn, "POST /p/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "%d\r\n0\r\n\r\n", i); err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); string(body) != fmt.Sprint(i) || err != nil || response.Close {
			t.Errorf("%q, %v, closed: %v", body, err, response.Close)
		}
	}
}

// TestPiecesLeft: what a plugin doesn't read holds up nobody, and the connection that it's on isn't used again.
func TestPiecesLeft(t *testing.T) {
	t.Parallel()
	waits := func(ctx context.Context, r *host.Request) error {
		reading, read := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(read)
			_, _ = io.ReadFull(r.BodyReader, make([]byte, 1))
			close(reading)
			_, _ = r.BodyReader.Read(make([]byte, 1)) // nothing comes
		}()
		<-reading
		if err := r.BodyReader.Close(); err != nil {
			return err
		}
		<-read
		if _, err := r.BodyReader.Read(make([]byte, 1)); err == nil {
			return errors.New("a closed body can be read")
		}
		return ctx.Err() // closing isn't going away
	}
	s := start(t, func(ctx context.Context, src host.Source, r *host.Request) (*host.Response, error) {
		switch r.Path {
		case "/whole":
			return &host.Response{Status: 200, Body: []byte("done")}, waits(ctx, r)
		case "/unread":
			return &host.Response{Status: 200, Body: []byte("done")}, nil
		}
		return streaming(func(ctx context.Context, r *host.Request, w io.Writer) error {
			if r.Path == "/stream" {
				if err := waits(ctx, r); err != nil {
					return err
				}
			}
			_, err := io.WriteString(w, "done")
			return err
		})(ctx, src, r)
	}, options{stream: true})
	s.deployed("a", "", "one", "")
	for _, path := range []string{"/whole", "/unread", "/stream", "/stream-unread"} {
		conn := s.dial()
		defer conn.Close()
		reader := bufio.NewReader(conn)
		// What follows the piece must not be taken for a request.
		const head, rest = " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx", "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
		if _, err := io.WriteString(conn, "POST /p/a"+path+head); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); string(body) != "done" || err != nil {
			t.Errorf("%s: %q, %v", path, body, err)
		}
		_, _ = io.WriteString(conn, rest)
		if more, _ := io.ReadAll(reader); len(more) > 0 {
			t.Errorf("%s: then comes %q", path, more)
		}
		if report := s.reported(response); report.Code != "" {
			t.Errorf("%s: report %+v", path, report)
		}
	}
}

func TestInputLimitOfPieces(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		invoked := make(chan struct{}, 10)
		s := start(t, func(ctx context.Context, src host.Source, r *host.Request) (*host.Response, error) {
			invoked <- struct{}{}
			if strings.HasPrefix(r.Path, "/stream") {
				return streaming(echoes)(ctx, src, r)
			}
			body, err := io.ReadAll(r.BodyReader)
			return &host.Response{Status: 200, Body: body}, err
		}, options{http2: http2, stream: true})
		s.deployed("a", "limits: {input: 100kB}", "one", "")
		body := func(n int) io.Reader { return strings.NewReader(strings.Repeat("x", n)) }
		for _, n := range []int{1, 99_999, 100_000} {
			for _, r := range []io.Reader{body(n), io.MultiReader(body(n))} {
				if a := s.send(http.MethodPost, "/p/a", r); a.StatusCode != 200 || len(a.body) != n {
					t.Errorf("%d bytes: %d, %d bytes back", n, a.StatusCode, len(a.body))
				}
				<-invoked
			}
		}
		wantProblem(t, s.send(http.MethodPost, "/p/a", io.MultiReader(body(100_001))), 413, "limit_input")
		<-invoked
		response := s.open(t.Context(), "POST", "/p/a/stream", io.MultiReader(body(100_001)))
		if got, err := io.ReadAll(response.Body); err == nil {
			t.Errorf("%d bytes came, and a clean end", len(got))
		}
		if report := s.reported(response); report.Code != "limit_input" || report.Status != 413 {
			t.Errorf("report: %+v", report)
		}
		<-invoked
		wantProblem(t, s.send(http.MethodPost, "/p/a", body(100_001)), 413, "limit_input")
		if len(invoked) > 0 {
			t.Error("the guest was called with a body that says that it's too large")
		}
	})
}

// TestBrokenPieces: a body that isn't what it claims to be.
func TestBrokenPieces(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		_, err := io.ReadAll(r.BodyReader)
		return &host.Response{Status: 200}, err
	}, options{stream: true})
	s.deployed("a", "", "one", "")
	wantProblem(t, s.raw("POST /p/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), 400, "bad_request")
}

// TestClientGoesAwayFromAStream in each state that a request's body can be in.
func TestClientGoesAwayFromAStream(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		started := make(chan struct{})
		s := start(t, func(ctx context.Context, src host.Source, r *host.Request) (*host.Response, error) {
			part := make([]byte, 1<<10)
			var over bool
			switch r.Path {
			case "/part", "/stream":
				_, _ = io.ReadFull(r.BodyReader, part)
			case "/waiting":
				_, _ = io.ReadFull(r.BodyReader, part)
				go func() { _, _ = r.BodyReader.Read(part) }()
			case "/read":
				_, _ = io.Copy(io.Discard, r.BodyReader)
				over = true
			}
			waits := func(ctx context.Context, _ *host.Request, _ io.Writer) error {
				select {
				case started <- struct{}{}:
				case <-ctx.Done(): // the test is over
				}
				<-ctx.Done()
				return host.NewError(host.CodeCancelled, "the caller has gone; all was read: %v", over)
			}
			if r.Path == "/stream" {
				return streaming(waits)(ctx, src, r)
			}
			return nil, waits(ctx, r, nil)
		}, options{http2: http2, stream: true})
		s.deployed("a", "", "one", "")
		for path, sent := range map[string]int{"/unread": 1 << 20, "/part": 1 << 20, "/stream": 1 << 20, "/waiting": 1 << 10, "/read": 1 << 10} {
			if !http2 && path != "/waiting" && path != "/read" && runtime.GOOS != "linux" {
				continue
			}
			ctx, leave := context.WithCancel(t.Context())
			more, end := io.Pipe()
			body := struct { // a client that leaves closes what it is sending
				io.Reader
				io.Closer
			}{io.MultiReader(strings.NewReader(strings.Repeat("x", sent)), more), more}
			if path == "/read" {
				_ = end.Close()
			}
			r, err := http.NewRequestWithContext(ctx, "POST", s.url+"/p/a"+path, body)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if response, err := s.client().RoundTrip(r); err == nil {
					_, _ = io.Copy(io.Discard, response.Body)
					_ = response.Body.Close()
				}
			}()
			<-started
			begun := time.Now()
			leave()
			// Go's HTTP/2 client that has got its response's head looks at the context only once it is done with reading the request's body.
			_ = end.CloseWithError(context.Canceled)
			eventually(t, path+": cancelled", func() bool { return strings.Contains(s.log.String(), `"code":"cancelled"`) })
			t.Logf("%s: noticed after %v", path, time.Since(begun))
			s.log.reset()
			<-done
			eventually(t, path+": given back", func() bool { return s.memory.Used() == 0 })
		}
	})
}

// TestClientGoesAwayBehindItsBody: all of the body is on its way, and the plugin reads none of it.
func TestClientGoesAwayBehindItsBody(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux is asked")
	}
	for _, reset := range []bool{false, true} {
		started := make(chan struct{})
		s := start(t, func(ctx context.Context, _ host.Source, _ *host.Request) (*host.Response, error) {
			close(started)
			<-ctx.Done()
			return nil, host.NewError(host.CodeCancelled, "the caller has gone")
		}, options{stream: true})
		s.deployed("a", "", "one", "")
		const size = 1 << 20
		conn := s.posting("POST /p/a", size, "")
		<-started
		if n, err := conn.Write(make([]byte, size)); n != size || err != nil {
			t.Fatal(n, err)
		}
		if reset {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		_ = conn.Close()
		eventually(t, "cancelled", func() bool { return strings.Contains(s.log.String(), `"code":"cancelled"`) })
	}
}

// TestSlowPieces: the client is timed, and only while it's waited for.
func TestSlowPieces(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		size   int           // sent at a time
		pause  time.Duration // between
		think  time.Duration // the plugin's, after each piece
		within time.Duration // until it's refused; 0: it isn't
	}{
		{"nothing more", 0, time.Hour, 0, bodyIdle},
		{"a byte now and then", 1, time.Second, 0, bodyGrace},
		{"steadily", 64 << 10, time.Second, 0, 0},
		{"to a slow plugin", 64 << 10, 0, time.Minute, 0},
	}
	const length = 1 << 20
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := start(t, func(ctx context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
					buffer := make([]byte, 64<<10)
					for {
						_, err := io.ReadFull(r.BodyReader, buffer)
						if err == io.EOF {
							return &host.Response{Status: 200}, nil
						}
						if err != nil {
							return nil, errors.Join(err, ctx.Err()) // a client that is slow hasn't gone
						}
						time.Sleep(test.think)
					}
				}, options{listener: newPipes(), stream: true})
				s.deployed("a", "limits: {input: 4MiB}", "one", "")
				begun := time.Now()
				conn := s.posting("POST /p/a", length, "x")
				var client sync.WaitGroup
				defer client.Wait()
				defer conn.Close()
				client.Go(func() { dribble(conn, length-1, test.size, test.pause) })
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(response.Body)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); test.within > 0 && took > test.within {
					t.Errorf("refused after %v", took)
				}
				if test.within > 0 {
					wantProblem(t, answer{response, string(body)}, 504, "limit_wall")
				} else if response.StatusCode != 200 {
					t.Errorf("%d %s", response.StatusCode, body)
				}
				_ = conn.Close()
				s.allGivenBack()
			})
		})
	}
}
