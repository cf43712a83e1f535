package server

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
)

// showManifest answers GET /v1/plugins/{name}/versions/{version}/manifest: what the version runs under now. Secrets are in it by name, their values
// are nowhere in a manifest.
func (s *Server) showManifest(c echo.Context) error {
	v, err := s.addressed(c)
	if err != nil {
		return err
	}
	t, err := v.terms()
	if err != nil {
		return s.plugins.unloadable(v, err)
	}
	clamped := t.clamped
	if clamped == nil {
		clamped = []manifest.Clamped{}
	}
	return reply(c, http.StatusOK, EffectiveManifest{
		Name: v.plugin, Version: v.stored.Number, Digest: v.stored.Digest, Manifest: t.manifest, Clamped: clamped,
		Operator: narrowed(s.settings.Load().operator, t.manifest),
	})
}

// narrowed is what the operator's configuration says of a plugin's fetches. Where no rule asks for private addresses, whichever are permitted
// to others is no business of those who may look at this one.
func narrowed(o *manifest.Operator, m *manifest.Manifest) OperatorRules {
	rules := OperatorRules{Private: []string{}, Hosts: HostRules{Allow: []string{}, Deny: []string{}}}
	if slices.ContainsFunc(m.Fetch.Allow, func(r manifest.Rule) bool { return r.Private }) {
		rules.Private = append(rules.Private, o.Private...)
	}
	rules.Hosts.Allow = append(rules.Hosts.Allow, o.Hosts.Allow...)
	rules.Hosts.Deny = append(rules.Hosts.Deny, o.Hosts.Deny...)
	return rules
}

// showModule answers GET /v1/plugins/{name}/versions/{version}/wasm. The digest is the ETag: a module never changes, but what is behind a number
// does when a plugin is deleted and deployed again.
func (s *Server) showModule(c echo.Context) error {
	v, err := s.addressed(c)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	tag := `"` + v.stored.Digest + `"`
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Vary", "Authorization, Sortie-Authorization")
	h.Set("X-Content-Type-Options", "nosniff")
	if listsTag(c.Request().Header.Values("If-None-Match"), tag) {
		return c.NoContent(http.StatusNotModified)
	}
	wasm, err := s.store.Blob(c.Request().Context(), v.stored.Digest)
	if err != nil {
		return s.plugins.unloadable(v, err)
	}
	held := s.share() // until it's delivered, like an answer
	defer held.release()
	if err := held.resize(int64(len(wasm))); err != nil {
		return err
	}
	h.Set("Content-Type", "application/wasm")
	h.Set("Content-Length", strconv.Itoa(len(wasm)))
	if c.Request().Method == http.MethodHead {
		wasm = nil
	}
	if err := send(c.Response(), http.StatusOK, wasm); err != nil {
		s.log.Debug("module not delivered", "invocation", invocationID(c), "err", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// listsTag tells whether a request's If-None-Match names that entity tag (RFC 9110, section 13.1.2).
func listsTag(lines []string, tag string) bool {
	for one := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}

// addressed returns the version that the address names.
func (s *Server) addressed(c echo.Context) (*version, error) {
	p, err := s.named(c)
	if err != nil {
		return nil, err
	}
	return p.numbered(c.Param("version"))
}

// numbered returns the version of that number.
func (p *plugin) numbered(text string) (*version, error) {
	number, err := strconv.Atoi(text)
	if err != nil || number < 1 {
		return nil, host.NewError(codeBadRequest, "The version is %.64q; it's a number from 1.", text)
	}
	v := p.versions[number]
	if v == nil {
		return nil, host.NewError(codeVersionNotFound, "Plugin %q has no version %d.", p.stored.Name, number)
	}
	return v, nil
}
