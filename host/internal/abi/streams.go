package abi

import (
	"errors"
	"io"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/guest"
)

// Streams: bodies in pieces; see host/ABI.md, "Streams" and "Waiting", and host/RATIONALE.md, "Why does no function of a stream wait?".
//
//	open:            stack [ptr, len] -> handle | -EFAULT -EINVAL -EMFILE -E2BIG
//	open_group:      stack [ptr, len] -> handle | -EFAULT -EINVAL -EMFILE -E2BIG
//	read:            stack [handle, ptr, cap] -> bytes copied, 0 at the end | -EFAULT -EBADF -EAGAIN -EIO
//	read_error:      stack [handle, ptr, cap] -> length of the error | -EFAULT -EBADF -EAGAIN
//	write:           stack [handle, ptr, len] -> bytes taken | -EFAULT -EBADF -EAGAIN -EPIPE -E2BIG
//	finish:          stack [handle] -> 0 | -EBADF
//	stream_request:  stack [] -> 0 | -EALREADY
//	open_request:    stack [] -> handle | -EALREADY -EMFILE
//	begin:           stack [ptr, len] -> handle | -EFAULT -EINVAL -EALREADY -EMFILE -E2BIG
//	time_left:       stack [] -> nanoseconds, or -1

// The flags of an open fetch.
const (
	flagResponse = 1 << iota // the response's body is a stream
	flagRequest              // the request's body is one

	allFlags = flagResponse | flagRequest
)

// unknownLength is a body's length that isn't known yet.
const unknownLength = 1<<62 - 1

func open(c *guest.Call, stack []uint64) { start(c, stack, maxHead, readOpen, sendOne) }

func openGroup(c *guest.Call, stack []uint64) {
	start(c, stack, maxGroup, readGroupOf(readOpen), sendGroup)
}

// readOpen decodes an open fetch.
func readOpen(c *guest.Call, in []byte) (*fetch.Request, int32) {
	d := decoder{b: in}
	flags := d.number(allFlags)
	if d.bad {
		return nil, EINVAL
	}
	r, body, errno := decodeFetch(d.b)
	if errno != 0 {
		return nil, errno
	}
	r.Stream = flags&flagResponse != 0
	if flags&flagRequest == 0 {
		return r, body.view(c, r)
	}
	if body.ptr != 0 {
		return nil, EINVAL
	}
	r.BodyReader, r.BodyLength = guest.NewUpload(), int64(body.size)
	return r, 0
}

func read(c *guest.Call, stack []uint64) {
	to, ok := c.View(uint32(stack[1]), uint32(stack[2]))
	if !ok {
		answer(stack, -EFAULT)
		return
	}
	n, known, err := c.Read(uint32(stack[0]), to)
	if !known {
		answer(stack, -EBADF)
		return
	}
	answer(stack, moved(n, err))
}

// moved is the result of a read: bytes, the end, or an errno.
func moved(n int, err error) int32 {
	switch {
	case n > 0 || err == nil || errors.Is(err, io.EOF):
		return int32(n)
	case errors.Is(err, guest.ErrAgain):
		return -EAGAIN
	default:
		return -EIO
	}
}

func readError(c *guest.Call, stack []uint64) {
	err, known := c.Handles.Failure(uint32(stack[0]))
	switch {
	case !known:
		answer(stack, -EBADF)
	case err == nil:
		answer(stack, -EAGAIN)
	default:
		sized(c, stack, uint32(stack[1]), uint32(stack[2]), appendError(nil, streamError(c, err)))
	}
}

// streamError is why a stream failed, as a fetch's failure. The request's own body has no fetch.
func streamError(c *guest.Call, err error) *fetch.Error {
	if e, ok := errors.AsType[*fetch.Error](err); ok {
		return e
	}
	code, message := "read_error", "the request's body can't be read"
	if c.Describe != nil {
		code, message = c.Describe(err)
	}
	return &fetch.Error{Code: fetch.Code(code), Message: message}
}

func appendError(b []byte, e *fetch.Error) []byte {
	b = appendString(appendString(appendString(b, string(e.Code)), e.Message), e.URL)
	return appendBool(appendVarint(b, uint64(e.Attempts)), e.Retryable)
}

func write(c *guest.Call, stack []uint64) {
	from, ok := c.View(uint32(stack[1]), uint32(stack[2]))
	if !ok {
		answer(stack, -EFAULT)
		return
	}
	n, known, fits, err := c.Write(uint32(stack[0]), from)
	switch {
	case !known:
		answer(stack, -EBADF)
	case !fits:
		answer(stack, -E2BIG)
	case errors.Is(err, guest.ErrClosed):
		answer(stack, -EPIPE)
	default:
		answer(stack, moved(n, err))
	}
}

func finish(c *guest.Call, stack []uint64) {
	if !c.Handles.Finish(uint32(stack[0])) {
		answer(stack, -EBADF)
		return
	}
	answer(stack, 0)
}

func streamRequest(c *guest.Call, stack []uint64) {
	if c.Session != nil {
		answer(stack, -EALREADY)
		return
	}
	c.StreamsRequest = true
	answer(stack, 0)
}

func openRequest(c *guest.Call, stack []uint64) {
	if c.Session == nil {
		answer(stack, -ECANCELED)
		return
	}
	id, ok := c.OpenRequest()
	if !ok {
		answer(stack, -EALREADY)
		return
	}
	handle(stack)(id, id != 0)
}

func begin(c *guest.Call, stack []uint64) {
	in, ok := c.View(uint32(stack[0]), uint32(stack[1]))
	switch {
	case !ok:
		answer(stack, -EFAULT)
		return
	case len(in) > maxHead:
		answer(stack, -E2BIG)
		return
	case c.Session == nil:
		answer(stack, -ECANCELED)
		return
	}
	d := decoder{b: in}
	r := d.responseHead()
	switch {
	case !d.end() || r == nil:
		answer(stack, -EINVAL)
	case c.Response != nil:
		answer(stack, -EALREADY)
	default:
		id := c.Begin(r)
		handle(stack)(id, id != 0)
	}
}

func timeLeft(c *guest.Call, stack []uint64) { stack[0] = uint64(c.Left()) }
