package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
)

// Why a stream of lines ended, in its last event.
const (
	endRemoved  = "removed"
	endDraining = "draining"
	// endUnauthorized: the token has been revoked since, or has expired.
	endUnauthorized = "unauthorized"
)

// showLogs answers GET /v1/plugins/{name}/logs.
func (s *Server) showLogs(c echo.Context) error {
	p, err := s.named(c)
	if err != nil {
		return err
	}
	limit, follow, err := logQuery(c.QueryParams())
	if err != nil {
		return err
	}
	name := p.stored.Name
	if follow {
		return s.follow(c, name, limit)
	}
	return reply(c, http.StatusOK, LogList{Name: name, Lines: s.logs.recent(name, limit)})
}

// logQuery reads ?limit and ?follow.
func logQuery(query url.Values) (limit int, follow bool, err error) {
	limit = logDefault
	if values, ok := query["limit"]; ok {
		limit, err = strconv.Atoi(values[0])
		if err != nil || limit < 0 || len(values) > 1 {
			return 0, false, host.NewError(codeBadRequest, "limit is %.64q; it's a number of lines.", strings.Join(values, ","))
		}
	}
	if values, ok := query["follow"]; ok {
		follow, err = strconv.ParseBool(values[0])
		if err != nil || len(values) > 1 {
			return 0, false, host.NewError(codeBadRequest, "follow is %.64q; it's true or false.", strings.Join(values, ","))
		}
	}
	return limit, follow, nil
}

// follow sends lines as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), until the client goes,
// the plugin is deleted or the server has drained.
func (s *Server) follow(c echo.Context, name string, limit int) error {
	if s.running.isClosed() {
		return draining()
	}
	f, err := s.logs.follow(name, c.Request().Header.Get("Last-Event-ID"), limit)
	if err != nil {
		return err
	}
	defer f.leave()
	h := c.Response().Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy that gathers an answer would show nothing for hours
	events := &eventWriter{w: c.Response(), control: http.NewResponseController(c.Response().Writer)}
	events.text.WriteString("retry: 2000\n\n")
	if err := events.flush(); err != nil || c.Request().Method == http.MethodHead {
		return nil // a client that has gone is nobody's failure
	}
	heartbeat := time.NewTicker(heartbeatTime)
	defer heartbeat.Stop()
	for {
		b := f.read()
		b.write(events, f.journal.id)
		if events.text.Len() > 0 && events.flush() != nil || b.end != "" {
			return nil
		}
		if len(b.lines) > 0 {
			continue // there may be more
		}
		select {
		case <-f.wake:
		case <-heartbeat.C:
			if _, err := s.authorize(c, roleRead, name); err != nil { // the token has been revoked meanwhile, or has expired
				events.event("end", "", map[string]string{"reason": endUnauthorized})
				_ = events.flush()
				return nil
			}
			events.text.WriteString(": still here\n\n")
			if events.flush() != nil {
				return nil
			}
		case <-c.Request().Context().Done():
			return nil
		}
	}
}

// write writes the batch's events.
func (b batch) write(events *eventWriter, id string) {
	if b.dropped > 0 {
		events.event("dropped", "", map[string]int64{"lines": b.dropped})
	}
	for i, line := range b.lines {
		events.event("", eventID(id, b.first+int64(i)), line)
	}
	if b.end != "" {
		events.event("end", "", map[string]string{"reason": b.end})
	}
}

// eventWriter gathers events and sends them, each time within a deadline of its own.
type eventWriter struct {
	w       *echo.Response
	control *http.ResponseController
	text    bytes.Buffer
}

// event adds one event. JSON has no line breaks outside its strings, nor in them.
func (e *eventWriter) event(name, id string, data any) {
	text, err := json.Marshal(data)
	if err != nil { // texts and numbers can't fail
		panic(err)
	}
	if name != "" {
		fmt.Fprintf(&e.text, "event: %s\n", name)
	}
	if id != "" {
		fmt.Fprintf(&e.text, "id: %s\n", id)
	}
	fmt.Fprintf(&e.text, "data: %s\n\n", text)
}

func (e *eventWriter) flush() error {
	defer e.text.Reset()
	deadline := time.Now().Add(bodyIdle)
	if !e.w.Committed {
		e.w.WriteHeader(http.StatusOK) // sets a deadline for the whole answer, which this one lifts
	}
	_ = e.control.SetWriteDeadline(deadline)
	if _, err := e.w.Write(e.text.Bytes()); err != nil {
		return err
	}
	return e.control.Flush()
}

// eventID names a line: its log, and its number there.
func eventID(log string, n int64) string { return log + "-" + strconv.FormatInt(n, 10) }

// parseEventID reads what eventID wrote; a client may send anything.
func parseEventID(text string) (log string, n int64, ok bool) {
	log, number, found := strings.Cut(text, "-")
	n, err := strconv.ParseInt(number, 10, 64)
	if !found || err != nil || n < 1 || len(log) != logIDLength || eventID(log, n) != text {
		return "", 0, false
	}
	return log, n, true
}
