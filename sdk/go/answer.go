package sortie

import (
	"context"
	"io"
	"runtime/debug"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// answer is the body of a streamed answer. The handler's context ends when it is closed. It doesn't let a panic pass either.
type answer struct {
	h    host.Host
	body io.Reader
	end  context.CancelFunc
}

func (a *answer) Read(p []byte) (n int, err error) {
	defer a.guard(&err)
	return a.body.Read(p)
}

// WriteTo uses the body's own WriteTo, if it has one.
func (a *answer) WriteTo(w io.Writer) (n int64, err error) {
	defer a.guard(&err)
	return io.Copy(w, a.body)
}

func (a *answer) Close() (err error) {
	defer a.end()
	defer a.guard(&err)
	if c, ok := a.body.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// guard logs a panic, and makes it the error.
func (a *answer) guard(err *error) {
	if p := recover(); p != nil {
		*err = panicked(a.h, p, debug.Stack())
	} else if p, ok := (*err).(*panicError); ok { //nolint:errorlint // ours, never wrapped
		*err = panicked(a.h, p.value, p.stack)
	}
}
