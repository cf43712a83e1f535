package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// interleave orders addresses by alternating families, beginning with the
// resolver's first (RFC 8305, section 4), so that a family that leads nowhere
// costs one delay and not one for each address.
func interleave(addrs []netip.AddrPort) []netip.AddrPort {
	var first, second []netip.AddrPort
	for _, a := range addrs {
		if a.Addr().Is4() == addrs[0].Addr().Is4() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	ordered := make([]netip.AddrPort, 0, len(addrs))
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			ordered = append(ordered, first[i])
		}
		if i < len(second) {
			ordered = append(ordered, second[i])
		}
	}
	return ordered
}

// outcome is how one connection attempt ended.
type outcome struct {
	conn net.Conn
	err  error
}

// race tries the addresses in order, each as soon as the one before has failed
// or has been at it for the stagger, and returns the first connection. When it
// returns no attempt is left: the losers are cancelled and waited for.
func (d *Dialer) race(ctx context.Context, addrs []netip.AddrPort, allow func(netip.AddrPort) error) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		outcomes = make(chan outcome, len(addrs))
		started  int
		pending  int
		last     error
		next     = time.NewTimer(d.stagger)
	)
	defer next.Stop()
	start := func() {
		pinned := addrs[started]
		started++
		pending++
		go func() {
			conn, err := d.connect(ctx, pinned, allow)
			outcomes <- outcome{conn, err}
		}()
		next.Reset(d.stagger)
	}
	start()
	for pending > 0 {
		select {
		case <-next.C:
			if started < len(addrs) && ctx.Err() == nil {
				start()
			}
		case o := <-outcomes:
			pending--
			if o.err == nil {
				cancel()
				drain(outcomes, pending)
				return o.conn, nil
			}
			last = o.err
			if started < len(addrs) && ctx.Err() == nil {
				start()
			}
		}
	}
	return nil, last
}

// drain waits for n attempts and closes those that connected after all.
func drain(outcomes <-chan outcome, n int) {
	for range n {
		if o := <-outcomes; o.err == nil {
			_ = o.conn.Close() // nothing was sent on it
		}
	}
}

// errUnpinned means that the socket was about to go elsewhere than judged.
var errUnpinned = errors.New("the address to connect to is not the one that was judged")

// connect opens one connection to the pinned address and to nothing else.
func (d *Dialer) connect(ctx context.Context, pinned netip.AddrPort, allow func(netip.AddrPort) error) (net.Conn, error) {
	target := netip.AddrPortFrom(pinned.Addr().Unmap(), pinned.Port())
	network := "tcp6"
	if target.Addr().Is4() {
		network = "tcp4"
	}
	dialer := net.Dialer{
		KeepAlive: d.keepAlive,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			actual, err := netip.ParseAddrPort(address)
			if err != nil || actual != target {
				return denied(fmt.Errorf("%w: %s instead of %s", errUnpinned, address, target))
			}
			if err := allow(pinned); err != nil {
				return denied(err)
			}
			return nil
		},
	}
	return dialer.DialContext(undated{ctx}, network, target.String())
}

// undated is a context that ends but doesn't say when. Knowing, net.Dialer sets
// the socket's own deadline, which may fire a moment before the context is over:
// then nothing would tell a timeout from a failed connection.
type undated struct{ context.Context }

// Deadline tells of none.
func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }

// reason is why a connection attempt failed in the system's words and without
// the address, which a net.OpError's text has.
func reason(err error) string {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "given up"
	}
	return "the connection failed"
}
