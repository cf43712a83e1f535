package server

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
)

// keyBodyRead is where Echo's context keeps that the request's body was read to its end.
const keyBodyRead = "sortie.body"

// bodyRead reports whether nothing of the request's body is left on its connection.
func bodyRead(c echo.Context) bool {
	return c.Request().ContentLength == 0 || c.Get(keyBodyRead) != nil
}

// refuseBody has the connection closed after an answer that left a body unread, whether its head has gone out yet or not. Otherwise
// net/http reads the rest of it before it sends anything, however slowly it comes. In HTTP/2 only the stream ends.
func refuseBody(c echo.Context) {
	if bodyRead(c) || c.Request().ProtoMajor != 1 {
		return
	}
	w := c.Response()
	w.Header().Set("Connection", "close")
	// A body that passes its limit makes net/http wait for the client to read the answer before it resets the connection. It can
	// be told that only in this way.
	_, _ = http.MaxBytesReader(w.Writer, io.NopCloser(strings.NewReader("x")), 0).Read(make([]byte, 1))
}

// leaveBody bounds how long net/http waits for the rest of a body that nobody wanted, before it takes the next request from the
// connection or closes it. It sets a deadline of its own for the next request.
func leaveBody(c echo.Context) {
	if !bodyRead(c) {
		_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(drainTime))
	}
}

// abandonBody has net/http not wait for the rest of a body even that long: its connection is about to be reset.
func abandonBody(c echo.Context) {
	if bodyRead(c) {
		return
	}
	_ = http.NewResponseController(c.Response()).SetReadDeadline(longAgo)
	c.Set(keyBodyRead, true)
}

// longAgo is a deadline that makes whoever waits return.
var longAgo = time.Unix(1, 0)

// overInput is the error for a request's body that doesn't end within limits.input.
func overInput(limit int64) *host.Error {
	return host.NewError(host.CodeLimitInput, "The request's body is larger than limits.input, %d bytes.", limit)
}

// readBody reads the body of an invocation, of at most limit bytes, into held.
func readBody(c echo.Context, held *share, limit int64, until time.Time) ([]byte, error) {
	r, w := c.Request(), c.Response()
	if r.ContentLength == 0 || r.Body == nil {
		return nil, nil
	}
	return within(w, http.MaxBytesReader(w.Writer, r.Body, limit), until, func(in io.Reader) ([]byte, error) {
		body, err := held.readAll(in, expected(r, limit))
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			return nil, overInput(limit)
		case err != nil:
			return nil, unreadable(err)
		}
		c.Set(keyBodyRead, true)
		return body, nil
	})
}

// receive reads the body of a deploy into held, in uploadTime at most.
func receive(c echo.Context, held *share) (upload, error) {
	r, w := c.Request(), c.Response()
	if r.ContentLength > maxUpload {
		return upload{}, host.NewError(host.CodeLimitInput, "The body has %d bytes; a deploy may have %d.", r.ContentLength, maxUpload)
	}
	body := http.MaxBytesReader(w.Writer, r.Body, maxUpload)
	return within(w, body, time.Now().Add(uploadTime), func(in io.Reader) (upload, error) {
		u, err := readUpload(r.Header, in, expected(r, maxWasm), held)
		if err != nil {
			return upload{}, err
		}
		if _, err := io.Copy(io.Discard, in); err != nil { // what follows the last part
			return upload{}, unreadable(err)
		}
		c.Set(keyBodyRead, true)
		return u, nil
	})
}

// expected is how many bytes a buffer needs for what the request announces, or for limit bytes if that is less, and one more to
// see the end.
func expected(r *http.Request, limit int64) int64 {
	if r.ContentLength >= 0 {
		limit = min(limit, r.ContentLength)
	}
	return limit + 1
}
