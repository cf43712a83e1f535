package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

// raw sends bytes on a connection of its own, and reads one response.
func (s *testServer) raw(request string) answer {
	s.t.Helper()
	conn := s.dial()
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{response, string(body)}
}

func (s *testServer) dial() net.Conn {
	s.t.Helper()
	if s.pipes != nil {
		return s.pipes.dial()
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

func TestRequestAsThePluginSeesIt(t *testing.T) {
	t.Parallel()
	seen := make(chan *host.Request, 1)
	s := start(t, func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		seen <- r
		return &host.Response{Status: 200}, nil
	}, options{})
	s.deployed("a", "", "one", "")
	targets := map[string]string{ // request target → path and query
		"/p/a":                       "/",
		"/p/a?":                      "/",
		"/p/a?x=1&y=%20":             "/?x=1&y=%20",
		"/p/a/":                      "/",
		"/p/a/b/c":                   "/b/c",
		"/p/a//b":                    "//b",
		"/p/a/../../v1/plugins":      "/../../v1/plugins",
		"/p/a/x%2Fy%2f%20z":          "/x%2Fy%2f%20z",
		"/p/a/%7euser":               "/%7euser",
		"/p/a/a%3Fb?c":               "/a%3Fb?c",
		"/p/a/é|%2F":                 "/%C3%A9%7C%2F",
		"/p/%61/b":                   "/b",
		"http://localhost/p/a/b%2Fc": "/b%2Fc",
		"/p/a/:x*y":                  "/:x*y",
	}
	for target, want := range targets {
		answer := s.raw("PURGE " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody")
		if answer.StatusCode != 200 {
			t.Errorf("%s: %d %s", target, answer.StatusCode, answer.body)
			continue
		}
		r := <-seen
		got := r.Path
		if r.RawQuery != "" {
			got += "?" + r.RawQuery
		}
		if got != want {
			t.Errorf("%s: the plugin sees %s, want %s", target, got, want)
		}
		if r.Method != "PURGE" || string(r.Body) != "body" || r.Host != "localhost" || r.ID != answer.Header.Get("Sortie-Invocation") {
			t.Errorf("%s: the plugin sees %+v", target, r)
		}
	}
}

func TestRequestHeader(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	s := start(t, func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		seen <- r.Header
		return &host.Response{Status: 200}, nil
	}, options{token: "geheim"})
	s.deployed("a", "", "one", "")
	common := "Connection: keep-alive, x-nominated\r\nX-Nominated: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: websocket\r\n" +
		"Proxy-Authorization: Basic x\r\nsortie-made-up: 1\r\nCookie: a=b\r\nX-Multi: 1\r\nX-Multi: 2\r\n"
	rest := http.Header{"Cookie": {"a=b"}, "X-Multi": {"1", "2"}}
	with := func(values ...string) http.Header {
		h := rest.Clone()
		h["Authorization"] = values
		return h
	}
	tests := []struct {
		name, credentials string
		want              http.Header
	}{
		{"ours alone", "Sortie-Authorization: Bearer geheim\r\n", rest},
		{"ours and the plugin's", "Sortie-Authorization: Bearer geheim\r\nAuthorization: Bearer its-own\r\n", with("Bearer its-own")},
		{"the common one", "Authorization: bearer  geheim\r\n", rest},
		{"both ours", "Sortie-Authorization: Bearer geheim\r\nAuthorization: Bearer geheim\r\n", rest},
	}
	for _, test := range tests {
		a := s.raw("GET /p/a HTTP/1.1\r\nHost: example.com\r\n" + common + test.credentials + "\r\n")
		if a.StatusCode != 200 {
			t.Errorf("%s: %d %s", test.name, a.StatusCode, a.body)
			continue
		}
		if diff := cmp.Diff(test.want, <-seen); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestResponseAsTheClientSeesIt(t *testing.T) {
	t.Parallel()
	s := start(t, func(context.Context, host.Source, *host.Request) (*host.Response, error) {
		return &host.Response{Status: 418, Body: []byte("short and stout"), Header: []fetch.Field{
			{Name: "content-type", Value: "text/x-tea"}, {Name: "x-multi", Value: "1"}, {Name: "x-multi", Value: "2"},
			{Name: "set-cookie", Value: "a=b; Path=/; Domain=example.com; HttpOnly"}, {Name: "set-cookie", Value: "__host-x=1; Path=/; Secure"},
			{Name: "set-cookie", Value: "not a cookie"}, {Name: "content-security-policy", Value: "sandbox allow-same-origin"},
			{Name: "server-timing", Value: "db;dur=5"}, {Name: "sortie-error", Value: "fake"}, {Name: "sortie-version", Value: "99"},
			{Name: "sortie-invocation", Value: "fake"}, {Name: "connection", Value: "x-hop"}, {Name: "x-hop", Value: "1"},
			{Name: "transfer-encoding", Value: "chunked"}, {Name: "content-length", Value: "3"}, {Name: "clear-site-data", Value: `"*"`},
			{Name: "service-worker-allowed", Value: "/"}, {Name: "x-bad", Value: "a\r\nb: c"}, {Name: "x bad", Value: "1"},
		}}, nil
	}, options{})
	s.deployed("a", "", "one", "")
	a := s.get("/p/a")
	if a.StatusCode != 418 || a.body != "short and stout" || a.ContentLength != 15 {
		t.Errorf("answer = %d %q, length %d", a.StatusCode, a.body, a.ContentLength)
	}
	timing := a.Header["Server-Timing"]
	if len(timing) != 2 || timing[1] != "db;dur=5" ||
		timing[0] != `queue;dur=1.000, guest;dur=2.000, fetch;dur=0.000;desc="0", total;dur=0.000` {
		t.Errorf("Server-Timing = %q", timing)
	}
	if len(a.Header.Get("Sortie-Invocation")) < 16 {
		t.Errorf("Sortie-Invocation = %q", a.Header.Get("Sortie-Invocation"))
	}
	for _, name := range []string{"Date", "Server-Timing", "Sortie-Invocation", "Connection"} {
		a.Header.Del(name)
	}
	want := http.Header{
		"Content-Type": {"text/x-tea"}, "X-Multi": {"1", "2"}, "Set-Cookie": {"a=b; Path=/p/a; HttpOnly"},
		"Content-Security-Policy": {"sandbox allow-scripts allow-forms", "sandbox allow-same-origin"},
		"Sortie-Version":          {"1"}, "Content-Length": {"15"},
	}
	if diff := cmp.Diff(want, a.Header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		var status int
		_, err := fmt.Sscan(r.Path[1:], &status)
		return &host.Response{Status: status, Body: []byte("body")}, err
	}, options{})
	s.deployed("a", "", "one", "")
	for status, body := range map[int]string{
		200: "body", 201: "body", 204: "", 205: "", 206: "body", 299: "body", 301: "body", 304: "", 404: "body", 500: "body", 599: "body",
	} {
		a := s.get(fmt.Sprint("/p/a/", status))
		if a.StatusCode != status || a.body != body || a.Header.Get("Sortie-Error") != "" {
			t.Errorf("%d: answer = %d %q", status, a.StatusCode, a.body)
		}
		a = s.send(http.MethodHead, fmt.Sprint("/p/a/", status), nil)
		if a.StatusCode != status || a.body != "" || body != "" && a.ContentLength != int64(len(body)) {
			t.Errorf("HEAD %d: answer = %d %q, length %d", status, a.StatusCode, a.body, a.ContentLength)
		}
	}
	for _, status := range []int{0, 100, 199, 600, 1000} {
		wantProblem(t, s.get(fmt.Sprint("/p/a/", status)), 500, "plugin_error")
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	failures := map[string]error{
		"trapped":    host.NewError("plugin_trapped", "unreachable"),
		"wall":       host.NewError("limit_wall", "30 s are over"),
		"overloaded": &host.Error{Code: "overloaded", Detail: "full", RetryAfter: 2500 * time.Millisecond},
		"rate":       &host.Error{Code: "rate_limited", Detail: "slow down", RetryAfter: time.Millisecond},
		"wrapped":    fmt.Errorf("wrapped: %w", host.NewError("limit_cpu", "1 s")),
		"foreign":    fmt.Errorf("open /secret/path: no"),
	}
	s := start(t, func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		if r.Path == "/panic" {
			panic("at the disco")
		}
		return nil, failures[r.Path[1:]]
	}, options{})
	s.deployed("a", "", "one", "")
	tests := []struct {
		path       string
		status     int
		code       string
		retryAfter string
	}{
		{"trapped", 500, "plugin_trapped", ""}, {"wall", 504, "limit_wall", ""}, {"overloaded", 503, "overloaded", "3"},
		{"rate", 429, "rate_limited", "1"}, {"wrapped", 500, "limit_cpu", ""}, {"foreign", 500, "internal_error", ""},
		{"panic", 500, "internal_error", ""},
	}
	for _, test := range tests {
		a := s.get("/p/a/" + test.path)
		wantProblem(t, a, test.status, test.code)
		if got := a.Header.Get("Retry-After"); got != test.retryAfter {
			t.Errorf("%s: Retry-After = %q, want %q", test.path, got, test.retryAfter)
		}
		if got := a.Header["Content-Security-Policy"]; len(got) != 1 || got[0] != sandbox {
			t.Errorf("%s: Content-Security-Policy = %q", test.path, got)
		}
		if a.Header.Get("Sortie-Invocation") != a.problem().Invocation || a.Header.Get("Sortie-Version") != "1" {
			t.Errorf("%s: header = %v", test.path, a.Header)
		}
		if test.path != "panic" && !strings.HasPrefix(a.Header.Get("Server-Timing"), "queue;dur=") {
			t.Errorf("%s: Server-Timing = %q", test.path, a.Header.Get("Server-Timing"))
		}
		if strings.Contains(a.body, "secret") || strings.Contains(a.body, "disco") {
			t.Errorf("%s: the answer tells what only the log should: %s", test.path, a.body)
		}
	}
	for _, logged := range []string{"at the disco", "/secret/path", `"code":"plugin_trapped"`} {
		if !strings.Contains(s.log.String(), logged) {
			t.Errorf("the log lacks %s", logged)
		}
	}
	for path, code := range map[string]string{
		"/p/nobody": "plugin_not_found", "/p/": "not_found", "/p": "not_found", "/p//x": "plugin_not_found",
	} {
		a := s.get(path)
		wantProblem(t, a, 404, code)
		if got := a.Header.Get("Content-Security-Policy"); got != sandbox {
			t.Errorf("%s: Content-Security-Policy = %q", path, got)
		}
	}
}

func TestInputLimit(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		return &host.Response{Status: 200, Body: r.Body}, nil
	}, options{})
	s.deployed("a", "limits: {input: 100kB}", "one", "")
	body := func(n int) string { return strings.Repeat("x", n) }
	for _, n := range []int{0, 1, 99_999, 100_000} {
		if a := s.send(http.MethodPost, "/p/a", strings.NewReader(body(n))); a.body != body(n) {
			t.Errorf("%d bytes: %d, %d bytes back", n, a.StatusCode, len(a.body))
		}
		if a := s.send(http.MethodPost, "/p/a", io.MultiReader(strings.NewReader(body(n)))); a.body != body(n) {
			t.Errorf("%d bytes in chunks: %d, %d bytes back", n, a.StatusCode, len(a.body))
		}
	}
	wantProblem(t, s.send(http.MethodPost, "/p/a", strings.NewReader(body(100_001))), 413, "limit_input")
	wantProblem(t, s.send(http.MethodPost, "/p/a", io.MultiReader(strings.NewReader(body(100_001)))), 413, "limit_input")
	// A body that only claims to be large isn't waited for.
	wantProblem(t, s.raw("POST /p/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100001\r\n\r\n"), 413, "limit_input")
}

