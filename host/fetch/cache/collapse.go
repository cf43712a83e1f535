package cache

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// collapsing lets one of several identical requests go out for all of them.
type collapsing struct {
	now func() time.Time

	mu    sync.Mutex
	turns map[string]*Turn
	alone map[string]time.Time // requests whose answers can't be shared, until when they aren't collapsed
}

const (
	aloneFor = 10 * time.Second
	maxAlone = 1024
)

func (c *collapsing) init(now func() time.Time) {
	c.now, c.turns, c.alone = now, make(map[string]*Turn), make(map[string]time.Time)
}

// Turn is the one request that goes out. It has to end in one of its methods.
type Turn struct {
	c    *collapsing
	key  string
	done chan struct{} // closed when the rest is known
	e    *Entry        // nil: nothing to share
	next bool          // whether somebody else should try
}

// Join tells what a request is among those that are identical, in their whole header too: the one to go out (a Turn), one that has its
// answer from another (an Entry), or, with neither, one that goes out by itself. It waits until ctx ends, and then returns its
// cause.
func (c *Cache) Join(ctx context.Context, r *Request) (*Turn, *Entry, error) {
	key := c.wholeKey(r)
	for {
		turn, lead := c.collapsing.join(key)
		if lead || turn == nil {
			return turn, nil, nil
		}
		select {
		case <-turn.done:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
		if !turn.next {
			return nil, turn.e, nil
		}
	}
}

func (c *collapsing) join(key string) (t *Turn, lead bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if until, ok := c.alone[key]; ok {
		if c.now().Before(until) {
			return nil, false
		}
		delete(c.alone, key)
	}
	if t := c.turns[key]; t != nil {
		return t, false
	}
	t = &Turn{c: c, key: key, done: make(chan struct{})}
	c.turns[key] = t
	return t, true
}

func (t *Turn) end(alone bool) {
	c := t.c
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.turns, t.key)
	if alone {
		if len(c.alone) >= maxAlone {
			clear(c.alone)
		}
		c.alone[t.key] = c.now().Add(aloneFor)
	}
	close(t.done)
}

// Share gives the answer to all who wait, if it may be theirs as well: not if it says that it isn't to be stored or used again without
// asking, sets a cookie, or varies by what can't be known. Others then go out by themselves, and for a while aren't collapsed at all, so that
// they don't wait for nothing. A response with a 5xx isn't shared either.
func (t *Turn) Share(r *Request, status int, header http.Header, body []byte, note any, sent, received time.Time) {
	e, ok := newEntry(r, status, header, body, sent, received)
	if !ok && heuristically[status] || ok && (e.directives.NoCachePresent || e.directives.MaxAge == 0 && e.directives.StaleWhileRevalidate <= 0) {
		t.end(true)
		return
	}
	if ok && status < 500 {
		e.Note = note
		t.e = e
	}
	t.end(false)
}

// Fail lets those who wait go out by themselves.
func (t *Turn) Fail() { t.end(false) }

// Leave lets one of those who wait take the turn: the caller has stopped for reasons of its own.
func (t *Turn) Leave() {
	t.next = true
	t.end(false)
}
