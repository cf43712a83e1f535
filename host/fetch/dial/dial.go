// Package dial connects to a host by an address that was judged beforehand:
// resolve, guard every address, pin one, connect to it.
//
//	d := dial.New(dial.Config{})
//	conn, err := d.DialContext(ctx, u.Host(), u.Port(), func(a netip.AddrPort) error {
//		return p.AddressAllowed(decision, u, a)
//	}, 3*time.Second)
//
// Nothing below this package ever sees the name: the answer that was judged is
// the one that is connected to, so a resolver that changes its answers between
// two questions (DNS rebinding) gains nothing. The address is judged once more
// in the socket's control hook, on the very bytes given to connect(2).
//
// Of several answers the allowed ones are tried, the families alternating, each
// a little after the one before (RFC 8305, "Happy Eyeballs"). `localhost` and
// the names below it are never looked up: they are the loopback addresses (RFC
// 6761, section 6.3).
//
// A [Cache] in front of a resolver remembers its answers for a while, in bounded
// memory. The guard is asked about every address of every dial all the same: what
// is remembered is where a name leads, never that somebody may go there.
//
// [Dialer.Dial] also tells how long the stages took, and goes through a [Proxy] of
// the operator's where there is one: HTTP's CONNECT or SOCKS 5. The proxy is asked
// for a tunnel to the pinned address and doesn't learn the name, so it is no way
// around the guard either. What it answers is foreign: bounded, and over with ctx.
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// Defaults of a Config.
const (
	// DefaultStagger is RFC 8305's "Connection Attempt Delay" (section 5).
	DefaultStagger = 250 * time.Millisecond
	// DefaultAddresses is how many addresses of one answer are tried at most.
	DefaultAddresses = 16
)

// Resolver looks a name up; [net.Resolver] is one. Network is always "ip".
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config is what a Dialer is made of. Its zero value is usable.
type Config struct {
	// Resolver answers for names. Nil: net.DefaultResolver.
	Resolver Resolver
	// Stagger is how long an address may take before the next one is tried
	// beside it. 0: DefaultStagger.
	Stagger time.Duration
	// Addresses bounds how many addresses are tried. 0: DefaultAddresses.
	Addresses int
	// KeepAlive is net.Dialer's: 0 is its default, negative turns it off.
	KeepAlive time.Duration
}

// Dialer connects. It is safe for concurrent use and holds no state.
type Dialer struct {
	resolver  Resolver
	stagger   time.Duration
	addresses int
	keepAlive time.Duration
}

// New returns a Dialer.
func New(cfg Config) *Dialer {
	d := &Dialer{resolver: cfg.Resolver, stagger: cfg.Stagger, addresses: cfg.Addresses, keepAlive: cfg.KeepAlive}
	if d.resolver == nil {
		d.resolver = net.DefaultResolver
	}
	if d.stagger <= 0 {
		d.stagger = DefaultStagger
	}
	if d.addresses <= 0 {
		d.addresses = DefaultAddresses
	}
	return d
}

// errTimeout is the cause of the context that connectTimeout ends.
var errTimeout = errors.New("connect timeout")

// Trace is how long the stages of connecting took, failed ones too. A stage that
// did not take place is negative: an address isn't looked up, and nothing is
// connected to after a failed lookup or a denial.
type Trace struct {
	DNS     time.Duration // an answer that is remembered counts as looked up
	Connect time.Duration // all attempts; through a proxy, until its tunnel stands
}

// DialContext connects to port (1 to 65535) of host, a name or an address
// without brackets. allow judges each address; nil allows all. It is called from
// several goroutines, and twice for an address that is tried.
//
// connectTimeout bounds resolving and connecting together; 0 or less is no limit
// but ctx's. To have it cover a TLS handshake as well, give a ctx that does and
// leave it 0. The connection outlives both.
//
// The error is ctx's cause if ctx is over, unchanged and at once. Else it is an
// *[failure.Error] of code dns_error, connect_error, connect_timeout, or what
// allow returned (address_denied) if no address was allowed.
//
// It never goes through a proxy: see [Dialer.Dial].
func (d *Dialer) DialContext(
	ctx context.Context, host, port string, allow func(netip.AddrPort) error, connectTimeout time.Duration,
) (net.Conn, error) {
	return d.Dial(ctx, Target{Host: host, Port: port, Allow: allow}, connectTimeout, nil)
}

