package host

import (
	"context"
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
		if s.err = to.Begin(s.response); s.err == nil {
			s.err = s.from.Drain(func(piece []byte) error {
				_, err := to.Write(piece)
				return err
			})
		} else {
			_ = s.from.Close()
		}
		if s.err != nil {
			gone()
		}
	}()
	return s
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

// abortGrace is what a piece that is on its way may take when the rest is given up: a client that reads shall see what there was.
const abortGrace = time.Second

// abort gives up what hasn't gone out, and waits until nothing does any more.
func (s *streamed) abort() {
	_ = s.from.Close()
	grace := time.NewTimer(abortGrace)
	defer grace.Stop()
	select {
	case <-s.sent:
	case <-grace.C:
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
