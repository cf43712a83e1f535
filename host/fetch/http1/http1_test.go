package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sortie-run/sortie/host/fetch/http1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const origin = "http://upstream.example"

// stages is an observer that writes down what it's told.
type stages struct {
	mu   sync.Mutex
	list []string
}

func (s *stages) add(one string) {
	s.mu.Lock()
	s.list = append(s.list, one)
	s.mu.Unlock()
}
func (s *stages) Wrote()    { s.add("wrote") }
func (s *stages) Answered() { s.add("answered") }
func (s *stages) Released() { s.add("released") }

func (s *stages) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.list, " ")
}

// upstream answers each request on a connection with the next of its texts. It closes the connection after "close", and for "wait" it waits until
// the other side does.
type upstream struct {
	t        *testing.T
	listener net.Listener
	answers  []string
}

func newUpstream(t *testing.T, answers ...string) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{t: t, listener: l, answers: answers}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { u.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return u
}

func (u *upstream) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for _, answer := range u.answers {
		if answer == "close" {
			return
		}
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, request.Body)
		if answer == "wait" {
			_, _ = r.ReadByte()
			return
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
	_, _ = r.ReadByte()
}

func (u *upstream) dial(p *http1.Pool) *http1.Conn {
	u.t.Helper()
	nc, err := net.Dial("tcp", u.listener.Addr().String())
	if err != nil {
		u.t.Fatal(err)
	}
	return p.Add(origin, nc, nc)
}

func newPool(t *testing.T, cfg http1.Config) *http1.Pool {
	if !http1.Able {
		t.Skip("connections aren't kept here")
	}
	if cfg.Idle == 0 {
		cfg.Idle = 4
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = time.Hour
	}
	if cfg.Head == 0 {
		cfg.Head = 1 << 10
	}
	p := http1.NewPool(cfg)
	t.Cleanup(p.Close)
	return p
}

func request(method string) *http1.Request {
	return &http1.Request{Method: method, Target: "/path", Host: "upstream.example"}
}

