package fetch

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
)

// fairSlots is a counted limit that several clients share. Whoever has to wait is served in turn: first one of each client, and within a
// client one of each session, so that neither a client with many sessions nor a session with many requests makes the others wait
// for longer than its own turns. While several clients are at work, the last slots are kept from those that hold many already, so that
// requests that don't end can't have them all.
type fairSlots struct {
	limit   int
	reserve int           // slots that only clients with fewer than so many may take; 0: none
	working *atomic.Int32 // clients with open sessions

	mu      sync.Mutex
	used    int
	held    map[*Client]int // only where there is a reserve
	clients list.List       // of *clientLine: who waits; the next in turn is in front
	lines   map[*Client]*clientLine
}

// party is for whom a slot is asked.
type party struct {
	client  *Client
	session *slots // stands for the session
}

// clientLine is those of one client who wait.
type clientLine struct {
	client   *Client
	place    *list.Element
	sessions list.List // of *sessionLine; the next in turn is in front
	lines    map[*slots]*sessionLine
}

// sessionLine is those of one session who wait, in the order in which they came.
type sessionLine struct {
	session *slots
	client  *clientLine
	place   *list.Element
	waiters list.List // of *fairWaiter
}

type fairWaiter struct {
	granted chan struct{} // closed when the slot is the waiter's
	line    *sessionLine  // nil: not waiting any more
	place   *list.Element
}

func newFairSlots(limit int, working *atomic.Int32) *fairSlots {
	s := &fairSlots{limit: limit, working: working, lines: make(map[*Client]*clientLine)}
	if limit >= leastReserved {
		s.reserve, s.held = limit/reservedPart, make(map[*Client]int)
	}
	return s
}

// mayTake tells whether a client could have a slot now if nobody waited.
func (s *fairSlots) mayTake(c *Client) bool {
	free := s.limit - s.used
	return free > s.reserve || free > 0 && (s.held[c] < s.reserve || s.working.Load() < 2)
}

func (s *fairSlots) take(c *Client) {
	s.used++
	if s.reserve > 0 {
		s.held[c]++
	}
}

// tryAcquire takes a slot if one is free and nobody waits who could have it.
func (s *fairSlots) tryAcquire(p party) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tryTake(p)
}

func (s *fairSlots) tryTake(p party) bool {
	if !s.mayTake(p.client) || s.next() != nil || s.lines[p.client] != nil {
		return false
	}
	s.take(p.client)
	return true
}

// acquire waits for a slot until ctx ends, and then returns its cause.
func (s *fairSlots) acquire(ctx context.Context, p party) error {
	s.mu.Lock()
	if s.tryTake(p) {
		s.mu.Unlock()
		return nil
	}
	w := &fairWaiter{granted: make(chan struct{})}
	s.enqueue(w, p)
	s.mu.Unlock()

	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	queued := w.line != nil
	if queued {
		s.remove(w)
	}
	s.mu.Unlock()
	if !queued { // it was granted at the same moment: to the next
		s.release(p)
	}
	return context.Cause(ctx)
}

// release gives a slot back.
func (s *fairSlots) release(p party) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == 0 {
		panic("fetch: a slot was given back twice")
	}
	s.used--
	if s.reserve > 0 {
		if s.held[p.client]--; s.held[p.client] == 0 {
			delete(s.held, p.client)
		}
	}
	for line := s.next(); line != nil; line = s.next() {
		s.take(line.client)
		s.grant(line)
	}
}

// next is the line whose turn it is among those that could have a slot now; nil: there is none.
func (s *fairSlots) next() *clientLine {
	if s.used >= s.limit {
		return nil
	}
	for e := s.clients.Front(); e != nil; e = e.Next() {
		if line := e.Value.(*clientLine); s.mayTake(line.client) {
			return line
		}
	}
	return nil
}

// grant gives a slot to the first of a line, which then is the last to have its turn.
func (s *fairSlots) grant(line *clientLine) {
	session := line.sessions.Front().Value.(*sessionLine)
	w := session.waiters.Front().Value.(*fairWaiter)
	s.clients.MoveToBack(line.place)
	line.sessions.MoveToBack(session.place)
	s.remove(w)
	close(w.granted)
}

func (s *fairSlots) enqueue(w *fairWaiter, p party) {
	client := s.lines[p.client]
	if client == nil {
		client = &clientLine{client: p.client, lines: make(map[*slots]*sessionLine)}
		client.place = s.clients.PushBack(client)
		s.lines[p.client] = client
	}
	session := client.lines[p.session]
	if session == nil {
		session = &sessionLine{session: p.session, client: client}
		session.place = client.sessions.PushBack(session)
		client.lines[p.session] = session
	}
	w.line, w.place = session, session.waiters.PushBack(w)
}

// remove takes a waiter out, and the lines that are empty without it.
func (s *fairSlots) remove(w *fairWaiter) {
	session := w.line
	session.waiters.Remove(w.place)
	w.line = nil
	if session.waiters.Len() > 0 {
		return
	}
	client := session.client
	client.sessions.Remove(session.place)
	delete(client.lines, session.session)
	if client.sessions.Len() == 0 {
		s.clients.Remove(client.place)
		delete(s.lines, client.client)
	}
}

func (s *fairSlots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}
