package fetchtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wire is a kind of connection.
type wire struct {
	name   string
	secure bool
	h2     bool
	proxy  bool // by way of an HTTP proxy's CONNECT
}

var wires = []wire{
	{name: "HTTP/1.1"},
	{name: "HTTP/1.1 over TLS", secure: true},
	{name: "HTTP/2", secure: true, h2: true},
	{name: "HTTP/1.1 by proxy", proxy: true},
	{name: "HTTP/2 by proxy", secure: true, h2: true, proxy: true},
}

// network is what a case's fetches may meet. Its names all lead to 127.0.0.1, but for dead.test and for none.test, which there isn't:
//
//	{up}      the upstream; {sub} and {get}, {v1}, {public} are other names of it: below its own, under a rule for GET and HEAD, under one for
//	          the path /v1, and under one without `private`
//	{other}   another upstream like it, on a port of its own; {plain} is one without TLS
//	{UP}      the upstream in capitals; {user} has credentials in it, {at} the sign for them; {literal} is its address, without `private`
//	{denied}  a server that no rule allows
//	{dead}    an address where nothing listens; {silent} is a port where nobody speaks
type network struct {
	wire    wire
	up      *upstream
	other   *upstream
	plain   *upstream
	origins map[string]string
	proxy   string
	denied  atomic.Int32 // connections to it
}

func newNetwork(t testing.TB, w wire) *network {
	n := &network{wire: w, origins: map[string]string{}}
	scheme := "http"
	if w.secure {
		scheme = "https"
	}
	if w.proxy { // first, so that it ends last: a tunnel ends with the server behind it
		n.proxy = "http://127.0.0.1:" + listen(t, tunnel)
	}
	n.up, n.other, n.plain = newUpstream(t, w), newUpstream(t, w), newUpstream(t, wire{})
	for name, host := range map[string]string{
		"up": "up.test", "sub": "sub.up.test", "get": "get.test", "v1": "v1.test", "public": "public.test", "none": "none.test", "literal": "127.0.0.1",
	} {
		n.origins[name] = scheme + "://" + host + ":" + n.up.port
	}
	n.origins["UP"] = strings.ToUpper(n.origins["up"])
	n.origins["user"] = scheme + "://user:password@up.test:" + n.up.port
	n.origins["at"] = scheme + "://@up.test:" + n.up.port
	n.origins["other-authority"] = "other.test:" + n.other.port
	n.origins["other"] = scheme + "://other.test:" + n.other.port
	n.origins["plain"] = "http://plain.test:" + n.plain.port
	n.origins["denied"] = scheme + "://denied.test:" + listen(t, func(c net.Conn) {
		n.denied.Add(1)
		c.Close()
	})
	n.origins["silent"] = scheme + "://silent.test:" + listen(t, func(c net.Conn) {
		io.Copy(io.Discard, c)
		c.Close()
	})
	n.origins["dead"] = scheme + "://dead.test:" + n.up.port // on another address
	return n
}

// fill puts origins in.
func (n *network) fill(text string) string {
	for name, origin := range n.origins {
		text = strings.ReplaceAll(text, "{"+name+"}", origin)
	}
	return text
}

func (n *network) upstreams() []*upstream { return []*upstream{n.up, n.other, n.plain} }

// seen is how many requests upstreams got.
func (n *network) seen() (total int) {
	for _, u := range n.upstreams() {
		total += int(u.seen.Load())
	}
	return total
}

// most is how many requests upstreams had at once.
func (n *network) most() (most int) {
	for _, u := range n.upstreams() {
		most = max(most, int(u.most.Load()))
	}
	return most
}

// gone is how many requests were given up while upstreams let them wait.
func (n *network) gone() (total int) {
	for _, u := range n.upstreams() {
		total += int(u.gone.Load())
	}
	return total
}

// LookupNetIP makes the network a resolver.
func (n *network) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if strings.HasPrefix(host, "none.") {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if host == "dead.test" {
		return []netip.Addr{netip.MustParseAddr("127.0.0.2")}, nil
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// listen hands connections over until the test ends.
func listen(t testing.TB, handle func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() { handle(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return port(l)
}

func port(l net.Listener) string {
	_, p, _ := net.SplitHostPort(l.Addr().String())
	return p
}

// tunnel is a proxy that understands CONNECT.
func tunnel(c net.Conn) {
	defer c.Close()
	var head []byte
	for one := make([]byte, 1); !strings.HasSuffix(string(head), "\r\n\r\n"); head = append(head, one[0]) {
		if _, err := c.Read(one); err != nil {
			return
		}
	}
	target, ok := strings.CutPrefix(string(head), "CONNECT ")
	if !ok {
		return
	}
	address, _, _ := strings.Cut(target, " ")
	to, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Fprint(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer to.Close()
	fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
	done := make(chan struct{})
	go func() {
		io.Copy(to, c)
		to.Close()
		close(done)
	}()
	io.Copy(c, to)
	c.Close()
	<-done
}

// start serves a handler over a wire.
func start(t testing.TB, w wire, handler http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if !w.secure {
		s.Start()
		return s
	}
	certificate, _ := pki()
	s.TLS, s.EnableHTTP2 = &tls.Config{Certificates: []tls.Certificate{certificate}}, w.h2
	s.StartTLS()
	return s
}

// pki is a certificate for all names of a network, and those who trust it.
var pki = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fetchtest"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		DNSNames: []string{"*.test", "*.up.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
})
