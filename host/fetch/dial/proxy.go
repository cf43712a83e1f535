package dial

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"

	"golang.org/x/net/proxy"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// Proxy is a server of the operator's that connections go through: HTTP's CONNECT (RFC 9110, section 9.3.6), over TLS or not, or SOCKS 5
// (RFC 1928). It may have the means to reach what this machine can't, so what it is asked for is always an address that was
// judged here.
type Proxy struct {
	scheme, host, port string
	user               *url.Userinfo
	tls                *tls.Config // of https
}

// ParseProxy reads http://, https:// or socks5://[user:password@]host[:port]. Ports are 80, 443 and 1080 unless given. TLS to the proxy is
// verified with roots; nil is the system's. Errors don't repeat the password.
func ParseProxy(text string, roots *tls.Config) (*Proxy, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("a proxy is http://, https:// or socks5:// and its host; this can't be read as a URL")
	}
	defaults := map[string]string{"http": "80", "https": "443", "socks5": "1080"}
	switch {
	case defaults[u.Scheme] == "":
		return nil, fmt.Errorf("the proxy's scheme is %q; there are http, https and socks5", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("the proxy has no host")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("a proxy has a scheme, a host and a port, and nothing after them")
	}
	p := &Proxy{scheme: u.Scheme, host: u.Hostname(), port: u.Port(), user: u.User}
	if p.port == "" {
		p.port = defaults[u.Scheme]
	}
	if p.tls = roots; p.scheme == "https" {
		if p.tls == nil {
			p.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		p.tls = p.tls.Clone()
		p.tls.ServerName, p.tls.NextProtos = p.host, nil
	}
	return p, nil
}

// String is the proxy without its credentials.
func (p *Proxy) String() string { return p.scheme + "://" + net.JoinHostPort(p.host, p.port) }

// The bounds of a proxy's answer to CONNECT, and of the addresses it is asked for.
const (
	maxProxyHead      = 16 << 10
	maxProxyAddresses = 3
)

// tunnel asks the proxy for one address after the other.
func (d *Dialer) tunnel(ctx context.Context, p *Proxy, addrs []netip.AddrPort) (net.Conn, error) {
	if len(addrs) > maxProxyAddresses {
		addrs = addrs[:maxProxyAddresses]
	}
	var last error
	for _, addr := range addrs {
		conn, err := d.through(ctx, p, addr)
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		last = err
	}
	// Where the proxy is and what was asked of it is not the guest's to know; both are in the cause.
	return nil, failure.Wrap(failure.ProxyError, last, "the operator's proxy didn't connect: %s", proxyReason(last))
}

// through opens one tunnel. The connection to the proxy is closed unless it becomes the tunnel, and at once when ctx ends.
func (d *Dialer) through(ctx context.Context, p *Proxy, addr netip.AddrPort) (_ net.Conn, err error) {
	raw, err := (&net.Dialer{KeepAlive: d.keepAlive}).DialContext(undated{ctx}, "tcp", net.JoinHostPort(p.host, p.port))
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer func() {
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			raw.Close()
		}
	}()
	if p.scheme == "socks5" {
		return raw, p.socks(ctx, raw, addr)
	}
	conn := raw
	if p.scheme == "https" {
		secured := tls.Client(raw, p.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		conn = secured
	}
	return p.connect(conn, addr)
}

// socks asks on a connection that is there. The library writes to what its forwarding dialer gives.
func (p *Proxy) socks(ctx context.Context, raw net.Conn, addr netip.AddrPort) error {
	var auth *proxy.Auth
	if p.user != nil {
		password, _ := p.user.Password()
		auth = &proxy.Auth{User: p.user.Username(), Password: password}
	}
	dialer, err := proxy.SOCKS5("tcp", "", auth, given{raw})
	if err != nil {
		return err
	}
	if _, err := dialer.(proxy.ContextDialer).DialContext(undated{ctx}, "tcp", addr.String()); err != nil {
		return fmt.Errorf("socks5: %w", err)
	}
	return nil
}

// given is a dialer that has its connection already.
type given struct{ conn net.Conn }

func (g given) Dial(_, _ string) (net.Conn, error) { return g.conn, nil }

// DialContext is for the library, which otherwise dials in a goroutine that it leaves behind.
func (g given) DialContext(context.Context, string, string) (net.Conn, error) { return g.conn, nil }

// errProxyStatus is a proxy's refusal.
type errProxyStatus int

func (e errProxyStatus) Error() string {
	return fmt.Sprintf("the proxy answered with status %d", int(e))
}

// connect asks by CONNECT.
func (p *Proxy) connect(conn net.Conn, addr netip.AddrPort) (net.Conn, error) {
	head := "CONNECT " + addr.String() + " HTTP/1.1\r\nHost: " + addr.String() + "\r\n"
	if p.user != nil {
		password, _ := p.user.Password()
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.user.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	limited := &io.LimitedReader{R: conn, N: maxProxyHead}
	r := bufio.NewReader(limited)
	if err := readConnect(r); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	early, _ := r.Peek(r.Buffered())
	return &tunnelled{conn, early}, nil
}

// readConnect reads the answer to CONNECT: any interim ones, and the head of the final one. After a 2xx there's no body (RFC 9110,
// section 9.3.6): the tunnel begins.
func readConnect(r *bufio.Reader) error {
	for range 8 {
		resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
		if err != nil {
			return err
		}
		resp.Body.Close()
		switch {
		case resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols:
		case resp.StatusCode/100 == 2:
			return nil
		default:
			return errProxyStatus(resp.StatusCode)
		}
	}
	return errors.New("the proxy gives interim answers only")
}

// tunnelled is a connection of which something was read already.
type tunnelled struct {
	net.Conn
	early []byte
}

func (t *tunnelled) Read(p []byte) (int, error) {
	if len(t.early) > 0 {
		n := copy(p, t.early)
		t.early = t.early[n:]
		return n, nil
	}
	return t.Conn.Read(p)
}

// proxyReason says what went wrong without addresses.
func proxyReason(err error) string {
	var status errProxyStatus
	var op *net.OpError
	switch {
	case errors.As(err, &status) && status == http.StatusProxyAuthRequired:
		return "it refuses the operator's credentials (status 407)"
	case errors.As(err, &status):
		return fmt.Sprintf("it answered with status %d", int(status))
	case errors.As(err, &op) && op.Op == "dial":
		return "it can't be reached"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection"
	}
	return "it gave no valid answer"
}
