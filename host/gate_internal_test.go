package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// crowd is a gate and those who come to it.
type crowd struct {
	t *testing.T
	*gate
	late atomic.Int64 // what goroutines wait for a processor, as the gate is told
}

func newCrowd(t *testing.T, places, queue int) *crowd {
	c := &crowd{t: t, gate: newGate(places, queue, slog.New(slog.DiscardHandler))}
	c.strain.delays = func() (int, time.Duration) { return 10, 10 * time.Duration(c.late.Load()) }
	t.Cleanup(c.stop)
	return c
}

// comer is one invocation.
type comer struct{ became atomic.Pointer[became] }

// became is what became of one: nil while he waits.
type became struct {
	place *place // nil: he has left, or never had one
	err   error
}

func (o *comer) done() bool { return o.became.Load() != nil }

func (o *comer) place() *place {
	if b := o.became.Load(); b != nil {
		return b.place
	}
	return nil
}

func (o *comer) err() error {
	if b := o.became.Load(); b != nil {
		return b.err
	}
	return nil
}

func (o *comer) String() string {
	switch {
	case !o.done():
		return "waits"
	case o.place() != nil:
		return "runs"
	default:
		return fmt.Sprintf("has gone (%v)", o.err())
	}
}

// comes has somebody come who has an hour, and returns when he has his place, his error, or waits.
func (c *crowd) comes(ctx context.Context, l *lane) *comer { return c.hurries(ctx, l, time.Hour) }

// hurries has somebody come who has so long.
func (c *crowd) hurries(ctx context.Context, l *lane, left time.Duration) *comer {
	one, until := &comer{}, time.Now().Add(left)
	go func() {
		place, err := c.enter(ctx, l, until)
		one.became.Store(&became{place, err})
	}()
	synctest.Wait()
	return one
}

func (c *crowd) come(l *lane, n int) []*comer {
	var all []*comer
	for range n {
		all = append(all, c.comes(c.t.Context(), l))
	}
	return all
}

// sleep lets time pass.
func (c *crowd) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// leaves has somebody leave who has a place.
func (c *crowd) leaves(one *comer) {
	c.t.Helper()
	if one.place() == nil {
		c.t.Fatalf("has no place: %v", one.err())
	}
	c.leave(one.place())
	one.became.Store(&became{})
	synctest.Wait()
}

// in counts those that have a place.
func in(all []*comer) (n int) {
	for _, one := range all {
		if one.place() != nil {
			n++
		}
	}
	return n
}

// wantOverloaded checks that somebody was told so, and when to come again.
func wantOverloaded(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Code != CodeOverloaded || e.Status != 503 || e.RetryAfter < time.Second || e.RetryAfter > retryMost || e.RetryAfter%time.Second != 0 {
		t.Errorf("%+v (%T), want overloaded, and when to come again", err, err)
	}
}

func (c *crowd) want(running, waiting int) {
	c.t.Helper()
	if s := c.stats(); s.InUse != running || s.Queued != waiting {
		c.t.Errorf("%d run and %d wait, want %d and %d", s.InUse, s.Queued, running, waiting)
	}
}

func TestGateIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 2, 3)
		l := c.lane("a", 0)
		all := c.come(l, 5)
		c.want(2, 3)
		for range 10 {
			one := c.comes(t.Context(), l)
			wantOverloaded(t, one.err())
			wantOverloaded(t, c.peek(l, time.Now().Add(time.Hour)))
		}
		if r := c.stats().Refused; r != (Refused{Full: 20}) {
			t.Errorf("%+v", r)
		}
		for i := range 3 { // first come, first served
			c.leaves(all[i])
			if !all[i+2].done() || all[i+2].err() != nil || i < 2 && all[i+3].done() {
				t.Errorf("after %d have left: %+v, %+v", i+1, all[i+2], all[4])
			}
		}
		if err := c.peek(l, time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
		c.leaves(all[3])
		c.leaves(all[4])
		c.want(0, 0)
	})
}

// With no queue at all nobody waits.
func TestGateWithoutQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 1, 0)
		a, b := c.lane("a", 0), c.lane("b", 0)
		first := c.comes(t.Context(), a)
		wantOverloaded(t, c.comes(t.Context(), a).err())
		wantOverloaded(t, c.comes(t.Context(), b).err())
		c.leaves(first)
		c.want(0, 0)
	})
}