func TestSlowBody(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{})
	s.deployed("a", "limits: {wall: 50ms}", "one", "")
	wantProblem(t, s.raw("POST /p/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx"), 504, "limit_wall")
}

// TestUnreadBodies promises a body that never comes, where nobody wants one.
func TestUnreadBodies(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{token: "geheim"})
	for target, status := range map[string]int{
		"POST /p/nobody": 401, "PUT /v1/plugins/a": 401, "POST /nothing": 404, "POST /livez": 405, "GET /livez": 200,
	} {
		for _, length := range []string{"Content-Length: 10", "Transfer-Encoding: chunked"} {
			begun := time.Now()
			a := s.raw(target + " HTTP/1.1\r\nHost: localhost\r\n" + length + "\r\n\r\n")
			if a.StatusCode != status {
				t.Errorf("%s: %d %s", target, a.StatusCode, a.body)
			}
			if took := time.Since(begun); took > 20*drainTime {
				t.Errorf("%s with %s: answered after %v", target, length, took)
			}
		}
	}
}

// TestKeptConnection makes sure that no deadline of one request is left for the next on the same connection.
func TestKeptConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := start(t, func(ctx context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
			if r.Path == "/slow" {
				select {
				case <-release:
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			return &host.Response{Status: 200, Body: []byte(r.Path)}, nil
		}, options{listener: newPipes()})
		s.deployed("a", "limits: {wall: 100ms}", "one", "")
		conn := s.dial()
		defer conn.Close()
		reader := bufio.NewReader(conn)
		for _, path := range []string{"/fast", "/slow"} {
			if _, err := io.WriteString(conn, "POST /p/a"+path+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"); err != nil {
				t.Fatal(err)
			}
			if path == "/slow" {
				// The fake host keeps no wall limit, so all that could end this is the deadline for reading the body.
				time.AfterFunc(300*time.Millisecond, func() { close(release) })
			}
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil || string(body) != path {
				t.Errorf("%s: %q, %v", path, body, err)
			}
		}
	})
}

