package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// maxTunnels bounds how many addresses of one answer a proxy is asked for.
const maxTunnels = 3

// tunnel asks the proxy for one address after the other, each judged once more just before. Another one is tried only if the proxy
// works and had no success with the one before.
func (d *Dialer) tunnel(ctx context.Context, p *Proxy, addrs []netip.AddrPort, allow func(netip.AddrPort) error) (net.Conn, error) {
	var last error
	for _, pinned := range addrs[:min(len(addrs), maxTunnels)] {
		if err := allow(pinned); err != nil {
			last = denied(err)
			continue
		}
		conn, f := d.through(ctx, p, netip.AddrPortFrom(pinned.Addr().Unmap(), pinned.Port()))
		if f == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		// Where the proxy is and what was asked of it is not the guest's to know; both may be in the cause.
		last = failure.Wrap(failure.ProxyError, f.err, "the operator's proxy didn't connect: %s", f.reason)
		if f.own {
			break
		}
	}
	return nil, last
}

// fault is why there is no tunnel.
type fault struct {
	reason string // for everybody: it names no address, no host and no secret
	err    error  // for the operator
	own    bool   // it is the proxy's own, so no other address would fare better
}

// through opens one tunnel. The connection to the proxy is closed unless it becomes the tunnel, and at once when ctx ends.
func (d *Dialer) through(ctx context.Context, p *Proxy, target netip.AddrPort) (net.Conn, *fault) {
	if target.Addr().Zone() != "" { // one of this machine's interfaces; and a zone can be any text
		return nil, &fault{reason: "an address with a zone can't be asked of it", err: errors.New("the address has a zone")}
	}
	raw, f := d.reach(ctx, p)
	if f != nil {
		return nil, f
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	conn, f := p.ask(ctx, raw, target)
	if !stop() && f == nil {
		f = &fault{reason: "given up", err: context.Cause(ctx)}
	}
	if f != nil {
		raw.Close()
		return nil, f
	}
	return conn, nil
}

// reach connects to the proxy itself, whose address is the operator's choice and so is nobody else's to judge.
func (d *Dialer) reach(ctx context.Context, p *Proxy) (net.Conn, *fault) {
	addrs, err := d.resolve(ctx, p.host, new(Trace))
	if err != nil {
		return nil, &fault{"its name can't be resolved", err, true}
	}
	pinned := make([]netip.AddrPort, 0, len(addrs))
	for _, addr := range addrs[:min(len(addrs), d.addresses)] {
		pinned = append(pinned, netip.AddrPortFrom(addr, p.port))
	}
	raw, err := d.race(ctx, interleave(pinned), func(netip.AddrPort) error { return nil })
	if err != nil {
		return nil, &fault{"it can't be reached", err, true}
	}
	return raw, nil
}

// ask has a connection to the proxy become a tunnel to target.
func (p *Proxy) ask(ctx context.Context, raw net.Conn, target netip.AddrPort) (net.Conn, *fault) {
	switch p.scheme {
	case "socks5":
		return p.socks(ctx, raw, target)
	case "https":
		secured := tls.Client(raw, p.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, &fault{"the TLS handshake with it failed", err, true}
		}
		raw = secured
	}
	return p.connect(raw, target)
}

// refusal is the fault of a proxy that asks for other credentials than it got.
func (p *Proxy) refusal(err error, how string) *fault {
	reason := "it refuses the operator's credentials"
	if p.user == nil {
		reason = "it asks for credentials, and the operator has given none"
	}
	return &fault{reason + how, err, true}
}

// garbled is the fault of an answer that breaks off or can't be understood.
func garbled(err error) *fault {
	for _, closed := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, closed) {
			return &fault{reason: "it closed the connection", err: err}
		}
	}
	if errors.Is(err, errLongHead) {
		return &fault{reason: "its answer is too long", err: err}
	}
	return &fault{reason: "it gave no valid answer", err: err}
}
