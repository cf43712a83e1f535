package server

import (
	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/server/console"
)

// console answers what is below /console/: the console's files. They tell nothing of this server, so they need no token; what the console
// shows, it asks /v1 for with its user's.
func (s *Server) console(c echo.Context) error {
	file := console.Find(c.Param("file"))
	if file == nil {
		return host.NewError(codeNotFound, "The console has no file of that name.")
	}
	file.ServeHTTP(c.Response(), c.Request())
	return nil
}

// page answers /.
func (s *Server) page(c echo.Context) error {
	console.Page().ServeHTTP(c.Response(), c.Request())
	return nil
}
