package dial

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

func mustAddrPort(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

// proxying is a proxy that answers by a script, what it was asked, and how many of its connections the other side has closed.
type proxying struct {
	addr string
	mu   sync.Mutex
	got  []string
	left chan struct{} // for each connection whose handler has returned by itself
}

func (p *proxying) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

func (p *proxying) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, line)
}

// closed waits until as many connections are closed as were asked on.
func (p *proxying) closed(t *testing.T) {
	t.Helper()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for range p.asked() {
		select {
		case <-p.left:
		case <-late.C:
			t.Fatal("a connection to the proxy was left open")
		}
	}
}

// serveProxy runs handle for each connection.
func serveProxy(t *testing.T, handle func(p *proxying, c net.Conn)) *proxying {
	t.Helper()
	return serveProxyTLS(t, nil, handle)
}

func serveProxyTLS(t *testing.T, cfg *tls.Config, handle func(p *proxying, c net.Conn)) *proxying {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxying{addr: l.Addr().String(), left: make(chan struct{}, 100)}
	if cfg != nil {
		l = tls.NewListener(l, cfg)
	}
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
				p.left <- struct{}{}
			})
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); wg.Wait() })
	return p
}

// connecting answers CONNECT with the texts, each to another connection, the last to all that follow.
func connecting(texts ...string) func(*proxying, net.Conn) {
	return func(p *proxying, c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		p.note(req.Method + " " + req.RequestURI + " " + req.Host + " " + req.Header.Get("Proxy-Authorization"))
		io.WriteString(c, texts[min(len(p.asked()), len(texts))-1])
		io.Copy(io.Discard, c)
	}
}

// relaying is a CONNECT proxy that works.
func relaying(p *proxying, c net.Conn) {
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	p.note(req.RequestURI)
	up, err := net.Dial("tcp", req.RequestURI)
	if err != nil {
		io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer up.Close()
	io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	relay(c, r, up)
}

// relay copies until the upstream has no more to say.
func relay(c net.Conn, r io.Reader, up net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(up, r) })
	io.Copy(c, up)
	c.Close()
	wg.Wait()
}

func mustProxy(t *testing.T, text string) *Proxy {
	t.Helper()
	p, err := ParseProxy(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// certified is a server's TLS for 127.0.0.1, and a client's that trusts it.
func certified(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, &tls.Config{RootCAs: roots}
}

// wantProxyError checks the code, and that neither the message nor what an operator may log tells a secret.
func wantProxyError(t *testing.T, err error, want string, hidden ...string) {
	t.Helper()
	fail := wantCode(t, err, failure.ProxyError)
	if !strings.Contains(fail.Message, want) || !fail.Retryable {
		t.Errorf("%q, want %q; retryable %v", fail.Message, want, fail.Retryable)
	}
	for _, text := range hidden {
		if strings.Contains(fail.Error(), text) {
			t.Errorf("%q tells %s", fail, text)
		}
	}
	if fail.Err == nil || strings.Contains(fmt.Sprintf("%v %+v", fail.Err, fail.Err), "hunter2") {
		t.Errorf("the cause is %v", fail.Err)
	}
}
