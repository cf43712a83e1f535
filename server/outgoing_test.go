package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

// client is one without kept connections, for the protocol that the server speaks.
func (s *testServer) client() *http.Transport {
	t := &http.Transport{DisableKeepAlives: true, DisableCompression: true, Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP1(!s.http2)
	t.Protocols.SetUnencryptedHTTP2(s.http2)
	s.t.Cleanup(t.CloseIdleConnections)
	return t
}

// open sends a request, and returns when the answer's head is here. The client goes away when the context ends.
func (s *testServer) open(ctx context.Context, method, path string, body io.Reader) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := s.client().RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// reported waits for the report of an answer's invocation.
func (s *testServer) reported(response *http.Response) (report *host.Report) {
	s.t.Helper()
	id := response.Header.Get("Sortie-Invocation")
	eventually(s.t, "a report of "+id, func() bool { report = s.reports.find(id); return report != nil })
	return report
}

// reads checks what comes next of a body.
func reads(t *testing.T, body io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(body, got); string(got) != want {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

// protocols runs a test over HTTP/1.1 and HTTP/2.
func protocols(t *testing.T, test func(t *testing.T, http2 bool)) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[http2], func(t *testing.T) {
			t.Parallel()
			test(t, http2)
		})
	}
}

// streaming makes guests that stream what write writes.
func streaming(
	write func(ctx context.Context, r *host.Request, w io.Writer) error,
) func(context.Context, host.Source, *host.Request) (*host.Response, error) {
	return func(ctx context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		response := &host.Response{Status: 200, Header: []fetch.Field{{Name: "content-type", Value: "text/plain"}}, Streamed: true}
		if err := r.Writer.Begin(response); err != nil {
			return nil, host.NewError(host.CodeCancelled, "gone: %v", err)
		}
		return response, write(ctx, r, r.Writer)
	}
}

func TestStreamedAnswer(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		next := make(chan struct{})
		s := start(t, func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
			response := &host.Response{Status: 201, Streamed: true, Header: []fetch.Field{
				{Name: "content-type", Value: "text/event-stream"}, {Name: "content-length", Value: "1"}, {Name: "trailer", Value: "x"},
				{Name: "server-timing", Value: "db;dur=5"}, {Name: "set-cookie", Value: "a=b; Path=/"}, {Name: "sortie-error", Value: "fake"},
			}}
			err := r.Writer.Begin(response)
			for i := 0; i < 3 && err == nil; i++ {
				<-next
				_, err = fmt.Fprintf(r.Writer, "data: %d\n\n", i)
			}
			<-next
			return response, err
		}, options{http2: http2})
		s.deployed("a", "", "one", "")
		response := s.open(t.Context(), "POST", "/p/a", strings.NewReader("a body"))
		h := response.Header
		if response.StatusCode != 201 || response.ContentLength != -1 || h.Get("Content-Length") != "" || h.Get("Sortie-Error") != "" ||
			h.Get("Content-Type") != "text/event-stream" || h.Get("Set-Cookie") != "a=b; Path=/p/a" || h.Get("Sortie-Version") != "1" ||
			h.Get("Content-Security-Policy") != sandbox || h.Get("Server-Timing") != "db;dur=5" {
			t.Errorf("%d, length %d, %v", response.StatusCode, response.ContentLength, h)
		}
		if _, declared := response.Trailer["Server-Timing"]; !declared || len(response.Trailer) != 1 {
			t.Errorf("trailers: %v", response.Trailer)
		}
		for i := range 3 {
			next <- struct{}{} // the next is made when the one before is here
			reads(t, response.Body, fmt.Sprintf("data: %d\n\n", i))
		}
		if used := s.memory.Used(); used != streamHeld+int64(len("a body")+1) {
			t.Errorf("%d bytes are held", used)
		}
		if s.reports.find(h.Get("Sortie-Invocation")) != nil {
			t.Error("there is a report already")
		}
		next <- struct{}{}
		if rest, err := io.ReadAll(response.Body); len(rest) > 0 || err != nil {
			t.Errorf("the rest: %q, %v", rest, err)
		}
		timing := response.Trailer["Server-Timing"]
		if len(timing) != 1 || timing[0] != `queue;dur=1.000, guest;dur=2.000, fetch;dur=0.000;desc="0", total;dur=0.000` {
			t.Errorf("trailer Server-Timing = %q", timing)
		}
		if r := s.reports.find(h.Get("Sortie-Invocation")); r == nil || r.Status != 201 || r.Code != "" {
			t.Errorf("report: %+v", r)
		}
		eventually(t, "given back", func() bool { return s.memory.Used() == 0 })
	})
}

