package server

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/store"
)

// deploy answers PUT /v1/plugins/{name}.
func (s *Server) deploy(c echo.Context) error {
	if !s.running.enter() {
		return draining()
	}
	defer s.running.leave()
	name := pluginName(c)
	if !store.ValidName(name) {
		return host.NewError(codeBadRequest, "%q can't name a plugin: a name is a lower-case letter, then up to 62 lower-case letters, "+
			"digits and dashes.", name)
	}
	traffic, err := wantsTraffic(c.QueryParams())
	if err != nil {
		return err
	}
	held := s.share()
	defer held.release()
	u, err := receive(c, held)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	select { // not before the body is there: who sends it slowly would keep others from deploying
	case s.deploys <- struct{}{}:
		defer func() { <-s.deploys }()
	case <-ctx.Done():
		return gone(ctx.Err())
	}
	t, err := readTerms(s.operator, name, u.manifest)
	if err != nil {
		return err
	}
	v, created, err := s.plugins.deploy(ctx, store.PutRequest{Name: name, Manifest: u.manifest, Wasm: u.wasm, Traffic: traffic}, t)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return gone(err)
		}
		return err
	}
	s.log.Info("deployed", "plugin", name, "version", v.Number, "digest", v.Digest, "created", created, "traffic", traffic,
		"clamped", len(t.clamped))
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	clamped := t.clamped
	if clamped == nil {
		clamped = []manifest.Clamped{}
	}
	return reply(c, status, Deployed{
		Name: name, Version: v.Number, Digest: v.Digest, URL: pluginURL(c, name), Limits: t.limits(), Clamped: clamped,
	})
}

// wantsTraffic reads ?traffic: a version takes all of it, unless that is "none".
func wantsTraffic(query url.Values) (bool, error) {
	switch values := query["traffic"]; {
	case len(values) == 0:
		return true, nil
	case len(values) == 1 && values[0] == "none":
		return false, nil
	default:
		return false, host.NewError(codeBadRequest, "traffic is %q; it can only be none, or left out for all of it.", values)
	}
}

// gone is for clients that don't wait for their answer, so only the log sees it.
func gone(err error) error {
	e := host.NewError(host.CodeCancelled, "The client went away.")
	e.Err = err
	return e
}
