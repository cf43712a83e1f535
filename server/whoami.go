package server

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// whoami answers GET /v1/whoami, with what a client needs to know before it offers somebody what they may not do.
func (s *Server) whoami(c echo.Context) error {
	who := callerOf(c)
	plugins := who.plugins
	if who.role == roleAdmin {
		plugins = []string{"*"}
	}
	return reply(c, http.StatusOK, Identity{Name: who.name, Role: who.role.String(), Plugins: plugins, Open: s.tokens.open(), Build: s.build})
}
