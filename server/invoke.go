package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
)

// invoke answers /p/{name} and everything below it.
func (s *Server) invoke(c echo.Context) error {
	arrived, id := time.Now(), invocationID(c)
	if !s.running.enter() {
		return draining()
	}
	defer s.running.leave()
	name := pluginName(c)
	v, t, err := s.choose(c, name)
	if err != nil {
		return err
	}
	defer v.release()
	c.Response().Header().Set(headerVersion, strconv.Itoa(v.stored.Number))
	ctx, cancel := context.WithDeadlineCause(c.Request().Context(), arrived.Add(time.Duration(t.manifest.Limits.Wall)), errWall)
	defer cancel()
	held := s.memory.share()
	defer held.release()
	body, err := readBody(c, held, int64(t.manifest.Limits.Input), deadline(ctx))
	if err != nil {
		return s.failed(c, v, arrived, unbegun(c, v, arrived), err)
	}
	g, err := v.ready(ctx)
	if err != nil {
		return s.failed(c, v, arrived, unbegun(c, v, arrived), err)
	}
	// The host keeps the wall limit itself, from Arrived on. All that the client's connection tells it is that the client has gone.
	response, report, err := g.Invoke(c.Request().Context(), s.request(c, name, id, body, arrived))
	timing(c.Response().Header(), report)
	if err == nil {
		err = deliverable(response)
	}
	if err == nil {
		err = held.resize(int64(cap(response.Body))) // in the place of the request's, which nobody needs any more
	}
	if err != nil {
		return s.failed(c, v, arrived, report, err)
	}
	s.keep(v, report)
	s.logInvocation(c, v, arrived, report, response.Status, "")
	return s.deliver(c, name, response)
}

// errWall is the cause of a context whose invocation has used up its wall limit before it got to its guest.
var errWall = host.NewError(host.CodeLimitWall, "The invocation's time (limits.wall) was over before the plugin began.")

func deadline(ctx context.Context) time.Time {
	d, _ := ctx.Deadline()
	return d
}

// choose finds the version to invoke, checks that the caller may, and holds it. An unknown name and one that needs a token look
// the same to those without a token.
func (s *Server) choose(c echo.Context, name string) (*version, *terms, error) {
	pin, err := pinned(c.Request().Header)
	if err != nil {
		return nil, nil, err
	}
	for {
		v := s.plugins.find(name).pick(pin)
		if v == nil {
			return nil, nil, cmp.Or(s.authorize(c), error(s.nothingToInvoke(name, pin)))
		}
		t, err := s.permitted(c, v, pin)
		if err != nil {
			return nil, nil, err
		}
		if v.hold(pin != 0) {
			return v, t, nil
		}
		// It was just replaced, so look again; but not for a caller or a server that is gone.
		if err := c.Request().Context().Err(); err != nil {
			return nil, nil, gone(err)
		}
		if s.running.isClosed() {
			return nil, nil, draining()
		}
	}
}

// permitted returns the version's terms if the caller may invoke it.
func (s *Server) permitted(c echo.Context, v *version, pin int) (*terms, error) {
	t, err := v.terms()
	if err == nil && t.public && pin == 0 {
		return t, nil
	}
	if denied := cmp.Or(s.authorize(c), s.checkCrossOrigin(c.Request())); denied != nil {
		return nil, denied
	}
	if err != nil {
		return nil, s.plugins.unloadable(v, err)
	}
	return t, nil
}

// nothingToInvoke says why there is no version to invoke.
func (s *Server) nothingToInvoke(name string, pin int) *host.Error {
	switch {
	case s.plugins.find(name) == nil:
		return notFound(name)
	case pin != 0:
		return host.NewError(codeVersionNotFound, "Plugin %q has no version %d.", name, pin)
	default:
		return host.NewError(codeVersionNotFound, "No version of plugin %q takes traffic; pin one with the header Sortie-Version.", name)
	}
}

// pinned reads the header Sortie-Version; 0 means that there is none.
func pinned(h http.Header) (int, error) {
	values := h[headerVersion]
	if len(values) == 0 {
		return 0, nil
	}
	n, err := strconv.Atoi(values[0])
	if len(values) > 1 || err != nil || n < 1 {
		return 0, host.NewError(codeBadRequest, "Sortie-Version is %q; it's the number of a version.", values)
	}
	return n, nil
}

// failed keeps the report of a failed invocation, logs it, and returns its error.
func (s *Server) failed(c echo.Context, v *version, arrived time.Time, report *host.Report, err error) error {
	if ended := c.Request().Context().Err(); ended != nil && errors.Is(err, ended) {
		err = gone(err)
	}
	e := failure(err)
	// As the client gets it, who may get another answer than the host saw made: one for which there was no room, for instance.
	report.Status, report.Code, report.Detail = host.StatusOf(e.Code), e.Code, e.Detail
	s.keep(v, report)
	s.logInvocation(c, v, arrived, report, report.Status, e.Code)
	return err
}

// logInvocation writes the one line that an invocation has in the server's log: failed ones at the level info, the others at debug.
// The path is the plugin's business and the query may hold what isn't ours to keep, so neither is in it.
func (s *Server) logInvocation(c echo.Context, v *version, arrived time.Time, report *host.Report, status int, code string) {
	level := slog.LevelDebug
	if code != "" {
		level = slog.LevelInfo
	}
	ctx := c.Request().Context()
	if !s.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("invocation", invocationID(c)), slog.String("plugin", v.plugin), slog.Int("version", v.stored.Number),
		slog.String("method", c.Request().Method), slog.Int("status", status), slog.String("code", code),
		slog.Float64("total_ms", milliseconds(time.Since(arrived))), slog.Int("fetches", len(report.Fetches)),
		slog.String("detail", report.Detail),
	}
	s.log.LogAttrs(ctx, level, "invocation", attrs...)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
