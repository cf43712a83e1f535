package server

import (
	"context"
	"io"
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
)

// backups are taken one at a time.
type backups struct{ sync.Mutex }

// backup answers GET /v1/backup, where the store can be backed up: others have ways of their own.
func (s *Server) backup(c echo.Context) error {
	st, ok := s.store.(interface {
		Backup(ctx context.Context, w io.Writer) error
	})
	if !ok {
		return host.NewError(codeNotFound, "This server's store is backed up by its own means.")
	}
	if !s.backups.TryLock() {
		return host.NewError(codeConflict, "A backup is being taken; try again when it's there.")
	}
	defer s.backups.Unlock()
	w := c.Response()
	h := w.Header()
	h.Set("Content-Type", "application/x-tar")
	h.Set("Content-Disposition", `attachment; filename="sortie-backup.tar"`)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if c.Request().Method == http.MethodHead {
		return c.NoContent(http.StatusOK)
	}
	out := newPaced(w)
	defer out.end()
	if err := st.Backup(c.Request().Context(), out); err != nil {
		return err // which resets the connection if some of it has gone out
	}
	s.log.Info("backed up", "bytes", out.sent, "by", callerOf(c).name)
	return nil
}
