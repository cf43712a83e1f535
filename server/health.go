package server

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
)

// live answers /livez and /healthz: the process answers, nothing more.
func (s *Server) live(c echo.Context) error {
	return reply(c, http.StatusOK, Health{Status: "live", Build: s.build})
}

// checker is a store that can say whether it can still be used.
type checker interface {
	Check(ctx context.Context) error
}

// ready answers /readyz: whether invocations are taken. The problem says what is missing.
func (s *Server) ready(c echo.Context) error {
	if s.running.isClosed() {
		return draining()
	}
	if st, ok := s.store.(checker); ok {
		if err := st.Check(c.Request().Context()); err != nil {
			e := host.NewError(host.CodeInternal, "The store can't be used; the server's log says why.")
			e.Err = fmt.Errorf("check the store: %w", err)
			return e
		}
	}
	return reply(c, http.StatusOK, Health{Status: "ready", Build: s.build})
}

//go:embed openapi.yaml
var openAPI []byte

// document answers /openapi.yaml.
func (s *Server) document(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml", openAPI)
}
