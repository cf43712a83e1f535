package host

import (
	"time"

	"golang.org/x/time/rate"
)

// lane is one plugin's part of the gate, all its versions together. Its gate's lock guards it.
type lane struct {
	name     string
	limit    int           // plugins.invocations; 0: none but the process's
	versions int           // that hold it
	pace     *rate.Limiter // invocations started: all versions together; nil: no limit

	running int
	queue   []*waiter // in the order in which they came
	busy    bool      // whether somebody runs or waits

	started time.Time     // the last place was taken
	holds   time.Duration // a place was held lately, on average; 0: not known
}

// waiter is an invocation in a lane's queue.
type waiter struct {
	lane    *lane
	since   time.Time
	until   time.Time // when its time is over
	queued  bool
	decided chan struct{} // closed when it has its place, or its error
	place   *place
	err     *Error
}

// failed is why it has no place. (A nil *Error isn't a nil error.)
func (w *waiter) failed() error {
	if w.err != nil {
		return w.err
	}
	return nil
}

// place is what a running invocation has of its lane.
type place struct {
	lane  *lane
	since time.Time
}

// paced returns a plugin's lane, which must be let go, and the limiter of its invocations: at most so many may be started in a second, and at
// once; 0: as many as come.
func (g *gate) paced(name string, limit int, perSecond rate.Limit, burst int) (*lane, *rate.Limiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lanes[name]
	if l == nil {
		l = &lane{name: name}
		g.lanes[name] = l
	}
	l.limit = limit // the newest version's: the operator may have changed it
	l.versions++
	switch {
	case perSecond == 0:
		l.pace = nil
	case l.pace == nil:
		l.pace = rate.NewLimiter(perSecond, burst)
	case l.pace.Limit() != perSecond || l.pace.Burst() != burst:
		l.pace.SetLimit(perSecond)
		l.pace.SetBurst(burst)
	}
	return l, l.pace
}

// forget lets a lane go.
func (g *gate) forget(l *lane) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l.versions--; l.versions == 0 {
		delete(g.lanes, l.name)
	}
}

// held takes note of how long a place was held. Each is a sixteenth of the average; one of minutes among many of milliseconds, a stream,
// counts for eight.
func (l *lane) held(d time.Duration) {
	if l.holds == 0 {
		l.holds = d
		return
	}
	l.holds += (min(d, 8*l.holds) - l.holds) / 16
}

// wait is how long it's likely to take until so many have had their turn, with so many places (Little's law). A place is held for at least as long
// as there was no turn: the upstream may hang.
func (l *lane) wait(turns, places int, now time.Time) time.Duration {
	holds := l.holds
	if l.running > 0 {
		holds = max(holds, now.Sub(l.started))
	}
	return time.Duration(float64(holds) * float64(turns) / float64(max(places, 1)))
}

// standing is how long who is next has been waiting.
func (l *lane) standing(now time.Time) time.Duration {
	if len(l.queue) == 0 {
		return 0
	}
	return now.Sub(l.queue[0].since)
}
