package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxEventLine bounds a line of an event stream: a server's log lines have 16 KiB, which JSON may make six times longer.
const maxEventLine = 256 << 10

// event is one server-sent event.
type event struct {
	name string // "": a message
	id   string // of the last event that had one
	data string
}

// eventReader reads an event stream (https://html.spec.whatwg.org/multipage/server-sent-events.html). Lines end with LF or CRLF.
type eventReader struct {
	lines *bufio.Scanner
	heard func() // told of each line, comments included
	id    string
}

func newEventReader(r io.Reader, heard func()) *eventReader {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEventLine)
	return &eventReader{lines: lines, heard: heard}
}

// next waits for an event. The error is io.ErrUnexpectedEOF where the stream ends: a server says goodbye in an event.
func (e *eventReader) next() (event, error) {
	var ev event
	var data []string
	size := 0
	for e.lines.Scan() {
		e.heard()
		line := strings.TrimSuffix(e.lines.Text(), "\r")
		if line == "" {
			if len(data) == 0 {
				ev = event{} // without data it's none
				continue
			}
			ev.id, ev.data = e.id, strings.Join(data, "\n")
			return ev, nil
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			ev.name = value
		case "id":
			if sendable(value) {
				e.id = value
			}
		case "data":
			if size += len(value); size > maxEventLine {
				return event{}, fmt.Errorf("an event has more than %d bytes", maxEventLine)
			}
			data = append(data, value)
		}
	}
	err := e.lines.Err()
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		return event{}, fmt.Errorf("an event's line has more than %d bytes", maxEventLine)
	case err == nil:
		return event{}, io.ErrUnexpectedEOF
	}
	return event{}, err
}

// sendable reports whether an id can be sent back as a header's value.
func sendable(id string) bool {
	const most = 256
	return len(id) <= most && !strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' })
}