// TestStreamedAnswersKeepTheConnection: neither a deadline nor anything else of one is left for the next request.
func TestStreamedAnswersKeepTheConnection(t *testing.T) {
	t.Parallel()
	s := start(t, streaming(func(_ context.Context, r *host.Request, w io.Writer) error {
		_, err := io.WriteString(w, r.Path)
		return err
	}), options{})
	s.deployed("a", "", "one", "")
	conn := s.dial()
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for _, path := range []string{"/1", "/2", "/3"} {
		if _, err := io.WriteString(conn, "POST /p/a"+path+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != path || response.Close {
			t.Errorf("%s: %q, %v, closed: %v", path, body, err, response.Close)
		}
	}
}

func TestStreamedAnswerFails(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		fail := make(chan struct{})
		s := start(t, streaming(func(_ context.Context, _ *host.Request, w io.Writer) error {
			_, _ = io.WriteString(w, "some")
			<-fail
			return host.NewError(host.CodeLimitWall, "limits.stream is over")
		}), options{http2: http2})
		s.deployed("a", "", "one", "")
		response := s.open(t.Context(), "GET", "/p/a", nil)
		reads(t, response.Body, "some")
		fail <- struct{}{}
		rest, err := io.ReadAll(response.Body)
		if len(rest) > 0 || err == nil || !http2 && err != io.ErrUnexpectedEOF {
			t.Errorf("the rest: %q, %v", rest, err)
		}
		if r := s.reported(response); r.Code != "limit_wall" || r.Status != 504 || r.Detail != "limits.stream is over" {
			t.Errorf("report: %+v", r)
		}
		eventually(t, "given back", func() bool { return s.memory.Used() == 0 })
		if log := s.log.String(); !strings.Contains(log, `"code":"limit_wall"`) || strings.Contains(log, `"level":"ERROR"`) {
			t.Errorf("log: %s", log)
		}
	})
}

// TestStreamedAnswerFailsInHTTP10, where a body ends with its connection: a failure must not look like that.
func TestStreamedAnswerFailsInHTTP10(t *testing.T) {
	t.Parallel()
	got := make(chan struct{}, 1)
	s := start(t, streaming(func(_ context.Context, r *host.Request, w io.Writer) error {
		_, _ = io.WriteString(w, "some")
		if r.Path == "/fail" {
			<-got
			return host.NewError(host.CodePluginError, "no more")
		}
		return nil
	}), options{})
	s.deployed("a", "", "one", "")
	for path, want := range map[string]error{"/fail": syscall.ECONNRESET, "/": nil} {
		conn := s.dial()
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /p/a"+path+" HTTP/1.0\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if response.Header.Get("Trailer") != "" {
			t.Error("HTTP/1.0 has no trailers")
		}
		reads(t, response.Body, "some")
		got <- struct{}{}
		if rest, err := io.ReadAll(response.Body); len(rest) > 0 || !errors.Is(err, want) {
			t.Errorf("%s: the rest is %q, %v; want %v", path, rest, err, want)
		}
		select {
		case <-got:
		default:
		}
	}
}

