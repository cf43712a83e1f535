package server

import (
	"context"
	"sync"
)

// turns are locks by name that can be waited for until a context ends. Whoever holds one holds up nobody with another name.
type turns struct {
	mu    sync.Mutex
	taken map[string]*turn
}

type turn struct {
	place chan struct{} // holds one while it's taken
	users int           // who has it or waits for it
}

// take returns when it's the caller's turn, with what ends it.
func (t *turns) take(ctx context.Context, name string) (end func(), err error) {
	t.mu.Lock()
	if t.taken == nil {
		t.taken = map[string]*turn{}
	}
	mine := t.taken[name]
	if mine == nil {
		mine = &turn{place: make(chan struct{}, 1)}
		t.taken[name] = mine
	}
	mine.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(t.taken, name)
		}
	}
	select {
	case mine.place <- struct{}{}:
		return func() { <-mine.place; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
