package server

import (
	"context"
	"errors"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/server/store"
)

// setTraffic answers PUT /v1/plugins/{name}/traffic.
func (s *Server) setTraffic(c echo.Context) error {
	var table []store.Weight
	if err := s.readJSON(c, &table); err != nil {
		return err
	}
	return s.move(c, func(change store.Change) movement {
		r := store.TrafficRequest{Change: change, Table: table}
		return movement{
			change: change, plan: r.Apply,
			apply: func(ctx context.Context, st store.Store) (store.Plugin, error) { return st.SetTraffic(ctx, r) },
		}
	})
}

// rollback answers POST /v1/plugins/{name}/rollback.
func (s *Server) rollback(c echo.Context) error {
	var wanted Rollback
	if c.Request().ContentLength != 0 {
		if err := s.readJSON(c, &wanted); err != nil && !errors.Is(err, errNoBody) {
			return err
		}
	}
	if wanted.Version < 0 {
		return host.NewError(codeBadRequest, "version is %d; it's the number of a version, or left out.", wanted.Version)
	}
	return s.move(c, func(change store.Change) movement {
		r := store.RollbackRequest{Change: change, Version: wanted.Version}
		return movement{
			change: change, plan: r.Apply,
			apply: func(ctx context.Context, st store.Store) (store.Plugin, error) { return st.Rollback(ctx, r) },
		}
	})
}

// move carries out a movement that a request asks for, and answers with the plugin as it then is.
func (s *Server) move(c echo.Context, wanted func(store.Change) movement) error {
	change, err := s.changeOf(c)
	if err != nil {
		return err
	}
	if !s.running.enter() {
		return draining()
	}
	defer s.running.leave()
	p, err := s.plugins.move(c.Request().Context(), wanted(change))
	if err != nil {
		if ctx := c.Request().Context(); ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return gone(err)
		}
		return refused(change.Name, err)
	}
	s.log.Info("traffic moved", "plugin", change.Name, "traffic", p.stored.Traffic, "by", change.By)
	return s.replyPlugin(c, p)
}
