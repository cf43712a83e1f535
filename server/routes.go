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

// routes is what the server answers on these sides. A test holds it and openapi.yaml together.
func (s *Server) routes(sides side) *echo.Echo {
	e := newEcho()
	e.Pre(s.frame)
	get := func(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
		e.Match([]string{http.MethodGet, http.MethodHead}, path, h, m...)
	}

	get("/livez", s.live)
	get("/healthz", s.live)
	get("/readyz", s.ready)
	get("/openapi.yaml", s.document)
	if sides&sideAdmin != 0 {
		get("/", s.page)
		get("/console/:file", s.console)
		s.adminRoutes(e, get)
	}
	if sides&sidePlugins != 0 {
		// Any method at all, those too that Echo's Any doesn't list.
		e.RouteNotFound("/p/:name", s.invoke)
		e.RouteNotFound("/p/:name/*", s.invoke)
	}
	return e
}

// adminRoutes are those below /v1.
func (s *Server) adminRoutes(e *echo.Echo, get func(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc)) {
	e.PUT("/v1/plugins/:name", s.deploy, s.needs(roleDeploy))
	e.DELETE("/v1/plugins/:name", s.remove, s.needs(roleDeploy))
	e.PUT("/v1/plugins/:name/traffic", s.setTraffic, s.needs(roleDeploy))
	e.POST("/v1/plugins/:name/rollback", s.rollback, s.needs(roleDeploy))
	get("/v1/plugins", s.list, s.needs(roleRead))
	get("/v1/plugins/:name", s.show, s.needs(roleRead))
	get("/v1/plugins/:name/versions", s.versions, s.needs(roleRead))
	get("/v1/plugins/:name/versions/:version/manifest", s.showManifest, s.needs(roleRead))
	get("/v1/plugins/:name/versions/:version/wasm", s.showModule, s.needs(roleDeploy))
	get("/v1/plugins/:name/explain", s.explain, s.needs(roleRead))
	get("/v1/plugins/:name/invocations", s.invocations, s.needs(roleRead))
	get("/v1/plugins/:name/logs", s.showLogs, s.needs(roleRead))
	get("/v1/whoami", s.whoami, s.needs(roleInvoke))
	get("/v1/invocations/:id", s.trace, s.needs(roleRead))
	get("/v1/backup", s.backup, s.needs(roleAdmin))
	get("/metrics", s.showMetrics, s.needs(roleRead))
	get("/v1/audit", s.audit, s.needs(roleRead))

	e.POST("/v1/tokens", s.createToken, s.needs(roleAdmin))
	get("/v1/tokens", s.listTokens, s.needs(roleAdmin))
	e.DELETE("/v1/tokens/:id", s.revokeToken, s.needs(roleAdmin))

	e.PUT("/v1/secrets/:name", s.setSecret, s.needs(roleAdmin))
	get("/v1/secrets", s.listSecrets, s.needs(roleAdmin))
	e.DELETE("/v1/secrets/:name", s.removeSecret, s.needs(roleAdmin))
}

// keyInvocation is where Echo's context keeps the request's id.
const keyInvocation = "sortie.invocation"

func invocationID(c echo.Context) string {
	id, _ := c.Get(keyInvocation).(string)
	return id
}

func stack() string { return string(debug.Stack()) }
