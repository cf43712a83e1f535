package dial

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// socksServer speaks as much of SOCKS 5 as it takes (RFC 1928, RFC 1929). Its zero value lets everybody in and says hello.
type socksServer struct {
	greeting []byte // instead of choosing a method
	auth     []byte // instead of {1, 0}
	reply    []byte // instead of success
	after    string // glued to the reply
	relay    bool   // connects
	stay     bool   // until the client leaves
}

func (s socksServer) serve(p *proxying, c net.Conn) {
	buf := make([]byte, 256)
	read := func(n int) []byte { io.ReadFull(c, buf[:n]); return bytes.Clone(buf[:n]) }
	answer := func(scripted, usual []byte) {
		if scripted == nil {
			scripted = usual
		}
		c.Write(scripted)
	}
	wait := func() { io.Copy(io.Discard, c) }
	if read(1)[0] != 5 {
		return
	}
	methods := read(int(read(1)[0]))
	stops := s.greeting != nil && !bytes.Equal(s.greeting, []byte{5, 0}) || s.auth != nil
	stop := func() { // noted first, since who has the answer may be gone before the next line
		if stops {
			p.note("stopped")
		}
	}
	if bytes.IndexByte(methods, 2) >= 0 && s.greeting == nil {
		c.Write([]byte{5, 2})
		read(1)
		user := read(int(read(1)[0]))
		p.note(fmt.Sprintf("%s:%s", user, read(int(read(1)[0]))))
		stop()
		answer(s.auth, []byte{1, 0})
	} else {
		stop()
		answer(s.greeting, []byte{5, 0})
	}
	if stops {
		wait()
		return
	}
	var addr netip.Addr
	switch kind := read(4)[3]; kind {
	case 1:
		addr, _ = netip.AddrFromSlice(read(4))
	case 4:
		addr, _ = netip.AddrFromSlice(read(16))
	default:
		p.note(fmt.Sprintf("an address of type %d", kind))
		return
	}
	port := read(2)
	target := netip.AddrPortFrom(addr, uint16(port[0])<<8|uint16(port[1])).String()
	p.note(target)
	if s.relay {
		up, err := net.Dial("tcp", target)
		if err != nil {
			c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
			return
		}
		defer up.Close()
		c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		relay(c, c, up)
		return
	}
	answer(s.reply, []byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	io.WriteString(c, s.after)
	if s.reply != nil || s.stay {
		wait()
	}
}

func TestSOCKS(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, user, addr string
		server           socksServer
		asked            string
	}{
		{"IPv4", "", "192.0.2.9", socksServer{after: "hello"}, "192.0.2.9:8080"},
		{"IPv6", "", "2001:db8::9", socksServer{after: "hello"}, "[2001:db8::9]:8080"},
		{"a mapped answer", "", "::ffff:192.0.2.9", socksServer{after: "hello"}, "192.0.2.9:8080"},
		{"with credentials", "me:pa%3Ass@", "192.0.2.9", socksServer{after: "hello"}, "me:pa:ss 192.0.2.9:8080"},
		{"with a user alone", "me@", "192.0.2.9", socksServer{after: "hello"}, "me: 192.0.2.9:8080"},
		{"credentials that aren't wanted", "me:pass@", "192.0.2.9", socksServer{greeting: []byte{5, 0}, after: "hello"}, "192.0.2.9:8080"},
		{"bound to a name", "", "192.0.2.9", socksServer{reply: []byte("\x05\x00\x00\x03\x05bound\x00\x50"), after: "hello"}, "192.0.2.9:8080"},
		{"bound to IPv6", "", "192.0.2.9", socksServer{reply: append([]byte{5, 0, 0, 4}, make([]byte, 18)...), after: "hello"}, "192.0.2.9:8080"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := serveProxy(t, tc.server.serve)
			conn, err := New(Config{Resolver: answering(tc.addr)}).Dial(t.Context(),
				Target{Host: "up.example", Port: "8080", Proxy: mustProxy(t, "socks5://"+tc.user+p.addr)}, time.Minute, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			got := make([]byte, len(tc.server.after))
			if _, err := io.ReadFull(conn, got); string(got) != "hello" {
				t.Errorf("%q, %v", got, err)
			}
			if got := strings.Join(p.asked(), " "); got != tc.asked {
				t.Errorf("asked %q, want %q", got, tc.asked)
			}
		})
	}
}

