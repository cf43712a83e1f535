package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/hosttest"
)

// slowly is an upstream that sends what a test tells it to, and tells the test when a request is there and when its client has gone.
type slowly struct {
	*httptest.Server
	pieces        chan string
	arrived, gone chan struct{}
}

func newSlowly(t *testing.T) *slowly {
	u := &slowly{pieces: make(chan string), arrived: make(chan struct{}, 1), gone: make(chan struct{}, 1)}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		u.arrived <- struct{}{}
		for {
			select {
			case piece, more := <-u.pieces:
				if !more {
					return
				}
				_, _ = io.WriteString(w, piece)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				u.gone <- struct{}{}
				return
			}
		}
	}))
	t.Cleanup(u.Close)
	return u
}

// target is the address of a plugin that is to fetch from the upstream.
func (u *slowly) target(path string) string { return path + "?url=" + url.QueryEscape(u.URL) }

// comes waits for what a test can't go on without.
func comes(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute): // on a slow machine that is busy
		t.Fatalf("never: %s", what)
	}
}

// TestRealStreams runs host/testdata/streams, whose requests' bodies come in pieces.
func TestRealStreams(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles for another target")
	}
	one, stop := startReal(t, t.TempDir())
	t.Cleanup(stop)
	wasm := string(hosttest.Build(t, "../host/testdata/streams"))
	const allow = "fetch: {allow: [{url: 'http://127.0.0.1:*', private: true}]}\n"
	one.deployed("a", allow+"limits: {input: 2MB, wall: 20s, stream: 1m}", wasm, "")
	one.deployed("brief", "limits: {wall: 3s, stream: 1m}", wasm, "")
	one.deployed("briefer", "limits: {wall: 20s, stream: 500ms}", wasm, "")
	two := *one
	two.http2 = true
	for protocol, s := range map[string]*testServer{"HTTP/1.1": one, "HTTP/2": &two} {
		for name, test := range map[string]func(*testing.T, *testServer){
			"piece by piece": realPieceByPiece, "past wall": realPastWall, "stream limit": realStreamLimit, "failing": realFailing,
			"going away": realGoingAway, "full duplex": realFullDuplex, "too large": realTooLarge, "lines": realLines,
		} {
			t.Run(protocol+" "+name, func(t *testing.T) {
				s := *s
				s.t = t
				test(t, &s)
			})
		}
	}
}

func realPieceByPiece(t *testing.T, s *testServer) {
	u := newSlowly(t)
	response := s.open(t.Context(), "GET", u.target("/p/a/pass"), nil)
	for i := range 3 {
		piece := fmt.Sprintf("data: %d\n\n", i)
		u.pieces <- piece // the next, when the one before is here
		reads(t, response.Body, piece)
	}
	close(u.pieces)
	if rest, err := io.ReadAll(response.Body); len(rest) > 0 || err != nil {
		t.Errorf("the rest: %q, %v", rest, err)
	}
	var queue, guest, fetched, total float64
	var n int
	timing := response.Trailer.Get("Server-Timing")
	const format = `queue;dur=%f, guest;dur=%f, fetch;dur=%f;desc="%d", total;dur=%f`
	if _, err := fmt.Sscanf(timing, format, &queue, &guest, &fetched, &n, &total); err != nil || n != 1 || total < fetched {
		t.Errorf("trailer Server-Timing = %q: %v", timing, err)
	}
	if report := s.reported(response); report.Code != "" || len(report.Fetches) != 1 {
		t.Errorf("report: %+v", report)
	}
}

// realPastWall has events come for longer than limits.wall.
func realPastWall(t *testing.T, s *testServer) {
	begun := time.Now()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	response := s.open(ctx, "GET", "/p/brief/ticks", nil)
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", response.StatusCode, response.Header)
	}
	for i := 0; time.Since(begun) < 3500*time.Millisecond; i++ {
		reads(t, response.Body, fmt.Sprintf("data: %d\n\n", i))
	}
	leave()
	if report := s.reported(response); report.Code != "cancelled" {
		t.Errorf("report: %s %s", report.Code, report.Detail)
	}
}

