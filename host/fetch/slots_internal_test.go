package fetch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestSlotsAreFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		if err := s.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		var order []int
		for i := range 5 {
			go func() {
				if err := s.acquire(context.Background()); err != nil {
					t.Error(err)
				}
				order = append(order, i)
				s.release()
			}()
			synctest.Wait() // it stands in the queue
		}
		if s.tryAcquire() {
			t.Error("somebody overtook the queue")
		}
		s.release()
		synctest.Wait()
		for i, got := range order {
			if i != got {
				t.Fatalf("order %v", order)
			}
		}
		if len(order) != 5 || s.inUse() != 0 {
			t.Errorf("%d had their turn, %d in use", len(order), s.inUse())
		}
	})
}

func TestSlotsWaitIsCancellable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		s.acquire(t.Context())
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		failed := make(chan error, 1)
		go func() { failed <- s.acquire(ctx) }()
		served := make(chan error, 1)
		synctest.Wait()
		go func() { served <- s.acquire(context.Background()) }()
		synctest.Wait()
		cancel(cause)
		if err := <-failed; err != cause {
			t.Errorf("got %v", err)
		}
		s.release()
		if err := <-served; err != nil {
			t.Errorf("the waiter behind the cancelled one: %v", err)
		}
		s.release()
		if s.inUse() != 0 {
			t.Errorf("%d in use", s.inUse())
		}
	})
}

// TestSlotsUnderFire cancels waiters at the very moments slots are given to them.
func TestSlotsUnderFire(t *testing.T) {
	t.Parallel()
	const limit = 3
	o, process := newOrigins(limit, new(atomic.Int32)), newFairSlots(4, new(atomic.Int32))
	var holding, most atomic.Int32
	var wg sync.WaitGroup
	clients := []*Client{{}, {}, {}}
	for n := range 50 {
		session := newSlots(2)
		for range 8 {
			wg.Go(func() {
				for range 20 {
					ctx, cancel := context.WithCancel(context.Background())
					timer := time.AfterFunc(time.Duration(rand.IntN(200))*time.Microsecond, cancel)
					h := hold{party: party{clients[n%len(clients)], session}, origins: o, origin: "http://a", process: process}
					if h.acquire(func() context.Context { return ctx }) == nil {
						n := holding.Add(1)
						for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
						}
						holding.Add(-1)
						h.release()
					}
					timer.Stop()
					cancel()
				}
			})
		}
	}
	wg.Wait()
	if m := most.Load(); m > limit {
		t.Errorf("%d held a slot of one origin at once", m)
	}
	if process.inUse() != 0 || process.clients.Len() != 0 || o.open["http://a"].users != 0 || o.open["http://a"].inUse() != 0 {
		t.Errorf("left over: %d process slots, %+v", process.inUse(), o.open["http://a"])
	}
}

func TestSlotGivenBackTwicePanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	newSlots(1).release()
}

// TestIdleOriginsAreBounded: naming origins doesn't take memory.
func TestIdleOriginsAreBounded(t *testing.T) {
	t.Parallel()
	o := newOrigins(1, new(atomic.Int32))
	for i := range 10 * maxIdleOrigins {
		name := fmt.Sprint(i)
		o.leave(name, o.enter(name))
	}
	if n := len(o.open); n > maxIdleOrigins {
		t.Errorf("%d origins are kept", n)
	}
}
