package fetch_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv("FETCH_BENCH_UPSTREAM"); addr != "" {
		benchUpstream(addr)
		return
	}
	// The faults' proxy leaves goroutines of its own behind when a toxic has closed a connection.
	const proxy = "github.com/Shopify/toxiproxy/v2"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(proxy+"/stream.(*ChanWriter).Write"), goleak.IgnoreAnyFunction(proxy+"/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction(proxy+".(*ToxicLink).read"), goleak.IgnoreAnyFunction(proxy+".(*ToxicLink).write"))
}

// patience is how long a test waits for what must happen. It is only ever spent by a test that fails.
const patience = time.Minute

// bench is an engine, a client and a session for one test.
type bench struct {
	engine  *fetch.Engine
	client  *fetch.Client
	session *fetch.Session
}

// loopback is a policy that allows everything on 127.0.0.1 and the names of the test's resolver.
func loopback() fetch.Policy {
	var rules []manifest.Rule
	for _, scheme := range []string{"http", "https"} {
		for _, host := range []string{"127.0.0.1", "*.test"} {
			rules = append(rules, manifest.Rule{URL: scheme + "://" + host + ":*", Private: true})
		}
	}
	l := manifest.Default().Fetch.Limits
	// Tests about something else must not fail on a busy machine.
	l.Timeout, l.ConnectTimeout, l.PoolTimeout = manifest.Duration(time.Minute), manifest.Duration(time.Minute), manifest.Duration(time.Minute)
	l.ReadTimeout, l.WriteTimeout = manifest.Duration(time.Minute), manifest.Duration(time.Minute)
	return fetch.Policy{Rules: rules, Private: []string{"127.0.0.0/8"}, Limits: l}
}

// withLimits is loopback with other limits.
func withLimits(edit func(*manifest.FetchLimits)) fetch.Policy {
	p := loopback()
	edit(&p.Limits)
	return p
}

func open(t testing.TB, cfg fetch.Config, p fetch.Policy) *bench {
	t.Helper()
	if cfg.Resolver == nil {
		cfg.Resolver = resolver{"": {netip.MustParseAddr("127.0.0.1")}}
	}
	b := &bench{engine: fetch.New(cfg)}
	t.Cleanup(b.engine.Close)
	var err error
	if b.client, err = b.engine.Client(p); err != nil {
		t.Fatal(err)
	}
	b.session = b.client.Session(context.Background())
	return b
}

func (b *bench) do(r *fetch.Request) fetch.Result { return b.session.Do(context.Background(), r) }

// resolver answers from a table; the empty name is for all others.
type resolver map[string][]netip.Addr

