package server

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
)

// identify says who makes the request, by Sortie-Authorization where it's there, else Authorization. On an open server everyone is its
// operator.
func (s *Server) identify(c echo.Context) (*caller, error) {
	if s.tokens.open() {
		return everyone, nil
	}
	h := c.Request().Header
	values, ours := h[headerAuthorization]
	if !ours {
		values = h["Authorization"]
	}
	var who *caller
	why := "This needs a token: send Authorization: Bearer TOKEN, or Sortie-Authorization: Bearer TOKEN where Authorization is the plugin's own."
	switch len(values) {
	case 0:
	case 1:
		var over string
		if who, over = s.tokens.caller(values[0]); over != "" {
			why = over
		}
		if p := s.settings.Load().people; who == nil && over == "" && p.claims(bearer(values[0])) {
			who, why = p.caller(c.Request().Context(), bearer(values[0]))
		}
	default:
		why = "There are several credentials; send one."
	}
	if who == nil {
		c.Response().Header().Set("WWW-Authenticate", `Bearer realm="sortie"`)
		return nil, host.NewError(codeUnauthorized, "%s", why)
	}
	return who, nil
}

// bearer is the token in the value of an Authorization header; "" if there is none.
func bearer(value string) string {
	scheme, token, ok := strings.Cut(value, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.Trim(token, " ")
}

// authorize returns the caller if it has that role for the plugin, and the request isn't another page's; plugin is "" where none is
// meant.
func (s *Server) authorize(c echo.Context, need role, plugin string) (*caller, error) {
	who, err := s.identify(c)
	if err != nil {
		return nil, err
	}
	if err := who.may(need, plugin); err != nil {
		return nil, err
	}
	return who, s.checkCrossOrigin(c.Request())
}

// keyCaller is where Echo's context keeps who calls, below /v1.
const keyCaller = "sortie.caller"

// needs is the middleware of everything below /v1.
func (s *Server) needs(need role) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			who, err := s.authorize(c, need, pluginName(c))
			if err != nil {
				return err
			}
			c.Set(keyCaller, who)
			return next(c)
		}
	}
}

// callerOf is the caller of a request below /v1.
func callerOf(c echo.Context) *caller {
	who, _ := c.Get(keyCaller).(*caller)
	return who
}

// checkBrowser refuses requests that a web page could make a browser send to an open server under another name: whoever
// serves evil.example can have its name resolve to 127.0.0.1 (DNS rebinding), and is then same-origin with the server.
func (s *Server) checkBrowser(r *http.Request) error {
	if !s.tokens.open() || r.Host == "" || isLoopback(hostOnly(r.Host)) {
		return nil
	}
	return host.NewError(codeForbidden, "This server is open to everyone on its machine, so it answers only as localhost or a loopback "+
		"address, not as %q. Give it a token (SORTIE_ADMIN_TOKEN) to reach it under other names.", r.Host)
}

// checkCrossOrigin refuses requests that change something and come from a web page of another origin, by Sec-Fetch-Site and
// Origin. Where a token is needed a page can't send it, so this is for an open server only.
func (s *Server) checkCrossOrigin(r *http.Request) error {
	if !s.tokens.open() {
		return nil
	}
	if err := s.crossOrigin.Check(r); err != nil {
		return host.NewError(codeForbidden, "A web page of another origin can't do this on a server without a token. Give the server a "+
			"token (SORTIE_ADMIN_TOKEN), or call it from outside a browser.")
	}
	return nil
}

// CheckBind says whether a server may listen on addr (host:port). Elsewhere than on loopback it mustn't be an open one; the error
// says what to do.
func CheckBind(addr string, open bool) error {
	hostname, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: %w", addr, err)
	}
	if !open || isLoopback(hostname) {
		return nil
	}
	return fmt.Errorf("listening on %s would let everyone who can reach it deploy and call plugins: "+
		"set SORTIE_ADMIN_TOKEN (or create a token while it listens on loopback), or listen on a loopback address such as 127.0.0.1:8080", addr)
}

// isLoopback reports whether a host is this machine itself: a loopback address, localhost, or a name below it (RFC 6761,
// section 6.3).
func isLoopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// hostOnly cuts the port and the brackets off a Host header.
func hostOnly(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}
