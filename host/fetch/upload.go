package fetch

import (
	"context"
	"io"
	"sync/atomic"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// upload is a request's body that comes from a reader. It can be had once only, so that nothing of it may have been read when its
// request is sent again.
type upload struct {
	limit  int64 // request_bytes
	length int64 // announced; negative: unknown

	sender atomic.Pointer[sender] // the last; nil: there was none

	source io.ReadCloser // read by the sender that has begun, and no other
	sent   atomic.Int64

	closed atomic.Bool
}

func newUpload(r *Request, limit int64) *upload {
	u := &upload{limit: limit, length: -1, source: r.BodyReader}
	if r.BodyLength > 0 {
		u.length = r.BodyLength
	}
	return u
}

// close ends reading, also one that waits.
func (u *upload) close() {
	if u.closed.CompareAndSwap(false, true) {
		_ = u.source.Close() // there is nobody left to tell
	}
}

// reclaim takes the body back from the exchange that has it. It is false if that has begun with it.
func (u *upload) reclaim() bool {
	s := u.sender.Load()
	return s == nil || s.state.CompareAndSwap(unread, forgone) || s.state.Load() == forgone
}

// untouched tells whether reclaim would do, by now.
func (u *upload) untouched() bool {
	s := u.sender.Load()
	return s == nil || s.state.Load() != begun
}

// sender is an upload as one exchange's request body.
type sender struct {
	*upload
	exchange *exchange
	state    atomic.Uint32
}

// What a sender has done with its body.
const (
	unread  uint32 = iota
	begun          // nobody else can have it
	forgone        // it is another's: net/http may come for it when its request is long over
)

// send makes the upload the body of an exchange.
func (u *upload) send(x *exchange) *sender {
	s := &sender{upload: u, exchange: x}
	u.sender.Store(s)
	context.AfterFunc(x.ctx, s.abort)
	return s
}

// abort closes a body that the exchange had begun when it ended: nobody can go on with it, and net/http waits for its reader.
func (s *sender) abort() {
	if !s.state.CompareAndSwap(unread, forgone) && s.state.Load() == begun {
		s.close()
	}
}

// Read implements io.Reader. While it waits for the source, the upstream isn't the one that is slow. What is wrong with the body ends the
// exchange with a cause of its own: net/http would wrap it beyond recognition.
func (s *sender) Read(p []byte) (int, error) {
	if !s.state.CompareAndSwap(unread, begun) && s.state.Load() != begun || s.closed.Load() || s.exchange.ctx.Err() != nil {
		return 0, io.ErrClosedPipe
	}
	s.exchange.watch.pause(true)
	n, err := s.source.Read(p)
	s.exchange.watch.resume(true)
	total := s.sent.Add(int64(n))
	switch {
	case total > s.limit:
		return 0, s.stop(failure.RequestTooLarge, "request_bytes is %d; the request's body has at least %d", s.limit, total)
	case s.length >= 0 && (total > s.length || err == io.EOF && total < s.length):
		return 0, s.stop(failure.InvalidRequest, "the request's body was announced with %d bytes and has %d", s.length, total)
	case err != nil && err != io.EOF:
		return 0, s.stop(failure.Cancelled, "cancelled because the request's body failed: %s", bounded(err.Error(), maxQuoted))
	}
	return n, err
}

// Close does nothing: another exchange may go on with the body.
func (s *sender) Close() error { return nil }

func (s *sender) stop(code Code, format string, args ...any) error {
	fail := failure.New(code, format, args...)
	s.exchange.cancel(&stop{code: fail.Code, message: fail.Message})
	return fail
}