// realStreamLimit has events come until limits.stream is over.
func realStreamLimit(t *testing.T, s *testServer) {
	response := s.open(t.Context(), "GET", "/p/briefer/ticks", nil)
	body, err := io.ReadAll(response.Body)
	if err == nil || !s.http2 && err != io.ErrUnexpectedEOF {
		t.Errorf("ended with %v after %q", err, body)
	}
	report := s.reported(response)
	if report.Code != "limit_wall" || report.Status != 504 || !strings.Contains(report.Detail, "limits.stream") {
		t.Errorf("report: %s %s", report.Code, report.Detail)
	}
	for _, b := range report.Budget {
		if b.Name == "limits.stream" && b.Used < b.Limit {
			t.Errorf("budget: %+v", b)
		}
	}
}

func realFailing(t *testing.T, s *testServer) {
	for path, code := range map[string]string{"/fail": "plugin_error", "/panic": "plugin_error"} {
		response := s.open(t.Context(), "GET", "/p/a"+path, nil)
		body, err := io.ReadAll(response.Body)
		if response.StatusCode != 200 || err == nil || len(body) > len("some") {
			t.Errorf("%s: %d %q, %v", path, response.StatusCode, body, err)
		}
		if report := s.reported(response); report.Code != code {
			t.Errorf("%s: report %s %s", path, report.Code, report.Detail)
		}
	}
}

// realGoingAway leaves while an answer is on its way, and while a body of 1 MB lies unread.
func realGoingAway(t *testing.T, s *testServer) {
	u := newSlowly(t)
	ctx, leave := context.WithCancel(t.Context())
	response := s.open(ctx, "GET", u.target("/p/a/pass"), nil)
	<-u.arrived
	u.pieces <- "some"
	reads(t, response.Body, "some")
	leave()
	comes(t, "the fetch of a streamed answer cancelled", u.gone)
	if report := s.reported(response); report.Code != "cancelled" || report.Status != 499 {
		t.Errorf("report: %s %s", report.Code, report.Detail)
	}

	ctx, leave = context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", s.url+u.target("/p/a/ignore"), strings.NewReader(strings.Repeat("x", 1e6)))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := s.client().RoundTrip(r); done <- err }()
	comes(t, "a fetch while the body is unread", u.arrived)
	leave()
	comes(t, "the fetch cancelled, whose caller has sent 1 MB", u.gone)
	if err := <-done; err == nil {
		t.Error("whoever has gone was answered")
	}
}

func realFullDuplex(t *testing.T, s *testServer) {
	r, w := io.Pipe()
	response := s.open(t.Context(), "POST", "/p/a/echo", r)
	for i := range 5 {
		piece := fmt.Sprintf("piece %d;", i)
		if _, err := io.WriteString(w, piece); err != nil {
			t.Fatal(err)
		}
		reads(t, response.Body, piece)
	}
	_ = w.Close()
	if rest, err := io.ReadAll(response.Body); len(rest) > 0 || err != nil || response.Trailer.Get("Server-Timing") == "" {
		t.Errorf("the rest: %q, %v, %v", rest, err, response.Trailer)
	}
}

func realTooLarge(t *testing.T, s *testServer) {
	chunked := func() io.Reader { return io.MultiReader(strings.NewReader(strings.Repeat("x", 3e6))) }
	a := s.send(http.MethodPost, "/p/a/count", chunked())
	wantProblem(t, a, 413, "limit_input")
	if report := s.reported(a.Response); report.Code != "limit_input" {
		t.Errorf("report: %s %s", report.Code, report.Detail)
	}
	response := s.open(t.Context(), "POST", "/p/a/echo", chunked())
	if body, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("%d bytes came back, and a clean end", len(body))
	}
	if report := s.reported(response); report.Code != "limit_input" {
		t.Errorf("report: %s %s", report.Code, report.Detail)
	}
	whole := strings.Repeat("x", 2e6)
	if a := s.send(http.MethodPost, "/p/a/echo", strings.NewReader(whole)); a.body != whole {
		t.Errorf("%d of %d bytes came back", len(a.body), len(whole))
	}
}

// realLines: what a plugin logs is in its log once, as it is in the report.
func realLines(t *testing.T, s *testServer) {
	report := s.reported(s.open(t.Context(), "GET", "/p/a/panic", nil))
	var lines []LogLine
	for _, line := range s.logs.recent("a", pluginLogLines) {
		if line.Invocation == report.ID {
			lines = append(lines, line)
		}
	}
	if len(lines) != len(report.Logs) || len(lines) == 0 {
		t.Fatalf("log %+v, report %+v", lines, report.Logs)
	}
	for i, line := range lines {
		if line.Message != report.Logs[i].Message || line.Level != report.Logs[i].Level {
			t.Errorf("log %+v, report %+v", line, report.Logs[i])
		}
	}
}
