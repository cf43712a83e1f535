package host

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// gate lets so many invocations run at once, and so many more wait, first come, first served.
type gate struct {
	running *semaphore.Weighted
	inUse   atomic.Int64
	waiting atomic.Int64
	queue   int64
}

func newGate(running, queue int) *gate {
	return &gate{running: semaphore.NewWeighted(int64(max(running, 1))), queue: int64(queue)}
}

func (g *gate) stats() Stats { return Stats{InUse: int(g.inUse.Load()), Queued: int(g.waiting.Load())} }

// enter waits for a place. The error is overloaded if too many wait already, else ctx's cause.
func (g *gate) enter(ctx context.Context) error {
	if !g.running.TryAcquire(1) {
		if g.waiting.Add(1) > g.queue {
			g.waiting.Add(-1)
			err := NewError(CodeOverloaded, "%d invocations are running and %d wait; try again later (process.invocations, process.queue)",
				g.inUse.Load(), g.queue)
			err.RetryAfter = time.Second
			return err
		}
		err := g.running.Acquire(ctx, 1)
		g.waiting.Add(-1)
		if err != nil {
			return context.Cause(ctx)
		}
	}
	g.inUse.Add(1)
	return nil
}

func (g *gate) leave() {
	g.inUse.Add(-1)
	g.running.Release(1)
}
