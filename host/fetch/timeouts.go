package fetch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// stop is the cause with which a context of ours ends: it tells one limit's expiry from another's, and both from being cancelled.
type stop struct {
	code    Code
	message string
	after   time.Duration // with %s in the message
	retry   bool          // whether another attempt may help
	cause   error         // may be nil
}

func (s *stop) Error() string {
	if s.after > 0 {
		return fmt.Sprintf(s.message, s.after)
	}
	return s.message
}

// Unwrap gives the cause.
func (s *stop) Unwrap() error { return s.cause }

func connectStop(d time.Duration) *stop {
	return &stop{code: failure.ConnectTimeout, message: "no connection within connect_timeout, %s", after: d, retry: true}
}

func poolStop(d time.Duration) *stop {
	return &stop{code: failure.PoolTimeout, message: "no slot within pool_timeout, %s", after: d}
}

func attemptStop(d time.Duration) *stop {
	return &stop{code: failure.Timeout, message: "the attempt wasn't over within attempt_timeout, %s", after: d, retry: true}
}

func wholeStop(d time.Duration) *stop {
	return &stop{code: failure.Timeout, message: "the fetch wasn't over within its timeout, %s", after: d}
}

func groupStop(d time.Duration) *stop {
	return &stop{code: failure.Timeout, message: "the group wasn't over within its timeout, %s", after: d}
}

func writeStop(d time.Duration) *stop {
	return &stop{code: failure.WriteTimeout, message: "no byte could be sent for write_timeout, %s", after: d, retry: true}
}

func readStop(d time.Duration) *stop {
	return &stop{code: failure.ReadTimeout, message: "no byte arrived for read_timeout, %s", after: d, retry: true}
}

// callerStop is why a fetch ends with the context it was given.
func callerStop(caller context.Context) *stop {
	cause := context.Cause(caller)
	if s, ok := errors.AsType[*stop](cause); ok {
		return s
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return &stop{code: failure.Cancelled, message: "cancelled because the caller's deadline has passed", cause: cause}
	}
	return &stop{code: failure.Cancelled, message: stopGuest.message, cause: cause}
}

// The causes that settle a fetch as Cancelled.
var (
	stopGuest   = &stop{code: failure.Cancelled, message: "cancelled by the caller"}
	stopMode    = &stop{code: failure.Cancelled, message: "cancelled because its group is decided"}
	stopSession = &stop{code: failure.Cancelled, message: "cancelled because the invocation is over"}
	stopHedge   = &stop{code: failure.Cancelled, message: "cancelled because the other attempt was faster"}
)

// stopped returns why ctx is over. A context that isn't ours, the invocation's own, ends by cancelling.
func stopped(ctx context.Context) *failure.Error {
	cause := context.Cause(ctx)
	if cause == nil {
		return nil
	}
	return asStop(cause)
}

func asStop(cause error) *failure.Error {
	var s *stop
	if !errors.As(cause, &s) {
		return failure.Wrap(failure.Cancelled, cause, "%s", stopSession.message)
	}
	return failure.Wrap(s.code, s, "%s", s.Error())
}

// clock ends a fetch that takes too long, and an exchange of it that does or in which nothing moves. It has one timer, which looks when the
// first of those times could be over. Times are counted from the fetch's start.
type clock struct {
	start   time.Time
	timeout time.Duration
	cancel  context.CancelCauseFunc

	mu      sync.Mutex
	timer   *time.Timer
	due     time.Duration // when it looks
	stopped bool
	watches *watch // of the exchanges under way
}

// run starts the clock, for timeout and what its watches want; cancel ends the fetch.
func (c *clock) run(start time.Time, timeout time.Duration, cancel context.CancelCauseFunc) {
	c.start, c.timeout, c.cancel, c.due = start, timeout, cancel, timeout
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

// look ends what is over, and sees when to look again.
func (c *clock) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	now := c.now()
	if now >= c.timeout {
		c.cancel(wholeStop(c.timeout))
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
	if due < c.due {
		c.due = due
		c.timer.Reset(due - now)
	}
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
