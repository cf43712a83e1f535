package dial

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// TestTunnels: through each kind of proxy there is a way to the pinned address and to nothing else, and the proxy never sees a name.
func TestTunnels(t *testing.T) {
	t.Parallel()
	up := listen(t)
	server, client := certified(t)
	for scheme, p := range map[string]*proxying{
		"http": serveProxy(t, relaying), "https": serveProxyTLS(t, server, relaying), "socks5": serveProxy(t, socksServer{relay: true}.serve),
	} {
		for name, host := range map[string]string{"a name": "up.example", "localhost": "localhost", "a literal": "127.0.0.1", "a mapped literal": "::ffff:127.0.0.1"} {
			t.Run(scheme+": "+name, func(t *testing.T) {
				t.Parallel()
				proxy, err := ParseProxy(scheme+"://"+p.addr, client)
				if err != nil {
					t.Fatal(err)
				}
				j := &judge{only: []string{"127.0.0.1", "::ffff:127.0.0.1"}}
				d := New(Config{Resolver: answering("10.0.0.1", "::1", "127.0.0.1")})
				conn, err := d.Dial(t.Context(), Target{Host: host, Port: up.port, Proxy: proxy, Allow: j.allow}, time.Minute, nil)
				if err != nil {
					t.Fatal(err)
				}
				hello(t, conn)
				if slices.ContainsFunc(j.asked, func(a string) bool { return a == p.addr }) {
					t.Error("the proxy's own address was judged")
				}
			})
		}
		t.Cleanup(func() { // after the subtests
			if got := slices.Compact(p.asked()); len(got) != 1 || got[0] != "127.0.0.1:"+up.port {
				t.Errorf("%s was asked for %q", scheme, got)
			}
		})
	}
}

// TestProxyIsNotAskedForDeniedAddresses: the guard comes first, is asked about each address, and once more just before.
func TestProxyIsNotAskedForDeniedAddresses(t *testing.T) {
	t.Parallel()
	for scheme, handle := range map[string]func(*proxying, net.Conn){"http": connecting("HTTP/1.1 200 Fine\r\n\r\n"), "socks5": socksServer{}.serve} {
		for name, tc := range map[string]struct {
			host   string
			answer []string
			only   string
		}{
			"a private answer": {"up.example", []string{"10.0.0.1"}, "192.0.2.1"},
			"all of many":      {"up.example", []string{"10.0.0.1", "::1", "fe80::1", "169.254.169.254"}, "192.0.2.1"},
			"a mapped answer":  {"up.example", []string{"::ffff:10.0.0.1"}, "192.0.2.1"},
			"a literal":        {"169.254.169.254", nil, "192.0.2.1"},
			"localhost":        {"localhost", nil, "192.0.2.1"},
			"the proxy itself": {"127.0.0.1", nil, "192.0.2.1"},
		} {
			t.Run(scheme+": "+name, func(t *testing.T) {
				t.Parallel()
				p := serveProxy(t, handle)
				j := &judge{only: []string{tc.only}}
				_, port, _ := net.SplitHostPort(p.addr)
				_, err := New(Config{Resolver: answering(tc.answer...)}).Dial(t.Context(),
					Target{Host: tc.host, Port: port, Proxy: mustProxy(t, scheme+"://"+p.addr), Allow: j.allow}, time.Minute, nil)
				if wantCode(t, err, failure.AddressDenied) != errJudge || len(p.asked()) != 0 {
					t.Errorf("%v, asked %q", err, p.asked())
				}
			})
		}
		t.Run(scheme+": a changed verdict", func(t *testing.T) {
			t.Parallel()
			p := serveProxy(t, handle)
			seen := map[netip.AddrPort]bool{}
			_, err := New(Config{Resolver: answering("192.0.2.1", "192.0.2.2")}).Dial(t.Context(), Target{
				Host: "up.example", Port: "80", Proxy: mustProxy(t, scheme+"://"+p.addr), Allow: func(a netip.AddrPort) error {
					if seen[a] {
						return errJudge
					}
					seen[a] = true
					return nil
				},
			}, time.Minute, nil)
			if wantCode(t, err, failure.AddressDenied); len(p.asked()) != 0 {
				t.Errorf("asked %q", p.asked())
			}
		})
	}
}

