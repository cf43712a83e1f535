package cache

import (
	"container/list"
	"context"
	"net/http"
	"sync"
	"time"
)

// collapsing lets one of several identical requests go out for all of them (RFC 9111, section 4: a response that may be reused may satisfy
// several requests).
type collapsing struct {
	now func() time.Time

	mu     sync.Mutex
	queues map[digest]*queue
	alone  map[digest]time.Time // URLs (with credentials) whose answers can't be shared, until when
	closed bool
}

const (
	aloneFor = 10 * time.Second
	maxAlone = 1024
)

func (g *collapsing) init(now func() time.Time) {
	g.now, g.queues, g.alone = now, make(map[digest]*queue), make(map[digest]time.Time)
}

// queue are those who wait for the answer to the one of them that is out. It is gone when nobody is out.
type queue struct {
	url, key digest
	started  time.Time // when the one that is out was about to be sent
	waiting  list.List // of *waiter, in the order they came
}

// waiter is one who waits. What it gets is set under the lock, once, before ready is closed.
type waiter struct {
	ready chan struct{}
	queue *queue
	place *list.Element // nil: it doesn't wait any more
	turn  *Turn         // its own turn to go out
	entry *Entry        // the shared answer; with neither it goes out by itself
}

// Turn is the one request that goes out. It has to end in one of its methods, of which only the first that is called counts.
type Turn struct {
	c     *Cache
	queue *queue
	ended bool
}

// Join tells what a request that is a [Miss] is among those that are identical, in their whole header too: the one to go out (a Turn), one
// that has its answer from another (an Entry), or, with neither, one that goes out by itself. Requests that want an answer of their own
// (no-cache, no-store, max-age=0) or aren't for a cache always do. Join waits until ctx ends, and then returns its cause.
func (c *Cache) Join(ctx context.Context, r *Request) (*Turn, *Entry, error) {
	want := requestDirectives(r.Header)
	if !cacheable(r) || want.noStore || want.noCache || want.maxAge == 0 || want.onlyIfCached {
		return nil, nil, nil
	}
	url := c.key(r)
	turn, w := c.join(r, url, c.wholeKey(url, r))
	if w != nil {
		return c.collapsing.wait(ctx, w)
	}
	if turn == nil {
		return nil, nil, nil
	}
	// Another's turn may have ended, and its answer been stored, since this request was a miss.
	if e := c.find(r); e != nil && e.stateFor(&want, c.now()) == Fresh {
		turn.end(e, false)
		return nil, e, nil
	}
	return turn, nil, nil
}

// join has a request go out for others, or wait for another, or neither.
func (c *Cache) join(r *Request, url, key digest) (*Turn, *waiter) {
	g := &c.collapsing
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if g.closed {
		return nil, nil
	}
	if until, ok := g.alone[url]; ok {
		if now.Before(until) {
			return nil, nil
		}
		delete(g.alone, url)
	}
	// What went out before the URL was invalidated may bring an answer from before. Those who waited already still get it.
	if q := g.queues[key]; q != nil && !c.invalid.since(r.URL, q.started) {
		w := &waiter{ready: make(chan struct{}), queue: q}
		w.place = q.waiting.PushBack(w)
		return nil, w
	}
	q := &queue{url: url, key: key, started: now}
	g.queues[key] = q
	return &Turn{c: c, queue: q}, nil
}

// wait waits for what a waiter gets. One that leaves just as it is given the turn passes it on.
func (g *collapsing) wait(ctx context.Context, w *waiter) (*Turn, *Entry, error) {
	select {
	case <-w.ready:
		return w.turn, w.entry, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case w.place != nil:
		w.queue.waiting.Remove(w.place)
		w.place = nil
	case w.turn != nil:
		w.turn.pass()
	}
	return nil, nil, context.Cause(ctx)
}

// Share gives the answer to all who wait, if it may be theirs as well: it may be stored, and either is fresh for a request like this, or
// doesn't say for how long it is and is no error. (A cache may choose how long such a response is fresh; here it is as long as they wait.)
// Otherwise all of them go out by themselves. Unless the response is a passing failure, its URL isn't collapsed for 10 seconds
// then, so that requests don't wait for nothing.
func (t *Turn) Share(r *Request, status int, header http.Header, body []byte, note any, sent, received time.Time) {
	e, ok := t.c.newEntry(r, status, header, body, sent, received)
	if ok && e.explicit {
		want := requestDirectives(r.Header)
		ok = e.stateFor(&want, t.c.now()) != Stale
	} else if ok {
		ok = !e.says.noCache && status < 500
	}
	if !ok {
		t.end(nil, !passing(status))
		return
	}
	e.Note = note
	t.end(e, false)
}

// Fail lets those who wait go out by themselves.
func (t *Turn) Fail() { t.end(nil, false) }

// Leave lets the first of those who wait take the turn, and the others wait for that one: the caller has stopped for reasons of its own.
func (t *Turn) Leave() {
	g := &t.c.collapsing
	g.mu.Lock()
	defer g.mu.Unlock()
	t.pass()
}

// pass is Leave under the lock.
func (t *Turn) pass() {
	if t.ended {
		return
	}
	t.ended = true
	g, q := &t.c.collapsing, t.queue
	first := q.waiting.Front()
	if first == nil {
		g.remove(q)
		return
	}
	q.started = g.now()
	g.settle(first, &Turn{c: t.c, queue: q}, nil)
}

// end settles all who wait.
func (t *Turn) end(e *Entry, alone bool) {
	g, q := &t.c.collapsing, t.queue
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.ended {
		return
	}
	t.ended = true
	g.remove(q)
	g.settleAll(q, e)
	if alone {
		g.leaveAlone(q.url)
	}
}

func (g *collapsing) settle(place *list.Element, turn *Turn, e *Entry) {
	w := place.Value.(*waiter)
	w.queue.waiting.Remove(place)
	w.place, w.turn, w.entry = nil, turn, e
	close(w.ready)
}

func (g *collapsing) settleAll(q *queue, e *Entry) {
	for q.waiting.Len() > 0 {
		g.settle(q.waiting.Front(), nil, e)
	}
}

// remove forgets a queue, unless another has taken its place.
func (g *collapsing) remove(q *queue) {
	if g.queues[q.key] == q {
		delete(g.queues, q.key)
	}
}

// leaveAlone has requests to a URL go out by themselves for a while.
func (g *collapsing) leaveAlone(url digest) {
	now := g.now()
	if len(g.alone) >= maxAlone {
		for other, until := range g.alone {
			if !now.Before(until) {
				delete(g.alone, other)
			}
		}
		for other := range g.alone { // whichever: it will be found out again
			if len(g.alone) < maxAlone {
				break
			}
			delete(g.alone, other)
		}
	}
	g.alone[url] = now.Add(aloneFor)
}

func (g *collapsing) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, q := range g.queues {
		g.settleAll(q, nil)
	}
	clear(g.queues)
	clear(g.alone)
}