func (r resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if addrs, ok := r[host]; ok {
		return addrs, nil
	}
	if addrs, ok := r[""]; ok {
		return addrs, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// serve starts an upstream.
func serve(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

// serveTLS starts an upstream that offers HTTP/2, and gives the configuration that trusts it.
func serveTLS(t testing.TB, handler http.HandlerFunc) (*httptest.Server, *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, trusting(s)
}

func trusting(s *httptest.Server) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{RootCAs: roots}
}

// serveRaw starts an upstream that handles bare connections, each in its own goroutine.
func serveRaw(t testing.TB, handle func(n int, c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	wg.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				handle(n, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return "http://" + l.Addr().String()
}

// answer is a raw upstream that reads a request's head and sends text.
func answer(t testing.TB, text string) string {
	return serveRaw(t, func(_ int, c net.Conn) {
		readHead(c)
		io.WriteString(c, text)
	})
}

// readHead reads up to the empty line and returns what it read.
func readHead(c net.Conn) string {
	var head []byte
	buf := make([]byte, 1)
	for len(head) < 4 || string(head[len(head)-4:]) != "\r\n\r\n" {
		if _, err := c.Read(buf); err != nil {
			return string(head)
		}
		head = append(head, buf[0])
	}
	return string(head)
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// within receives, or fails.
func within[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("still not: %s", what)
		panic("unreachable")
	}
}

func wantCode(t testing.TB, r fetch.Result, code failure.Code) *fetch.Error {
	t.Helper()
	if r.Err == nil {
		t.Fatalf("got %s %+v, want %s", r.State, r.Response, code)
	}
	if r.Err.Code != code {
		t.Fatalf("got %q (%v), want %s", r.Err.Error(), r.Err.Err, code)
	}
	if r.Response != nil {
		t.Fatal("an error and a response")
	}
	if want := map[bool]fetch.State{false: fetch.Rejected, true: fetch.Cancelled}[code == failure.Cancelled]; r.State != want {
		t.Fatalf("state %s, want %s", r.State, want)
	}
	return r.Err
}

func wantOK(t testing.TB, r fetch.Result) *fetch.Response {
	t.Helper()
	if r.State != fetch.Fulfilled || r.Err != nil || r.Response == nil {
		t.Fatalf("got %s, %v (%v)", r.State, r.Err, r.Err.Unwrap())
	}
	return r.Response
}

func header(r *fetch.Response, name string) string {
	for _, f := range r.Header {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// fields makes a header of names and values in turn.
func fields(text ...string) []fetch.Field {
	var list []fetch.Field
	for i := 0; i < len(text); i += 2 {
		list = append(list, fetch.Field{Name: text[i], Value: text[i+1]})
	}
	return list
}

func TestGet(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Upper-Case", "Value")
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, r.Header.Get("X-Asked"))
	})
	b := open(t, fetch.Config{}, loopback())
	resp := wantOK(t, b.do(&fetch.Request{URL: up.URL + "/a%2Fb?c=d&&e#frag", Header: []fetch.Field{{Name: "x-asked", Value: " yes "}}}))
	if got, want := string(resp.Body), "GET /a%2Fb?c=d&&e yes"; got != want {
		t.Errorf("the upstream saw %q, want %q", got, want)
	}
	if resp.Status != 200 || header(resp, "x-upper-case") != "Value" || resp.Redirected || resp.Attempts != 1 || resp.Elapsed <= 0 {
		t.Errorf("got %+v", resp)
	}
	if want := up.URL + "/a%2Fb?c=d&&e"; resp.URL != want {
		t.Errorf("URL %q, want %q", resp.URL, want)
	}
	if u := b.session.Usage(); u.Requests != 1 || u.Bytes != int64(len(resp.Body)) {
		t.Errorf("usage %+v", u)
	}
	rec := b.session.Records()
	if len(rec) != 1 || rec[0].State != fetch.Fulfilled || rec[0].Status != 200 || rec[0].Bytes != int64(len(resp.Body)) ||
		rec[0].Rule == "" || rec[0].Attempts != 1 || rec[0].Method != "GET" {
		t.Errorf("records %+v", rec)
	}
}

func TestBodiesAndMethods(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Saw", fmt.Sprintf("%s %d %d %v", r.Method, len(body), r.ContentLength, r.TransferEncoding))
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.WriteHeader(304)
		case "/404":
			w.WriteHeader(404)
		default:
			w.Write(body)
		}
	})
	big := make([]byte, 300<<10)
	for _, tc := range []struct {
		method, path string
		body         []byte
		status       int
		saw          string
	}{
		{"", "/", nil, 200, "GET 0 0 []"},
		{"get", "/", nil, 200, "GET 0 0 []"},
		{"GET", "/", []byte("q"), 200, "GET 1 1 []"},
		{"HEAD", "/", nil, 200, "HEAD 0 0 []"},
		{"OPTIONS", "/", nil, 200, "OPTIONS 0 0 []"},
		{"POST", "/", nil, 200, "POST 0 0 []"},
		{"POST", "/", []byte("hello"), 200, "POST 5 5 []"},
		{"PUT", "/", big, 200, "PUT 307200 307200 []"},
		{"PATCH", "/", []byte("x"), 200, "PATCH 1 1 []"},
		{"DELETE", "/", nil, 200, "DELETE 0 0 []"},
		{"PURGE", "/", nil, 200, "PURGE 0 0 []"},
		{"GET", "/204", nil, 204, "GET 0 0 []"},
		{"GET", "/304", nil, 304, "GET 0 0 []"},
		{"GET", "/404", nil, 404, "GET 0 0 []"},
	} {
		t.Run(tc.method+tc.path, func(t *testing.T) {
			b := open(t, fetch.Config{}, loopback())
			resp := wantOK(t, b.do(&fetch.Request{Method: tc.method, URL: up.URL + tc.path, Body: tc.body}))
			if resp.Status != tc.status || header(resp, "saw") != tc.saw {
				t.Errorf("status %d, saw %q", resp.Status, header(resp, "saw"))
			}
			want := len(tc.body)
			if len(resp.Body) != want {
				t.Errorf("%d bytes, want %d", len(resp.Body), want)
			}
		})
	}
}
