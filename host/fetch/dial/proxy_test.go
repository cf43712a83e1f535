package dial

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// proxying is a proxy that answers by a script, and what it was asked.
type proxying struct {
	addr string
	mu   sync.Mutex
	got  []string
}

func (p *proxying) asked() []string { p.mu.Lock(); defer p.mu.Unlock(); return p.got }

func (p *proxying) note(line string) { p.mu.Lock(); defer p.mu.Unlock(); p.got = append(p.got, line) }

// serveProxy runs handle for each connection.
func serveProxy(t *testing.T, handle func(p *proxying, c net.Conn)) *proxying {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxying{addr: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				handle(p, c)
			})
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); wg.Wait() })
	return p
}

// connecting answers CONNECT with text.
func connecting(text string) func(*proxying, net.Conn) {
	return func(p *proxying, c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		p.note(req.Method + " " + req.RequestURI + " " + req.Host + " " + req.Header.Get("Proxy-Authorization"))
		io.WriteString(c, text)
		io.Copy(io.Discard, c)
	}
}

func mustProxy(t *testing.T, text string) *Proxy {
	t.Helper()
	p, err := ParseProxy(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// names resolves every name to one address.
type names string

func (n names) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr(string(n))}, nil
}

// TestConnectThroughAProxy: it is asked for the pinned address, and what it sends with its answer belongs to the tunnel.
func TestConnectThroughAProxy(t *testing.T) {
	t.Parallel()
	p := serveProxy(t, connecting("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 Fine\r\nX: y\r\n\r\nhello"))
	d := New(Config{Resolver: names("2001:db8::7")})
	conn, err := d.Dial(context.Background(), Target{Host: "up.example", Port: "443", Proxy: mustProxy(t, "http://me:pass@"+p.addr)}, time.Minute, new(Trace))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 5)
	if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "hello" {
		t.Errorf("%q, %v", buf, err)
	}
	if got := p.asked(); len(got) != 1 || got[0] != "CONNECT [2001:db8::7]:443 [2001:db8::7]:443 Basic bWU6cGFzcw==" {
		t.Errorf("asked %q", got)
	}
}

// TestProxyIsNotAskedForDeniedAddresses: the guard comes first.
func TestProxyIsNotAskedForDeniedAddresses(t *testing.T) {
	t.Parallel()
	p := serveProxy(t, connecting("HTTP/1.1 200 Fine\r\n\r\n"))
	d := New(Config{Resolver: names("10.0.0.1")})
	_, err := d.Dial(context.Background(), Target{
		Host: "up.example", Port: "80", Proxy: mustProxy(t, "http://"+p.addr),
		Allow: func(netip.AddrPort) error { return failure.New(failure.AddressDenied, "no") },
	}, time.Minute, new(Trace))
	if failure.CodeOf(err) != failure.AddressDenied || len(p.asked()) != 0 {
		t.Errorf("%v, asked %q", err, p.asked())
	}
}

func TestProxyFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, answer, want string }{
		{"it refuses the credentials", "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", "refuses the operator's credentials"},
		{"it refuses", "HTTP/1.1 502 No\r\nContent-Length: 3\r\n\r\nsee", "status 502"},
		{"it switches protocols", "HTTP/1.1 101 Yes\r\n\r\n", "status 101"},
		{"it speaks another language", "220 smtp.example ready\r\n", "no valid answer"},
		{"its head has no end", "HTTP/1.1 200 Fine\r\nX: " + strings.Repeat("x", 64<<10), ""},
		{"it has interim answers only", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 9), "no valid answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := serveProxy(t, connecting(c.answer))
			_, err := New(Config{}).Dial(context.Background(), Target{Host: "192.0.2.77", Port: "80", Proxy: mustProxy(t, "http://me:hunter2@"+p.addr)}, time.Minute, new(Trace))
			if failure.CodeOf(err) != failure.ProxyError || !strings.Contains(err.Error(), c.want) {
				t.Fatal(err)
			}
			for _, hidden := range []string{"hunter2", "192.0.2.77", p.addr} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("%q tells %s", err, hidden)
				}
			}
		})
	}
	t.Run("it isn't there", func(t *testing.T) {
		t.Parallel()
		_, err := New(Config{}).Dial(context.Background(), Target{Host: "192.0.2.77", Port: "80", Proxy: mustProxy(t, "http://127.0.0.1:1")}, time.Minute, new(Trace))
		if failure.CodeOf(err) != failure.ProxyError || !strings.Contains(err.Error(), "can't be reached") {
			t.Error(err)
		}
	})
	for _, scheme := range []string{"http", "https", "socks5"} {
		t.Run(scheme+" says nothing", func(t *testing.T) {
			t.Parallel()
			p := serveProxy(t, func(_ *proxying, c net.Conn) { io.Copy(io.Discard, c) })
			cause := errors.New("enough")
			ctx, cancel := context.WithTimeoutCause(context.Background(), 30*time.Millisecond, cause)
			defer cancel()
			if _, err := New(Config{}).Dial(ctx, Target{Host: "192.0.2.77", Port: "80", Proxy: mustProxy(t, scheme+"://"+p.addr)}, 0, new(Trace)); err != cause {
				t.Error(err)
			}
		})
	}
}

