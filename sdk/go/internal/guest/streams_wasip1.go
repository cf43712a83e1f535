package guest

import (
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
	"github.com/sortie-run/sortie/sdk/go/internal/wire"
)

var (
	errEnded  = errors.New("sortie: the body went with its invocation")
	errClosed = errors.New("sortie: the body was closed")
)

// park returns a channel that is closed when the host next tells of a handle, or there is no use in waiting any more. It must be called under
// the mu that was held at the EAGAIN: then what the host tells can't fall between the two. To be told of something else does no harm, as
// one tries again.
func (inv *invocation) park(handle uint32) <-chan struct{} {
	startPump()
	told := inv.parked[handle]
	if told == nil {
		if inv.parked == nil {
			inv.parked = make(map[uint32]chan struct{})
		}
		told = make(chan struct{})
		inv.parked[handle] = told
	}
	return told
}

//go:noinline
func (inv *invocation) unpark(handle uint32) {
	if told, ok := inv.parked[handle]; ok {
		delete(inv.parked, handle)
		close(told)
	}
}

// reader reads a stream of the host's.
type reader struct {
	_      host.NoCompare
	inv    *invocation
	handle uint32
	err    error // what reading gives from now on; the handle is dropped then
}

// Read gives what the host has, up to len(p), and waits until it has something.
func (r *reader) Read(p []byte) (int, error) {
	for {
		n, told, err := r.try(p)
		if told == nil {
			return n, err
		}
		<-told
	}
}

func (r *reader) try(p []byte) (n int, told <-chan struct{}, err error) {
	inv := r.inv
	inv.mu.Lock()
	defer inv.mu.Unlock()
	switch {
	case r.err != nil:
		return 0, nil, r.err
	case inv.ended:
		return 0, nil, errEnded
	case len(p) == 0:
		return 0, nil, nil
	}
	result := hostRead(r.handle, pointer(p), uint32(len(p)))
	switch {
	case result > 0:
		return int(result), nil, nil
	case result == errAgain:
		return 0, inv.park(r.handle), nil
	case result == 0:
		r.end(io.EOF)
	case result == errIO:
		r.end(inv.failure(r.handle))
	default:
		r.end(fmt.Errorf("sortie: reading a body: errno %d", -result))
	}
	return 0, nil, r.err
}

// failure is why reading a handle gave EIO.
func (inv *invocation) failure(handle uint32) error {
	b, result := sized(inv.buf, func(ptr unsafe.Pointer, capacity uint32) int32 { return hostReadError(handle, ptr, capacity) })
	inv.buf = b[:0]
	f, err := wire.DecodeFailure(b)
	if result < 0 || err != nil {
		return &host.Failure{Code: "read_error", Message: "the host doesn't tell why the body failed"}
	}
	return f
}

// Close lets the host free what wasn't read, and ends its fetch. A Read that waits returns.
func (r *reader) Close() error {
	r.inv.mu.Lock()
	r.end(errClosed)
	r.inv.mu.Unlock()
	return nil
}

//go:noinline
func (r *reader) end(err error) {
	if r.err != nil {
		return
	}
	r.err = err
	if !r.inv.ended {
		r.inv.forget(r.handle)
	}
}

// write writes all of p to a stream, waiting where it has no room. result is below 0 if that can't be done.
func (inv *invocation) write(handle uint32, p []byte) (n int, result int32) {
	for n < len(p) {
		taken, told := inv.tryWrite(handle, p[n:])
		switch {
		case told != nil:
			<-told
		case taken < 0:
			return n, taken
		default:
			n += int(taken)
		}
	}
	return n, 0
}

func (inv *invocation) tryWrite(handle uint32, p []byte) (result int32, told <-chan struct{}) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if inv.ended {
		return errCanceled, nil
	}
	if result = hostWrite(handle, pointer(p), uint32(len(p))); result == errAgain {
		return 0, inv.park(handle)
	}
	return result, nil
}

// upload moves a fetch's body to the host, until either side has no more to do with it. What is wrong with the reader is for the one to tell who
// has it.
func (inv *invocation) upload(handle uint32, f *host.Fetch) {
	if c, ok := f.BodyReader.(io.Closer); ok {
		defer func() { _ = c.Close() }()
	}
	size := int64(32 << 10)
	if f.BodyLength > 0 {
		size = min(size, f.BodyLength)
	}
	buf := make([]byte, size)
	for {
		n, err := f.BodyReader.Read(buf)
		if _, result := inv.write(handle, buf[:n]); result < 0 {
			return
		}
		if err != nil {
			inv.close(handle, err)
			return
		}
	}
}

// close ends what was written to a fetch's stream, after the reader has: well, or not.
func (inv *invocation) close(handle uint32, err error) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	switch {
	case inv.ended:
	case err == io.EOF:
		hostFinish(handle)
	default:
		hostCancel(handle)
	}
}
