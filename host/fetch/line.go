package fetch

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"

	"github.com/sortie-run/sortie/host/fetch/http1"
)

// roundTrip sends the request, and returns the response's head and the body on its way.
func (x *exchange) roundTrip(t *transport) (*http.Response, error) {
	u := x.hop.url
	r := http1.Request{Method: x.hop.method, Target: u.Target(), Host: u.Authority(), Header: x.hop.header, Body: x.hop.body}
	if x.direct() && r.Fits() {
		return x.overLine(t, &r)
	}
	return t.http.RoundTrip(x.request())
}

// direct tells whether a connection of package http1 is right for the request if it's short enough, and not net/http's transport. That has HTTP/2, which
// only TLS leads to, proxies' tunnels, and bodies which a server may want to answer before it has read them.
func (x *exchange) direct() bool {
	h := x.hop
	return http1.Able && h.url.Scheme() == "http" && h.upload == nil && x.client.engine.upstreams.of(h.url).proxy == nil
}

// overLine sends the request over an idle connection to its origin, or a new one.
func (x *exchange) overLine(t *transport, r *http1.Request) (*http.Response, error) {
	if x.ctx.Err() != nil {
		return nil, context.Cause(x.ctx) // else it would be sent, and its connection closed
	}
	u := x.hop.url
	c := t.lines.Take(u.Origin())
	if c == nil {
		nc, err := t.connect(x.ctx, u.Scheme(), net.JoinHostPort(u.Host(), u.Port()))
		if err != nil {
			return nil, err
		}
		c = t.lines.Add(u.Origin(), nc, nc.(*conn).Conn)
	}
	x.gotConn(httptrace.GotConnInfo{Conn: c.Conn, Reused: c.Reused()})
	return c.RoundTrip(x.ctx, r, observer{x})
}

// observer hears of an exchange over a connection of package http1.
type observer struct{ x *exchange }

// Wrote implements http1.Observer.
func (o observer) Wrote() { o.x.wroteRequest(httptrace.WroteRequestInfo{}) }

// Answered implements http1.Observer.
func (o observer) Answered() { o.x.gotFirstByte() }

// Released implements http1.Observer. The connection may serve another exchange before this one has ended.
func (o observer) Released() {
	if c := o.x.conn.Load(); c != nil {
		o.x.part(c)
		o.x.released.Store(true)
	}
}
