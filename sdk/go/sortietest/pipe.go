package sortietest

import (
	"errors"
	"io"
	"sync"
)

// ahead is how far one side of a body can be ahead of the other, as in the real host.
const ahead = 64 << 10

var errClosed = errors.New("sortietest: the body was closed")

// pipe carries a body, piece by piece.
type pipe struct {
	closing func() // called by Close; may be nil
	ending  func() // called before the end can be seen, perhaps more than once; may be nil

	mu    sync.Mutex
	moved sync.Cond // of mu
	bytes []byte
	err   error // what comes after them; nil: more bytes
	gone  bool  // nobody reads
}

func newPipe(closing func()) *pipe {
	p := &pipe{closing: closing}
	p.moved.L = &p.mu
	return p
}

// Write waits while the reader is too far behind. It fails once the pipe has ended, or nobody reads.
func (p *pipe) Write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n < len(b) {
		room := ahead - len(p.bytes)
		switch {
		case p.gone || p.err != nil:
			return n, io.ErrClosedPipe
		case room == 0:
			p.moved.Wait()
			continue
		}
		k := min(room, len(b)-n)
		p.bytes = append(p.bytes, b[n:n+k]...)
		n += k
		p.moved.Broadcast()
	}
	return n, nil
}

// end says what comes after what was written: io.EOF or a failure. The first counts.
func (p *pipe) end(err error) {
	if p.ending != nil {
		p.ending()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	p.moved.Broadcast()
}

// Read waits for bytes, or the end.
func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.bytes) == 0 && p.err == nil && len(b) > 0 {
		p.moved.Wait()
	}
	if len(p.bytes) == 0 && len(b) > 0 {
		return 0, p.err
	}
	n := copy(b, p.bytes)
	p.bytes = p.bytes[n:]
	p.moved.Broadcast()
	return n, nil
}

// Close is the reader's: it wants no more.
func (p *pipe) Close() error {
	p.mu.Lock()
	if !p.gone {
		p.gone, p.bytes = true, nil
		if p.err == nil || p.err == io.EOF {
			p.err = errClosed
		}
	}
	p.moved.Broadcast()
	p.mu.Unlock()
	if p.closing != nil {
		p.closing()
	}
	return nil
}
