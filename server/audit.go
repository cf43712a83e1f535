package server

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/server/store"
)

// audit answers GET /v1/audit.
func (s *Server) audit(c echo.Context) error {
	q, err := auditQuery(c)
	if err != nil {
		return err
	}
	who := callerOf(c)
	if q.Plugin == "" && who.role < roleAdmin {
		return host.NewError(codeForbidden, "The log of everything needs the role admin; with ?plugin=NAME it's that plugin's alone.")
	}
	if err := who.may(roleRead, q.Plugin); err != nil {
		return err
	}
	events, err := s.store.Audit(c.Request().Context(), q)
	if err != nil {
		return err
	}
	return reply(c, http.StatusOK, AuditLog{Events: events})
}

func auditQuery(c echo.Context) (store.AuditQuery, error) {
	q := store.AuditQuery{Plugin: c.QueryParam("plugin"), Limit: store.DefaultAudit}
	for name, into := range map[string]func(n int64) bool{
		"after": func(n int64) bool { q.After = n; return n >= 0 },
		"limit": func(n int64) bool { q.Limit = int(n); return n >= 1 && n <= auditMost },
	} {
		values, ok := c.QueryParams()[name]
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(values[0], 10, 64)
		if err != nil || len(values) > 1 || !into(n) {
			return q, host.NewError(codeBadRequest, "%s is %.64q; after is an event's number, and limit 1 to %d.", name, strings.Join(values, ","), auditMost)
		}
	}
	return q, nil
}
