package dial

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// TestProxyTakesTooLong: at whatever point it falls silent or drips, the end of ctx is the end, under its own name.
func TestProxyTakesTooLong(t *testing.T) {
	t.Parallel()
	silent := func(p *proxying, c net.Conn) {
		io.ReadFull(c, make([]byte, 1))
		p.note("x")
		io.Copy(io.Discard, c)
	}
	drips := func(text string) func(p *proxying, c net.Conn) {
		return func(p *proxying, c net.Conn) {
			p.note("x")
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for i := 0; ; i++ {
				if _, err := c.Write([]byte{text[i%len(text)]}); err != nil {
					return
				}
				<-tick.C
			}
		}
	}
	for _, tc := range []struct {
		name, scheme string
		handle       func(p *proxying, c net.Conn)
	}{
		{"http says nothing", "http", silent},
		{"https says nothing", "https", silent},
		{"socks5 says nothing", "socks5", silent},
		{"half a head", "http", connecting("HTTP/1.1 200 Fi")},
		{"half a head's fields", "http", connecting("HTTP/1.1 200 Fine\r\nX: y\r\n")},
		{"an interim answer", "http", connecting("HTTP/1.1 100 Continue\r\n\r\n")},
		{"a dripping status", "http", drips("HTTP/1.1 200 " + strings.Repeat("x", 10<<10))},
		{"dripping fields", "http", drips("HTTP/1.1 200 Fine\r\n" + strings.Repeat("a: b\r\n", 2<<10))},
		{"half a greeting", "socks5", func(p *proxying, c net.Conn) { c.Write([]byte{5}); silent(p, c) }},
		{"half a reply", "socks5", socksServer{reply: []byte{5, 0, 0}}.serve},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := serveProxy(t, tc.handle)
			to := Target{Host: "192.0.2.77", Port: "80", Proxy: mustProxy(t, tc.scheme+"://"+p.addr)}
			cause := errors.New("enough")
			ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, cause)
			defer cancel()
			if _, err := New(Config{}).Dial(ctx, to, time.Minute, nil); err != cause {
				t.Errorf("a deadline: %v", err)
			}
			_, err := New(Config{}).Dial(t.Context(), to, 30*time.Millisecond, nil)
			if fail := wantCode(t, err, failure.ConnectTimeout); strings.Contains(fail.Error(), p.addr) {
				t.Errorf("%q tells where the proxy is", fail)
			}
			p.closed(t)
		})
	}
}

// TestProxyCancelled: as soon as the proxy has the question, and with no regard to its never answering.
func TestProxyCancelled(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			cause := errors.New("the guest cancelled")
			ctx, cancel := context.WithCancelCause(t.Context())
			p := serveProxy(t, func(p *proxying, c net.Conn) {
				io.ReadFull(c, make([]byte, 1))
				p.note("x")
				cancel(cause)
				io.Copy(io.Discard, c)
			})
			if _, err := New(Config{}).Dial(ctx, Target{Host: "192.0.2.77", Port: "80", Proxy: mustProxy(t, scheme+"://"+p.addr)}, 0, nil); err != cause {
				t.Error(err)
			}
			p.closed(t)
		})
	}
}

// TestTunnelOutlivesItsContext: what ends dialling doesn't end what was dialled.
func TestTunnelOutlivesItsContext(t *testing.T) {
	t.Parallel()
	server, client := certified(t)
	for scheme, p := range map[string]*proxying{
		"http":   serveProxy(t, connecting("HTTP/1.1 200 Fine\r\n\r\n")),
		"https":  serveProxyTLS(t, server, connecting("HTTP/1.1 200 Fine\r\n\r\n")),
		"socks5": serveProxy(t, socksServer{after: "", stay: true}.serve),
	} {
		proxy, err := ParseProxy(scheme+"://"+p.addr, client)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		conn, err := New(Config{}).Dial(ctx, Target{Host: "192.0.2.7", Port: "80", Proxy: proxy}, time.Minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := io.WriteString(conn, "still there"); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
		conn.Close()
		p.closed(t)
	}
}
