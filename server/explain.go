package server

import (
	"cmp"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch/policy"
)

// explain answers GET /v1/plugins/{name}/explain: whether a version's policy, under the operator's configuration, allows a fetch, and which rule
// decides. Nothing is fetched and no name looked up.
func (s *Server) explain(c echo.Context) error {
	p, err := s.named(c)
	if err != nil {
		return err
	}
	q := c.QueryParams()
	target, method := q.Get("url"), cmp.Or(q.Get("method"), http.MethodGet)
	if target == "" || len(target) > explainBytes || len(method) > explainBytes {
		return host.NewError(codeBadRequest, "url must be there, with %d bytes at most: the URL that the plugin would fetch.", explainBytes)
	}
	v := p.versions[p.foremost().Number]
	if text := q.Get("version"); text != "" {
		if v, err = p.numbered(text); err != nil {
			return err
		}
	}
	t, err := v.terms()
	if err != nil {
		return s.plugins.unloadable(v, err)
	}
	o := s.settings.Load().operator
	rules, err := policy.New(policy.Config{Rules: t.manifest.Fetch.Allow, Private: o.Private, HostsAllow: o.Hosts.Allow, HostsDeny: o.Hosts.Deny})
	if err != nil {
		return s.plugins.unloadable(v, err)
	}
	d := rules.Explain(method, target)
	return reply(c, http.StatusOK, Explanation{
		Version: v.stored.Number, Method: method, URL: target, Allowed: d.Allowed, Code: string(d.Code), Rule: d.Rule, Number: d.Number,
		Private: d.Private, Reason: d.Reason,
	})
}
