package host

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"
)

// Refused counts invocations that were answered with `overloaded`, by what there was none of. They have used nothing else.
type Refused struct {
	Full   int64 // process.queue: too many waited already
	Pushed int64 // the same: they waited, and gave way to a plugin of which fewer did
	Late   int64 // time: limits.wall would have been over before their turn
	Strain int64 // processors
	Memory int64 // process.memory
}

// refuse tells why an invocation can't even wait; nil: it can. Where there is no room it makes some, at the cost of the plugin of which
// most wait.
func (g *gate) refuse(l *lane, until time.Time, now time.Time) *Error {
	wait := l.wait(len(l.queue)+1, g.share(l), now)
	switch {
	case g.places < g.most && g.tooMany(l, wait, now):
		g.refused.Strain++
		return refusal(wait, "the server's processors can do no more; try again later")
	case wait >= until.Sub(now):
		g.refused.Late++
		return refusal(wait, "it would take about %s until it's this invocation's turn, longer than limits.wall leaves it", wait.Round(time.Millisecond))
	case g.waiting < g.queue || g.longest(l) != nil:
		return nil
	}
	g.refused.Full++
	return refusal(wait, "%d invocations are running and %d wait; try again later (process.invocations, process.queue)", g.running, g.waiting)
}

// tooMany tells whether so many wait in a lane already that, in a strain, no more may: half as many as run, for then waiting takes no longer than
// half of what running does. Some more may where that takes a few milliseconds only, or where they are as few as a handful of clients make, each of
// which comes again once it has its answer: those would only take turns at being refused.
func (g *gate) tooMany(l *lane, wait time.Duration, now time.Time) bool {
	n, processors := len(l.queue), runtime.GOMAXPROCS(0)
	switch {
	case n < fewest*processors:
		return false
	case l.standing(now) > standingMost:
		return true
	case n < g.share(l)/2 || wait <= strainWait:
		return false
	}
	return n >= handful*processors || wait > handfulWait
}

// longest is the lane that is to make room for another; nil: none has so many who wait.
func (g *gate) longest(l *lane) *lane {
	var most *lane
	for _, other := range g.turn {
		if most == nil || len(other.queue) > len(most.queue) {
			most = other
		}
	}
	if most == nil || len(most.queue) <= len(l.queue)+1 {
		return nil
	}
	return most
}

// share is how many of the places a lane has or could have.
func (g *gate) share(l *lane) int {
	n := g.places
	if others := g.busy; others > 1 || others == 1 && !l.busy {
		if !l.busy {
			others++
		}
		n = max(g.places/others, l.running, 1)
	}
	if l.limit > 0 {
		n = min(n, l.limit)
	}
	return n
}

// expire turns those away whom their place in the queue leaves no time.
func (g *gate) expire(now time.Time) {
	for _, l := range slices.Clone(g.turn) {
		ahead, share := 0, g.share(l)
		for _, w := range slices.Clone(l.queue) {
			if wait := l.wait(ahead, share, now); wait >= w.until.Sub(now) {
				g.turnAway(w, g.late(l, now))
				continue
			}
			ahead++
		}
	}
}

// late is the error for somebody whose turn comes too late.
func (g *gate) late(l *lane, now time.Time) *Error {
	g.refused.Late++
	return refusal(l.wait(len(l.queue), g.share(l), now), "its turn didn't come in time: the others would have left nothing of limits.wall; try again later")
}

// refusal makes the error for somebody who would have had to wait for so long.
func refusal(wait time.Duration, format string, args ...any) *Error {
	e := &Error{Code: CodeOverloaded, Status: StatusOf(CodeOverloaded), Detail: fmt.Sprintf(format, args...)}
	e.RetryAfter = min(max(time.Duration(math.Ceil(wait.Seconds()))*time.Second, time.Second), retryMost)
	return e
}

// retryMost is the longest time that a client is asked to stay away: what is expected of a queue is soon wrong.
const retryMost = 30 * time.Second

// noRoom counts an invocation that was refused for want of memory.
func (g *gate) noRoom() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused.Memory++
}
