package fetch

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// errStreamClosed is what reading a stream gives after its Close.
var errStreamClosed = errors.New("fetch: the response's body was closed")

// stream is the body of a response that the caller reads as it arrives. Nothing is read ahead: what isn't read stays in the
// connection's window, so that a slow reader slows the upstream down. It holds its fetch's slots until its end, which is the last byte, a
// failure, Close, or the end of its fetch's time or session, whichever comes first.
type stream struct {
	flight   *flight
	exchange *exchange
	hop      *hop
	source   *source
	body     io.Closer
	held     hold
	unhook   func() bool // from the exchange's context

	mu  sync.Mutex // held while reading
	err error      // what reading gives from now on; nil: it goes on
}

// Read implements io.Reader. Its error is io.EOF or an [*Error].
func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	s.exchange.watch.resume(false)
	n, err := s.source.Read(p)
	s.exchange.watch.pause(false)
	switch err {
	case nil:
		return n, nil
	case io.EOF:
		s.end(stopped(s.exchange.ctx), io.EOF) // see exchange.body
	default:
		s.end(s.source.failed(err), nil)
	}
	return n, s.err
}

// Close ends the fetch. It may be called while another goroutine reads.
func (s *stream) Close() error {
	s.unhook() // that it was closed is no failure
	s.exchange.cancel(stopGuest)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.end(nil, errStreamClosed)
	}
	return nil
}

// cut ends the stream together with its fetch.
func (s *stream) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.end(stopped(s.exchange.ctx), nil)
	}
}

// end gives everything back. err is what reading gives from now on if fail is nil.
func (s *stream) end(fail *failure.Error, err error) {
	if fail != nil {
		err = s.flight.error(s.hop, fail)
	}
	s.err = err
	s.unhook()
	s.source.release()
	s.exchange.end(fail, s.source.total)
	s.body.Close()
	s.held.release()
	s.flight.streamed(fail, s.source.total)
	s.flight.finish()
	s.flight.session.running.Done()
}

// abandon gives up a stream that nobody has adopted.
func (s *stream) abandon() {
	s.source.release()
	s.exchange.end(asStop(stopHedge), s.source.total)
	s.body.Close()
	s.held.release()
}

// adopt lets a stream outlive the run of its fetch. From now on it ends by itself, or with its fetch.
func (f *flight) adopt(s *stream) {
	f.session.running.Add(1) // the fetch itself is still counted, so Close is still waiting
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unhook = context.AfterFunc(s.exchange.ctx, s.cut)
}
