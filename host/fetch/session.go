package fetch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Session is one piece of work, an invocation: it has a budget of its own, and ends as a whole. Build it with [Client.Session].
type Session struct {
	client  *Client
	ctx     context.Context
	cancel  context.CancelCauseFunc
	budget  budget
	slots   *slots
	started time.Time
	traces  atomic.Int64 // requests of all entries, those past maxRecords too
	headers atomic.Int64 // bytes of those that the records hold

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup // added to under mu, and only before closed
	entries []*entry       // of the first maxRecords fetches
	beyond  int            // fetches past them
}

// Usage is what a session has used of its budget.
type Usage struct {
	Requests int   // attempts and hops that were sent, or are about to be
	Bytes    int64 // decoded bytes of responses
}

// Session begins a session. When ctx ends, so do its fetches, as cancelled; the session must be closed all the same.
func (c *Client) Session(ctx context.Context) *Session {
	s := &Session{client: c, slots: newSlots(c.limits.concurrency), started: time.Now()}
	s.budget.maxRequests, s.budget.maxBytes = c.limits.requests, c.limits.totalBytes
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		s.closed = true
		s.cancel(stopSession)
	} else {
		if c.sessions[s] = struct{}{}; len(c.sessions) == 1 {
			c.engine.working.Add(1)
		}
	}
	return s
}

// Do makes one fetch and waits for its outcome. It ends early, as cancelled, when ctx does.
func (s *Session) Do(ctx context.Context, r *Request) Result {
	f := newFlight(s.ctx, ctx, s, r)
	if s.enter(f) {
		defer s.running.Done()
	}
	if fail := f.prepare(); fail != nil {
		return f.reject(nil, fail)
	}
	return f.run()
}

// Start starts one fetch. done is called exactly once, from another goroutine, or before Start returns if the fetch is refused before
// anything is sent. It must not call [Session.Close].
func (s *Session) Start(r *Request, done func(Result)) *Call {
	return s.start(s.ctx, context.Background(), r, done)
}

func (s *Session) start(parent, caller context.Context, r *Request, done func(Result)) *Call {
	f := newFlight(parent, caller, s, r)
	entered := s.enter(f)
	if fail := f.prepare(); fail != nil {
		done(f.reject(nil, fail))
		if entered {
			s.running.Done()
		}
		return &Call{f}
	}
	go func() {
		defer s.running.Done()
		deepen(0)
		done(f.run())
	}()
	return &Call{f}
}

// deepen has the goroutine's stack grow to what a fetch needs while there's nothing on it to be moved. RATIONALE.md has what it's worth.
//
//go:noinline
func deepen(i byte) byte {
	var room [fetchStack]byte
	return room[i]
}

// enter makes Close wait for a fetch, or cancels it if that is too late.
func (s *Session) enter(f *flight) bool {
	if s.join() {
		return true
	}
	f.clock.end(stopSession)
	return false
}

// join makes Close wait until running.Done, unless that is too late.
func (s *Session) join() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	return true
}

// Usage returns what has been used so far.
func (s *Session) Usage() Usage { return s.budget.usage() }

// Records returns what is known of the session's fetches, in the order in which they were asked for: of the first 4,096.
func (s *Session) Records() []Record {
	s.mu.Lock()
	entries := s.entries
	s.mu.Unlock()
	records, known := make([]Record, len(entries)), new(spelled)
	for i, e := range entries {
		records[i] = e.snapshot(s, known)
	}
	return records
}

// Unrecorded returns how many fetches [Session.Records] leaves out.
func (s *Session) Unrecorded() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.beyond
}

// record begins the record of a fetch.
func (s *Session) record(r *Request, started time.Time) *entry {
	e := &entry{started: started}
	method := r.Method
	if len(method) > maxMethod { // it will be refused
		method = bounded(method, maxMethod-len("…"))
	}
	e.record = Record{Method: bounded(method, maxMethod), URL: s.client.cleanURL(r.URL), Start: started.Sub(s.started)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.entries) < maxRecords {
		e.kept = true
		s.entries = append(s.entries, e)
	} else {
		s.beyond++
	}
	return e
}

// Close cancels what is in flight, bodies that are being read included, and returns when all of it has stopped and given everything back. Fetches started later are
// cancelled at once. It is idempotent.
func (s *Session) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel(stopSession)
	s.running.Wait()
	s.client.forget(s)
}

// Call is a fetch that was started.
type Call struct{ flight *flight }

// Cancel cancels the fetch; one that has settled stays as it is.
func (c *Call) Cancel() { c.flight.clock.end(stopGuest) }

// State tells how far the fetch has come.
func (c *Call) State() State { return State(c.flight.entry.state.Load()) }