func TestStreamedAnswersWithoutABody(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		s := start(t, func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
			response := &host.Response{Streamed: true}
			if _, err := fmt.Sscan(r.Path[1:], &response.Status); err != nil {
				return nil, err
			}
			err := r.Writer.Begin(response)
			for range 100 {
				if n, werr := r.Writer.Write(make([]byte, 1000)); n != 1000 || werr != nil {
					err = errors.Join(err, werr, fmt.Errorf("%d bytes taken", n))
				}
			}
			return response, err
		}, options{http2: http2})
		s.deployed("a", "", "one", "")
		for _, status := range []int{200, 204, 205, 304} {
			for _, method := range []string{"GET", "HEAD"} {
				response := s.open(t.Context(), method, fmt.Sprint("/p/a/", status), nil)
				body, err := io.ReadAll(response.Body)
				if want := method == "GET" && status == 200; err != nil || response.StatusCode != status || (len(body) > 0) != want {
					t.Errorf("%s %d: %d, %d bytes, %v", method, status, response.StatusCode, len(body), err)
				}
				if r := s.reported(response); r.Code != "" || r.Status != status {
					t.Errorf("%s %d: report %+v", method, status, r)
				}
			}
		}
	})
}

// TestNoRoomForAStream: whoever can't begin can still be told.
func TestNoRoomForAStream(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	s := start(t, streaming(func(context.Context, *host.Request, io.Writer) error { <-hold; return nil }),
		options{operator: "process: {memory: 100KiB}"})
	s.deployed("a", "", "one", "")
	first := s.open(t.Context(), "GET", "/p/a", nil)
	refused := s.get("/p/a")
	wantOverloaded(t, refused)
	if r := s.reported(refused.Response); r.Code != "overloaded" || refused.Header.Get("Trailer") != "" {
		t.Errorf("header %v, report %+v", refused.Header, r)
	}
	close(hold)
	if _, err := io.ReadAll(first.Body); err != nil {
		t.Error(err)
	}
	eventually(t, "given back", func() bool { return s.memory.Used() == 0 })
	if response := s.open(t.Context(), "GET", "/p/a", nil); response.StatusCode != 200 {
		t.Errorf("once there is room: %d", response.StatusCode)
	}
}

// TestSlowReadersOfStreams: a plugin may be silent for long, a client may not keep a piece waiting for long.
func TestSlowReadersOfStreams(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		limit  string        // limits.stream
		silent time.Duration // before the piece
		size   int
		read   int // of it, at a time
		pause  time.Duration
		within time.Duration // until it's given up; 0: it isn't
		code   string        // in the report
	}{
		{"silent for long", "1h", 30 * time.Minute, 10, 10, 0, 0, ""},
		{"stuck", "1h", time.Minute, streamHeld, 1, time.Hour, bodyIdle + 2*time.Second, "cancelled"},
		{"slow", "1h", time.Minute, streamHeld, 1 << 10, 400 * time.Millisecond, 0, ""},
		{"stuck until the limit", "10s", time.Second, streamHeld, 1, time.Hour, 10 * time.Second, "limit_wall"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var took time.Duration
				var failed error
				s := start(t, streaming(func(_ context.Context, _ *host.Request, w io.Writer) error {
					time.Sleep(test.silent)
					begun := time.Now()
					_, failed = w.Write(make([]byte, test.size))
					took = time.Since(begun)
					if failed != nil {
						return host.NewError(host.CodeCancelled, "the caller has gone")
					}
					return nil
				}), options{listener: newPipes()})
				s.deployed("a", "limits: {stream: "+test.limit+"}", "one", "")
				conn := s.posting("GET /p/a", 0, "")
				response, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan struct{})
				go func() { defer close(done); reading(response.Body, test.read, test.pause) }()
				var report *host.Report
				for report == nil {
					time.Sleep(time.Second)
					report = s.reports.find(response.Header.Get("Sortie-Invocation"))
				}
				if report.Code != test.code {
					t.Errorf("report: %s %s", report.Code, report.Detail)
				}
				if (failed == nil) != (test.within == 0) || test.within > 0 && took > test.within {
					t.Errorf("after %v: %v", took, failed)
				}
				_ = conn.Close()
				<-done
				s.allGivenBack()
			})
		})
	}
}
