package server

import (
	"context"
	"sync"
)

// gate counts what is running, and can be closed: from then on nothing new starts, and the end of the last is told.
type gate struct {
	mu      sync.Mutex
	closed  bool
	running int
	empty   chan struct{} // made by the first close; closed when nothing runs any more
}

// enter reports whether the caller may go on; it must leave afterwards then.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.running++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	if g.closed && g.running == 0 {
		close(g.empty)
	}
}

// start runs f in a goroutine that close waits for. It reports false, and runs nothing, if the gate is closed.
func (g *gate) start(f func()) bool {
	if !g.enter() {
		return false
	}
	go func() {
		defer g.leave()
		f()
	}()
	return true
}

func (g *gate) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// close lets nobody in any more, and waits until all have left or ctx ends. It may be called more than once.
func (g *gate) close(ctx context.Context) error {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		g.empty = make(chan struct{})
		if g.running == 0 {
			close(g.empty)
		}
	}
	empty := g.empty
	g.mu.Unlock()
	select {
	case <-empty: // even if ctx has ended, too
		return nil
	default:
	}
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
