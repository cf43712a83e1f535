package fetch

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// clock ends a fetch: when it takes too long, or for another cause. It also ends an exchange of it that takes too long or in which nothing moves. It
// has one timer, which looks when the first of those times could be over. Times are counted from the fetch's start.
//
// A fetch has no context of its own. Whatever it does at a time has one, derived from its session's or group's, with a watch that ends it.
type clock struct {
	start   time.Time
	timeout time.Duration

	mu      sync.Mutex
	timer   *time.Timer
	due     time.Duration // when it looks
	over    error         // why the fetch has ended; nil: it hasn't
	stopped bool
	watches *watch // of what is under way
}

// run starts the clock.
func (c *clock) run(start time.Time, timeout time.Duration) {
	c.start, c.timeout, c.due = start, timeout, timeout
	c.mu.Lock() // the timer may be there before c.timer is
	c.timer = time.AfterFunc(timeout, c.look)
	c.mu.Unlock()
}

func (c *clock) now() time.Duration { return time.Since(c.start) }

// stop stops the clock for good.
func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.timer.Stop()
}

// end ends the fetch: what is under way, and what begins later. The first cause counts.
func (c *clock) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(cause)
}

func (c *clock) endLocked(cause error) {
	if c.stopped || c.over != nil {
		return
	}
	c.over = cause
	for w := c.watches; w != nil; w = w.next {
		w.cancel(cause)
	}
}

// cause is why the fetch has ended; nil: it hasn't.
func (c *clock) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// look ends what is over, and sees when to look again.
func (c *clock) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || c.over != nil {
		return
	}
	now := c.now()
	if now >= c.timeout {
		c.endLocked(wholeStop(c.timeout))
		return
	}
	c.due = c.timeout
	for w := c.watches; w != nil; w = w.next {
		c.due = min(c.due, w.look(now))
	}
	c.timer.Reset(c.due - now)
}

// by has the clock look no later than at due.
func (c *clock) by(due, now time.Duration) {
	if due < c.due && !c.stopped {
		c.due = due
		c.timer.Reset(due - now)
	}
}

// scope gives something that waits a context that ends with the fetch too. leave must be called.
func (f *flight) scope(parent context.Context) (ctx context.Context, leave func()) {
	ctx, cancel := context.WithCancelCause(parent)
	w := &watch{clock: &f.clock, cancel: cancel}
	w.start()
	return ctx, func() {
		w.end()
		cancel(nil)
	}
}

// stopped is why the fetch is over, by itself or with its session or group; nil: it isn't.
func (f *flight) stopped() *failure.Error {
	if cause := f.clock.cause(); cause != nil {
		return asStop(cause)
	}
	return stopped(f.base)
}

// watch ends an exchange that isn't over within attempt_timeout, or in which nothing moves for as long as its phase's idle limit. Bytes
// only leave a time.
type watch struct {
	clock       *clock
	cancel      context.CancelCauseFunc
	read, write time.Duration
	attempt     time.Duration // 0: none
	last        atomic.Int64  // when something moved, as a time of the clock

	// Guarded by the clock's mutex.
	next    *watch
	ends    time.Duration // the attempt
	limit   time.Duration // of the phase; 0: none has begun
	writing bool
	paused  bool
	ended   bool
}

// start starts watching. There is no idle limit before the first phase.
func (w *watch) start() {
	c := w.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watches, w.next = w, c.watches
	if c.over != nil {
		w.cancel(c.over)
		return
	}
	if w.attempt > 0 {
		now := c.now()
		w.ends = now + w.attempt
		c.by(w.ends, now)
	}
}

// begin begins a phase, writing or reading.
func (w *watch) begin(writing bool) {
	w.clock.mu.Lock()
	defer w.clock.mu.Unlock()
	if w.ended { // net/http may tell of a request it wrote after it was given up
		return
	}
	w.writing, w.limit = writing, w.read
	if writing {
		w.limit = w.write
	}
	w.again()
}

// again starts the clock of a phase anew.
func (w *watch) again() {
	now := w.clock.now()
	w.paused = false
	w.last.Store(int64(now))
	w.clock.by(now+w.limit, now)
}

// touch notes that something moved.
func (w *watch) touch() { w.last.Store(int64(w.clock.now())) }

// pause stops the clock of a phase, unless another has begun: it isn't the upstream that is waited for.
func (w *watch) pause(writing bool) {
	w.clock.mu.Lock()
	defer w.clock.mu.Unlock()
	w.paused = w.paused || w.writing == writing
}

// resume starts the clock anew.
func (w *watch) resume(writing bool) {
	w.clock.mu.Lock()
	defer w.clock.mu.Unlock()
	if w.writing == writing && !w.ended {
		w.again()
	}
}

// end stops watching for good.
func (w *watch) end() {
	w.clock.mu.Lock()
	defer w.clock.mu.Unlock()
	w.ended = true
	for at := &w.clock.watches; *at != nil; at = &(*at).next {
		if *at == w {
			*at = w.next
			return
		}
	}
}

// look ends the exchange if a time of it is over, else it tells when one could be.
func (w *watch) look(now time.Duration) time.Duration {
	const never = math.MaxInt64
	due := time.Duration(never)
	if w.attempt > 0 {
		if now >= w.ends {
			w.cancel(attemptStop(w.attempt))
			return never
		}
		due = w.ends
	}
	if w.limit == 0 || w.paused {
		return due
	}
	idle := time.Duration(w.last.Load()) + w.limit
	switch {
	case now < idle:
		return min(due, idle)
	case w.writing:
		w.cancel(writeStop(w.limit))
	default:
		w.cancel(readStop(w.limit))
	}
	return never
}
