package server

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/net/http/httpguts"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

// Where a manifest has `cors`, the server speaks for the plugin in the CORS protocol (Fetch Standard, section 3.3): it answers
// preflights without the plugin and without a token, as browsers send none with them, and says of every answer which pages may read it.
// A plugin without is asked itself.

// simpleMethods are those that pages may use where the manifest doesn't say.
var simpleMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost}

// keyCORS is where Echo's context keeps that the server speaks for the plugin.
const keyCORS = "sortie.cors"

// preflight answers a browser that asks, for a page, what it may send to the plugin. It reports false where the plugin doesn't exist or
// answers for itself: then it's a request like any other, and tells those without a token nothing.
func (s *Server) preflight(c echo.Context, name string) (bool, error) {
	if !isPreflight(c.Request()) {
		return false, nil
	}
	v := s.plugins.find(name).pick(0, "")
	if v == nil {
		return false, nil
	}
	t, err := v.terms()
	if err != nil || len(t.manifest.CORS.Origins) == 0 {
		return false, nil //nolint:nilerr // who may know of it is told by permitted
	}
	corsPreflight(c.Response().Header(), c.Request(), &t.manifest.CORS)
	return true, c.NoContent(http.StatusNoContent)
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Origin"]) == 1 && len(r.Header["Access-Control-Request-Method"]) == 1
}

// corsPreflight says what the page may send.
func corsPreflight(h http.Header, r *http.Request, rules *manifest.CORS) {
	corsOrigin(h, r, rules)
	h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	if h.Get("Access-Control-Allow-Origin") == "" {
		return
	}
	h.Set("Access-Control-Allow-Methods", allowedMethods(r, rules.Methods))
	if names := allowedHeaders(r, rules.Headers); names != "" {
		h.Set("Access-Control-Allow-Headers", names)
	}
	if rules.MaxAge > 0 {
		h.Set("Access-Control-Max-Age", strconv.FormatInt(int64(time.Duration(rules.MaxAge)/time.Second), 10))
	}
}

// allowedMethods are those of the manifest. For any, it's the one that is asked for: browsers that send credentials take * for a name.
func allowedMethods(r *http.Request, methods []string) string {
	asked := r.Header.Get("Access-Control-Request-Method")
	switch {
	case len(methods) == 0:
		methods = simpleMethods
	case anyOf(methods) && httpguts.ValidHeaderFieldName(asked):
		return asked
	}
	return strings.Join(methods, ", ")
}

// allowedHeaders are those of the manifest. For any, they're those that are asked for.
func allowedHeaders(r *http.Request, names []string) string {
	if !anyOf(names) {
		return strings.Join(names, ", ")
	}
	asked := items(r.Header["Access-Control-Request-Headers"])
	return strings.Join(slices.DeleteFunc(asked, func(name string) bool { return !httpguts.ValidHeaderFieldName(name) }), ", ")
}

// corsHeaders says which pages may read the answer, be it the plugin's or a problem, and notes that the plugin has no say in that.
func corsHeaders(c echo.Context, rules *manifest.CORS) {
	if before, _ := c.Get(keyCORS).(bool); !before && len(rules.Origins) == 0 {
		return
	}
	h := c.Response().Header()
	for _, field := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers", "Vary"} {
		h.Del(field) // a version's that was looked at before this one
	}
	c.Set(keyCORS, len(rules.Origins) > 0)
	if len(rules.Origins) == 0 {
		return
	}
	corsOrigin(h, c.Request(), rules)
	if len(rules.Expose) > 0 && h.Get("Access-Control-Allow-Origin") != "" {
		h.Set("Access-Control-Expose-Headers", strings.Join(rules.Expose, ", "))
	}
}

// corsOrigin says whether the page's origin is allowed.
func corsOrigin(h http.Header, r *http.Request, rules *manifest.CORS) {
	if anyOf(rules.Origins) {
		h.Set("Access-Control-Allow-Origin", "*")
		return
	}
	h.Add("Vary", "Origin") // even where there is no Origin: caches would give that answer to pages
	origins := r.Header["Origin"]
	if len(origins) != 1 || !slices.Contains(rules.Origins, origins[0]) {
		return
	}
	h.Set("Access-Control-Allow-Origin", origins[0])
	if rules.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
}

func anyOf(list []string) bool { return len(list) == 1 && list[0] == "*" }

// spokenFor are the fields of a plugin's answer, without those that the server sets in its place.
func spokenFor(c echo.Context, fields []fetch.Field) []fetch.Field {
	if spoken, _ := c.Get(keyCORS).(bool); !spoken {
		return fields
	}
	var rest []fetch.Field
	for _, f := range fields {
		if !hasPrefixFold(f.Name, "Access-Control-") {
			rest = append(rest, f)
		}
	}
	return rest
}