// whole is the body of a response, read to its end.
func whole(t *testing.T, r *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

// TestConnectionsAreKept: what is kept after which response, and what isn't.
func TestConnectionsAreKept(t *testing.T) {
	for name, c := range map[string]struct {
		method, answer string
		kept           bool
	}{
		"a length":               {"GET", hello, true},
		"chunks":                 {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", true},
		"a trailer":              {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n", true},
		"no body":                {"GET", "HTTP/1.1 204 No Content\r\n\r\n", true},
		"length 0":               {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
		"HEAD":                   {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true},
		"early hints":            {"GET", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + hello, true},
		"Connection: close":      {"GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", false},
		"HTTP/1.0":               {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", false},
		"HTTP/1.0 and kept":      {"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", true},
		"more than was asked":    {"GET", hello + hello, false},
		"more than its length":   {"GET", hello + "!", false},
		"a body where none is":   {"HEAD", hello, false},
		"a body with 204":        {"GET", "HTTP/1.1 204 No Content\r\n\r\nhello", false},
		"both kinds of length":   {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", true},
		"a switch nobody wanted": {"GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			up := newUpstream(t, c.answer)
			p := newPool(t, http1.Config{})
			conn := up.dial(p)
			var s stages
			r, err := conn.RoundTrip(t.Context(), request(c.method), &s)
			whole(t, r, err)
			if s.String() != "wrote answered released" {
				t.Errorf("stages: %s", &s)
			}
			kept := p.Take(origin)
			if (kept != nil) != c.kept || kept != nil && (kept != conn || !kept.Reused()) {
				t.Errorf("kept: %t", kept != nil)
			}
			if kept != nil {
				kept.Close()
			} else if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("it isn't closed: %v", err)
			}
		})
	}
}

// TestNobodysAnswer: what a server sends while nobody has asked is never the answer to the next request, and a connection that it has closed isn't
// given out.
func TestNobodysAnswer(t *testing.T) {
	for name, later := range map[string]func(net.Conn){
		"an answer": func(c net.Conn) { _, _ = io.WriteString(c, hello) },
		"the end":   func(c net.Conn) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			p := newPool(t, http1.Config{})
			conn := (&upstream{t: t, listener: l}).dial(p)
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			go func() {
				_, _ = http.ReadRequest(bufio.NewReader(server))
				_, _ = io.WriteString(server, hello)
			}()
			r, err := conn.RoundTrip(t.Context(), request("GET"), new(stages))
			whole(t, r, err)
			if !conn.Quiet() {
				t.Error("it isn't quiet")
			}
			later(server)
			for deadline := time.Now().Add(10 * time.Second); conn.Quiet(); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("nothing has come")
				}
			}
			if p.Take(origin) != nil {
				t.Error("it was given out")
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for answer, want := range map[string]string{
		"":                                    "EOF",
		"HTTP/1.1 200 OK\r\n":                 "unexpected EOF",
		"nonsense\r\n\r\n":                    `malformed HTTP response "nonsense"`,
		"HTTP/1.1 200 OK\r\nno field\r\n\r\n": `malformed MIME header: missing colon: "no field"`,
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2000) + "\r\n\r\n":          "net/http: server response headers exceeded 1024 bytes; aborted",
		strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 100) + hello: "net/http: server response headers exceeded 1024 bytes; aborted",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello":   `http: message cannot contain multiple Content-Length headers; got ["5" "6"]`,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n":              `unsupported transfer encoding: "gzip, chunked"`,
	} {
		up := newUpstream(t, answer, "close")
		p := newPool(t, http1.Config{})
		conn := up.dial(p)
		r, err := conn.RoundTrip(t.Context(), request("GET"), new(stages))
		if err == nil {
			r.Body.Close()
		}
		if err == nil || err.Error() != want {
			t.Errorf("%.40q: %v, want %s", answer, err, want)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%.40q: it isn't closed: %v", answer, err)
		}
	}
}

// TestEarlyAnswers: a server that doesn't read the request, answers and closes the connection is understood, though writing may have failed.
func TestEarlyAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var server sync.WaitGroup
	defer server.Wait()
	defer l.Close()
	server.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno")
			c.Close()
		}
	})
	p := newPool(t, http1.Config{})
	for i := range 200 {
		r := request("POST")
		r.Body = make([]byte, i%2*(15<<10))
		response, err := (&upstream{t: t, listener: l}).dial(p).RoundTrip(t.Context(), r, new(stages))
		if err != nil && runtime.GOOS != "linux" {
			continue // other systems may throw away what has come when the connection is reset
		}
		if err != nil || response.StatusCode != 503 {
			t.Fatal(response, err)
		}
		response.Body.Close()
	}
}

// deaf is a connection that has an answer, and on which nothing can be written.
type deaf struct{ *script }

var errDeaf = errors.New("nobody reads")

func (d deaf) Write([]byte) (int, error) {
	d.send()
	return 0, errDeaf
}

// TestFailedWrite: the answer counts, not the write that failed, unless there is none; the connection is done with.
func TestFailedWrite(t *testing.T) {
	p := newPool(t, http1.Config{})
	nc := deaf{newScript([]byte(hello))}
	var s stages
	r, err := p.Add(origin, nc, nc).RoundTrip(t.Context(), request("POST"), &s)
	if got := whole(t, r, err); got != "hello" || s.String() != "answered released" {
		t.Errorf("%q, %s", got, &s)
	}
	nc = deaf{newScript(nil)}
	if _, err := p.Add(origin, nc, nc).RoundTrip(t.Context(), request("POST"), new(stages)); err != errDeaf {
		t.Error(err)
	}
}

// TestTooLong: nothing is sent of what is refused.
func TestTooLong(t *testing.T) {
	up := newUpstream(t, "wait")
	p := newPool(t, http1.Config{})
	for _, r := range []*http1.Request{
		{Method: "POST", Target: "/", Host: "h", Body: make([]byte, http1.MaxRequest)},
		{Method: "GET", Target: "/", Host: "h", Header: http.Header{"X": slices.Repeat([]string{strings.Repeat("x", 1000)}, 17)}},
		{Method: "GET", Target: "/" + strings.Repeat("x", http1.MaxRequest), Host: "h"},
	} {
		var s stages
		if _, err := up.dial(p).RoundTrip(t.Context(), r, &s); err != http1.ErrInvalid || r.Fits() || s.String() != "" {
			t.Errorf("%v, %s", err, &s)
		}
	}
}