// Target is what is connected to.
type Target struct {
	Host, Port string
	Allow      func(netip.AddrPort) error // nil allows all
	Proxy      *Proxy                     // nil: directly
}

// Dial is [Dialer.DialContext] with a trace, which it fills in whatever happens
// (nil: not wanted), and maybe through a proxy. The proxy is asked for the
// address that was resolved and judged here, never for the name; where the proxy
// itself is, allow isn't asked. What goes wrong with it is a proxy_error, whose
// message has neither the target's address nor the proxy's, nor its credentials.
func (d *Dialer) Dial(ctx context.Context, to Target, connectTimeout time.Duration, trace *Trace) (net.Conn, error) {
	if trace == nil {
		trace = new(Trace)
	}
	host, port, allow := to.Host, to.Port, to.Allow
	trace.DNS, trace.Connect = -1, -1
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return nil, failure.New(failure.InvalidURL, "%q is not a port", port)
	}
	if allow == nil {
		allow = func(netip.AddrPort) error { return nil }
	}
	bounded := ctx
	if connectTimeout > 0 {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeoutCause(ctx, connectTimeout, errTimeout)
		defer cancel()
	}
	conn, err := d.dial(bounded, host, uint16(number), allow, to.Proxy, trace)
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case failure.CodeOf(err) == failure.AddressDenied:
		return nil, err // a verdict, however long it took
	case bounded.Err() != nil:
		return nil, failure.Wrap(failure.ConnectTimeout, err, "no connection to %s within %s",
			net.JoinHostPort(host, port), connectTimeout)
	}
	return nil, err
}

func (d *Dialer) dial(
	ctx context.Context, host string, port uint16, allow func(netip.AddrPort) error, proxy *Proxy, trace *Trace,
) (net.Conn, error) {
	addrs, err := d.resolve(ctx, host, trace)
	if err != nil {
		return nil, err
	}
	allowed, err := guarded(addrs, port, allow)
	if err != nil {
		return nil, err
	}
	allowed = interleave(allowed)
	if len(allowed) > d.addresses {
		allowed = allowed[:d.addresses]
	}
	start := time.Now()
	defer func() { trace.Connect = time.Since(start) }()
	if proxy != nil {
		return d.tunnel(ctx, proxy, allowed, allow)
	}
	conn, err := d.race(ctx, allowed, allow)
	if err != nil {
		return nil, refused(host, port, len(allowed), err)
	}
	return conn, nil
}

// guarded returns the addresses that allow lets through, or the first verdict
// if it lets none.
func guarded(addrs []netip.Addr, port uint16, allow func(netip.AddrPort) error) ([]netip.AddrPort, error) {
	allowed := make([]netip.AddrPort, 0, len(addrs))
	var verdict error
	for _, addr := range addrs {
		pinned := netip.AddrPortFrom(addr, port)
		if err := allow(pinned); err == nil {
			allowed = append(allowed, pinned)
		} else if verdict == nil {
			verdict = err
		}
	}
	if len(allowed) > 0 {
		return allowed, nil
	}
	return nil, denied(verdict)
}

// denied makes sure that a verdict of allow's is a typed one.
func denied(verdict error) error {
	var typed *failure.Error
	if errors.As(verdict, &typed) {
		return typed
	}
	return failure.Wrap(failure.AddressDenied, verdict, "the address is not allowed")
}

// refused explains why none of n addresses took the connection. The addresses
// themselves stay in the cause: the message is the guest's to read.
func refused(host string, port uint16, n int, err error) error {
	var typed *failure.Error
	if errors.As(err, &typed) { // the control hook's verdict, inside a net.OpError
		return typed
	}
	tried := ""
	if n > 1 {
		tried = fmt.Sprintf(" (the last of %d addresses)", n)
	}
	return failure.Wrap(failure.ConnectError, err, "cannot connect to %s: %s%s",
		net.JoinHostPort(host, strconv.Itoa(int(port))), reason(err), tried)
}
