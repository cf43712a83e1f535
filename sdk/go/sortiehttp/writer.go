package sortiehttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

// maxBuffered is how much of an answer waits for the rest: what the host keeps of a stream, so that a full buffer crosses at once.
const maxBuffered = 64 << 10

// answer is what the invocation is answered with, whole or as a stream.
type answer struct {
	response *sortie.Response
	err      error
}

// writer is the handler's http.ResponseWriter. Its methods may be called from several goroutines, one after the other.
type writer struct {
	request *http.Request
	header  http.Header    // the handler's to change
	begun   chan answer    // receives once
	taken   chan io.Writer // receives once, if the answer is a stream: what writes to the host
	over    chan error     // receives once: how the handler has ended, nil for well

	mu       sync.Mutex
	status   int         // 0: nothing was written yet
	head     http.Header // what header was then
	declared int64       // the handler's own Content-Length, -1: none
	written  int64
	buf      []byte
	streams  bool      // the answer has begun
	to       io.Writer // where it goes then; nil: nowhere any more
	ended    bool
}

func newWriter(r *http.Request) *writer {
	return &writer{request: r, header: http.Header{}, declared: -1,
		begun: make(chan answer, 1), taken: make(chan io.Writer, 1), over: make(chan error, 1)}
}

var errEnded = errors.New("sortiehttp: the handler has returned")

// Header implements http.ResponseWriter; so do WriteHeader and Write.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader sets the status. The head goes out with the body's first bytes, or by Flush. Informational statuses are ignored: the host
// sends none.
func (w *writer) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status)) // as net/http does
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case status < 200 || w.ended:
	case w.status != 0:
		sortie.Log.WarnContext(w.request.Context(),
			fmt.Sprintf("superfluous WriteHeader(%d) at %s: the status is %d already", status, caller(), w.status))
	default:
		w.setHead(status)
	}
}

// caller tells where the handler has called WriteHeader, maybe through net/http.
func caller() string {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)]) // not Callers, caller and WriteHeader
	for {
		at, more := frames.Next()
		if !more || !strings.HasPrefix(at.Function, "net/http.") {
			return at.File + ":" + strconv.Itoa(at.Line)
		}
	}
}

func (w *writer) setHead(status int) {
	w.status, w.head = status, w.header.Clone()
	if n, err := strconv.ParseInt(w.head.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		w.declared = n
	}
}

// Write adds to the body.
func (w *writer) Write(p []byte) (int, error) { return write(w, p) }

// WriteString implements io.StringWriter.
func (w *writer) WriteString(s string) (int, error) { return write(w, s) }

func write[T []byte | string](w *writer, p T) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return 0, errEnded
	}
	if w.status == 0 {
		w.setHead(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case !bodyAllowed(w.status):
		return 0, http.ErrBodyNotAllowed
	case w.declared >= 0 && w.written+int64(len(p)) > w.declared:
		return 0, http.ErrContentLength
	}
	for n < len(p) {
		if len(w.buf) == maxBuffered {
			if err := w.send(); err != nil {
				return n, err
			}
		}
		part := p[n:min(len(p), n+maxBuffered-len(w.buf))]
		w.buf = append(w.buf, part...)
		w.written += int64(len(part))
		n += len(part)
	}
	return n, nil
}

// Flush implements http.Flusher.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is what http.ResponseController calls. It returns when the host has taken what was written so far.
func (w *writer) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return errEnded
	}
	if w.status == 0 {
		w.setHead(http.StatusOK)
	}
	return w.send()
}

// EnableFullDuplex is what http.ResponseController calls. A request's body may always be read after the answer has begun.
func (w *writer) EnableFullDuplex() error { return nil }

// send passes on what the buffer holds, and before the first of it the head.
func (w *writer) send() error {
	if !w.streams {
		w.streams = true
		r := w.response()
		body := sortie.Stream("", w.serve)
		body.Status, body.Header = r.Status, r.Header
		w.begun <- answer{response: body}
		select {
		case w.to = <-w.taken:
		case <-w.request.Context().Done():
		}
	}
	if w.to == nil {
		return context.Cause(w.request.Context()) // the answer's head wasn't taken
	}
	if len(w.buf) == 0 {
		return nil
	}
	_, err := w.to.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}

// serve is the body of a streamed answer: it lasts as long as the handler, which writes meanwhile.
func (w *writer) serve(to io.Writer) error {
	w.taken <- to
	return <-w.over
}

// response is the answer's head.
func (w *writer) response() *sortie.Response {
	for name, values := range w.head {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			delete(w.head, name) // trailers aren't sent
		}
		for i, v := range values {
			values[i] = inOneLine.Replace(v)
		}
	}
	_, typed := w.head["Content-Type"]
	if !typed && len(w.buf) > 0 && w.head.Get("Content-Encoding") == "" {
		w.head.Set("Content-Type", http.DetectContentType(w.buf))
	}
	return &sortie.Response{Status: w.status, Header: sortie.Header(w.head)}
}

// inOneLine mends values as net/http does.
var inOneLine = strings.NewReplacer("\n", " ", "\r", " ")

// end is called when the handler has: err says why it didn't return.
func (w *writer) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && w.status == 0 {
		w.setHead(http.StatusOK)
	}
	if err == nil && w.written < w.declared && w.request.Method != http.MethodHead && bodyAllowed(w.status) {
		err = fmt.Errorf("the handler has set a Content-Length of %d, and wrote %d bytes", w.declared, w.written)
	}
	w.ended = true
	switch {
	case w.streams:
		if err == nil {
			err = w.send()
		}
		w.over <- err
	case err != nil:
		w.begun <- answer{err: err}
	default:
		r := w.response()
		r.Body = w.buf
		w.begun <- answer{response: r}
	}
}
