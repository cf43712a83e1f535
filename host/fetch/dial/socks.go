package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/proxy"
)

// socks asks by SOCKS 5. Its answers are at most a few hundred bytes, their lengths in front, so there is nothing to bound but time, and
// nothing is read too far.
func (p *Proxy) socks(ctx context.Context, raw net.Conn, target netip.AddrPort) (net.Conn, *fault) {
	var auth *proxy.Auth
	if p.user != nil {
		password, _ := p.user.Password()
		auth = &proxy.Auth{User: p.user.Username(), Password: password}
	}
	dialer, err := proxy.SOCKS5("tcp", "", auth, given{raw})
	if err != nil {
		return nil, garbled(err)
	}
	asking, ok := dialer.(proxy.ContextDialer)
	if !ok {
		return nil, garbled(errors.New("the SOCKS library takes no context"))
	}
	if _, err := asking.DialContext(undated{ctx}, "tcp", target.String()); err != nil {
		return nil, p.socksFault(err)
	}
	return raw, nil // what the library returns only wraps it
}

// socksFault tells the library's errors apart, which is possible by their text only.
func (p *Proxy) socksFault(err error) *fault {
	var op *net.OpError
	if !errors.As(err, &op) || op.Err == nil {
		return garbled(err)
	}
	text := op.Err.Error()
	if strings.Contains(text, "authentication") {
		return p.refusal(err, "")
	}
	if reply, ok := strings.CutPrefix(text, "unknown error "); ok { // the library's names for the replies of RFC 1928, section 6
		return &fault{reason: "it answered: " + reply, err: err}
	}
	return garbled(err)
}

// given is a dialer that has its connection already.
type given struct{ conn net.Conn }

func (g given) Dial(_, _ string) (net.Conn, error) { return g.conn, nil }

// DialContext is for the library, which otherwise dials in a goroutine that it leaves behind.
func (g given) DialContext(context.Context, string, string) (net.Conn, error) { return g.conn, nil }