// TestBodiesBreakOff: a body that ends before its end is an error, and its connection isn't kept.
func TestBodiesBreakOff(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	} {
		up := newUpstream(t, answer, "close")
		p := newPool(t, http1.Config{})
		r, err := up.dial(p).RoundTrip(t.Context(), request("GET"), new(stages))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", answer, err)
		}
		r.Body.Close()
		if p.Take(origin) != nil {
			t.Errorf("%q: it's kept", answer)
		}
	}
}

// TestTheContextEndsIt: while it waits for the head, and for the body.
func TestTheContextEndsIt(t *testing.T) {
	for _, answer := range []string{"wait", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello"} {
		up := newUpstream(t, answer)
		p := newPool(t, http1.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		r, err := up.dial(p).RoundTrip(ctx, request("GET"), new(stages))
		if err == nil {
			_, err = io.ReadAll(r.Body)
			r.Body.Close()
		}
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%q: %v", answer, err)
		}
		if p.Take(origin) != nil {
			t.Errorf("%q: it's kept", answer)
		}
	}
}

// TestTheContextEndsAfterwards: then the connection isn't the exchange's any more.
func TestTheContextEndsAfterwards(t *testing.T) {
	up := newUpstream(t, hello, hello)
	p := newPool(t, http1.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := up.dial(p).RoundTrip(ctx, request("GET"), new(stages))
	whole(t, r, err)
	cancel()
	r.Body.Close()
	conn := p.Take(origin)
	if conn == nil {
		t.Fatal("it isn't kept")
	}
	r, err = conn.RoundTrip(t.Context(), request("GET"), new(stages))
	if got := whole(t, r, err); got != "hello" {
		t.Errorf("%q", got)
	}
}

// TestClose: a body that is closed before its end closes the connection, also during a Read.
func TestClose(t *testing.T) {
	up := newUpstream(t, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", "wait")
	p := newPool(t, http1.Config{})
	var s stages
	r, err := up.dial(p).RoundTrip(t.Context(), request("GET"), &s)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { r.Body.Close() })
	if _, err := io.ReadAll(r.Body); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	r.Body.Close()
	if s.String() != "wrote answered released" || p.Take(origin) != nil {
		t.Errorf("stages: %s", &s)
	}
}

// TestPool: the one that was used last comes first, the longest idle has to go when there are too many, and each when its time is over.
func TestPool(t *testing.T) {
	up := newUpstream(t, slices.Repeat([]string{hello}, 9)...)
	p := newPool(t, http1.Config{Idle: 2})
	use := func(c *http1.Conn) {
		t.Helper()
		r, err := c.RoundTrip(t.Context(), request("GET"), new(stages))
		whole(t, r, err)
	}
	a, b, c := up.dial(p), up.dial(p), up.dial(p)
	use(a)
	use(b)
	use(c)
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the oldest isn't closed: %v", err)
	}
	if p.Take("http://another.example") != nil {
		t.Error("another origin's was given out")
	}
	if got := p.Take(origin); got != c {
		t.Error("it isn't the last one")
	}
	if got := p.Take(origin); got != b {
		t.Error("it isn't the one before")
	}
	if p.Take(origin) != nil {
		t.Error("there is a third")
	}
	use(b)
	use(c)
	p.CloseIdle()
	for _, closed := range []*http1.Conn{b, c} {
		if _, err := closed.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("it isn't closed: %v", err)
		}
	}
	d := up.dial(p)
	p.Close()
	use(d)
	if p.Take(origin) != nil {
		t.Error("a closed pool keeps it")
	}
}

