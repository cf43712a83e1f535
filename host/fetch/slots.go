package fetch

import (
	"context"
	"sync"
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

// origins holds the slots of every origin that is in use. Those that aren't are forgotten, so that a guest can't fill the memory with
// names.
type origins struct {
	limit int

	mu   sync.Mutex
	open map[string]*originSlots
}

type originSlots struct {
	slots
	users int // who holds or waits for a slot; guarded by origins.mu
}

func newOrigins(limit int) *origins {
	return &origins{limit: limit, open: make(map[string]*originSlots)}
}

// enter returns the slots of an origin, to be left again.
func (o *origins) enter(origin string) *originSlots {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.open[origin]
	if s == nil {
		s = &originSlots{slots: slots{limit: o.limit}}
		o.open[origin] = s
	}
	s.users++
	return s
}

func (o *origins) leave(origin string, s *originSlots) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(o.open, origin)
	}
}

// hold is one request's slots: of its session, its origin, and the process.
type hold struct {
	session *slots
	origins *origins
	origin  string
	entered *originSlots
	process *slots
}

// acquire takes all three slots or none. The order is the same for everybody, so there's no deadlock, and the scarcest is
// taken last, so nobody sits on a process slot waiting for another. wait makes the context that bounds the waiting; it is called
// only if there is any.
func (h *hold) acquire(ctx context.Context, wait func(context.Context) (context.Context, context.CancelFunc)) error {
	h.entered = h.origins.enter(h.origin)
	var waiting context.Context
	var done context.CancelFunc
	defer func() {
		if done != nil {
			done()
		}
	}()
	order := [...]*slots{h.session, &h.entered.slots, h.process}
	for i, s := range order {
		if s.tryAcquire() {
			continue
		}
		if waiting == nil {
			waiting, done = wait(ctx)
		}
		if err := s.acquire(waiting); err != nil {
			for _, taken := range order[:i] {
				taken.release()
			}
			h.origins.leave(h.origin, h.entered)
			return err
		}
	}
	return nil
}

// release gives all three back.
func (h *hold) release() {
	h.process.release()
	h.entered.release()
	h.session.release()
	h.origins.leave(h.origin, h.entered)
}
