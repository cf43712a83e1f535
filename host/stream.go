package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sortie-run/sortie/host/internal/guest"
)

// streamed is an answer that goes out while its plugin is writing it.
type streamed struct {
	response *Response
	from     *guest.Queue
	to       Writer
	sent     chan struct{} // closed when nothing more goes out
	err      error         // why not all of it did; to be read after sent
	gathered *gathered     // nil: the caller has a Writer
}

// stream begins to send what a guest writes; gone is called if the client has gone. See RATIONALE.md, "Why is a streamed answer sent by a
// goroutine of its own?".
func stream(g *guest.Response, to Writer, gone func()) *streamed {
	s := &streamed{response: &Response{Status: g.Status, Header: sendable(g.Header), Streamed: true}, from: g.Stream, sent: make(chan struct{})}
	if to == nil {
		s.gathered = &gathered{}
		to = s.gathered
	}
	s.to = to
	go func() {
		defer close(s.sent)
		if s.err = s.send(); s.err != nil {
			_ = s.from.Close()
			gone()
		}
	}()
	return s
}

// send gives the answer to the caller's Writer, whose panic must not end the process: it isn't its own goroutine's.
func (s *streamed) send() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the caller's Writer panicked: %v", p)
		}
	}()
	if err := s.to.Begin(s.response); err != nil {
		return err
	}
	return s.from.Drain(func(piece []byte) error {
		_, err := s.to.Write(piece)
		return err
	})
}

// wait waits until all has gone out, or gives up what is left when ctx ends.
func (s *streamed) wait(ctx context.Context) (*Response, error) {
	select {
	case <-s.sent:
	case <-ctx.Done():
		s.abort()
	}
	if s.gathered != nil {
		s.response.Body, s.response.Streamed = s.gathered.body, false
	}
	return s.response, s.err
}

// abortGrace is what the last pieces may take when an answer is given up: a client that reads shall see what there was.
const abortGrace = time.Second

// errAborted stands at the end of what an answer that has failed still sends.
var errAborted = errors.New("the answer has failed")

// abort ends an answer that isn't whole, and waits until nothing of it goes out any more.
func (s *streamed) abort() {
	s.from.End(errAborted)
	grace := time.NewTimer(abortGrace)
	defer grace.Stop()
	select {
	case <-s.sent:
	case <-grace.C:
		_ = s.from.Close()
		s.to.Abort()
		<-s.sent
	}
}

// gathered is the Writer for callers that have none. limits.output bounds it.
type gathered struct{ body []byte }

// Begin implements Writer.
func (*gathered) Begin(*Response) error { return nil }

// Write implements Writer.
func (g *gathered) Write(p []byte) (int, error) {
	g.body = append(g.body, p...)
	return len(p), nil
}

// Abort implements Writer: nobody ever waits.
func (*gathered) Abort() {}