// TestProxyAddresses: which of several addresses a proxy is asked for.
func TestProxyAddresses(t *testing.T) {
	t.Parallel()
	const no, yes = "HTTP/1.1 503 No\r\n\r\n", "HTTP/1.1 200 Fine\r\n\r\n"
	many := []string{"192.0.2.1", "192.0.2.2", "10.0.0.1", "192.0.2.3", "192.0.2.4", "192.0.2.5"}
	for _, tc := range []struct {
		name    string
		addrs   []string
		answers []string
		asked   string
		want    string
	}{
		{"the first", many, []string{yes}, "192.0.2.1:80", ""},
		{"the second", many, []string{no, yes}, "192.0.2.1:80 192.0.2.2:80", ""},
		{"after a garbled answer", many, []string{"SSH-2.0\r\n", yes}, "192.0.2.1:80 192.0.2.2:80", ""},
		{"not the denied one", many, []string{no, no, yes}, "192.0.2.1:80 192.0.2.2:80 192.0.2.3:80", ""},
		{"a few at most", many, []string{no}, "192.0.2.1:80 192.0.2.2:80 192.0.2.3:80", "status 503"},
		{"the other family", []string{"2001:db8::1", "2001:db8::2", "192.0.2.1"}, []string{no, yes}, "[2001:db8::1]:80 192.0.2.1:80", ""},
		{"one, without leave", many, []string{"HTTP/1.1 407 No\r\n\r\n"}, "192.0.2.1:80", "credentials"},
		{"none with a zone", []string{"fe80::1%x\r\nEvil: y", "192.0.2.1"}, []string{yes}, "192.0.2.1:80", ""},
		{"only one with a zone", []string{"fe80::1%eth0"}, []string{yes}, "", "zone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := serveProxy(t, connecting(tc.answers...))
			conn, err := New(Config{Resolver: answering(tc.addrs...)}).Dial(t.Context(), Target{
				Host: "up.example", Port: "80", Proxy: mustProxy(t, "http://"+p.addr), Allow: func(a netip.AddrPort) error {
					if a.Addr().IsPrivate() {
						return errJudge
					}
					return nil
				},
			}, time.Minute, nil)
			if tc.want != "" {
				wantProxyError(t, err, tc.want, "192.0.2", "eth0", p.addr)
			} else if err != nil {
				t.Fatal(err)
			} else {
				conn.Close()
			}
			var got []string
			for _, line := range p.asked() {
				got = append(got, strings.Fields(line)[1])
			}
			if strings.Join(got, " ") != tc.asked {
				t.Errorf("asked for %q, want %q", got, tc.asked)
			}
			p.closed(t)
		})
	}
}

// TestProxyThatIsNotThere: the guest learns neither its name nor its address.
func TestProxyThatIsNotThere(t *testing.T) {
	t.Parallel()
	up := listen(t)
	for _, scheme := range []string{"http", "https", "socks5"} {
		_, err := New(Config{}).Dial(t.Context(), Target{Host: "192.0.2.77", Port: "80", Proxy: mustProxy(t, scheme+"://me:hunter2@[::1]:"+up.port)}, time.Minute, nil)
		wantProxyError(t, err, "can't be reached", "::1", up.port, "192.0.2.77", "hunter2")
		d := New(Config{Resolver: &resolver{answer: func(_ int, host string) ([]netip.Addr, error) {
			if host == "proxy.corp" {
				return nil, &net.DNSError{Name: host, IsNotFound: true}
			}
			return []netip.Addr{netip.MustParseAddr("192.0.2.77")}, nil
		}}})
		_, err = d.Dial(t.Context(), Target{Host: "up.example", Port: "80", Proxy: mustProxy(t, scheme+"://me:hunter2@proxy.corp")}, time.Minute, nil)
		wantProxyError(t, err, "can't be resolved", "proxy.corp", "192.0.2.77", "hunter2")
	}
}

// TestProxyByName: its name is looked up as others are, and its addresses are tried as others are.
func TestProxyByName(t *testing.T) {
	t.Parallel()
	p := serveProxy(t, connecting("HTTP/1.1 200 Fine\r\n\r\n"))
	_, port, _ := net.SplitHostPort(p.addr)
	r := &resolver{answer: func(_ int, host string) ([]netip.Addr, error) {
		if host == "proxy.corp" {
			return []netip.Addr{netip.IPv6Loopback(), netip.MustParseAddr("127.0.0.1")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	}}
	d := New(Config{Resolver: NewCache(r, CacheConfig{}), Stagger: time.Hour})
	for range 3 {
		conn, err := d.Dial(t.Context(), Target{Host: "up.example", Port: "80", Proxy: mustProxy(t, "http://proxy.corp:"+port)}, time.Minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	if len(p.asked()) != 3 || r.asked.Load() != 2 {
		t.Errorf("asked %q; the resolver %d times", p.asked(), r.asked.Load())
	}
}

// TestProxyOverTLS: its certificate is verified, whatever the configuration says.
func TestProxyOverTLS(t *testing.T) {
	t.Parallel()
	server, client := certified(t)
	p := serveProxyTLS(t, server, connecting("HTTP/1.1 200 Fine\r\n\r\n"))
	_, port, _ := net.SplitHostPort(p.addr)
	for name, tc := range map[string]struct {
		host string
		cfg  *tls.Config
	}{
		"unknown roots":        {"127.0.0.1", nil},
		"another name":         {"proxy.corp", client},
		"told not to verify":   {"127.0.0.1", &tls.Config{InsecureSkipVerify: true}},
		"not TLS at all":       {"", nil},
		"a version it has not": {"127.0.0.1", &tls.Config{RootCAs: client.RootCAs, MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := net.JoinHostPort(tc.host, port)
			if tc.host == "" {
				at = serveProxy(t, func(_ *proxying, c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Plain\r\n\r\n") }).addr
			}
			proxy, err := ParseProxy("https://me:hunter2@"+at, tc.cfg)
			if err != nil {
				t.Fatal(err)
			}
			_, err = New(Config{Resolver: answering("127.0.0.1")}).Dial(t.Context(), Target{Host: "192.0.2.7", Port: "80", Proxy: proxy}, time.Minute, nil)
			wantProxyError(t, err, "TLS handshake", "127.0.0.1", "proxy.corp", "192.0.2.7", "hunter2")
		})
	}
	t.Cleanup(func() {
		if got := p.asked(); len(got) != 0 {
			t.Errorf("asked %q without being trusted", got)
		}
	})
}