func TestIdleTimeout(t *testing.T) {
	up := newUpstream(t, slices.Repeat([]string{hello}, 9)...)
	p := newPool(t, http1.Config{IdleTimeout: 30 * time.Millisecond})
	for range 3 { // the timer starts anew for each
		conn := up.dial(p)
		r, err := conn.RoundTrip(t.Context(), request("GET"), new(stages))
		whole(t, r, err)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("it wasn't closed: %v", err)
		}
	}
}

// TestNoDescriptor: a connection that can't be looked at is used once.
func TestNoDescriptor(t *testing.T) {
	p := newPool(t, http1.Config{})
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		_, _ = http.ReadRequest(bufio.NewReader(server))
		_, _ = io.WriteString(server, hello)
	}()
	r, err := p.Add(origin, client, client).RoundTrip(t.Context(), request("GET"), new(stages))
	whole(t, r, err)
	if p.Take(origin) != nil {
		t.Error("it's kept")
	}
}

// TestMany has exchanges, early ends and cancelled contexts race for a few connections. Each answer must be that of its own request.
func TestMany(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat(r.URL.RawQuery+" ", 1000))
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	defer func() { <-done }()
	defer server.Close()
	up := &upstream{t: t, listener: l}
	p := newPool(t, http1.Config{Idle: 3})
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for i := range 200 {
				conn := p.Take(origin)
				if conn == nil {
					conn = up.dial(p)
				}
				query := fmt.Sprint(caller, "-", i)
				req := request("GET")
				req.Target = "/?" + query
				ctx, cancel := context.WithCancel(t.Context())
				if i%5 == 0 {
					go cancel()
				}
				r, err := conn.RoundTrip(ctx, req, new(stages))
				if err != nil {
					cancel()
					if i%5 != 0 {
						t.Error(err)
					}
					continue
				}
				var body io.Reader = r.Body
				if i%7 == 0 {
					body = io.LimitReader(body, 100)
				}
				got, err := io.ReadAll(body)
				if err != nil && i%5 != 0 || !strings.HasPrefix(strings.Repeat(query+" ", 1000), string(got)) {
					t.Errorf("%v, %.100q", err, got)
				}
				r.Body.Close()
				cancel()
			}
		})
	}
	callers.Wait()
}

