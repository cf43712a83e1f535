package server

import (
	"net"
	"net/http"

	"github.com/labstack/echo/v4"
)

// side is a part of what the server answers, for listeners of their own (admin_addr). Health checks and openapi.yaml are on every one.
type side uint8

const (
	sidePlugins side = 1 << iota // /p
	sideAdmin                    // /v1, the console
	everySide   = sidePlugins | sideAdmin
)

// Plugins is the server for those who call plugins: /p and the health checks. For it there is no /v1 and no console.
func (s *Server) Plugins() http.Handler { return s.routes(sidePlugins) }

// Admin is the server for those who deploy and look: /v1, the console, and the health checks. Plugins aren't called there but at
// addr (host:port), where Plugins is served; answers name that address.
func (s *Server) Admin(addr string) http.Handler {
	e := s.routes(sideAdmin)
	e.Pre(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			who := clientOf(c)
			who.host = elsewhere(who.host, addr)
			c.Set(keyClient, who)
			return next(c)
		}
	})
	return e
}

// elsewhere is addr for a client that reaches this machine as host: where the listener takes every address, by that name.
func elsewhere(host, addr string) string {
	name, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(name); name == "" || ip != nil && ip.IsUnspecified() {
		name = hostOnly(host)
	}
	return net.JoinHostPort(name, port)
}
