package guest

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
	"github.com/sortie-run/sortie/sdk/go/internal/wire"
)

// respond gives the answer.
func (inv *invocation) respond(out *host.Outbound) error {
	if out.BodyReader != nil {
		return inv.stream(out)
	}
	b := wire.AppendResponse(nil, out, address)
	result := hostRespond(pointer(b), uint32(len(b)))
	runtime.KeepAlive(b)
	runtime.KeepAlive(out)
	return refusal(result, out.Status)
}

// stream begins the answer, and then writes to it what its reader gives.
func (inv *invocation) stream(out *host.Outbound) error {
	defer func() { _ = out.BodyReader.Close() }()
	b := wire.AppendBegin(nil, out)
	handle := hostBegin(pointer(b), uint32(len(b)))
	runtime.KeepAlive(b)
	if handle <= 0 {
		return refusal(min(handle, -1), out.Status)
	}
	inv.begun()
	w := &writer{inv: inv, handle: uint32(handle)}
	_, err := io.Copy(w, out.BodyReader)
	switch {
	case w.err != nil:
		return w.err
	case err != nil:
		return fmt.Errorf("the response's body: %w", err)
	}
	return nil
}

func refusal(result int32, status int) error {
	switch {
	case result >= 0:
		return nil
	case result == errInval:
		return fmt.Errorf("the host refuses the response: status %d or a header field is not valid", status)
	case result == errTooBig:
		return errors.New("the host refuses the response: it is too long")
	}
	return fmt.Errorf("the host refuses the response: errno %d", -result)
}

// begun goes over to the limit that runs once an answer has begun.
func (inv *invocation) begun() {
	left := hostTimeLeft()
	inv.mu.Lock()
	defer inv.mu.Unlock()
	inv.deadline = time.Time{}
	if left >= 0 {
		inv.deadline = time.Now().Add(time.Duration(left))
	}
}

// writer is a streamed answer.
type writer struct {
	_      host.NoCompare
	inv    *invocation
	handle uint32
	err    error // why nothing more is taken
}

// Write gives p to the host, which sends it on at once, and waits while the client is slow.
func (w *writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, result := w.inv.write(w.handle, p)
	switch {
	case result >= 0:
	case result == errTooBig:
		w.err = errors.New("the response is longer than limits.output")
	case result == errPipe:
		w.err = errors.New("nobody takes the response any more")
	default:
		w.err = fmt.Errorf("the host takes no more of the response: errno %d", -result)
	}
	return n, w.err
}
