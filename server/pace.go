package server

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// due is until when the next bytes of a body must have moved, of which so many have moved since it began. Bytes must move every
// bodyIdle, so that who has stopped is soon noticed; and after bodyGrace they must have moved at bodyRate on average, so
// that who moves one now and then can't hold a body for hours.
func due(begun, now time.Time, moved int64) time.Time {
	onAverage := begun.Add(bodyGrace + time.Duration(moved/bodyRate)*time.Second)
	return earlier(now.Add(bodyIdle), onAverage)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// incoming is a body on its way in. Every read has a deadline, where the connection has any.
type incoming struct {
	body    io.Reader
	control *http.ResponseController
	begun   time.Time
	until   time.Time // the end of the whole
	read    int64
}

func (in *incoming) Read(p []byte) (int, error) {
	_ = in.control.SetReadDeadline(earlier(in.until, due(in.begun, time.Now(), in.read)))
	n, err := in.body.Read(p)
	in.read += int64(n)
	return n, err
}

// within runs read on a body that must keep the pace and have come by then.
func within[T any](w http.ResponseWriter, body io.Reader, until time.Time, read func(io.Reader) (T, error)) (T, error) {
	control := http.NewResponseController(w)
	// A deadline must not stay: net/http keeps reading while the plugin runs, to see the client go away.
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	return read(&incoming{body: body, control: control, begun: time.Now(), until: until})
}

// send writes the answer to a client that keeps the pace.
func send(w *echo.Response, status int, body []byte) error {
	control, begun, sent := http.NewResponseController(w), time.Now(), 0
	within := func(end int) { // where connections have no deadlines, there is none
		_ = control.SetWriteDeadline(due(begun, time.Now(), int64(end)))
	}
	// It would stay with the connection, and hit its next request.
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
	within(0)
	w.WriteHeader(status)
	for sent < len(body) {
		end := min(sent+writeChunk, len(body))
		within(end)
		if _, err := w.Write(body[sent:end]); err != nil {
			return fmt.Errorf("after %d bytes: %w", w.Size, err)
		}
		sent = end
	}
	return control.Flush() // under the deadline still
}

// paced is send for an answer whose end isn't known when it begins. Its status is 200.
type paced struct {
	w       *echo.Response
	control *http.ResponseController
	begun   time.Time
	sent    int64
}

func newPaced(w *echo.Response) *paced {
	return &paced{w: w, control: http.NewResponseController(w), begun: time.Now()}
}

// Write implements io.Writer.
func (p *paced) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		var wrote int
		chunk := b[:min(writeChunk, len(b))]
		_ = p.control.SetWriteDeadline(due(p.begun, time.Now(), p.sent+int64(len(chunk))))
		wrote, err = p.w.Write(chunk)
		n, p.sent, b = n+wrote, p.sent+int64(wrote), b[wrote:]
	}
	return n, err
}

// end leaves the connection without a deadline, for its next request.
func (p *paced) end() { _ = p.control.SetWriteDeadline(time.Time{}) }

// answerInTime bounds how long an answer of our own, which is a small one, may take to be sent. net/http lifts the deadline for
// the next request.
func answerInTime(c echo.Context) {
	c.Response().Before(func() {
		_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(bodyIdle))
	})
}
