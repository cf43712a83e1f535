package server

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
)

// invocations answers GET /v1/plugins/{name}/invocations: the last of those whose reports are kept.
func (s *Server) invocations(c echo.Context) error {
	p, err := s.named(c)
	if err != nil {
		return err
	}
	limit := invocationsDefault
	if values, ok := c.QueryParams()["limit"]; ok {
		limit, err = strconv.Atoi(values[0])
		if err != nil || len(values) > 1 || limit < 1 || limit > invocationsMost {
			return host.NewError(codeBadRequest, "limit is %.64q; it's a number from 1 to %d.", strings.Join(values, ","), invocationsMost)
		}
	}
	list := InvocationList{Name: p.stored.Name, Invocations: []Invocation{}}
	for _, r := range s.reports.recent(p.stored.Name, limit) {
		list.Invocations = append(list.Invocations, Invocation{
			ID: r.ID, Version: r.Version, Started: r.Started, Method: r.Method, Path: r.Path, Status: r.Status, Code: r.Code,
			Total: milliseconds(r.Total), Fetches: len(r.Fetches),
		})
	}
	return reply(c, http.StatusOK, list)
}

// recent returns the plugin's last reports, at most so many, the newest first. They mustn't be changed.
func (r *reports) recent(plugin string, limit int) []*host.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.kept.of(plugin)
	last := make([]*host.Report, min(limit, len(kept)))
	for i := range last {
		last[i] = kept[len(kept)-1-i].thing
	}
	return last
}
