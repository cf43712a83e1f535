package fetch

import (
	"context"
	"sync"
)

// Group makes a group's fetches and waits until all members have settled, those included that the mode cancels. Results have the order of
// the requests. It ends early, as cancelled, when ctx does. Of a group that [Group.Check] refuses, every member is rejected.
func (s *Session) Group(ctx context.Context, g *Group) []Result {
	results := make([]Result, len(g.Requests))
	settled := make(chan struct{})
	s.startGroup(ctx, g, func(i int, r Result) { results[i] = r }, func() { close(settled) })
	<-settled
	return results
}

// StartGroup starts a group. each is called once for each member, as it settles, maybe several at the same time, and done once after
// them all; both from other goroutines, or before StartGroup returns. They must not call [Session.Close].
func (s *Session) StartGroup(g *Group, each func(i int, r Result), done func()) *GroupCall {
	return s.startGroup(context.Background(), g, each, done)
}

// GroupCall is a group that was started.
type GroupCall struct {
	session *Session
	group   *Group
	caller  context.Context
	refused error // by Check
	ctx     context.Context
	cancel  context.CancelCauseFunc
	expire  context.CancelFunc
	each    func(int, Result)
	done    func()

	mu        sync.Mutex
	calls     []*Call // nil for members not started
	claimed   []bool  // members whose start, or cancelling before it, is somebody's already
	dropped   []bool  // members cancelled while they were being started
	next      int     // the first member that may not be claimed
	running   int
	fulfilled int
	failed    int
	reported  int
	pumping   bool
}

func (s *Session) startGroup(caller context.Context, g *Group, each func(int, Result), done func()) *GroupCall {
	c := &GroupCall{session: s, group: g, caller: caller, refused: g.Check(), each: each, done: done}
	n := len(g.Requests)
	c.calls, c.claimed, c.dropped = make([]*Call, n), make([]bool, n), make([]bool, n)
	parent := s.ctx
	c.expire = func() {}
	if g.Timeout > 0 {
		parent, c.expire = context.WithTimeoutCause(parent, g.Timeout, groupStop(g.Timeout))
	}
	c.ctx, c.cancel = context.WithCancelCause(parent)
	if len(g.Requests) == 0 {
		c.finish()
		return c
	}
	c.pump()
	return c
}

// Cancel cancels the members that haven't settled.
func (c *GroupCall) Cancel() { c.cancel(stopGuest) }

// CancelMember cancels one member; one that has settled stays as it is, and one that hasn't been started settles now. To the
// mode, it is a rejection.
func (c *GroupCall) CancelMember(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.calls[i] != nil:
		c.calls[i].Cancel()
	case c.claimed[i]:
		c.dropped[i] = true // whoever starts it looks
	default:
		if !c.session.join() { // the session's end settles all members
			c.dropped[i] = true
			return
		}
		c.claimed[i] = true
		c.running++
		f := newFlight(c.ctx, c.caller, c.session, c.group.Requests[i])
		c.calls[i] = &Call{f}
		r := f.reject(nil, asStop(stopGuest))
		go func() { // the caller may hold what each takes
			defer c.session.running.Done()
			c.settled(i, r)
		}()
	}
}

// State tells how far member i has come.
func (c *GroupCall) State(i int) State {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls[i] == nil {
		return Pending
	}
	return c.calls[i].State()
}

// pump starts members, in order, for as long as the group's concurrency has room. A member may settle before its start
// returns, so whoever settles leaves the starting to a pump that is at work already.
func (c *GroupCall) pump() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pumping {
		return
	}
	c.pumping = true
	for c.next < len(c.calls) && (c.group.Concurrency == 0 || c.running < c.group.Concurrency || c.refused != nil || c.ctx.Err() != nil) {
		i := c.next
		c.next++
		if c.claimed[i] {
			continue
		}
		c.claimed[i] = true
		c.running++
		dropped := c.dropped[i]
		c.mu.Unlock()
		call := c.start(i, dropped)
		c.mu.Lock()
		c.calls[i] = call
		if c.dropped[i] {
			call.Cancel()
		}
	}
	c.pumping = false
}

func (c *GroupCall) start(i int, dropped bool) *Call {
	settled := func(r Result) { c.settled(i, r) }
	if c.refused == nil && !dropped {
		return c.session.start(c.ctx, c.caller, c.group.Requests[i], settled)
	}
	f := newFlight(c.ctx, c.caller, c.session, c.group.Requests[i])
	_, fail := asFailure(struct{}{}, c.refused)
	if fail == nil {
		fail = asStop(stopGuest)
	}
	settled(f.reject(nil, fail))
	return &Call{f}
}

// settled counts a member's outcome, cancels the others if that decides, and tells.
func (c *GroupCall) settled(i int, r Result) {
	c.mu.Lock()
	c.running--
	if r.State == Fulfilled {
		c.fulfilled++
	} else {
		c.failed++
	}
	decided := c.group.decided(c.fulfilled, c.failed)
	c.mu.Unlock()
	if decided {
		c.cancel(stopMode)
	}
	c.each(i, r)
	c.pump()

	c.mu.Lock()
	c.reported++
	last := c.reported == len(c.calls)
	c.mu.Unlock()
	if last {
		c.finish()
	}
}

func (c *GroupCall) finish() {
	c.cancel(nil)
	c.expire()
	c.done()
}
