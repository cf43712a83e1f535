package fetch

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/fetch/http1"
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
	case err == http1.ErrInvalid:
		return failure.Wrap(failure.InvalidRequest, err, "the request can't be sent: %s", err)
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
// just after it, and an HTTP/2 server's RST_STREAM or GOAWAY may be read just before.
func interruptsSending(phase uint32, err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "write" {
		return true
	}
	var reset streamError
	_, goAway := http2Code(err.Error())
	return phase == sending && !errors.As(err, &reset) && !goAway && !neverProcessed(err)
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
	return text == "net/http: cannot rewind body after connection loss" || refusedStream(err) && !strings.Contains(text, "PROTOCOL_ERROR")
}

// refusedStream tells of an HTTP/2 stream that net/http would have sent again for whatever reason.
func refusedStream(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "http2: Transport: cannot retry err [")
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
	// What an upstream echoes has to go before the text is cut.
	text := x.client.Redact(strings.TrimPrefix(err.Error(), "net/http: "))
	return x.client.foreign(without(text, x.client.credentials(x.hop.header, new(spelled))))
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
		return !reset.aboutProtocol()
	}
	// Errors without a type of their own.
	text := err.Error()
	if code, ok := http2Code(text); ok {
		return !slices.Contains(protocolCodes[:], code)
	}
	for _, known := range [...]string{
		"server closed idle connection", "http2: client connection lost", "cannot rewind body after connection loss",
		"client connection force closed", "client conn not usable", "client conn could not be established",
		"http2: client conn is closed", "http2: Transport closing idle conn", "cannot retry err",
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

func (e streamError) aboutProtocol() bool {
	return uint64(e.Code) < uint64(len(protocolCodes)) && protocolCodes[e.Code] != ""
}

// http2Code finds the name of the code by which an HTTP/2 server ended a stream or the connection, in the text of an error that has lost
// its type. It stands where no upstream's words can be.
func http2Code(text string) (string, bool) {
	if rest, ok := strings.CutPrefix(text, "http2: Transport: cannot retry err [stream error: stream ID "); ok {
		_, rest, _ = strings.Cut(rest, "; ")
		code, _, ok := strings.Cut(rest, "; ")
		return code, ok
	}
	if rest, ok := strings.CutPrefix(text, "http2: server sent GOAWAY and closed the connection; LastStreamID="); ok {
		_, rest, _ = strings.Cut(rest, ", ErrCode=")
		code, _, ok := strings.Cut(rest, ", ")
		return code, ok
	}
	return strings.CutPrefix(text, "http2: Transport received GOAWAY from server ErrCode:")
}

// protocolCodes are the HTTP/2 error codes (RFC 9113, section 7) which say that one side doesn't keep to the protocol, or to what the other
// asks of it. With the rest, NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, CONNECT_ERROR, ENHANCE_YOUR_CALM and what nobody knows, the
// server gave up for reasons of its own, as one of HTTP/1.1 does by closing the connection.
var protocolCodes = [...]string{
	0x1: "PROTOCOL_ERROR", 0x3: "FLOW_CONTROL_ERROR", 0x4: "SETTINGS_TIMEOUT", 0x5: "STREAM_CLOSED", 0x6: "FRAME_SIZE_ERROR",
	0x9: "COMPRESSION_ERROR", 0xc: "INADEQUATE_SECURITY", 0xd: "HTTP_1_1_REQUIRED",
}
