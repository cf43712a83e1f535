package server

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
)

// invocation is one of a version, and what is kept of it.
type invocation struct {
	server  *Server
	c       echo.Context
	version *version
	arrived time.Time
	lines   int // how many of its lines are in the plugin's log already
}

// unbegun is the report of an invocation that didn't get to its guest.
func (i *invocation) unbegun() *host.Report {
	r := i.c.Request()
	return &host.Report{
		ID: invocationID(i.c), Plugin: i.version.plugin, Version: i.version.stored.Number, Started: i.arrived, Method: r.Method,
		Path: pathBelow(r.URL), Total: time.Since(i.arrived),
	}
}

// logged puts a line into the plugin's log while the invocation runs.
func (i *invocation) logged(line host.LogLine) {
	i.lines++
	i.server.logs.add(i.version, invocationID(i.c), []host.LogLine{line})
}

// keep remembers what the invocation did, before its client learns that it's over.
func (i *invocation) keep(report *host.Report) {
	i.server.logs.add(i.version, report.ID, report.Logs[min(i.lines, len(report.Logs)):])
	i.server.reports.add(i.version, report)
	i.server.metrics.count(i.version, report)
}

// succeeded keeps the report of an invocation that the plugin answered, and logs it.
func (i *invocation) succeeded(report *host.Report, status int) {
	i.keep(report)
	i.log(report, status, "")
}

// failed keeps the report of a failed invocation, logs it, and returns its error. If some of the answer has gone out, it resets the
// connection instead.
func (i *invocation) failed(report *host.Report, err error) error {
	if ended := i.c.Request().Context().Err(); ended != nil && errors.Is(err, ended) {
		err = gone(err)
	}
	e := failure(err)
	// As the client gets it, who may get another answer than the host saw made: one for which there was no room, for instance.
	report.Status, report.Code, report.Detail = host.StatusOf(e.Code), e.Code, e.Detail
	i.keep(report)
	i.log(report, report.Status, e.Code)
	if i.c.Response().Committed {
		reset(i.c)
		panic(http.ErrAbortHandler)
	}
	return err
}

// log writes the one line that an invocation has in the server's log: failed ones at the level info, the others at debug. The path is
// the plugin's business and the query may hold what isn't ours to keep, so neither is in it.
func (i *invocation) log(report *host.Report, status int, code string) {
	level := slog.LevelDebug
	if code != "" {
		level = slog.LevelInfo
	}
	ctx, log := i.c.Request().Context(), i.server.log
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("invocation", invocationID(i.c)), slog.String("plugin", i.version.plugin), slog.Int("version", i.version.stored.Number),
		slog.String("method", i.c.Request().Method), slog.Int("status", status), slog.String("code", code),
		slog.Float64("total_ms", milliseconds(time.Since(i.arrived))), slog.Int("fetches", len(report.Fetches)),
		slog.String("detail", report.Detail),
	}
	log.LogAttrs(ctx, level, "invocation", attrs...)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
