package fetch_test

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
)

// TestOnTheWire compares whole request heads.
func TestOnTheWire(t *testing.T) {
	t.Parallel()
	const ours = "User-Agent: sortie\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
	for name, tc := range map[string]struct {
		r    fetch.Request
		want string // H stands for the host
	}{
		"get":     {fetch.Request{}, "GET / HTTP/1.1\r\nHost: H\r\n" + ours + "\r\n"},
		"head":    {fetch.Request{Method: "HEAD"}, "HEAD / HTTP/1.1\r\nHost: H\r\n" + ours + "\r\n"},
		"options": {fetch.Request{Method: "OPTIONS"}, "OPTIONS / HTTP/1.1\r\nHost: H\r\n" + ours + "\r\n"},
		"delete":  {fetch.Request{Method: "DELETE"}, "DELETE / HTTP/1.1\r\nHost: H\r\n" + ours + "\r\n"},
		"post":    {fetch.Request{Method: "POST"}, "POST / HTTP/1.1\r\nHost: H\r\nUser-Agent: sortie\r\nContent-Length: 0\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\r\n"},
		"body":    {fetch.Request{Method: "POST", Body: []byte("abc")}, "POST / HTTP/1.1\r\nHost: H\r\nUser-Agent: sortie\r\nContent-Length: 3\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\r\n"},
		"the guest's own": {
			fetch.Request{Header: fields("accept", "text/html", "Accept-Encoding", "identity", "user-agent", "me", "X-A", "1", "x-a", "2", "Cookie", "c")},
			"GET / HTTP/1.1\r\nHost: H\r\nUser-Agent: me\r\nAccept: text/html\r\nAccept-Encoding: identity\r\nCookie: c\r\nX-A: 1\r\nX-A: 2\r\n\r\n",
		},
		"the host's": {
			fetch.Request{Header: fields("Host", "evil", "content-length", "5", "Transfer-Encoding", "chunked", "Connection", "close, x", "Keep-Alive", "1", "Proxy-Authorization", "x", "proxy-connection", "x", "TE", "trailers", "Trailer", "X", "Upgrade", "h2c", "Expect", "100-continue", "HTTP2-Settings", "x", "Sortie-Authorization", "x", "sortie-version", "1")},
			"GET / HTTP/1.1\r\nHost: H\r\n" + ours + "\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heads := make(chan string, 1)
			up := serveRaw(t, func(_ int, c net.Conn) {
				heads <- readHead(c)
				io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			})
			b := open(t, fetch.Config{}, loopback())
			tc.r.URL = up
			wantOK(t, b.do(&tc.r))
			want := strings.ReplaceAll(tc.want, "Host: H", "Host: "+strings.TrimPrefix(up, "http://"))
			if got := within(t, "the head", heads); got != want {
				t.Errorf("sent\n%q, want\n%q", got, want)
			}
		})
	}
}

