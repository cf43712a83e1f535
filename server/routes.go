package server

import (
	"net/http"
	"runtime/debug"

	"github.com/labstack/echo/v4"
)

// Header fields of ours.
const (
	headerAuthorization = "Sortie-Authorization"
	headerError         = "Sortie-Error"
	headerInvocation    = "Sortie-Invocation"
	headerVersion       = "Sortie-Version"
)

// sandbox is the policy on every answer below /p/: scripts and forms run, in an origin that is nobody's.
const sandbox = "sandbox allow-scripts allow-forms"

// routes is everything the server answers. A test holds it and openapi.yaml together.
func (s *Server) routes() *echo.Echo {
	e := newEcho()
	e.Pre(s.frame)
	get := func(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
		e.Match([]string{http.MethodGet, http.MethodHead}, path, h, m...)
	}

	get("/", s.root)
	get("/livez", s.live)
	get("/healthz", s.live)
	get("/readyz", s.ready)
	get("/openapi.yaml", s.document)

	e.PUT("/v1/plugins/:name", s.deploy, s.authorized)
	e.DELETE("/v1/plugins/:name", s.remove, s.authorized)
	get("/v1/plugins", s.list, s.authorized)
	get("/v1/plugins/:name", s.show, s.authorized)
	get("/v1/plugins/:name/versions", s.versions, s.authorized)
	get("/v1/plugins/:name/logs", s.showLogs, s.authorized)
	get("/v1/invocations/:id", s.trace, s.authorized)

	// Any method at all, those too that Echo's Any doesn't list.
	e.RouteNotFound("/p/:name", s.invoke)
	e.RouteNotFound("/p/:name/*", s.invoke)
	return e
}

// keyInvocation is where Echo's context keeps the request's id.
const keyInvocation = "sortie.invocation"

func invocationID(c echo.Context) string {
	id, _ := c.Get(keyInvocation).(string)
	return id
}

func stack() string { return string(debug.Stack()) }
