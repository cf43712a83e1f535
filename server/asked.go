package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/server/store"
)

// changeOf is what a request says of the change that it asks for: who wants it, why, and what it expects. It counts as one.
func (s *Server) changeOf(c echo.Context) (store.Change, error) {
	change := store.Change{Name: pluginName(c), By: callerOf(c).name, Note: c.QueryParam("note")}
	if err := checkNote(change.Note); err != nil {
		return change, err
	}
	if err := s.changes.allow(callerOf(c)); err != nil {
		return change, err
	}
	values := c.Request().Header["If-Match"]
	if len(values) == 0 || len(values) == 1 && values[0] == "*" {
		return change, nil
	}
	revision, err := strconv.ParseInt(strings.Trim(values[0], `"`), 10, 64)
	if len(values) > 1 || err != nil || revision < 1 || values[0] != etag(revision) {
		return change, host.NewError(codeBadRequest, "If-Match is %.80q; it's the ETag that the plugin was shown with.", strings.Join(values, ","))
	}
	change.Expect = revision
	return change, nil
}

func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// replyPlugin answers with a plugin, whose revision is the ETag.
func (s *Server) replyPlugin(c echo.Context, p *plugin) error {
	if p.stored.Revision > 0 {
		c.Response().Header().Set("ETag", etag(p.stored.Revision))
	}
	return reply(c, http.StatusOK, describe(c, p))
}

// checkNote says what is wrong with a note that somebody leaves with a change.
func checkNote(note string) error {
	if len(note) > noteBytes || !utf8.ValidString(note) || strings.ContainsFunc(note, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return host.NewError(codeBadRequest, "note can have %d bytes of text, without line breaks.", noteBytes)
	}
	return nil
}

// refused words what a store says against a change.
func refused(name string, err error) error {
	var missing *store.VersionError
	var known *host.Error
	var e *host.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &missing):
		e = host.NewError(codeVersionNotFound, "Plugin %q has no version %d.", name, missing.Version)
	case errors.Is(err, store.ErrNotFound):
		e = notFound(name)
	case errors.Is(err, store.ErrTraffic):
		e = host.NewError(codeBadRequest, "%s.", sentence(err, store.ErrTraffic))
	case errors.Is(err, store.ErrConflict):
		e = host.NewError(codeConflict, "Plugin %q: %s. Look at it again, and repeat what is still wanted.", name, sentence(err, store.ErrConflict))
	default:
		return err
	}
	e.Err = err
	return e
}

// sentence is what an error says after the kind that it wraps.
func sentence(err, kind error) string {
	text := err.Error()
	if i := strings.LastIndex(text, kind.Error()); i >= 0 {
		text = strings.TrimPrefix(text[i+len(kind.Error()):], ": ")
	}
	if text == "" {
		return kind.Error()
	}
	return text
}

// errNoBody is that of a request whose body is needed, and empty.
var errNoBody = host.NewError(codeBadRequest, "The request needs a body of JSON.")

// readJSON reads the request's body, which is JSON whatever its Content-Type says, and nothing else.
func (s *Server) readJSON(c echo.Context, into any) error {
	return s.readJSONWithin(c, jsonBytes, into)
}

// readJSONWithin is readJSON for a body of at most so many bytes.
func (s *Server) readJSONWithin(c echo.Context, most int64, into any) error {
	held := s.share()
	defer held.release()
	body, err := readBody(c, held, most, time.Now().Add(bodyIdle))
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return errNoBody
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err = d.Decode(into)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("there is more after the first value")
		}
	}
	if err != nil {
		return host.NewError(codeBadRequest, "The request's body isn't the JSON that is wanted: %v.", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}
