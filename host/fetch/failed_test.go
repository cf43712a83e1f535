package fetch_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// reset closes a connection so that the other side sees a reset.
func reset(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func TestBrokenUpstreams(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\n"
	send := func(text string) func(int, net.Conn) {
		return func(_ int, c net.Conn) { readHead(c); io.WriteString(c, text) }
	}
	for name, tc := range map[string]struct {
		handle func(int, net.Conn)
		code   failure.Code
	}{
		"closed at once": {func(_ int, c net.Conn) { readHead(c) }, failure.ReadError},
		"reset at once":  {func(_ int, c net.Conn) { readHead(c); reset(c) }, failure.ReadError},
		"cut head":       {send(ok + "Content-Length: 1"), failure.ReadError},
		"cut body":       {send(ok + "Content-Length: 10\r\n\r\nshort"), failure.ReadError},
		"cut gzip body":  {send(ok + "Content-Encoding: gzip\r\nContent-Length: 100\r\n\r\n\x1f\x8b\x08\x00"), failure.ReadError},
		"cut chunk":      {send(ok + "Transfer-Encoding: chunked\r\n\r\n10\r\nshort"), failure.ReadError},
		"no last chunk":  {send(ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"), failure.ReadError},
		"reset in the body": {func(_ int, c net.Conn) {
			readHead(c)
			io.WriteString(c, ok+"Content-Length: 10\r\n\r\nshort")
			reset(c)
		}, failure.ReadError},
		"no HTTP":                 {send("SSH-2.0-OpenSSH_9.6\r\n\r\n"), failure.ProtocolError},
		"garbage":                 {send("\x00\x01\x02\x03\r\n\r\n"), failure.ProtocolError},
		"bad status":              {send("HTTP/1.1 abc\r\n\r\n"), failure.ProtocolError},
		"bad field":               {send(ok + "no colon\r\n\r\n"), failure.ProtocolError},
		"two lengths":             {send(ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), failure.ProtocolError},
		"bad length":              {send(ok + "Content-Length: -1\r\n\r\n"), failure.ProtocolError},
		"bad chunk":               {send(ok + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), failure.ProtocolError},
		"unknown transfer coding": {send(ok + "Transfer-Encoding: gzip\r\n\r\n"), failure.ProtocolError},
		"switching protocols":     {send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), failure.ProtocolError},
		"control in a value":      {send(ok + "X: a\x00b\r\nContent-Length: 0\r\n\r\n"), failure.ProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := serveRaw(t, tc.handle)
			b := open(t, fetch.Config{}, loopback())
			err := wantCode(t, b.do(&fetch.Request{URL: up}), tc.code)
			if !err.Retryable || err.Attempts != 1 || err.URL != up+"/" {
				t.Errorf("got %+v", err)
			}
			if strings.Contains(err.Message, "127.0.0.1") {
				t.Errorf("the message names an address: %s", err.Message)
			}
			err = wantCode(t, b.do(&fetch.Request{Method: "POST", URL: up}), tc.code)
			if err.Retryable {
				t.Error("a POST is said to be retryable")
			}
			if n := b.engine.SlotsInUse(); n != 0 {
				t.Errorf("%d slots in use", n)
			}
		})
	}
}

func TestWriteError(t *testing.T) {
	t.Parallel()
	up := serveRaw(t, func(_ int, c net.Conn) { readHead(c); reset(c) })
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.RequestBytes = 64 << 20 }))
	wantCode(t, b.do(&fetch.Request{Method: "PUT", URL: up, Body: make([]byte, 64<<20)}), failure.WriteError)
}

// TestEarlyAnswer: an upstream that refuses a long body before it has read it is heard.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	up := serveRaw(t, func(_ int, c net.Conn) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		hang(c)
	})
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.RequestBytes = 64 << 20 }))
	resp := wantOK(t, b.do(&fetch.Request{Method: "PUT", URL: up, Body: make([]byte, 64<<20)}))
	if resp.Status != 413 || string(resp.Body) != "no" {
		t.Errorf("got %+v", resp)
	}
}

