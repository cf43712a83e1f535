package fetch

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestSlotsAreSharedInTurn: clients take turns, and within a client its sessions do, however many stand in line.
func TestSlotsAreSharedInTurn(t *testing.T) {
	for _, c := range []struct{ name, arrive, want string }{
		{"one session is served in its order", "a1 a1 a1", "a1 a1 a1"},
		{"clients take turns", "a1 a1 a1 b1 b1", "a1 b1 a1 b1 a1"},
		{"sessions of a client share its turns", "a1 a1 a1 a2 b1 b1 b1", "a1 b1 a2 b1 a1 b1 a1"},
		{"a newcomer isn't behind all of the greedy", "a1 a2 a3 a4 b1", "a1 b1 a2 a3 a4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFairSlots(1, new(atomic.Int32))
				sessions, clients := map[string]*slots{}, map[byte]*Client{}
				holder := party{&Client{}, newSlots(1)}
				s.acquire(context.Background(), holder)
				var order []string
				for who := range strings.SplitSeq(c.arrive, " ") {
					if sessions[who] == nil {
						sessions[who] = newSlots(1)
					}
					if clients[who[0]] == nil {
						clients[who[0]] = &Client{}
					}
					p := party{clients[who[0]], sessions[who]}
					go func() {
						s.acquire(context.Background(), p)
						order = append(order, who)
						s.release(p)
					}()
					synctest.Wait()
				}
				s.release(holder)
				synctest.Wait()
				if got := strings.Join(order, " "); got != c.want {
					t.Errorf("served %s, want %s", got, c.want)
				}
				if s.inUse() != 0 || s.clients.Len() != 0 || len(s.lines) != 0 {
					t.Error("something is left over")
				}
			})
		})
	}
}

// TestSlotsKeptFromTheGreedy: the last sixteenth isn't for who holds a sixteenth, unless nobody else is at work.
func TestSlotsKeptFromTheGreedy(t *testing.T) {
	t.Parallel()
	var working atomic.Int32
	s := newFairSlots(160, &working)
	greedy, modest := party{&Client{}, newSlots(1)}, party{&Client{}, newSlots(1)}
	take := func(p party) (n int) {
		for s.tryAcquire(p) {
			n++
		}
		return n
	}
	working.Store(2)
	if n := take(greedy); n != 150 {
		t.Errorf("the greedy got %d", n)
	}
	if n := take(modest); n != 10 {
		t.Errorf("the modest got %d", n)
	}
	for range 10 {
		s.release(modest)
	}
	working.Store(1)
	if n := take(greedy); n != 10 {
		t.Errorf("alone, the greedy got %d more", n)
	}
	for range 160 {
		s.release(greedy)
	}
	if s.inUse() != 0 || len(s.held) != 0 {
		t.Errorf("%d in use, held %v", s.inUse(), s.held)
	}
}

// TestTheGreedyWaitBehind: one who is held back doesn't stand in the way of one who isn't.
func TestTheGreedyWaitBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var working atomic.Int32
		working.Store(2)
		s := newFairSlots(64, &working)
		greedy, modest := party{&Client{}, newSlots(1)}, party{&Client{}, newSlots(1)}
		for range 60 {
			s.acquire(context.Background(), greedy)
		}
		waiting := make(chan struct{})
		go func() { s.acquire(context.Background(), greedy); close(waiting) }()
		synctest.Wait()
		if !s.tryAcquire(modest) {
			t.Fatal("the modest has to wait for the greedy")
		}
		s.release(modest)
		select {
		case <-waiting:
			t.Error("the greedy got a slot that is kept from it")
		default:
		}
		s.release(greedy)
		<-waiting
	})
}
