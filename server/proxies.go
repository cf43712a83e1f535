package server

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	"golang.org/x/net/http/httpguts"
)

// client is where a request came from, and the address at which it was meant to arrive.
type client struct {
	addr   string // host:port; port 0 where a proxy told none
	scheme string // http or https
	host   string // as in a Host header
}

// direct is what the connection itself tells of a request.
func direct(r *http.Request) client {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return client{addr: r.RemoteAddr, scheme: scheme, host: r.Host}
}

// proxies are those in front of the server whose word about a request counts (trusted_proxies). Anyone else's X-Forwarded-For, -Proto
// and -Host are fields like others.
type proxies []netip.Prefix

// newProxies reads what the operator's configuration has, whose form is checked there.
func newProxies(list []string) proxies {
	var p proxies
	for _, s := range list {
		if prefix, err := netip.ParsePrefix(s); err == nil {
			p = append(p, prefix)
		}
	}
	return p
}

// trusts tells whether an address, with or without a port, is a proxy's.
func (p proxies) trusts(address string) bool {
	addr, _, ok := splitClient(address)
	return ok && slices.ContainsFunc(p, func(prefix netip.Prefix) bool { return prefix.Contains(addr) })
}

// client tells where the request came from by the word of proxies; false if none of them brought it. Every proxy adds, at the right, the
// address that it was called from; so the rightmost that isn't a proxy's is the client's, and what stands left of it is only
// what that client says.
func (p proxies) client(r *http.Request) (client, bool) {
	if len(p) == 0 || !p.trusts(r.RemoteAddr) {
		return client{}, false
	}
	who := direct(r)
	addresses, back := items(r.Header["X-Forwarded-For"]), 0
	for ; back < len(addresses); back++ {
		addr, port, ok := splitClient(addresses[len(addresses)-1-back])
		if !ok {
			break
		}
		who.addr = net.JoinHostPort(addr.String(), port)
		if !p.trusts(addr.String()) {
			back++
			break
		}
	}
	if scheme := strings.ToLower(said(r.Header["X-Forwarded-Proto"], len(addresses), back)); scheme == "http" || scheme == "https" {
		who.scheme = scheme
	}
	if host := said(r.Header["X-Forwarded-Host"], len(addresses), back); validHost(host) {
		who.host = host
	}
	return who, true
}

// said is what the proxy that the client called says in a field. Where every proxy adds to it, that is the item beside the client's
// address, which is the back-th from the right; where they keep to one item, the last one that there is.
func said(values []string, addresses, back int) string {
	list := items(values)
	switch {
	case len(list) == 0:
		return ""
	case len(list) == addresses && back > 0:
		return list[len(list)-back]
	}
	return list[len(list)-1]
}

// items are the items of a field that is a list.
func items(values []string) []string {
	var list []string
	for _, line := range values {
		for item := range strings.SplitSeq(line, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
	}
	return list
}

// splitClient reads an address with or without a port, IPv6 with or without brackets; the port is 0 if there is none.
func splitClient(s string) (addr netip.Addr, port string, ok bool) {
	if with, err := netip.ParseAddrPort(s); err == nil {
		_, port, _ = net.SplitHostPort(s)
		return with.Addr().Unmap().WithZone(""), port, true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return addr.Unmap().WithZone(""), "0", err == nil
}

// validHost tells whether a proxy's word for a host can stand in a URL.
func validHost(host string) bool {
	return host != "" && len(host) <= hostBytes && httpguts.ValidHostHeader(host) && !strings.ContainsAny(host, `/\@?#%"<>`)
}

// hostBytes bounds what a proxy calls the server: a name of 253 characters, and a port.
const hostBytes = 253 + len(":65535")

// keyClient is where Echo's context keeps what proxies say of the request, if they say anything.
const keyClient = "sortie.client"

// believe notes what proxies in front say of the request.
func (s *Server) believe(c echo.Context) {
	if who, ok := s.settings.Load().proxies.client(c.Request()); ok {
		c.Set(keyClient, who)
	}
}

// clientOf is where a request came from.
func clientOf(c echo.Context) client {
	if who, ok := c.Get(keyClient).(client); ok {
		return who
	}
	return direct(c.Request())
}
