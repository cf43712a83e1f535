package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
)

// tokens knows the credentials that are accepted. The zero value accepts none, and makes the server an open one.
type tokens struct {
	set   bool
	admin [sha256.Size]byte
}

func newTokens(admin string) tokens {
	if admin == "" {
		return tokens{}
	}
	return tokens{set: true, admin: sha256.Sum256([]byte(admin))}
}

// open reports whether no credential is needed, because there is none.
func (t tokens) open() bool { return !t.set }

// accepts reports whether the value of a header is "Bearer" and an accepted token. It takes the same time for every token
// of a length, right or wrong.
func (t tokens) accepts(value string) bool {
	scheme, token, ok := strings.Cut(value, " ")
	if !t.set || !ok || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	sum := sha256.Sum256([]byte(strings.Trim(token, " ")))
	return subtle.ConstantTimeCompare(sum[:], t.admin[:]) == 1
}

// authorized reports whether the request carries an accepted credential: Sortie-Authorization where it's there, else
// Authorization.
func (t tokens) authorized(h http.Header) bool {
	values, ours := h[headerAuthorization]
	if !ours {
		values = h["Authorization"]
	}
	return len(values) == 1 && t.accepts(values[0])
}

// authorize is nil if the server is open or the request carries an accepted credential.
func (s *Server) authorize(c echo.Context) error {
	if s.tokens.open() || s.tokens.authorized(c.Request().Header) {
		return nil
	}
	c.Response().Header().Set("WWW-Authenticate", `Bearer realm="sortie"`)
	return host.NewError(codeUnauthorized, "This needs a token: send Authorization: Bearer TOKEN, or Sortie-Authorization: Bearer TOKEN "+
		"where Authorization is the plugin's own.")
}

// authorized is the middleware of everything below /v1.
func (s *Server) authorized(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := s.authorize(c); err != nil {
			return err
		}
		if err := s.checkCrossOrigin(c.Request()); err != nil {
			return err
		}
		return next(c)
	}
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

// CheckBind says whether a server may listen on addr (host:port) with that admin token. Elsewhere than on loopback it
// needs one; the error says what to do.
func CheckBind(addr, token string) error {
	hostname, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: %w", addr, err)
	}
	if token != "" || isLoopback(hostname) {
		return nil
	}
	return fmt.Errorf("listening on %s would let everyone who can reach it deploy and call plugins: "+
		"set SORTIE_ADMIN_TOKEN, or listen on a loopback address such as 127.0.0.1:8080", addr)
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