// TestRequests: what goes out is, byte for byte, what net/http would write.
func TestRequests(t *testing.T) {
	many := http.Header{"User-Agent": {"x"}}
	for i := range 30 {
		many[fmt.Sprintf("X-%d", i)] = []string{"a", " b "}
	}
	for _, r := range []http1.Request{
		{Method: "GET"}, {Method: "HEAD"}, {Method: "POST"}, {Method: "PUT"}, {Method: "PATCH"}, {Method: "DELETE"}, {Method: "REPORT"},
		{Method: "POST", Body: []byte("body")}, {Method: "DELETE", Body: make([]byte, 15<<10)}, {Method: "GET", Body: []byte("x")},
		{Method: "GET", Header: many}, {Method: "GET", Header: http.Header{"User-Agent": {""}, "Accept": {"*/*", "x"}, "Z": nil}},
		{Method: "GET", Header: http.Header{"User-Agent": {"a", "b"}, "X": {strings.Repeat("x", 10<<10)}}},
	} {
		r.Target, r.Host = "/a%20b?c=d&", "upstream.example:8080"
		if r.Header == nil {
			r.Header = http.Header{"User-Agent": {"x"}}
		}
		ours, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var theirs bytes.Buffer
		req, err := http.NewRequest(r.Method, "http://"+r.Host+r.Target, bytes.NewReader(r.Body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = r.Header
		if err := req.Write(&theirs); err != nil {
			t.Fatal(err)
		}
		if ours != theirs.String() {
			t.Errorf("%.300q\nnet/http: %.300q", ours, &theirs)
		}
	}
}

// FuzzRequest: whatever is in a request, one request comes out or none, and it says what it was made of.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/", "h", "X", "y", "")
	f.Add("POST", "/a?b", "h:1", "X", "y\r\nZ: z", "body")
	f.Add("GET / HTTP/1.1\r\nA: b\r\n\r\nGET", "/", "h", "X", "y", "")
	f.Add("GET", "/ HTTP/1.1\r\nA: b", "h", "X", "y", "")
	f.Add("GET", "/", "h\r\nA: b", "X", "y", "")
	f.Add("GET", "/", "h", "X: y\r\nZ", "y", "")
	f.Add("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET", "/ HTTP/1.1\r\n", "h\r\nA: b", "X: y\r\nZ", " ", "")
	f.Fuzz(func(t *testing.T, method, target, host, name, value, body string) {
		r := http1.Request{Method: method, Target: target, Host: host, Header: http.Header{name: {value}}, Body: []byte(body)}
		text, err := r.Encode()
		if err != nil {
			return
		}
		head, rest, _ := strings.Cut(text, "\r\n\r\n")
		lines := strings.Split(head, "\r\n")
		length := len(body) > 0 || method == "POST" || method == "PUT" || method == "PATCH"
		want := 3
		if length {
			want++
		}
		if name == "User-Agent" && value == "" {
			want--
		}
		if rest != body || len(lines) != want || strings.Count(head, "\n") != want-1 || strings.ContainsAny(head, "\x00") ||
			lines[0] != method+" "+target+" HTTP/1.1" || lines[1] != "Host: "+host {
			t.Errorf("%q", text)
		}
	})
}

// script is a connection over which an answer comes once something was sent.
type script struct {
	net.Conn
	answer io.Reader
	sent   chan struct{}
	send   func()
}

func newScript(answer []byte) *script {
	s := &script{answer: bytes.NewReader(answer), sent: make(chan struct{})}
	s.send = sync.OnceFunc(func() { close(s.sent) })
	return s
}

func (s *script) Read(p []byte) (int, error) {
	<-s.sent
	return s.answer.Read(p)
}

func (s *script) Write(p []byte) (int, error) {
	s.send()
	return len(p), nil
}

func (s *script) Close() error {
	s.send()
	return nil
}

// FuzzAnswer holds what is made of an answer against what net/http's transport makes of it.
func FuzzAnswer(f *testing.F) {
	log.SetOutput(io.Discard) // net/http's transport tells of what nobody asked for
	defer log.SetOutput(os.Stderr)
	for _, answer := range []string{
		hello, hello + "!", "HTTP/1.1 103 x\r\n\r\n" + hello, "HTTP/1.0 200 OK\r\n\r\nhello", "HTTP/1.1 204 No\r\n\r\nx", "HTTP/1.1 101 x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2;a=b\r\nab\r\n0\r\nX: y\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 3000) + "\r\n\r\n",
	} {
		f.Add([]byte(answer), false)
		f.Add([]byte(answer), true)
	}
	f.Fuzz(func(t *testing.T, answer []byte, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		p := http1.NewPool(http1.Config{Idle: 1, IdleTimeout: time.Minute, Head: 2000})
		defer p.Close()
		nc := newScript(answer)
		ours, err := p.Add(origin, nc, nc).RoundTrip(t.Context(), request(method), new(stages))
		transport := &http.Transport{MaxResponseHeaderBytes: 2000, DisableCompression: true,
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				return newScript(answer), nil
			}}
		defer transport.CloseIdleConnections()
		req, _ := http.NewRequest(method, origin, nil)
		theirs, theirErr := transport.RoundTrip(req)
		if (err == nil) != (theirErr == nil) {
			t.Fatalf("%v; net/http: %v", err, theirErr)
		}
		if err != nil {
			return
		}
		defer ours.Body.Close()
		defer theirs.Body.Close()
		if ours.StatusCode == http.StatusSwitchingProtocols {
			return
		}
		a, err := io.ReadAll(ours.Body)
		b, theirErr := io.ReadAll(theirs.Body)
		if ours.Status != theirs.Status || fmt.Sprint(ours.Header) != fmt.Sprint(theirs.Header) || ours.ContentLength != theirs.ContentLength ||
			!bytes.Equal(a, b) || (err == nil) != (theirErr == nil) || fmt.Sprint(ours.Trailer) != fmt.Sprint(theirs.Trailer) {
			t.Errorf("%+v, %q, %v\nnet/http: %+v, %q, %v", ours, a, err, theirs, b, theirErr)
		}
	})
}
