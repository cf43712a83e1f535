package server

import (
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
)

// outgoing is an answer that its plugin streams. It's the host's Writer: during Invoke a goroutine of the host's uses it, afterwards the
// request's own does.
type outgoing struct {
	c       echo.Context
	plugin  string
	held    *share
	lasts   time.Duration // limits.stream
	control *http.ResponseController

	mu      sync.Mutex // guards the deadline
	aborted bool

	until  time.Time // when no piece may be on its way any more
	unsent bool      // neither the status nor the method lets a body go out
	failed error     // what is to be told of a failure that isn't the client's: why Begin refused the answer, or that until has passed
}

func newOutgoing(c echo.Context, plugin string, held *share, lasts time.Duration) *outgoing {
	// Echo's own Flush loses the error.
	return &outgoing{c: c, plugin: plugin, held: held, lasts: lasts, control: http.NewResponseController(c.Response().Writer)}
}

// Begin implements host.Writer: it sends the head.
func (o *outgoing) Begin(r *host.Response) error {
	if o.failed = deliverable(r); o.failed != nil {
		return o.failed
	}
	// The request's body stays as long as its plugin runs.
	if o.failed = o.held.resize(o.held.bytes + streamHeld); o.failed != nil {
		return o.failed
	}
	w, request := o.c.Response(), o.c.Request()
	setHeader(w.Header(), o.plugin, spokenFor(o.c, r.Header))
	o.until = time.Now().Add(o.lasts + streamGrace)
	o.unsent = bodyless(r.Status) || request.Method == http.MethodHead
	if !o.unsent && request.ProtoAtLeast(1, 1) {
		w.Header().Set("Trailer", "Server-Timing")
	}
	w.WriteHeader(r.Status)
	w.Header().Del("Server-Timing") // the plugin's own goes out with the head; ours follows
	if o.unsent {
		// Here the head is the whole answer: sent now, it would look whole whatever comes, and over HTTP/2 end the request's context. So it
		// goes out in the end; WriteHeader's deadline is lifted.
		o.deadline(time.Time{})
		return nil
	}
	return o.flush(0)
}

// Write implements host.Writer.
func (o *outgoing) Write(p []byte) (int, error) {
	if o.unsent {
		return len(p), nil
	}
	o.within(len(p))
	n, err := o.c.Response().Write(p)
	if err == nil {
		err = o.flush(len(p))
	}
	if err != nil && !time.Now().Before(o.until) { // the host's own clock may be behind
		o.failed = host.NewError(host.CodeLimitWall, "The response took longer than limits.stream (%s): the client didn't take it.", o.lasts)
	}
	return n, err
}

// within sets the deadline for the next so many bytes. Between pieces as much time may pass as the plugin likes, so unlike a whole answer
// a streamed one needs no speed on average.
func (o *outgoing) within(n int) {
	o.deadline(earlier(o.until, time.Now().Add(bodyIdle+time.Duration(n)*time.Second/bodyRate)))
}

// deadline sets the connection's, unless nothing is to go out any more.
func (o *outgoing) deadline(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.aborted {
		_ = o.control.SetWriteDeadline(at)
	}
}

// Abort implements host.Writer.
func (o *outgoing) Abort() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.aborted = true
	_ = o.control.SetWriteDeadline(time.Unix(1, 0))
}

// flush sends what is written, of so many bytes. Its deadline doesn't stay: on HTTP/2 one that passes resets the stream even if nothing
// is being sent.
func (o *outgoing) flush(n int) error {
	o.within(n)
	defer o.deadline(time.Time{})
	return o.control.Flush()
}

// end is called when all has been sent. What is left to net/http is the body's end, and the trailer; it lifts the deadline then.
func (o *outgoing) end() {
	refuseBody(o.c)
	_ = o.control.SetWriteDeadline(time.Now().Add(bodyIdle))
}

// reset sees to it that the connection, once the handler has panicked with http.ErrAbortHandler, ends in a way that no client takes for
// the answer's end. In HTTP/1.0 nothing but the connection's end tells that, so there it has to be TCP's reset.
func reset(c echo.Context) {
	abandonBody(c)
	r := c.Request()
	if conn, ok := transport(r.Context()).(interface{ SetLinger(int) error }); ok && !r.ProtoAtLeast(1, 1) {
		_ = conn.SetLinger(0)
		_ = transport(r.Context()).Close() // here, for above it TLS would first say that all is well
	}
}
