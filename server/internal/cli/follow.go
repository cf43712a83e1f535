package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// How a log that is followed is reached again when the connection broke.
const (
	firstPause = time.Second
	mostPause  = 30 * time.Second
	// mostSilence is how long nothing may come before the connection is given up; a server sends a comment every 15 s.
	mostSilence = 50 * time.Second
)

// following is one `logs -f`.
type following struct {
	app    *app
	server *api
	name   string
	opts   logOptions

	silence  time.Duration // before the connection is given up
	first    time.Duration // the pause before another attempt, where the last one worked
	pause    time.Duration // before the next one
	lastSeen string        // the id of the last event
	reached  bool          // the server has answered once
	removed  bool          // the plugin is gone, and that is a good end
}

// followLogs prints lines until ctx ends, which is how a person ends it, or the plugin is removed.
func (a *app) followLogs(ctx context.Context, server *api, name string, o logOptions) error {
	f := &following{app: a, server: server, name: name, opts: o, silence: mostSilence, first: firstPause, pause: firstPause}
	return f.run(ctx)
}

func (f *following) run(ctx context.Context) error {
	for {
		err := f.once(ctx)
		select {
		case <-ctx.Done():
			return nil
		default:
		}
		var refused *problem
		var stuck *outputError
		switch {
		case f.removed:
			f.app.note("%s was removed", f.name)
			return err
		case !f.reached, errors.As(err, &stuck), errors.As(err, &refused) && refused.Status < http.StatusInternalServerError:
			return err
		}
		f.app.note("%s; trying again in %s", printable(err.Error()), f.pause)
		select {
		case <-time.After(f.pause):
		case <-ctx.Done():
			return nil
		}
		f.pause = min(2*f.pause, mostPause)
	}
}

// outputError is a line that couldn't be printed: whoever read them has gone.
type outputError struct{ err error }

func (e *outputError) Error() string { return e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// once follows over one connection. It ends with an error, unless the plugin was removed.
func (f *following) once(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	quiet := time.AfterFunc(f.silence, func() { cancel(fmt.Errorf("%s has said nothing for %s", f.server.base, f.silence)) })
	defer quiet.Stop()
	query := url.Values{"follow": {"true"}, "limit": {strconv.Itoa(f.opts.limit)}}
	body, err := f.server.stream(ctx, logsPath(f.name), query, f.lastSeen)
	if err != nil {
		return err
	}
	defer body.Close()
	f.reached = true
	events := newEventReader(body, func() { quiet.Reset(f.silence) })
	for {
		e, err := events.next()
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("the connection to %s broke: %w", f.server.base, err)
		}
		f.pause = f.first // it works
		if err := f.take(e); err != nil || f.removed {
			return err
		}
	}
}

// take deals with one event.
func (f *following) take(e event) error {
	switch e.name {
	case "", "message":
		if err := f.app.printLogLine(f.server, json.RawMessage(e.data), f.opts.json); err != nil {
			return &outputError{err}
		}
		if e.id != "" {
			f.lastSeen = e.id
		}
	case "dropped":
		var gap struct {
			Lines int64 `json:"lines"`
		}
		if err := f.server.decode([]byte(e.data), &gap); err != nil {
			return err
		}
		f.app.note("%d lines were forgotten before they could be read", gap.Lines)
	case "end":
		var end struct {
			Reason string `json:"reason"`
		}
		if err := f.server.decode([]byte(e.data), &end); err != nil {
			return err
		}
		if f.removed = end.Reason == "removed"; f.removed {
			return nil
		}
		return fmt.Errorf("%s has ended the log (%s)", f.server.base, end.Reason)
	}
	return nil
}
