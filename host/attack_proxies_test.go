package host_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/dial"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/fetch/policy"
	"github.com/sortie-run/sortie/host/manifest"
)

// A proxy of the operator's may reach what this machine can't, so it must not be a way around anything: it is asked for addresses that were
// judged and for nothing else, and no plugin can talk to it.

// proxySieges are those in which connections matter once more, through each kind of proxy, and one of their own.
func proxySieges() []siege {
	var all []siege
	for _, kind := range []string{"http", "socks5"} {
		for _, s := range slices.Concat(addressSieges()[:1], nameSieges(), messageSieges(), redirectSieges(), []siege{proxied()}) {
			s.name, s.proxy = kind+" proxy/"+s.name, kind
			all = append(all, s)
		}
	}
	return all
}

// proxied is attacks that only make sense where there is a proxy.
func proxied() siege {
	s := siege{
		name:    "the proxy itself",
		private: []string{"http://lure.test:{l}", "https://example.com:{s}"},
		rules: `
    - {url: "http://lure.test:{l}", private: true}
    - {url: "https://example.com:{s}", private: true}
    - {url: "http://private.test:*", private: true}
    - "http://*:*"
    - "https://*:*"
`,
		names: map[string][]string{"proxy.test": {"127.0.0.1"}, "private.test": {"127.0.0.1"}, "mapped.test": {"::ffff:127.0.0.1"}},
		attacks: []attack{
			{name: "a path like a proxy's target", url: "http://lure.test:{l}/http://127.0.0.1:{p}/", sent: "GET /http://127.0.0.1:{p}/ lure.test:{l}"},
			{name: "a path like an authority", url: "http://lure.test:{l}//127.0.0.1:{c}/", sent: "GET //127.0.0.1:{c}/ lure.test:{l}"},
			{name: "a body like CONNECT", url: "http://lure.test:{l}/", method: "POST", sent: "POST / lure.test:{l}", body: "CONNECT 127.0.0.1:{c} HTTP/1.1\r\nHost: 127.0.0.1:{c}\r\n\r\n"},
			{name: "CONNECT", url: "http://127.0.0.1:{p}/", method: "CONNECT", want: failure.InvalidRequest},
			{name: "CONNECT to the lure", url: "http://lure.test:{l}/", method: "CONNECT", want: failure.InvalidRequest},
			{name: "the lure's port of the proxy", url: "http://proxy.test:{l}/", want: failure.AddressDenied},
			{name: "from TLS to the proxy", url: "https://example.com:{s}", location: "http://127.0.0.1:{p}/", want: failure.AddressDenied},
			{name: "a chain to the proxy", hops: 5, location: "http://proxy.test:{p}/", want: failure.AddressDenied},
			{name: "a challenge", location: "http://127.0.0.1:{p}/", status: 407, lines: "Proxy-Authenticate: Basic realm=\"x\"\r\n"},
			{name: "another proxy", location: "http://127.0.0.1:{p}/", status: 305},
			{name: "not over the same tunnel", url: "http://lure.test:{l}", location: "http://proxy.test:{l}/", want: failure.AddressDenied},
			{name: "within the tunnel", url: "https://example.com:{s}", location: "/there", sent: "GET /there example.com:{s}"},
		},
	}
	for _, host := range []string{"127.0.0.1", "0x7f.1", "2130706433", "localhost", "[::ffff:127.0.0.1]", "0", "proxy.test", "private.test", "mapped.test", "lure.test"} {
		for _, scheme := range []string{"http", "https"} {
			s.attacks = append(s.attacks,
				attack{name: "the proxy", url: scheme + "://" + host + ":{p}/", want: failure.AddressDenied},
				attack{name: "redirect to the proxy", location: scheme + "://" + host + ":{p}/", want: failure.AddressDenied},
			)
		}
	}
	for _, f := range []fetch.Field{
		{Name: "Proxy-Authorization", Value: "Basic b3BlcmF0b3I6eA=="}, {Name: "proxy-connection", Value: "keep-alive"}, {Name: "PROXY-X", Value: "x"},
		{Name: "Connection", Value: "Proxy-Authorization, Host"}, {Name: "Connection", Value: "Upgrade"}, {Name: "Upgrade", Value: "connect-tcp"},
		{Name: "Host", Value: "127.0.0.1:{c}"}, {Name: "Transfer-Encoding", Value: "chunked"}, {Name: "TE", Value: "trailers, chunked"},
	} {
		s.attacks = append(s.attacks,
			attack{name: "field " + f.Name, url: "http://lure.test:{l}/", header: []fetch.Field{f}, sent: "GET / lure.test:{l}"},
			attack{name: "field with TLS " + f.Name, url: "https://example.com:{s}/", header: []fetch.Field{f}, sent: "GET / example.com:{s}"},
		)
	}
	for _, value := range []string{"x\r\nProxy-Authorization: Basic x", "x\r\n\r\nCONNECT 127.0.0.1:{c} HTTP/1.1\r\n\r\n"} {
		s.attacks = append(s.attacks, attack{name: "a smuggled request", url: "http://lure.test:{l}/", header: []fetch.Field{{Name: "X", Value: value}}, want: failure.InvalidRequest})
	}
	return s
}

