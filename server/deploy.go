package server

import (
	"errors"
	"net/http"
	"net/url"
	"time"

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
	digest, err := wantsDigest(c.QueryParams())
	if err != nil {
		return err
	}
	change, err := s.changeOf(c)
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
	signer, err := s.authentic(name, u, digest)
	if err != nil {
		return err
	}
	keep := s.settings.Load().operator.Retention
	done, t, err := s.plugins.deploy(ctx, store.PutRequest{
		Change: change, Manifest: u.manifest, Wasm: u.wasm, Traffic: traffic,
		Keep: store.Retention{Versions: keep.Versions, Age: time.Duration(keep.Age)},
	})
	v := done.Version
	if err == nil || done.Created { // with an error when its smoke request wasn't answered
		s.log.Info("deployed", "plugin", name, "version", v.Number, "digest", v.Digest, "created", done.Created, "traffic", traffic && err == nil,
			"clamped", len(t.clamped), "by", change.By, "signer", signer)
	}
	switch {
	case err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return gone(err)
	case err != nil:
		return refused(name, err)
	}
	return s.replyDeployed(c, done, t, signer)
}

// replyDeployed answers a deploy.
func (s *Server) replyDeployed(c echo.Context, done store.PutResult, t *terms, signer string) error {
	if done.Plugin.Revision > 0 {
		c.Response().Header().Set("ETag", etag(done.Plugin.Revision))
	}
	status := http.StatusOK
	if done.Created {
		status = http.StatusCreated
	}
	clamped := t.clamped
	if clamped == nil {
		clamped = []manifest.Clamped{}
	}
	v, name := done.Version, done.Plugin.Name
	return reply(c, status, Deployed{
		Name: name, Version: v.Number, Digest: v.Digest, URL: pluginURL(c, name), Limits: t.limits(), Clamped: clamped, Signer: signer,
	})
}

// authentic makes sure that the module is the one that was meant, and says which key signed it; "": none.
func (s *Server) authentic(name string, u upload, digest string) (signer string, err error) {
	if err := checkDigest(digest, u.wasm); err != nil {
		return "", err
	}
	signers := s.settings.Load().signers
	if u.signature != nil && signers.ignores(u.signature) {
		s.log.Info("signature ignored: signatures.keys lists no key to check it with", "plugin", name)
	}
	return signers.check(u.wasm, u.signature)
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