func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	started, ended := make(chan struct{}), make(chan error, 1)
	s := start(t, func(ctx context.Context, _ host.Source, _ *host.Request) (*host.Response, error) {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, host.NewError(host.CodeCancelled, "the caller has gone")
	}, options{})
	s.deployed("a", "", "one", "")
	conn := s.dial()
	if _, err := io.WriteString(conn, "GET /p/a HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-started
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("the invocation goes on without its client")
	}
	eventually(t, "logged", func() bool { return strings.Contains(s.log.String(), `"code":"cancelled"`) })
}

func TestPinnedVersions(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ context.Context, src host.Source, _ *host.Request) (*host.Response, error) {
		return &host.Response{Status: 200, Body: fmt.Append(nil, src.Version, " ", src.Manifest.Config["n"])}, nil
	}, options{})
	for n := range 3 {
		s.deployed("a", fmt.Sprintf("config: {n: %d}", n+1), "one", "")
	}
	for pin, want := range map[string]string{"1": "1 1", "2": "2 2", "3": "3 3", "": "3 3"} {
		var header []string
		if pin != "" {
			header = []string{"Sortie-Version", pin}
		}
		a := s.get("/p/a", header...)
		if a.body != want || a.Header.Get("Sortie-Version") != want[:1] {
			t.Errorf("pinned %q: %q, Sortie-Version %s", pin, a.body, a.Header.Get("Sortie-Version"))
		}
	}
	wantProblem(t, s.get("/p/a", "Sortie-Version", "4"), 404, "version_not_found")
	for _, pin := range []string{"0", "-1", "x", "1.0", "", "99999999999999999999"} {
		wantProblem(t, s.get("/p/a", "Sortie-Version", pin), 400, "bad_request")
	}
	wantProblem(t, s.get("/p/a", "Sortie-Version", "1", "Sortie-Version", "2"), 400, "bad_request")
}