func TestDeadPort(t *testing.T) {
	t.Parallel()
	const url = "http://127.0.0.1:1" // a port that was free a moment ago may be another test's by now
	b := open(t, fetch.Config{}, loopback())
	for _, method := range []string{"GET", "POST"} {
		if err := wantCode(t, b.do(&fetch.Request{Method: method, URL: url}), failure.ConnectError); !err.Retryable || err.Attempts != 1 {
			t.Errorf("got %+v", err)
		}
	}
}

func TestDeniedAddresses(t *testing.T) {
	t.Parallel()
	up := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was reached") })
	port := up.URL[strings.LastIndexByte(up.URL, ':'):]
	names := resolver{
		"loopback.test": {netip.MustParseAddr("127.0.0.1")},
		"mapped.test":   {netip.MustParseAddr("::ffff:127.0.0.1")},
		"nat64.test":    {netip.MustParseAddr("64:ff9b::7f00:1")},
		"meta.test":     {netip.MustParseAddr("169.254.169.254")},
		"ten.test":      {netip.MustParseAddr("10.0.0.1")},
		"six.test":      {netip.MustParseAddr("::1")},
	}
	p := fetch.Policy{Rules: []manifest.Rule{{URL: "http://*:*"}, {URL: "https://*:*"}}, Private: []string{"127.0.0.0/8"}}
	b := open(t, fetch.Config{Resolver: names}, p)
	for _, host := range []string{
		"loopback.test", "mapped.test", "nat64.test", "meta.test", "ten.test", "six.test", "localhost",
		"127.0.0.1", "0x7f.1", "2130706433", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::127.0.0.1]", "0.0.0.0", "169.254.169.254",
	} {
		for _, scheme := range []string{"http://", "https://"} {
			r := b.do(&fetch.Request{URL: scheme + host + port})
			if err := wantCode(t, r, failure.AddressDenied); err.Retryable {
				t.Errorf("%s: retryable", host)
			}
		}
	}
	wantCode(t, b.do(&fetch.Request{URL: "http://unknown.test" + port}), failure.DNSError)
}

// TestPrivateNeedsRuleAndOperator: one of the two is not enough.
func TestPrivateNeedsRuleAndOperator(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	for _, tc := range []struct {
		rule     bool
		operator []string
		code     failure.Code
	}{
		{true, []string{up.URL}, ""},
		{true, []string{"127.0.0.0/8"}, ""},
		{true, nil, failure.AddressDenied},
		{false, []string{up.URL}, failure.AddressDenied},
		{true, []string{"http://127.0.0.1:1"}, failure.AddressDenied},
	} {
		t.Run(fmt.Sprint(tc.rule, tc.operator), func(t *testing.T) {
			b := open(t, fetch.Config{}, fetch.Policy{Rules: []manifest.Rule{{URL: up.URL, Private: tc.rule}}, Private: tc.operator})
			r := b.do(&fetch.Request{URL: up.URL})
			if tc.code == "" {
				wantOK(t, r)
			} else {
				wantCode(t, r, tc.code)
			}
		})
	}
}

func TestTLSFailures(t *testing.T) {
	t.Parallel()
	up, roots := serveTLS(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) })
	b := open(t, fetch.Config{}, loopback())
	if err := wantCode(t, b.do(&fetch.Request{URL: up.URL}), failure.TLSError); err.Retryable || err.Attempts != 1 {
		t.Errorf("unknown authority: %+v", err)
	}
	roots = roots.Clone()
	roots.InsecureSkipVerify = true
	b = open(t, fetch.Config{TLS: roots}, loopback())
	wrong := strings.Replace(up.URL, "127.0.0.1", "wrong.test", 1)
	wantCode(t, b.do(&fetch.Request{URL: wrong}), failure.TLSError) // verification can't be turned off
	wantOK(t, b.do(&fetch.Request{URL: up.URL}))

	plain := serveRaw(t, func(_ int, c net.Conn) {
		c.Read(make([]byte, 1))
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
	})
	b = open(t, fetch.Config{}, loopback())
	wantCode(t, b.do(&fetch.Request{URL: "https" + strings.TrimPrefix(plain, "http")}), failure.TLSError)
	gone := serveRaw(t, func(_ int, c net.Conn) { c.Read(make([]byte, 1)); reset(c) })
	wantCode(t, b.do(&fetch.Request{URL: "https" + strings.TrimPrefix(gone, "http")}), failure.ConnectError)
}
