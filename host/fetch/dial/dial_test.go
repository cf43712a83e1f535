package dial

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// resolver answers by a function and counts the questions.
type resolver struct {
	answer func(n int, host string) ([]netip.Addr, error)
	asked  atomic.Int32
}

func (r *resolver) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if network != "ip" {
		return nil, errors.New("network " + network)
	}
	return r.answer(int(r.asked.Add(1)), host)
}

func answering(texts ...string) *resolver {
	var addrs []netip.Addr
	for _, text := range texts {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return &resolver{answer: func(int, string) ([]netip.Addr, error) { return slices.Clone(addrs), nil }}
}

// judge records what it was asked and allows what is listed; an empty list
// allows all.
type judge struct {
	mu    sync.Mutex
	asked []string
	only  []string
}

var errJudge = failure.New(failure.AddressDenied, "not there")

func (j *judge) allow(a netip.AddrPort) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked = append(j.asked, a.String())
	if len(j.only) == 0 || slices.Contains(j.only, a.Addr().String()) {
		return nil
	}
	return errJudge
}

// upstream is a listener on 127.0.0.1 that counts its connections and says hello
// on each. On ::1 and its port nothing listens.
type upstream struct {
	port     string
	accepted atomic.Int32
}

func listen(t *testing.T) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{}
	_, u.port, _ = net.SplitHostPort(l.Addr().String())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			u.accepted.Add(1)
			_, _ = io.WriteString(conn, "hello")
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return u
}

func hello(t *testing.T, conn net.Conn) {
	t.Helper()
	defer func() { _ = conn.Close() }()
	if got, err := io.ReadAll(conn); string(got) != "hello" {
		t.Errorf("read %q, %v", got, err)
	}
}

func wantCode(t *testing.T, err error, code failure.Code) *failure.Error {
	t.Helper()
	var fail *failure.Error
	if !errors.As(err, &fail) || error(fail) != err || fail.Code != code {
		t.Fatalf("error %T %v, want %s", err, err, code)
	}
	return fail
}

