package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sortie-run/sortie/host/fetch/dial"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/fetch/http1"
	"github.com/sortie-run/sortie/host/fetch/policy"
)

// transport is the connections of one rule of one client. A connection is thus never used for a URL that another rule allows, be it one
// with `private` or one without, and never for another client.
type transport struct {
	client   *Client
	decision policy.Decision
	http     *http.Transport
	lines    *http1.Pool // see exchange.direct

	mu     sync.Mutex
	tls    map[*care]*tls.Config
	closed bool
	conns  map[*conn]struct{}
}

func newTransport(c *Client, d policy.Decision) *transport {
	t := &transport{client: c, decision: d, tls: make(map[*care]*tls.Config), conns: make(map[*conn]struct{})}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	idle := max(maxIdlePerClient/c.rules, 1)
	t.http = &http.Transport{
		DialContext:            t.dial,
		DialTLSContext:         t.dialTLS,
		DisableCompression:     true,
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout, MaxReceiveBufferPerStream: readAhead},
		MaxIdleConns:           idle,
		MaxIdleConnsPerHost:    idle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxResponseHead,
	}
	t.lines = http1.NewPool(http1.Config{Idle: idle, IdleTimeout: idleTimeout, Head: maxResponseHead})
	return t
}

// baseTLS is what all connections start from.
func baseTLS(cfg *tls.Config) *tls.Config {
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg = cfg.Clone()
	cfg.InsecureSkipVerify = false
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	cfg.NextProtos = []string{"h2", "http/1.1"}
	cfg.KeyLogWriter = nil
	return cfg
}

func (t *transport) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	return t.connect(ctx, "http", addr)
}

func (t *transport) dialTLS(ctx context.Context, _, addr string) (net.Conn, error) {
	return t.connect(ctx, "https", addr)
}

// connect makes a connection that is ready for HTTP, TLS included, within connect_timeout.
func (t *transport) connect(ctx context.Context, scheme, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, t.client.limits.connect, connectStop(t.client.limits.connect))
	defer cancel()
	defer context.AfterFunc(t.client.ctx, cancel)()
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if ok {
		defer context.AfterFunc(x.ctx, cancel)()
	}

	u, fail := policy.ParseURL(scheme + "://" + addr + "/")
	if fail != nil {
		return nil, fail
	}
	var trace dial.Trace
	secure := time.Duration(-1)
	if ok {
		defer func() { x.trace.dialled(trace.DNS, trace.Connect, secure) }()
	}
	care := t.client.engine.upstreams.of(u)
	raw, err := t.client.engine.dialer.Dial(ctx, dial.Target{
		Host: u.Host(), Port: u.Port(), Proxy: care.proxy,
		Allow: func(a netip.AddrPort) error { return t.client.policy.AddressAllowed(t.decision, u, a) },
	}, 0, &trace)
	if err != nil {
		return nil, err
	}
	c, err := t.adopt(raw, x)
	if err != nil || scheme == "http" {
		return c, err
	}
	cfg := t.tlsFor(care)
	cfg.ServerName = strings.TrimSuffix(u.Host(), ".")
	secured := tls.Client(c, cfg)
	start := time.Now()
	err = secured.HandshakeContext(ctx)
	secure = time.Since(start)
	if err != nil {
		c.Close()
		return nil, t.handshakeFailure(ctx, err)
	}
	return secured, nil
}

// tlsFor is the configuration of a connection. Sessions are resumed only among those that share it: a resumed one is not asked for its
// client certificate again.
func (t *transport) tlsFor(care *care) *tls.Config {
	t.mu.Lock()
	defer t.mu.Unlock()
	cfg := t.tls[care]
	if cfg == nil {
		base := care.tls
		if base == nil {
			base = t.client.engine.tls
		}
		cfg = base.Clone()
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		t.tls[care] = cfg
	}
	return cfg.Clone()
}

func (t *transport) handshakeFailure(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrDeadlineExceeded):
		return failure.Wrap(failure.ConnectError, err, "the connection was closed during the TLS handshake")
	}
	return failure.Wrap(failure.TLSError, err, "the TLS handshake failed: %s", t.client.foreign(err.Error()))
}

// adopt makes a connection one of the transport's, to be closed with it.
func (t *transport) adopt(raw net.Conn, x *exchange) (net.Conn, error) {
	c := &conn{Conn: raw, owner: t}
	if x != nil {
		c.opener = x.number
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		raw.Close()
		return nil, errClosed
	}
	t.conns[c] = struct{}{}
	return c, nil
}

// closeIdle closes the connections that nobody uses.
func (t *transport) closeIdle() {
	t.http.CloseIdleConnections()
	t.lines.CloseIdle()
}

// close closes all connections, idle or not. net/http alone would leave those it is just done with for later.
func (t *transport) close() {
	t.http.CloseIdleConnections()
	t.lines.Close()
	t.mu.Lock()
	t.closed = true
	conns := t.conns
	t.conns = nil
	t.mu.Unlock()
	for c := range conns {
		c.Conn.Close()
	}
}

// conn reports the bytes that pass to the watch of the exchange that uses it, if it is the only one (HTTP/1.1).
type conn struct {
	net.Conn
	owner   *transport
	opener  uint64 // the number of the exchange for which it was opened
	watch   atomic.Pointer[watch]
	read    atomic.Int64 // bytes
	written atomic.Int64
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.read.Add(int64(n))
		c.progress()
	}
	return n, err
}

// Write writes in pieces, so that a long body shows progress before its end.
func (c *conn) Write(p []byte) (int, error) {
	written := 0
	for {
		piece := p[written:min(written+maxWrite, len(p))]
		n, err := c.Conn.Write(piece)
		written += n
		if n > 0 {
			c.written.Add(int64(n))
			c.progress()
		}
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

func (c *conn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.conns, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}

func (c *conn) progress() {
	if w := c.watch.Load(); w != nil {
		w.touch()
	}
}

// below returns the conn below a connection of net/http, and whether one exchange has it for itself: over HTTP/2, its bytes may be those
// of another.
func below(nc net.Conn) (c *conn, exclusive bool) {
	exclusive = true
	if secured, ok := nc.(*tls.Conn); ok {
		exclusive = secured.ConnectionState().NegotiatedProtocol != "h2"
		nc = secured.NetConn()
	}
	c, _ = nc.(*conn)
	return c, exclusive
}