// proxyUser and proxyPassword are the operator's.
const proxyUser, proxyPassword = "operator", "hunter2"

// wiretap is a proxy that works, for the lure at least, and remembers what it was asked.
type wiretap struct {
	kind, port string
	reach      map[string]bool // where it connects to; it says that it can't to anywhere else

	mu      sync.Mutex
	asked   int
	strange []string // what it should never have been asked
	tunnels func() (now, lure int64)
	opened  int64
}

func newWiretap(t *testing.T, kind string, l *lure) *wiretap {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{kind: kind, port: strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)}
	w.reach = map[string]bool{"127.0.0.1:" + l.port: true, "127.0.0.1:" + l.secure: true}
	w.tunnels = func() (int64, int64) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.opened, l.accepted.Load()
	}
	dead := "127.0.0.3:" + l.port // of a name's several addresses
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				w.serve(c, dead)
			})
		}
	})
	t.Cleanup(func() { cancel(); listener.Close(); serving.Wait() })
	return w
}

// upstream has all origins reached through the proxy.
func (w *wiretap) upstream(t *testing.T) fetch.Upstream {
	var all []manifest.Pattern
	for _, text := range []string{"http://*:*", "https://*:*"} {
		p, err := manifest.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	match, err := policy.CompilePatterns(all)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := dial.ParseProxy(fmt.Sprintf("%s://%s:%s@127.0.0.1:%s", w.kind, proxyUser, proxyPassword, w.port), nil)
	if err != nil {
		t.Fatal(err)
	}
	return fetch.Upstream{Match: match, Proxy: proxy}
}

// serve handles one connection.
func (w *wiretap) serve(c net.Conn, dead string) {
	r := bufio.NewReader(c)
	hear, yes, no := hearCONNECT, "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 502 Bad Gateway\r\n\r\n"
	if w.kind == "socks5" {
		hear, yes, no = hearSOCKS, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"
	}
	target, err := hear(c, r)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
		return // a dial ends with the exchange that wanted it
	}
	w.mu.Lock()
	w.asked++
	switch {
	case err != nil:
		w.strange = append(w.strange, err.Error())
	case w.reach[target]:
		w.opened++
	case target != dead:
		w.strange = append(w.strange, target)
	}
	w.mu.Unlock()
	if err != nil || !w.reach[target] {
		io.WriteString(c, no)
		return
	}
	up, err := net.Dial("tcp", target)
	if err != nil {
		io.WriteString(c, no)
		return
	}
	defer up.Close()
	io.WriteString(c, yes)
	var back sync.WaitGroup
	back.Go(func() { io.Copy(c, up); c.Close() })
	io.Copy(up, r)
	up.Close()
	back.Wait()
}

// hearCONNECT reads a request of which every byte is known but the address.
func hearCONNECT(_ net.Conn, r *bufio.Reader) (string, error) {
	var head strings.Builder
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		line, err := r.ReadString('\n')
		if head.WriteString(line); err != nil {
			return "", fmt.Errorf("%q: %w", head.String(), err)
		}
	}
	rest, _ := strings.CutPrefix(head.String(), "CONNECT ")
	target, _, _ := strings.Cut(rest, " ")
	want := fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\nProxy-Authorization: Basic %s\r\n\r\n", target,
		base64.StdEncoding.EncodeToString([]byte(proxyUser+":"+proxyPassword)))
	if head.String() != want {
		return "", fmt.Errorf("%q", head.String())
	}
	if _, err := netip.ParseAddrPort(target); err != nil {
		return "", err
	}
	return target, nil
}

// hearSOCKS reads what RFC 1928 and RFC 1929 have a client say.
func hearSOCKS(c net.Conn, r *bufio.Reader) (string, error) {
	var broken error
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil && broken == nil {
			broken = err
		}
		return b
	}
	greeting := read(2)
	methods := read(int(greeting[1]))
	io.WriteString(c, "\x05\x02")
	user := read(int(read(2)[1]))
	password := read(int(read(1)[0]))
	io.WriteString(c, "\x01\x00")
	request := read(4)
	size := map[byte]int{1: 4, 4: 16}[request[3]]
	addr, _ := netip.AddrFromSlice(read(size))
	port := read(2)
	target := netip.AddrPortFrom(addr, uint16(port[0])<<8|uint16(port[1])).String()
	if broken != nil {
		return "", broken
	}
	if greeting[0] != 5 || !slices.Contains(methods, 2) || string(user) != proxyUser || string(password) != proxyPassword ||
		string(request[:3]) != "\x05\x01\x00" || size == 0 {
		return "", fmt.Errorf("%v %v %q %q %v %s", greeting, methods, user, password, request, target)
	}
	return target, nil
}

// check tells what the proxy was asked wrongly, and whether somebody came to the lure past it.
func (w *wiretap) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	if w.asked == 0 || len(w.strange) > 0 {
		t.Errorf("the proxy was asked %d times, among them: %q", w.asked, w.strange)
	}
	w.mu.Unlock()
	eventually(t, "each connection to the lure is one of the proxy's", func() bool {
		now, lure := w.tunnels()
		return now == lure
	})
}
