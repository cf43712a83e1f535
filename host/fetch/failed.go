package fetch

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// failed says what an error of net/http means. Its types tell little: the context's cause comes first, then what our own dialling
// said, then the phase, and only between a broken connection and a broken message is it the error itself.
func (x *exchange) failed(err error) *failure.Error {
	if fail := stopped(x.ctx); fail != nil {
		return fail
	}
	var s *stop
	if errors.As(err, &s) {
		return asStop(s)
	}
	var fail *failure.Error
	if errors.As(err, &fail) {
		return fail
	}
	phase := x.phase.Load()
	switch {
	case phase == connecting:
		return failure.Wrap(failure.ConnectError, err, "no connection: %s", x.detail(err))
	case !broken(err):
		return failure.Wrap(failure.ProtocolError, err, "the response is not valid HTTP: %s", x.detail(err))
	case interruptsSending(phase, err):
		return failure.Wrap(failure.WriteError, err, "the connection broke while the request was sent: %s", x.detail(err))
	}
	return failure.Wrap(failure.ReadError, err, "the connection broke before the response's end: %s", x.detail(err))
}

// interruptsSending tells a failed write from a failed read. The phase alone would be wrong at its ends: HTTP/1.1's last write comes
// just after it, and an HTTP/2 server's reset may be read just before.
func interruptsSending(phase uint32, err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "write" {
		return true
	}
	var reset streamError
	return phase == sending && !errors.As(err, &reset) && !neverProcessed(err)
}

// neverProcessed tells of a request that net/http would have sent again whatever its method, had its body let it: after a GOAWAY or
// REFUSED_STREAM, which say that the server hasn't looked at it (RFC 9113, sections 6.8 and 8.7), or when its connection had gone before it was
// begun. PROTOCOL_ERROR, after which net/http would try too, says no such thing. There are only texts to know them by, whole or
// from their beginning, where no upstream's words can be.
func neverProcessed(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return text == "net/http: cannot rewind body after connection loss" ||
		strings.HasPrefix(text, "http2: Transport: cannot retry err [") && !strings.Contains(text, "PROTOCOL_ERROR")
}

// detail is the innermost reason: what wraps it names addresses that aren't the guest's to know.
func (x *exchange) detail(err error) string {
	var op *net.OpError
	var sys *os.SyscallError
	switch {
	case errors.As(err, &sys):
		err = sys.Err
	case errors.As(err, &op):
		err = op.Err
	}
	if err == io.EOF {
		return "it was closed"
	}
	return x.client.foreign(strings.TrimPrefix(err.Error(), "net/http: "))
}

// broken tells a connection that ended from a message that makes no sense.
func broken(err error) bool {
	var op *net.OpError
	var reset streamError
	switch {
	case errors.As(err, &op),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, os.ErrDeadlineExceeded):
		return true
	case errors.As(err, &reset):
		return !reset.malformed()
	}
	// Errors without a type of their own.
	text := err.Error()
	for _, known := range [...]string{
		"server closed idle connection", "http2: client connection lost", "http2: server sent GOAWAY", "cannot rewind body after connection loss",
		"client connection force closed", "client conn not usable", "http2: Transport closing idle conn", "cannot retry err",
	} {
		if strings.Contains(text, known) {
			return true
		}
	}
	return false
}

// streamError has the shape of net/http's own HTTP/2 stream error, which can be had only so (its As method copies field by field).
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream error" }

// malformed: PROTOCOL_ERROR, FRAME_SIZE_ERROR and COMPRESSION_ERROR (RFC 9113, section 7) are about the message, the others
// about the stream or the connection.
func (e streamError) malformed() bool { return e.Code == 0x1 || e.Code == 0x6 || e.Code == 0x9 }
