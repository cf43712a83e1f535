package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// resolve returns host's addresses: itself if it is one, the loopback ones for
// localhost, else what the resolver says, each once, IPv4-mapped answers as the
// IPv4 addresses that would be connected to.
func (d *Dialer) resolve(ctx context.Context, host string, trace *Trace) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	if isLocalhost(host) {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	start := time.Now()
	answer, err := d.lookup(ctx, host)
	trace.DNS = time.Since(start)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, failure.Wrap(failure.DNSError, err, "cannot resolve %s: %s", host, dnsReason(err))
	}
	addrs := make([]netip.Addr, 0, len(answer))
	for _, addr := range answer {
		addr = addr.Unmap()
		if addr.IsValid() && !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
		if len(addrs) == maxAnswers {
			break
		}
	}
	if len(addrs) == 0 {
		return nil, failure.New(failure.DNSError, "cannot resolve %s: it has no addresses", host)
	}
	return addrs, nil
}

// maxAnswers bounds how many addresses of an answer are looked at. It is well
// over what honest names have, and above DefaultAddresses so that a few denied
// ones in front don't hide the allowed ones.
const maxAnswers = 64

// lookup asks the resolver without depending on it to heed ctx: a lookup that
// is given up ends on its own, in the background. A cache doesn't wait for its
// resolver either.
func (d *Dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if c, ok := d.resolver.(*Cache); ok {
		return c.LookupNetIP(ctx, "ip", host)
	}
	type answer struct {
		addrs []netip.Addr
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		addrs, err := d.resolver.LookupNetIP(ctx, "ip", host)
		done <- answer{addrs, err}
	}()
	select {
	case a := <-done:
		return a.addrs, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func isLocalhost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// dnsReason says in a few words what went wrong, without the address of the
// operator's name server, which a net.DNSError's own text has.
func dnsReason(err error) string {
	var e *net.DNSError
	switch {
	case !errors.As(err, &e):
		return "the lookup failed"
	case e.IsNotFound:
		return "no such host"
	case e.IsTimeout:
		return "the name server did not answer in time"
	}
	return "the name server failed"
}
