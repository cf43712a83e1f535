package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/server/store"
)

// list answers GET /v1/plugins.
func (s *Server) list(c echo.Context) error {
	shown := s.shown(callerOf(c))
	list := PluginList{Plugins: make([]Plugin, 0, len(shown))}
	for _, p := range shown {
		list.Plugins = append(list.Plugins, describe(c, p))
	}
	return reply(c, http.StatusOK, list)
}

// shown are the plugins that a caller may see, by name.
func (s *Server) shown(who *caller) []*plugin {
	var shown []*plugin
	for _, p := range *s.plugins.plugins.Load() {
		if who.includes(p.stored.Name) {
			shown = append(shown, p)
		}
	}
	slices.SortFunc(shown, func(a, b *plugin) int { return strings.Compare(a.stored.Name, b.stored.Name) })
	return shown
}

// show answers GET /v1/plugins/{name}.
func (s *Server) show(c echo.Context) error {
	p, err := s.named(c)
	if err != nil {
		return err
	}
	return s.replyPlugin(c, p)
}

// versions answers GET /v1/plugins/{name}/versions.
func (s *Server) versions(c echo.Context) error {
	p, err := s.named(c)
	if err != nil {
		return err
	}
	list := VersionList{Name: p.stored.Name, Versions: make([]Version, 0, len(p.stored.Versions))}
	for _, v := range slices.Backward(p.stored.Versions) {
		list.Versions = append(list.Versions, Version{
			Version: v.Number, Digest: v.Digest, Created: v.Created, Weight: p.weight(v.Number), By: v.By, Note: v.Note,
		})
	}
	return reply(c, http.StatusOK, list)
}

// remove answers DELETE /v1/plugins/{name}.
func (s *Server) remove(c echo.Context) error {
	if !s.running.enter() {
		return draining()
	}
	defer s.running.leave()
	change, err := s.changeOf(c)
	if err != nil {
		return err
	}
	if err := s.plugins.remove(c.Request().Context(), store.DeleteRequest{Change: change}); err != nil {
		return refused(change.Name, err)
	}
	s.log.Info("removed", "plugin", change.Name, "by", change.By)
	return c.NoContent(http.StatusNoContent)
}

// named returns the plugin that the address names.
func (s *Server) named(c echo.Context) (*plugin, error) {
	name := pluginName(c)
	p := s.plugins.find(name)
	if p == nil {
		return nil, notFound(name)
	}
	return p, nil
}

// pluginName is the name in the address. Echo matches the path as it was sent where that differs from the default encoding, so the
// name may be encoded still.
func pluginName(c echo.Context) string {
	name := c.Param("name")
	if c.Request().URL.RawPath == "" {
		return name
	}
	if decoded, err := url.PathUnescape(name); err == nil {
		return decoded
	}
	return name
}

// foremost is the version with the most traffic, or the newest one if none has any.
func (p *plugin) foremost() store.Version {
	shown, most := p.stored.Newest(), 0
	for _, v := range p.stored.Versions {
		if w := p.weight(v.Number); w >= most && w > 0 {
			shown, most = v, w
		}
	}
	return shown
}

func describe(c echo.Context, p *plugin) Plugin {
	shown := p.foremost()
	traffic := p.stored.Traffic
	if traffic == nil {
		traffic = []store.Weight{}
	}
	return Plugin{
		Name: p.stored.Name, Version: shown.Number, Digest: shown.Digest, Created: shown.Created, URL: pluginURL(c, p.stored.Name),
		Versions: len(p.stored.Versions), Traffic: traffic, Revision: p.stored.Revision,
	}
}

// pluginURL is where the plugin is called, by the name under which the client reached the server, through TLS perhaps that a
// trusted proxy in front of it ends.
func pluginURL(c echo.Context, name string) string {
	who := clientOf(c)
	return (&url.URL{Scheme: who.scheme, Host: who.host, Path: "/p/" + name}).String()
}

// reply writes JSON of our own.
func reply(c echo.Context, status int, v any) error {
	h := c.Response().Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	return c.JSON(status, v)
}
