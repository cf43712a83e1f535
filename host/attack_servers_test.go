package host_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// tripwire is where attacks lead if they come through: a port on every address of this machine. It speaks nothing, TLS included; a
// connection is more than it should ever see.
type tripwire struct {
	port     string
	doors    []string // the addresses it can be dialled at
	accepted atomic.Int64

	mu   sync.Mutex
	seen []string // of each connection, where it came to and its first bytes
}

// newTripwire listens on the lure's port as well, on addresses that the lure is not at, as far as the machine has them.
func newTripwire(t *testing.T, lurePort string) *tripwire {
	c := &tripwire{}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	for _, address := range []string{":0", "127.0.0.2:" + lurePort, "[::1]:" + lurePort} {
		l, err := net.Listen("tcp", address)
		if err != nil && c.port == "" {
			t.Fatal(err)
		}
		if err != nil {
			continue
		}
		if c.port == "" {
			c.port = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
			address = "127.0.0.1:" + c.port
		}
		c.doors = append(c.doors, address)
		t.Cleanup(func() { l.Close() })
		serving.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				c.accepted.Add(1)
				serving.Go(func() { c.note(conn) })
			}
		})
	}
	return c
}

const alive = "alive?"

func (c *tripwire) note(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	var first [512]byte
	n, _ := conn.Read(first[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, fmt.Sprintf("%s: %q", conn.LocalAddr(), first[:n]))
}

// touched is what was seen. It knocks at each door itself, which shows that the tripwire is well, and that whoever came before has been let
// in: connections are accepted in their order.
func (c *tripwire) touched(t *testing.T) []string {
	for _, door := range c.doors {
		conn, err := net.Dial("tcp", door)
		if err != nil {
			t.Fatalf("the tripwire is dead: %v", err)
		}
		fmt.Fprint(conn, alive)
		conn.Close()
	}
	ours := func(seen string) bool { return strings.HasSuffix(seen, strconv.Quote(alive)) }
	var seen []string
	eventually(t, "the tripwire sees us", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		seen = slices.Clone(c.seen)
		known := 0
		for _, s := range seen {
			if ours(s) {
				known++
			}
		}
		return known == len(c.doors) && int(c.accepted.Load()) == len(seen)
	})
	return slices.DeleteFunc(seen, ours)
}

// lure is where the plugins may go. It answers with the request as it came, byte for byte, or with the redirects it was told. What is
// recorded of a connection is taken by each request in turn.
type lure struct {
	port, secure string // the second speaks TLS, as example.com
	roots        *x509.CertPool
	accepted     atomic.Int64

	mu        sync.Mutex
	redirects map[string]redirection // by path
}

type redirection struct {
	status   int
	location string
	hops     int    // redirects to the lure itself before it
	header   string // further lines
}

type recorderKey struct{}

func newLure(t *testing.T) *lure {
	l := &lure{redirects: map[string]redirection{}}
	serve := func(secure *tls.Config) (port string) {
		srv := httptest.NewUnstartedServer(l)
		port = strconv.Itoa(srv.Listener.Addr().(*net.TCPAddr).Port)
		if secure != nil {
			srv.Listener = tls.NewListener(srv.Listener, secure)
		}
		srv.Listener = recording{srv.Listener, &l.accepted} // above TLS
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, recorderKey{}, c.(*recorder))
		}
		srv.Start()
		t.Cleanup(srv.Close)
		return port
	}
	lender := httptest.NewTLSServer(nil) // has a certificate for example.com
	defer lender.Close()
	l.roots = x509.NewCertPool()
	l.roots.AddCert(lender.Certificate())
	l.port = serve(nil)
	l.secure = serve(&tls.Config{Certificates: lender.TLS.Certificates, MinVersion: tls.VersionTLS12})
	return l
}

func (l *lure) tls() *tls.Config { return &tls.Config{RootCAs: l.roots, MinVersion: tls.VersionTLS12} }

// redirect has a path, and any that ends with it, redirect.
func (l *lure) redirect(path string, r redirection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.redirects[path] = r
}

// ServeHTTP implements http.Handler. A path's last segment, if it is ~ and a number, counts the hops that are left.
func (l *lure) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	path, count, again := strings.Cut(r.URL.Path, "~")
	l.mu.Lock()
	to, ok := l.redirects[path[max(strings.Index(path, "/redirect/"), 0):]]
	l.mu.Unlock()
	if !ok {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(r.Context().Value(recorderKey{}).(*recorder).take())
		return
	}
	left := to.hops
	if again {
		left, _ = strconv.Atoi(count)
	}
	location := to.location
	if left > 0 {
		location = fmt.Sprintf("%s~%d", path, left-1)
	}
	// By hand, since net/http would tidy up the Location. It closes the connection, so that a next hop has to dial.
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 %d Elsewhere\r\nLocation: %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", to.status, location, to.header)
}

// recording is a listener whose connections are counted and recorded.
type recording struct {
	net.Listener
	accepted *atomic.Int64
}

func (l recording) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.accepted.Add(1)
	return &recorder{Conn: c}, nil
}

type recorder struct {
	net.Conn
	mu   sync.Mutex
	read []byte
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.mu.Lock()
	r.read = append(r.read, p[:n]...)
	r.mu.Unlock()
	return n, err
}

func (r *recorder) take() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.read
	r.read = nil
	return b
}

// zone answers for the names of a siege, each with its answers in turn and then with the last for good. Any other name leads to the
// tripwire, so that a policy which lets it through is found out, and is remembered: a name that is denied is not even looked up.
type zone struct {
	names map[string][]string // of addresses, comma-separated; under *.NAME, of each name below it

	mu        sync.Mutex
	asked     map[string]int
	strangers []string
}

// LookupNetIP implements dial.Resolver.
func (z *zone) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	answers, ok := z.names[name]
	if !ok {
		_, parent, _ := strings.Cut(name, ".")
		answers, ok = z.names["*."+parent]
	}
	if !ok {
		z.strangers = append(z.strangers, name)
		answers = []string{"127.0.0.1"}
	}
	if z.asked == nil {
		z.asked = map[string]int{}
	}
	answer := answers[min(z.asked[name], len(answers)-1)]
	z.asked[name]++
	var addrs []netip.Addr
	for text := range strings.SplitSeq(answer, ",") {
		if text == "" {
			return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
		}
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, nil
}

func (z *zone) unasked() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.strangers)
}
