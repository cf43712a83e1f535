package fetch

import (
	"context"
	"sync"
	"sync/atomic"
)

// slots is a counted limit with a queue: whoever came first gets the next free slot. A slot that is given back passes to the first waiter
// directly, so nobody overtakes the queue.
type slots struct {
	limit int

	mu    sync.Mutex
	used  int
	first *waiter
	last  *waiter
}

// waiter stands in the queue of one slots. Its fields are guarded by the slots' mutex.
type waiter struct {
	granted    chan struct{} // closed when the slot is the waiter's
	queued     bool
	prev, next *waiter
}

func newSlots(limit int) *slots { return &slots{limit: limit} }

// tryAcquire takes a slot if one is free and nobody waits for it.
func (s *slots) tryAcquire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used >= s.limit || s.first != nil {
		return false
	}
	s.used++
	return true
}

// acquire waits for a slot until ctx ends, and then returns its cause.
func (s *slots) acquire(ctx context.Context) error {
	s.mu.Lock()
	if s.used < s.limit && s.first == nil {
		s.used++
		s.mu.Unlock()
		return nil
	}
	w := &waiter{granted: make(chan struct{})}
	s.enqueue(w)
	s.mu.Unlock()

	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	queued := w.queued
	if queued {
		s.remove(w)
	}
	s.mu.Unlock()
	if !queued { // it was granted at the same moment: to the next
		s.release()
	}
	return context.Cause(ctx)
}

// release gives a slot back.
func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.first; w != nil {
		s.remove(w)
		close(w.granted)
		return
	}
	if s.used == 0 {
		panic("fetch: a slot was given back twice")
	}
	s.used--
}

func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

func (s *slots) enqueue(w *waiter) {
	w.queued, w.prev = true, s.last
	if s.last == nil {
		s.first = w
	} else {
		s.last.next = w
	}
	s.last = w
}

func (s *slots) remove(w *waiter) {
	if w.prev == nil {
		s.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		s.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.queued, w.prev, w.next = false, nil, nil
}

// origins holds the slots of every origin that is in use, and of some that were: past those, an origin is forgotten when it isn't, so that a
// guest can't fill the memory with names.
type origins struct {
	limit   int
	working *atomic.Int32 // clients with open sessions

	mu   sync.Mutex
	open map[string]*originSlots
}

type originSlots struct {
	*fairSlots
	users int // who holds or waits for a slot; guarded by origins.mu
}

func newOrigins(limit int, working *atomic.Int32) *origins {
	return &origins{limit: limit, working: working, open: make(map[string]*originSlots)}
}

// enter returns the slots of an origin, to be left again.
func (o *origins) enter(origin string) *originSlots {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.open[origin]
	if s == nil {
		s = &originSlots{fairSlots: newFairSlots(o.limit, o.working)}
		o.open[origin] = s
	}
	s.users++
	return s
}

func (o *origins) leave(origin string, s *originSlots) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.users--; s.users == 0 && len(o.open) > maxIdleOrigins {
		delete(o.open, origin)
	}
}

// hold is one request's slots: of its session, its origin, and the process.
type hold struct {
	party
	origins *origins
	origin  string
	entered *originSlots
	process *fairSlots
}

// acquire takes all three slots or none. The order is the same for everybody, so there's no deadlock, and the scarcest is
// taken last, so nobody sits on a process slot waiting for another. patient makes the context that bounds the waiting; it is called
// only if there is any.
func (h *hold) acquire(patient func() context.Context) error {
	if !h.session.tryAcquire() {
		if err := h.session.acquire(patient()); err != nil {
			return err
		}
	}
	h.entered = h.origins.enter(h.origin)
	if !h.entered.tryAcquire(h.party) {
		if err := h.entered.acquire(patient(), h.party); err != nil {
			h.origins.leave(h.origin, h.entered)
			h.session.release()
			return err
		}
	}
	if !h.process.tryAcquire(h.party) {
		if err := h.process.acquire(patient(), h.party); err != nil {
			h.entered.release(h.party)
			h.origins.leave(h.origin, h.entered)
			h.session.release()
			return err
		}
	}
	return nil
}

// release gives all three back.
func (h *hold) release() {
	h.process.release(h.party)
	h.entered.release(h.party)
	h.session.release()
	h.origins.leave(h.origin, h.entered)
}