// A plugin's flood has all places and the whole queue. Another's request gets into the queue, at the flood's cost, and is the next to run.
func TestFloodMakesRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 4, 8)
		flood, quiet := c.lane("flood", 0), c.lane("quiet", 0)
		all := c.come(flood, 12)
		wantOverloaded(t, c.comes(t.Context(), flood).err())
		one := c.comes(t.Context(), quiet)
		c.want(4, 8)
		wantOverloaded(t, all[11].err()) // who came last goes
		if r := c.stats().Refused; one.done() || r != (Refused{Full: 1, Pushed: 1}) {
			t.Errorf("%+v, %+v", one, r)
		}
		c.leaves(all[0])
		if one.place() == nil || all[4].done() {
			t.Errorf("%+v; the flood: %+v", one, all[4])
		}
	})
}

// However many of one plugin wait, each of two has half of the places, and of the turns, and the queue is shared.
func TestPluginsShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 8, 20)
		lanes := []*lane{c.lane("flood", 0), c.lane("quiet", 0)}
		var running [2][]*comer
		all := [2][]*comer{c.come(lanes[0], 28), c.come(lanes[1], 10)}
		if a, b := len(lanes[0].queue), len(lanes[1].queue); a != 10 || b != 10 {
			t.Errorf("%d and %d wait", a, b)
		}
		var served [2]int
		for round := range 200 {
			for i := range all {
				running[i] = nil
				for _, one := range all[i] {
					if one.place() != nil {
						running[i] = append(running[i], one)
					}
				}
			}
			oldest := running[0][0]
			if round%2 == 1 && len(running[1]) > 0 {
				oldest = running[1][0]
			}
			before := [2]int{lanes[0].running, lanes[1].running}
			gone := oldest.place().lane
			c.leaves(oldest)
			for i, l := range lanes {
				n := l.running - before[i]
				if l == gone {
					n++
				}
				served[i] += n
				all[i] = append(all[i], c.come(l, 10-len(l.queue))...) // both queues stay full
			}
		}
		if lanes[0].running != 4 || lanes[1].running != 4 || served[0]+served[1] != 200 || served[0] < 95 || served[0] > 105 {
			t.Errorf("%d and %d run; %d and %d were served", lanes[0].running, lanes[1].running, served[0], served[1])
		}
	})
}

// Who waits for his own plugin's limit holds nothing that others need, but for a place in the queue.
func TestOwnLimitHoldsNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 2, 4)
		small, other := c.lane("small", 1), c.lane("other", 0)
		all := c.come(small, 3)
		c.want(1, 2)
		one := c.comes(t.Context(), other)
		if one.place() == nil {
			t.Errorf("%+v", one)
		}
		waits := c.comes(t.Context(), other)
		c.leaves(all[0])
		if in(all) != 1 || waits.done() {
			t.Error("a plugin's limit, or its turn, wasn't kept")
		}
		c.leaves(one)
		if waits.place() == nil || in(all) != 1 {
			t.Errorf("%+v", waits)
		}
	})
}

// lane is a plugin's that has no rate.
func (g *gate) lane(name string, limit int) *lane {
	l, _ := g.paced(name, limit, 0, 0)
	return l
}

// Versions of a plugin are one to the gate; it's forgotten with the last.
func TestVersionsShareALane(t *testing.T) {
	t.Parallel()
	g := newGate(1, 1, slog.New(slog.DiscardHandler))
	a, b := g.lane("a", 3), g.lane("a", 3)
	if a != b || a == g.lane("b", 0) {
		t.Error("lanes go by the plugin's name")
	}
	if g.forget(a); g.lanes["a"] == nil {
		t.Error("a version has its lane still")
	}
	if g.forget(b); g.lanes["a"] != nil {
		t.Error("nobody has that lane any more")
	}
}

// Invocations that don't end may have all places as long as their plugin is alone, and never those of another.
func TestLastPlacesAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 64, 100)
		flood, quiet, third := c.lane("flood", 0), c.lane("quiet", 0), c.lane("third", 0)
		one := c.comes(t.Context(), quiet)
		all := c.come(flood, 70)
		if n := in(all); n != 59 {
			t.Errorf("%d of the flood run beside another", n)
		}
		more := c.come(third, 3)
		if in(more) != 3 {
			t.Error("the last places are for those that have few")
		}
		for _, other := range append(more, one) {
			c.leaves(other)
		}
		if c.want(64, 6); in(all) != 64 {
			t.Errorf("%d of the flood run alone", in(all))
		}
	})
}

