package host

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// gate decides which invocations run and which wait: the process has so many places, and its queue holds so many who wait for one.
//
// Plugins share both. Whoever has least running is served first, and within a plugin whoever came first. A plugin alone may have every
// place; see RATIONALE.md, "How do plugins share the places and the queue?". While the processors are what's short there are fewer places,
// and as few may wait; see "When is the server overloaded?". Nobody waits who is bound to wait for too long.
type gate struct {
	most  int // process.invocations
	queue int // process.queue
	log   *slog.Logger

	mu      sync.Mutex
	places  int // as many as there are now: most, or fewer while the processors are what's short
	running int
	waiting int
	busy    int // lanes with somebody running or waiting
	lanes   map[string]*lane
	turn    []*lane // those in which somebody waits; who was served last is last
	refused Refused
	strain  strain
}

func newGate(running, queue int, log *slog.Logger) *gate {
	g := &gate{most: max(running, 1), queue: queue, log: log, lanes: make(map[string]*lane)}
	g.places = g.most
	g.strain.delays = new(delays).read
	return g
}

func (g *gate) stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Stats{InUse: g.running, Queued: g.waiting, Places: g.places, Refused: g.refused}
}

// enter waits for a place in a lane, for which the invocation has time until then. The place must be left. The error is `overloaded`, or
// else ctx's cause.
func (g *gate) enter(ctx context.Context, l *lane, until time.Time) (*place, error) {
	g.mu.Lock()
	g.strain.watch(g)
	now := time.Now()
	if len(l.queue) == 0 && g.open(l) {
		p := g.take(l, now)
		g.mu.Unlock()
		return p, nil
	}
	if err := g.refuse(l, until, now); err != nil {
		g.mu.Unlock()
		return nil, err
	}
	w := g.enqueue(l, until, now)
	g.mu.Unlock()
	select {
	case <-w.decided:
		return w.place, w.failed()
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now = time.Now()
	switch {
	case w.queued && !now.Before(until):
		g.turnAway(w, g.late(l, now))
		return nil, w.err
	case w.queued:
		g.dequeue(w)
	case w.place != nil: // it was granted at the same moment: to the next
		g.free(w.place, now)
	case w.err != nil:
		return nil, w.err
	}
	return nil, context.Cause(ctx)
}

// peek tells whether an invocation that came now would be refused.
func (g *gate) peek(l *lane, until time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(l.queue) == 0 && g.open(l) {
		return nil
	}
	if err := g.refuse(l, until, time.Now()); err != nil {
		return err
	}
	return nil
}

// leave gives a place back.
func (g *gate) leave(p *place) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	p.lane.held(now.Sub(p.since))
	g.free(p, now)
}

// open tells whether a lane could have a place now if nobody waited for it. While several plugins are at work the last places are for those that
// have less than an equal part, so that invocations that don't end can't have them all.
func (g *gate) open(l *lane) bool {
	if l.limit > 0 && l.running >= l.limit {
		return false
	}
	free := g.places - g.running
	return free > g.places/keptPart || free > 0 && (g.busy < 2 || l.running < g.places/g.busy)
}

// keptPart of the places is kept.
const keptPart = 16

func (g *gate) take(l *lane, now time.Time) *place {
	g.running++
	l.running++
	g.count(l)
	l.started = now
	return &place{lane: l, since: now}
}

func (g *gate) free(p *place, now time.Time) {
	l := p.lane
	g.running--
	l.running--
	g.count(l)
	g.serve(now)
}

// count keeps count of the lanes in which there is somebody.
func (g *gate) count(l *lane) {
	was := l.busy
	l.busy = l.running+len(l.queue) > 0
	switch {
	case l.busy && !was:
		g.busy++
	case was && !l.busy:
		g.busy--
	}
}

// serve gives places to those who wait, as far as there are any.
func (g *gate) serve(now time.Time) {
	for g.waiting > 0 && g.running < g.places {
		var next *lane
		for _, l := range g.turn {
			if g.open(l) && (next == nil || l.running < next.running) {
				next = l
			}
		}
		if next == nil {
			return
		}
		w := next.queue[0]
		i := slices.Index(g.turn, next)
		g.turn = append(slices.Delete(g.turn, i, i+1), next)
		g.dequeue(w)
		w.place = g.take(next, now)
		close(w.decided)
	}
}

func (g *gate) enqueue(l *lane, until, now time.Time) *waiter {
	if g.waiting >= g.queue {
		most := g.longest(l)
		last := most.queue[len(most.queue)-1]
		g.refused.Pushed++
		g.turnAway(last, refusal(most.wait(len(most.queue), g.share(most), now), "too many invocations of this plugin wait; try again later (process.queue)"))
	}
	w := &waiter{lane: l, queued: true, since: now, until: until, decided: make(chan struct{})}
	if len(l.queue) == 0 {
		g.turn = append(g.turn, l)
	}
	l.queue = append(l.queue, w)
	g.waiting++
	g.count(l)
	return w
}

func (g *gate) dequeue(w *waiter) {
	l := w.lane
	i := slices.Index(l.queue, w)
	l.queue = slices.Delete(l.queue, i, i+1)
	w.queued = false
	g.waiting--
	g.count(l)
	if len(l.queue) == 0 {
		i := slices.Index(g.turn, l)
		g.turn = slices.Delete(g.turn, i, i+1)
	}
}

// turnAway ends somebody's wait.
func (g *gate) turnAway(w *waiter, err *Error) {
	g.dequeue(w)
	w.err = err
	close(w.decided)
}