// TestProxyOverTLS: its certificate is verified.
func TestProxyOverTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 200 Fine\r\n\r\n%s", r.RequestURI)
	}))
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	p, err := ParseProxy("https://"+s.Listener.Addr().String(), &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := New(Config{}).Dial(context.Background(), Target{Host: "192.0.2.7", Port: "80", Proxy: p}, time.Minute, new(Trace))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, _ := io.ReadAll(conn); string(got) != "192.0.2.7:80" {
		t.Errorf("asked %s", got)
	}
	_, err = New(Config{}).Dial(context.Background(), Target{Host: "192.0.2.7", Port: "80", Proxy: mustProxy(t, p.String())}, time.Minute, new(Trace))
	if failure.CodeOf(err) != failure.ProxyError {
		t.Errorf("an unknown certificate: %v", err)
	}
}

// socks speaks as much of SOCKS 5 as it takes (RFC 1928, RFC 1929).
func socks(reply byte) func(*proxying, net.Conn) {
	return func(p *proxying, c net.Conn) {
		buf := make([]byte, 256)
		io.ReadFull(c, buf[:2])
		io.ReadFull(c, buf[:buf[1]])
		if bytes.IndexByte(buf[:4], 2) >= 0 {
			c.Write([]byte{5, 2})
			io.ReadFull(c, buf[:2])
			n := int(buf[1])
			io.ReadFull(c, buf[:n+1])
			user, m := string(buf[:n]), int(buf[n])
			io.ReadFull(c, buf[:m])
			p.note(user + ":" + string(buf[:m]))
			c.Write([]byte{1, 0})
		} else {
			c.Write([]byte{5, 0})
		}
		io.ReadFull(c, buf[:4])
		if buf[3] != 1 {
			p.note(fmt.Sprintf("address type %d", buf[3]))
			return
		}
		io.ReadFull(c, buf[:6])
		p.note(fmt.Sprintf("%s:%d", netip.AddrFrom4([4]byte(buf[:4])), int(buf[4])<<8|int(buf[5])))
		c.Write([]byte{5, reply, 0, 1, 0, 0, 0, 0, 0, 0})
		io.WriteString(c, "hello")
	}
}

func TestSOCKS(t *testing.T) {
	t.Parallel()
	p := serveProxy(t, socks(0))
	d := New(Config{Resolver: names("192.0.2.9")})
	conn, err := d.Dial(context.Background(), Target{Host: "up.example", Port: "8080", Proxy: mustProxy(t, "socks5://me:pass@"+p.addr)}, time.Minute, new(Trace))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := io.ReadAll(conn); string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got := strings.Join(p.asked(), " "); got != "me:pass 192.0.2.9:8080" {
		t.Errorf("asked %s", got)
	}
	refusing := serveProxy(t, socks(5))
	_, err = d.Dial(context.Background(), Target{Host: "up.example", Port: "1", Proxy: mustProxy(t, "socks5://"+refusing.addr)}, time.Minute, new(Trace))
	if failure.CodeOf(err) != failure.ProxyError {
		t.Error(err)
	}
}

func TestParseProxy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://p": "http://p:80", "https://u:hunter2@p": "https://p:443", "socks5://[::1]": "socks5://[::1]:1080", "http://p:3128/": "http://p:3128",
		"ftp://p": "", "p:3128": "", "http://": "", "http://p/x": "", "http://p?x": "", "http://u:hunter2@p#x": "", "http://u:hunter2@[": "", "": "",
	} {
		p, err := ParseProxy(text, nil)
		switch {
		case want == "" && err == nil:
			t.Errorf("%q is taken", text)
		case want == "" && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%v tells the password", err)
		case want != "" && (err != nil || p.String() != want):
			t.Errorf("%q is %v, %v", text, p, err)
		}
	}
}

// FuzzReadConnect: whatever a proxy answers is taken or refused within what it sent.
func FuzzReadConnect(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\nrest"))
	f.Add([]byte("HTTP/1.1 100 C\r\n\r\nHTTP/1.0 407 X\r\nContent-Length: 99\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(&io.LimitedReader{R: bytes.NewReader(data), N: maxProxyHead})
		if readConnect(r) == nil && !bytes.Contains(data, []byte(" 2")) {
			t.Errorf("%q is a yes", data)
		}
	})
}