func TestInvalidRequests(t *testing.T) {
	t.Parallel()
	up := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	field := func(name, value string) fetch.Request {
		return fetch.Request{Header: []fetch.Field{{Name: name, Value: value}}}
	}
	for name, tc := range map[string]struct {
		r    fetch.Request
		code failure.Code
	}{
		"method with space":  {fetch.Request{Method: "GET /x HTTP/1.1\r\nA:"}, failure.InvalidRequest},
		"method with colon":  {fetch.Request{Method: "GE:T"}, failure.InvalidRequest},
		"connect":            {fetch.Request{Method: "CONNECT"}, failure.InvalidRequest},
		"trace":              {fetch.Request{Method: "trace"}, failure.InvalidRequest},
		"header split":       {field("X-A", "1\r\nHost: evil"), failure.InvalidRequest},
		"bare LF":            {field("X-A", "1\nX-B: 2"), failure.InvalidRequest},
		"LF at the end":      {field("X-A", "1\n"), failure.InvalidRequest},
		"bare CR":            {field("X-A", "1\r"), failure.InvalidRequest},
		"NUL":                {field("X-A", "1\x00"), failure.InvalidRequest},
		"name with LF":       {field("X-A\nHost", "x"), failure.InvalidRequest},
		"name with colon":    {field("X-A: b", "x"), failure.InvalidRequest},
		"name with space":    {field("X-A ", "x"), failure.InvalidRequest},
		"host with a space":  {field("Host ", "x"), failure.InvalidRequest},
		"pseudo header":      {field(":authority", "x"), failure.InvalidRequest},
		"empty name":         {field("", "x"), failure.InvalidRequest},
		"CR in owned header": {field("Host", "a\r\nb"), failure.InvalidRequest},
		"too many fields":    {fetch.Request{Header: make([]fetch.Field, 257)}, failure.InvalidRequest},
		"too long":           {field("X-A", strings.Repeat("a", 64<<10)), failure.InvalidRequest},
		"expect":             {fetch.Request{Expect: "2x"}, failure.InvalidRequest},
		"redirect":           {fetch.Request{Redirect: 9}, failure.InvalidRequest},
		"no URL":             {fetch.Request{URL: "/relative"}, failure.InvalidURL},
		"userinfo":           {fetch.Request{URL: "http://a:b@127.0.0.1/"}, failure.InvalidURL},
		"LF in the URL":      {fetch.Request{URL: "http://127.0.0.1/\n"}, failure.InvalidRequest},
		"ftp":                {fetch.Request{URL: "ftp://127.0.0.1/"}, failure.UnsupportedProtocol},
		"file":               {fetch.Request{URL: "file:///etc/passwd"}, failure.UnsupportedProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.r.URL == "" {
				tc.r.URL = up.URL
			}
			b := open(t, fetch.Config{}, loopback())
			if err := wantCode(t, b.do(&tc.r), tc.code); err.Retryable || err.Attempts != 0 || err.Message == "" {
				t.Errorf("got %+v", err)
			}
			if u := b.session.Usage(); u.Requests != 0 {
				t.Errorf("usage %+v", u)
			}
		})
	}
	t.Run("nil", func(t *testing.T) {
		wantCode(t, open(t, fetch.Config{}, loopback()).do(nil), failure.InvalidURL)
	})
}

func TestMethodRules(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Method) })
	p := loopback()
	p.Rules[0].Methods = []string{"GET", "PATCH"}
	b := open(t, fetch.Config{}, p)
	for method, code := range map[string]failure.Code{
		"get": "", "PATCH": "", "patch": failure.MethodDenied, "POST": failure.MethodDenied, "GeTx": failure.MethodDenied, "HEAD": failure.MethodDenied,
	} {
		r := b.do(&fetch.Request{Method: method, URL: up.URL})
		if code != "" {
			wantCode(t, r, code)
		} else {
			wantOK(t, r)
		}
	}
}

func TestResponseHeader(t *testing.T) {
	t.Parallel()
	up := answer(t, "HTTP/1.1 200 OK\r\nX-B: 2\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nConnection: close\r\nKeep-Alive: x\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok")
	resp := wantOK(t, open(t, fetch.Config{}, loopback()).do(&fetch.Request{URL: up}))
	want := fields("content-length", "2", "set-cookie", "a=1", "set-cookie", "b=2", "x-a", "1", "x-b", "2")
	if !slices.Equal(resp.Header, want) {
		t.Errorf("got %v", resp.Header)
	}
}

func TestResponseHeaderIsBounded(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"long":            "X: " + strings.Repeat("a", 200<<10) + "\r\n",
		"many":            strings.Repeat("X: a\r\n", 600),
		"endless interim": "", // a 1xx per line, below
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := "HTTP/1.1 200 OK\r\n" + head + "\r\n"
			if head == "" {
				text = strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <"+strings.Repeat("a", 1000)+">\r\n\r\n", 1000)
			}
			wantCode(t, open(t, fetch.Config{}, loopback()).do(&fetch.Request{URL: answer(t, text)}), failure.ProtocolError)
		})
	}
}

func TestInterimResponsesAreIgnored(t *testing.T) {
	t.Parallel()
	up := answer(t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	resp := wantOK(t, open(t, fetch.Config{}, loopback()).do(&fetch.Request{URL: up}))
	if resp.Status != 200 || header(resp, "link") != "" {
		t.Errorf("got %+v", resp)
	}
}
