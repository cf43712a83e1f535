package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// pieces is a request's body that its plugin reads as it comes. It's the host's BodyReader: one goroutine reads, another may Close.
//
// The times that the plugin may take are the host's to keep, which closes the body when they're over. Here only the client is timed, by
// what has passed while it was waited for: a plugin that is slow to read doesn't make its client slow.
//
// In HTTP/1 net/http ends the request's context when reading its connection fails, also when it fails since a deadline has passed. So an
// invocation whose body isn't read yet has a context of its own, that ends only when the client has gone.
type pieces struct {
	ctx     context.Context
	cancel  context.CancelFunc
	unhook  func() bool // from the request's context
	c       echo.Context
	control *http.ResponseController
	body    io.Reader
	limit   int64
	over    chan struct{} // closed when nothing is left to be read, or nobody will read it

	mu      sync.Mutex
	waited  time.Duration // for the client
	read    int64         // bytes
	reading bool
	closed  bool
	ended   bool // over is closed
	severed bool // the request's context tells nothing any more
}

// newPieces readies the body, of at most limit bytes, to be read. It must be ended.
func newPieces(c echo.Context, held *share, limit int64) (*pieces, error) {
	r := c.Request()
	if err := held.resize(min(streamHeld, expected(r, limit))); err != nil {
		return nil, err
	}
	p := &pieces{
		c: c, limit: limit, over: make(chan struct{}), control: http.NewResponseController(c.Response().Writer),
		body: http.MaxBytesReader(nil, r.Body, limit), // would change the answer's header while another goroutine does
	}
	_ = p.control.EnableFullDuplex() // or net/http would read all of the body before it sends a head; HTTP/2 never does
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(r.Context()))
	p.unhook = context.AfterFunc(r.Context(), p.lost)
	if conn := transport(r.Context()); conn != nil && r.ProtoMajor == 1 {
		go watch(conn, p.over, p.cancel)
	}
	return p, nil
}

// Read implements io.Reader. The error is the invocation's.
func (p *pieces) Read(b []byte) (int, error) {
	begun, err := p.begin()
	if err != nil {
		return 0, err
	}
	n, err := p.body.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading = false
	p.waited += time.Since(begun)
	p.read += int64(n)
	_ = p.control.SetReadDeadline(time.Time{}) // on HTTP/2 one that passes ends the body even if nobody is reading
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.sever()
	} else if p.c.Request().Context().Err() != nil && !p.severed {
		p.cancel()
	}
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		if !p.closed {
			p.c.Set(keyBodyRead, true)
			p.finish()
		}
		return n, err
	case errors.As(err, &tooLarge):
		return n, overInput(p.limit)
	default:
		return n, unreadable(err)
	}
}

// begin begins a Read.
func (p *pieces) begin() (time.Time, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return time.Time{}, http.ErrBodyReadAfterClose
	}
	p.reading = true
	now := time.Now()
	_ = p.control.SetReadDeadline(due(now.Add(-p.waited), now, p.read))
	return now, nil
}

// Close implements io.Closer. A Read that waits returns. The connection is of no use afterwards: bytes may be lost, and net/http takes it
// for broken.
func (p *pieces) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reading && !p.closed {
		p.sever()
		_ = p.control.SetReadDeadline(longAgo)
	}
	p.closed = true
	return nil
}

// sever is called when a deadline ends a Read, with the lock held.
func (p *pieces) sever() { p.severed = p.c.Request().ProtoMajor == 1 }

// lost is called when the request's context has ended. While a Read is under way, its error will tell why.
func (p *pieces) lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.severed && !p.reading {
		p.cancel()
	}
}

// finish is called when nobody reads any more, with the lock held. Once all was read it's net/http that watches the client.
func (p *pieces) finish() {
	if !p.ended {
		p.ended = true
		close(p.over)
	}
}

// end is called after the invocation. It may be called again.
func (p *pieces) end() {
	p.unhook()
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
}
