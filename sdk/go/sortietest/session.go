package sortietest

import (
	"context"
	"errors"
	"sync"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// session is the host.Host of one invocation.
type session struct {
	host   *Host
	limits Limits
	life   *life
	ctx    context.Context
	cancel context.CancelCauseFunc
	slots  chan struct{}

	mu       sync.Mutex
	running  sync.WaitGroup // Add only under mu, and not once closed
	closed   bool
	requests int
	bytes    int64
}

func newSession(ctx context.Context, h *Host, limits Limits) *session {
	s := &session{host: h, limits: limits, slots: make(chan struct{}, limits.Concurrency)}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { s.cancel(stopSession) })
	return s
}

// close ends the session: what is in flight is cancelled, and has ended when close returns.
func (s *session) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel(stopSession)
	s.running.Wait()
}

func (s *session) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Deadline implements host.Host; so do Config, Log, Send and Group.
func (s *session) Deadline() time.Time {
	deadline, _ := s.life.Deadline()
	return deadline
}

// Config gives the test's config.
func (s *session) Config(key string) ([]byte, bool) { return s.host.configValue(key) }

// Log keeps a line for Host.Logs.
func (s *session) Log(level int, line string) {
	if !s.isClosed() { // the test may be over, and has no log then
		s.host.log(level, line)
	}
}

// stop is why a context of ours ended.
type stop struct{ code, message string }

func (s *stop) Error() string { return s.message }

var (
	stopBody    = &stop{"cancelled", "cancelled because the request's body failed"}
	stopGuest   = &stop{"cancelled", "cancelled by the caller"}
	stopMode    = &stop{"cancelled", "cancelled because its group is decided"}
	stopSession = &stop{"cancelled", "cancelled because the invocation is over"}
	stopGroup   = &stop{"timeout", "the group wasn't over within its timeout"}
	stopFetch   = &stop{"timeout", "the fetch wasn't over within its timeout"}
	stopAttempt = &stop{"timeout", "the attempt wasn't over within attempt_timeout"}
	stopPool    = &stop{"pool_timeout", "no slot within pool_timeout"}
)

// stopped is the failure of what ctx ended.
func stopped(ctx context.Context) *host.Failure {
	s := stopSession
	errors.As(context.Cause(ctx), &s)
	return &host.Failure{Code: s.code, Message: s.message}
}

// Send starts a fetch, as a group of one.
func (s *session) Send(f *host.Fetch, settled chan<- int) (host.Calls, *host.Failure) {
	return s.start(&host.Group{Mode: host.AllSettled, Fetches: []*host.Fetch{f}}, settled, true)
}

// Group starts a group.
func (s *session) Group(g *host.Group, settled chan<- int) (host.Calls, *host.Failure) {
	return s.start(g, settled, false)
}

func (s *session) start(g *host.Group, settled chan<- int, single bool) (host.Calls, *host.Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, &host.Failure{Code: "cancelled", Message: "the invocation is over"}
	}
	n := len(g.Fetches)
	c := &calls{group: g, outcomes: make([]host.Outcome, n), taken: make([]bool, n), settled: settled, single: single}
	ctx, cancel := context.WithCancelCause(s.ctx)
	c.cancel = cancel
	if g.Timeout > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeoutCause(ctx, g.Timeout, stopGroup)
		c.done = done
	}
	workers := n
	if g.Concurrency > 0 {
		workers = min(n, g.Concurrency)
	}
	c.left = n
	// Members of the policy's own concurrency wait for their slots in order; those that the group's holds back, for a worker.
	for range workers {
		s.running.Go(func() { c.work(ctx, s) })
	}
	return c, nil
}

// calls implements host.Calls: one group, or a fetch as a group of one.
type calls struct {
	group  *host.Group
	single bool
	cancel context.CancelCauseFunc
	done   context.CancelFunc // frees the group's timer; may be nil

	mu                  sync.Mutex
	outcomes            []host.Outcome
	taken               []bool // which outcomes were
	dropped             bool
	settled             chan<- int
	next, left          int
	fulfilled, rejected int
}

// work runs members, one after the other, until none is left.
func (c *calls) work(ctx context.Context, s *session) {
	for {
		c.mu.Lock()
		i := c.next
		c.next++
		var sent *sortie.Request
		if i < len(c.outcomes) && ctx.Err() == nil {
			sent = s.host.begin(c.group.Fetches[i]) // under the lock: so a group's requests are captured in its order
		}
		c.mu.Unlock()
		if i >= len(c.outcomes) {
			return
		}
		s.fetch(ctx, c.group.Fetches[i], sent, func(o host.Outcome) { c.settle(i, o) })
	}
}

func (c *calls) settle(i int, o host.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcomes[i] = o
	if c.dropped {
		abandon(o)
	}
	switch {
	case o.State == host.Fulfilled:
		c.fulfilled++
	case o.State == host.Rejected, o.Failure.Message == stopBody.message: // to the mode, a member that gave up has failed
		c.rejected++
	}
	if c.decided() {
		c.cancel(stopMode)
	}
	if !c.single {
		c.settled <- i
	}
	if c.left--; c.left == 0 {
		close(c.settled)
		c.cancel(stopMode)
		if c.done != nil {
			c.done()
		}
	}
}

func (c *calls) decided() bool {
	switch c.group.Mode {
	case host.All:
		return c.rejected > 0
	case host.Any:
		return c.fulfilled > 0
	case host.Race:
		return c.fulfilled+c.rejected > 0
	case host.Quorum:
		return c.fulfilled >= c.group.Count || c.rejected > len(c.outcomes)-c.group.Count
	}
	return false
}

// Outcome implements host.Calls; so do Cancel and Drop.
func (c *calls) Outcome(i int) host.Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken[i] = true
	return c.outcomes[i]
}

// Cancel cancels what hasn't settled.
func (c *calls) Cancel() { c.cancel(stopGuest) }

// Drop cancels, and closes the streams that weren't handed out.
func (c *calls) Drop() {
	c.cancel(stopGuest)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped = true
	for i, o := range c.outcomes {
		if !c.taken[i] {
			abandon(o)
		}
	}
}

func abandon(o host.Outcome) {
	r := o.Response
	if o.Failure != nil {
		r = o.Failure.Response
	}
	if r != nil && r.Reader != nil {
		_ = r.Reader.Close()
	}
}