func TestDialsTheJudgedAddress(t *testing.T) {
	t.Parallel()
	up := listen(t)
	for _, tc := range []struct {
		name, host string
		answer     []string
		asked      int32
	}{
		{"a name", "api.example.com", []string{"127.0.0.1"}, 1},
		{"an IPv4-mapped answer", "api.example.com", []string{"::ffff:127.0.0.1"}, 1},
		{"the same answer twice", "api.example.com", []string{"127.0.0.1", "127.0.0.1", "::ffff:127.0.0.1"}, 1},
		{"a literal", "127.0.0.1", []string{"10.0.0.1"}, 0},
		{"localhost", "localhost", []string{"10.0.0.1"}, 0},
		{"localhost with the root's dot", "LocalHost.", []string{"10.0.0.1"}, 0},
		{"below localhost", "a.b.localhost", []string{"10.0.0.1"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, j := answering(tc.answer...), &judge{only: []string{"127.0.0.1"}}
			conn, err := New(Config{Resolver: r}).DialContext(t.Context(), tc.host, up.port, j.allow, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			hello(t, conn)
			if got := r.asked.Load(); got != tc.asked {
				t.Errorf("the resolver was asked %d times, want %d", got, tc.asked)
			}
			want := "127.0.0.1:" + up.port
			if j.asked[0] != want || j.asked[len(j.asked)-1] != want || len(j.asked) < 2 {
				t.Errorf("judged %q, want %s before dialling and at the socket", j.asked, want)
			}
		})
	}
}

// A resolver that answers what is allowed first and what isn't afterwards must
// not get the second answer used.
func TestRebindingGainsNothing(t *testing.T) {
	t.Parallel()
	up := listen(t)
	r := &resolver{answer: func(n int, _ string) ([]netip.Addr, error) {
		if n == 1 {
			return []netip.Addr{netip.IPv6Loopback()}, nil // allowed by this judge; nothing listens there
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}}
	j := &judge{only: []string{"::1"}}
	d := New(Config{Resolver: r})
	_, err := d.DialContext(t.Context(), "rebind.example", up.port, j.allow, time.Minute)
	wantCode(t, err, failure.ConnectError)
	if r.asked.Load() != 1 {
		t.Errorf("asked %d times in one dial", r.asked.Load())
	}
	_, err = d.DialContext(t.Context(), "rebind.example", up.port, j.allow, time.Minute)
	wantCode(t, err, failure.AddressDenied)
	if n := up.accepted.Load(); n != 0 {
		t.Errorf("the forbidden listener saw %d connections", n)
	}
}

// The verdict is asked for again at the socket: one that has changed holds.
func TestTheSocketIsGuardedToo(t *testing.T) {
	t.Parallel()
	up := listen(t)
	var asked atomic.Int32
	_, err := New(Config{}).DialContext(t.Context(), "127.0.0.1", up.port, func(netip.AddrPort) error {
		if asked.Add(1) > 1 {
			return errors.New("changed my mind")
		}
		return nil
	}, time.Minute)
	wantCode(t, err, failure.AddressDenied)
	if n := up.accepted.Load(); n != 0 || asked.Load() != 2 {
		t.Errorf("%d connections after %d verdicts", n, asked.Load())
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	up := listen(t)
	t.Run("only the allowed are used", func(t *testing.T) {
		t.Parallel()
		j := &judge{only: []string{"127.0.0.1"}}
		r := answering("127.0.0.3", "::1", "127.0.0.1", "127.0.0.2")
		conn, err := New(Config{Resolver: r}).DialContext(t.Context(), "mixed.example", up.port, j.allow, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		hello(t, conn)
		if len(j.asked) != 5 { // each of the four, and one at its socket
			t.Errorf("judged %q", j.asked)
		}
	})
	forbidden := listen(t)
	for name, host := range map[string]string{
		"all answers": "denied.example", "a literal": "127.0.0.1", "IPv6": "::1", "a zone": "fe80::1%lo", "mapped": "::ffff:127.0.0.1",
		"localhost": "localhost",
	} {
		t.Run("denied: "+name, func(t *testing.T) {
			t.Parallel()
			j := &judge{only: []string{"none"}}
			_, err := New(Config{Resolver: answering("127.0.0.1", "::1")}).DialContext(t.Context(), host, forbidden.port, j.allow, time.Minute)
			if fail := wantCode(t, err, failure.AddressDenied); fail != errJudge {
				t.Errorf("the verdict became %v", fail)
			}
			if n := forbidden.accepted.Load(); n != 0 {
				t.Errorf("the forbidden listener saw %d connections", n)
			}
		})
	}
	t.Run("a mapped literal is judged as written", func(t *testing.T) {
		t.Parallel()
		j := &judge{only: []string{"::ffff:127.0.0.1"}}
		conn, err := New(Config{}).DialContext(t.Context(), "::ffff:7f00:1", up.port, j.allow, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		hello(t, conn)
	})
	t.Run("no judge", func(t *testing.T) {
		t.Parallel()
		conn, err := New(Config{}).DialContext(t.Context(), "127.0.0.1", up.port, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		hello(t, conn)
	})
}

func TestFallsBack(t *testing.T) {
	t.Parallel()
	up := listen(t)
	// ::1 refuses, so the next one needn't wait for the stagger.
	d := New(Config{Resolver: answering("::1", "127.0.0.1"), Stagger: time.Hour})
	conn, err := d.DialContext(t.Context(), "x.example", up.port, nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	hello(t, conn)
}

func TestBoundsTheAddresses(t *testing.T) {
	t.Parallel()
	var texts []string
	for i := range 200 {
		texts = append(texts, "127.0.1."+strconv.Itoa(i+1))
	}
	for limit, want := range map[int]int{0: DefaultAddresses, 3: 3, 1000: maxAnswers} {
		var before, sockets int
		seen := map[netip.AddrPort]bool{}
		var mu sync.Mutex
		_, err := New(Config{Resolver: answering(texts...), Addresses: limit, Stagger: time.Hour}).DialContext(
			t.Context(), "many.example", "80", func(a netip.AddrPort) error {
				mu.Lock()
				defer mu.Unlock()
				if seen[a] {
					sockets++
					return errJudge // at the socket: nothing leaves
				}
				seen[a] = true
				before++
				return nil
			}, time.Minute)
		wantCode(t, err, failure.AddressDenied)
		if before != maxAnswers || sockets != want {
			t.Errorf("limit %d: %d answers were judged and %d tried, want %d and %d", limit, before, sockets, maxAnswers, want)
		}
	}
}

func TestConnectError(t *testing.T) {
	t.Parallel()
	up := listen(t)
	_, err := New(Config{Resolver: answering("::1")}).DialContext(t.Context(), "x.example", up.port, nil, time.Minute)
	fail := wantCode(t, err, failure.ConnectError)
	if !strings.HasPrefix(fail.Message, "cannot connect to x.example:"+up.port+": ") || strings.Contains(fail.Message, "::1") || !fail.Retryable {
		t.Errorf("message %q, retryable %v", fail.Message, fail.Retryable)
	}
	if !strings.Contains(fail.Err.Error(), "::1") {
		t.Errorf("the cause %q doesn't name the address", fail.Err)
	}
	refusal := &net.OpError{Op: "dial", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7)}, Err: syscall.ECONNREFUSED}
	err = refused("x.example", 80, 2, refusal)
	if want := "connect_error: cannot connect to x.example:80: connection refused (the last of 2 addresses)"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

func TestDNSError(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]*resolver{
		"no such host": {answer: func(_ int, h string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "no such host", Name: h, Server: "10.0.0.53:53", IsNotFound: true}
		}},
		"did not answer in time": {answer: func(_ int, h string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "i/o timeout", Name: h, Server: "10.0.0.53:53", IsTimeout: true}
		}},
		"name server failed": {answer: func(_ int, h string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "server misbehaving", Name: h, Server: "10.0.0.53:53"}
		}},
		"lookup failed": {answer: func(int, string) ([]netip.Addr, error) { return nil, errors.New("read udp 10.0.0.53:53") }},
		"no addresses":  {answer: func(int, string) ([]netip.Addr, error) { return []netip.Addr{{}}, nil }},
	} {
		_, err := New(Config{Resolver: r}).DialContext(t.Context(), "x.example", "80", nil, time.Minute)
		fail := wantCode(t, err, failure.DNSError)
		if !strings.Contains(fail.Message, want) || !strings.Contains(fail.Message, "x.example") || strings.Contains(fail.Message, "10.0.0.53") {
			t.Errorf("message %q, want %q", fail.Message, want)
		}
		if !fail.Retryable {
			t.Errorf("%q is not retryable", fail.Message)
		}
	}
}

func TestBadPort(t *testing.T) {
	t.Parallel()
	for _, port := range []string{"", "0", "-1", "65536", "http", "80 "} {
		_, err := New(Config{}).DialContext(t.Context(), "127.0.0.1", port, nil, time.Minute)
		wantCode(t, err, failure.InvalidURL)
	}
}

func TestInterleave(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"::1 ::2 ::3 1.1.1.1 1.1.1.2": "::1 1.1.1.1 ::2 1.1.1.2 ::3",
		"1.1.1.1 1.1.1.2 1.1.1.3 ::1": "1.1.1.1 ::1 1.1.1.2 1.1.1.3",
		"1.1.1.1":                     "1.1.1.1",
		"1.1.1.1 ::1 1.1.1.2 ::2":     "1.1.1.1 ::1 1.1.1.2 ::2",
	} {
		var addrs []netip.AddrPort
		for text := range strings.FieldsSeq(in) {
			addrs = append(addrs, netip.AddrPortFrom(netip.MustParseAddr(text), 1))
		}
		var got []string
		for _, a := range interleave(addrs) {
			got = append(got, a.Addr().String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("interleave(%s) = %s, want %s", in, got, want)
		}
	}
}