func TestSOCKSFailures(t *testing.T) {
	t.Parallel()
	reply := func(code byte) []byte { return []byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0} }
	const refuses, addresses = "refuses the operator's credentials", maxTunnels
	for _, tc := range []struct {
		name   string
		server socksServer
		want   string
		notes  int // of it
	}{
		{"the credentials are wrong", socksServer{auth: []byte{1, 1}}, refuses, 2},
		{"no method is right", socksServer{greeting: []byte{5, 0xff}}, refuses, 1},
		{"a method nobody offered", socksServer{greeting: []byte{5, 1}}, refuses, 1},
		{"another version", socksServer{greeting: []byte{4, 0}}, "no valid answer", addresses},
		{"another version of the authentication", socksServer{auth: []byte{5, 0}}, "no valid answer", 2 * addresses},
		{"HTTP", socksServer{greeting: []byte("HTTP/1.1 400 me:hunter2\r\n\r\n")}, "no valid answer", addresses},
		{"a failure", socksServer{reply: reply(1)}, "it answered: general SOCKS server failure", 2 * addresses},
		{"its rules", socksServer{reply: reply(2)}, "it answered: connection not allowed by ruleset", 2 * addresses},
		{"the network", socksServer{reply: reply(3)}, "it answered: network unreachable", 2 * addresses},
		{"the host", socksServer{reply: reply(4)}, "it answered: host unreachable", 2 * addresses},
		{"the port", socksServer{reply: reply(5)}, "it answered: connection refused", 2 * addresses},
		{"an unknown reply", socksServer{reply: reply(200)}, "it answered: unknown code: 200", 2 * addresses},
		{"a reply of another version", socksServer{reply: []byte{4, 0, 0, 1, 0, 0, 0, 0, 0, 0}}, "no valid answer", 2 * addresses},
		{"an unknown address type", socksServer{reply: []byte{5, 0, 0, 9, 0, 0, 0, 0, 0, 0}}, "no valid answer", 2 * addresses},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := serveProxy(t, tc.server.serve)
			_, err := New(Config{Resolver: answering("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")}).Dial(t.Context(),
				Target{Host: "up.example", Port: "81", Proxy: mustProxy(t, "socks5://me:hunter2@"+p.addr)}, time.Minute, nil)
			wantProxyError(t, err, tc.want, "hunter2", "me:", "192.0.2", p.addr)
			if got := p.asked(); len(got) != tc.notes {
				t.Errorf("%q, want %d", got, tc.notes)
			}
		})
	}
	t.Run("it wants credentials", func(t *testing.T) {
		t.Parallel()
		p := serveProxy(t, socksServer{greeting: []byte{5, 0xff}}.serve)
		_, err := New(Config{}).Dial(t.Context(), Target{Host: "192.0.2.77", Port: "80", Proxy: mustProxy(t, "socks5://"+p.addr)}, time.Minute, nil)
		wantProxyError(t, err, "asks for credentials, and the operator has given none", "192.0.2.77", p.addr)
	})
	for name, text := range map[string]string{"at once": "", "in its greeting": "\x05", "after its greeting": "\x05\x00"} {
		t.Run("it hangs up "+name, func(t *testing.T) {
			t.Parallel()
			p := serveProxy(t, func(_ *proxying, c net.Conn) {
				io.ReadFull(c, make([]byte, 3))
				io.WriteString(c, text)
			})
			_, err := New(Config{}).Dial(t.Context(), Target{Host: "192.0.2.77", Port: "80", Proxy: mustProxy(t, "socks5://"+p.addr)}, time.Minute, nil)
			wantProxyError(t, err, "closed the connection", "192.0.2.77", p.addr)
		})
	}
}