// A request is refused at once if its turn would come too late, which earlier ones tell.
func TestTooLateIsToldAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 1, 10)
		l := c.lane("a", 0)
		first := c.comes(t.Context(), l)
		c.sleep(4 * time.Second)
		c.leaves(first) // so that long it takes

		second := c.hurries(t.Context(), l, 5*time.Second)
		short := c.hurries(t.Context(), l, 3*time.Second)
		wantOverloaded(t, short.err())
		wantOverloaded(t, c.peek(l, time.Now().Add(3*time.Second)))
		if e, ok := errors.AsType[*Error](short.err()); !ok || e.RetryAfter != 4*time.Second {
			t.Errorf("it's asked to come again after %+v", short.err())
		}
		third := c.hurries(t.Context(), l, 5*time.Second)
		wantOverloaded(t, c.hurries(t.Context(), l, 7*time.Second).err())
		if r := c.stats().Refused; second.place() == nil || third.done() || r != (Refused{Late: 3}) {
			t.Errorf("%+v, %+v, %+v", second, third, r)
		}
	})
}

// When nothing ends any more, those far back in the queue are told before their time is over, and who is next when it is.
func TestWaitersLearnOfAHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 1, 10)
		l := c.lane("a", 0)
		first := c.comes(t.Context(), l)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var all []*comer
		for range 5 {
			all = append(all, c.hurries(ctx, l, 10*time.Second))
		}
		c.want(1, 5)
		c.sleep(2100 * time.Millisecond) // five would take longer than ten seconds
		if !all[4].done() || all[3].done() {
			t.Errorf("%+v, %+v", all[4], all[3])
		}
		c.sleep(7 * time.Second)
		if !all[1].done() || all[0].done() {
			t.Errorf("%+v, %+v", all[1], all[0])
		}
		c.sleep(time.Second)
		c.want(1, 0)
		for _, one := range all {
			wantOverloaded(t, one.err())
		}
		c.leaves(first)
		if c.comes(t.Context(), l).place() == nil {
			t.Error("the place is free")
		}
	})
}

// A stream of minutes among short invocations doesn't make the queue look longer than it is.
func TestAStreamIsNotAHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 2, 10)
		l := c.lane("a", 0)
		stream := c.comes(t.Context(), l)
		for range 1000 {
			one := c.comes(t.Context(), l)
			next := c.hurries(t.Context(), l, time.Second)
			c.sleep(200 * time.Millisecond)
			c.leaves(one)
			if next.err() != nil {
				t.Fatal(next.err())
			}
			c.leaves(next)
		}
		c.leaves(stream)
		if l.holds > 500*time.Millisecond {
			t.Errorf("a place is said to be held for %s", l.holds)
		}
	})
}

// Who goes while he waits leaves nothing behind, whenever he goes.
func TestCancelledWaitersHoldNothing(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 3, 20)
	lanes := []*lane{c.lane("a", 0), c.lane("b", 2), c.lane("c", 0)}
	var running, most atomic.Int64
	var group sync.WaitGroup
	for i := range 24 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range 300 {
				ctx, cancel := context.WithCancel(context.Background())
				if random.IntN(2) == 0 {
					go cancel()
				}
				p, err := c.enter(ctx, lanes[random.IntN(3)], time.Now().Add(time.Hour))
				if err == nil {
					n := running.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					running.Add(-1)
					c.leave(p)
				}
				cancel()
			}
		})
	}
	group.Wait()
	if c.want(0, 0); most.Load() > 3 {
		t.Errorf("%d ran at once", most.Load())
	}
	for _, l := range lanes {
		if l.running != 0 || len(l.queue) != 0 || l.busy {
			t.Errorf("%+v", l)
		}
	}
	if c.busy != 0 || len(c.turn) != 0 {
		t.Errorf("%d lanes are busy, %d have a turn", c.busy, len(c.turn))
	}
	for range 3 {
		if _, err := c.enter(context.Background(), lanes[0], time.Now()); err != nil {
			t.Error(err)
		}
	}
}

// TestPaceIsThePlugins has all versions of a plugin share its rate, over a reload too, and has the newest word of the operator count.
func TestPaceIsThePlugins(t *testing.T) {
	t.Parallel()
	g := newGate(1, 1, slog.New(slog.DiscardHandler))
	defer g.stop()
	_, first := g.paced("a", 0, 1, 2)
	_, second := g.paced("a", 0, 1, 2)
	_, other := g.paced("b", 0, 1, 2)
	if first != second || first == other {
		t.Error("versions have rates of their own, or plugins share one")
	}
	if !first.Allow() || !second.Allow() || first.Allow() || second.Allow() || !other.Allow() {
		t.Error("two at once, whichever version they are of")
	}
	if _, third := g.paced("a", 0, 5, 5); third != first || third.Limit() != 5 || third.Burst() != 5 || third.Allow() {
		t.Error("another rate began anew")
	}
	if _, none := g.paced("a", 0, 0, 0); none != nil {
		t.Error("no rate is one")
	}
}
