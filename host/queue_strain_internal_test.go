package host

import (
	"bytes"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// While goroutines wait for a processor for too long there are fewer places, and fewer wait; afterwards all are back, soon.
func TestStrainTakesPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 64, 1000)
		l := c.lane("a", 0)
		all := c.come(l, 40)
		c.late.Store(int64(10 * time.Millisecond))
		c.sleep(strainTime / 2)
		if s := c.stats(); s.Places != 64 {
			t.Errorf("%d places after a burst", s.Places)
		}
		c.late.Store(0)
		c.sleep(strainTime)
		c.late.Store(int64(10 * time.Millisecond))
		burst := c.come(l, 60) // 36 of them wait
		c.sleep(2 * strainTime)
		s := c.stats()
		if s.Places >= 64 || s.Places < 50 {
			t.Errorf("%d places while 64 run", s.Places)
		}
		wantOverloaded(t, c.comes(t.Context(), l).err())
		wantOverloaded(t, c.peek(l, time.Now().Add(time.Hour)))
		if c.want(64, 36); c.stats().Refused != (Refused{Strain: 2}) {
			t.Errorf("who waits stays, %+v are refused", c.stats().Refused)
		}
		all = append(all, burst...)
		for _, one := range all { // as many as could run, and few more
			if one.place() != nil {
				c.leaves(one)
			}
			c.sleep(strainTick)
		}
		s = c.stats()
		if least := fewest * runtime.GOMAXPROCS(0); s.Places < least || s.Places > 2*least {
			t.Errorf("%d places in the end", s.Places)
		}

		c.late.Store(0)
		c.sleep(time.Second)
		if s := c.stats(); s.Places != 64 {
			t.Errorf("%d places a second later", s.Places)
		}
		for _, one := range all {
			if one.place() != nil {
				c.leaves(one)
			}
		}
		c.want(0, 0)
		c.sleep(2 * strainTick)
		if c.mu.Lock(); c.strain.timer != nil {
			t.Error("it still looks, for nobody")
		}
		c.mu.Unlock()
	})
}

// Twice what can be done comes, from one plugin, for twelve seconds; now and then another's. Of the first's, as many are served as can be, none of them
// late, and the rest is told so at once. The second's are served.
func TestOverload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 256, 1024)
		const capacity, served = 100, 80 * time.Millisecond // a second; each while no more than eight run
		var mu sync.Mutex
		c.strain.delays = func() (int, time.Duration) { // the more run, the longer they wait
			return 10, 10 * time.Duration(c.stats().InUse) * 250 * time.Microsecond
		}
		done, refused, worst := map[*lane]int{}, map[*lane]int{}, map[*lane]time.Duration{}
		visit := func(l *lane) {
			came := time.Now()
			p, err := c.enter(t.Context(), l, came.Add(30*time.Second))
			if err != nil {
				wantOverloaded(t, err)
				mu.Lock()
				defer mu.Unlock()
				if refused[l]++; time.Since(came) > 0 {
					t.Errorf("refused after %s", time.Since(came))
				}
				return
			}
			c.mu.Lock()
			slower := max(float64(c.running)/(capacity*served.Seconds()), 1)
			c.mu.Unlock()
			time.Sleep(time.Duration(float64(served) * slower))
			c.leave(p)
			mu.Lock()
			defer mu.Unlock()
			done[l]++
			worst[l] = max(worst[l], time.Since(came))
		}
		flood, quiet := c.lane("flood", 0), c.lane("quiet", 0)
		var group sync.WaitGroup
		comes := func(from, to time.Duration, each time.Duration, l *lane) {
			group.Go(func() {
				for at := from; at < to; at += each {
					group.Go(func() { visit(l) })
					time.Sleep(each)
				}
			})
		}
		comes(0, 12*time.Second, time.Second/(2*capacity), flood)
		time.Sleep(4 * time.Second)
		mu.Lock()
		clear(worst) // until then it was a burst
		mu.Unlock()
		comes(4*time.Second, 12*time.Second, time.Second, quiet)
		group.Wait()
		t.Logf("served %d and %d, refused %d and %d, at worst after %s and %s", done[flood], done[quiet], refused[flood], refused[quiet], worst[flood], worst[quiet])
		if n := done[flood] + done[quiet]; n < 10*capacity || n > 13*capacity {
			t.Errorf("%d were served", n)
		}
		if done[quiet] != 8 || refused[quiet] != 0 {
			t.Errorf("of the other plugin %d were served and %d refused", done[quiet], refused[quiet])
		}
		if worst[flood] > 5*served || worst[quiet] > 5*served {
			t.Errorf("it took up to %s and %s", worst[flood], worst[quiet])
		}
		time.Sleep(time.Second)
		if c.want(0, 0); c.stats().Places != 256 {
			t.Errorf("%d places afterwards", c.stats().Places)
		}
	})
}

// What Go's runtime says of its goroutines can be read.
func TestDelaysAreRead(t *testing.T) {
	t.Parallel()
	d := new(delays)
	d.read()
	n, sum := 0, time.Duration(0)
	for range 1000 {
		var group sync.WaitGroup
		for range 32 {
			group.Go(runtime.Gosched)
		}
		group.Wait()
		more, waited := d.read()
		if more < 0 || waited < 0 {
			t.Fatalf("%d goroutines waited %s", more, waited)
		}
		n, sum = n+more, sum+waited
	}
	if n == 0 || sum <= 0 {
		t.Errorf("%d goroutines waited %s", n, sum)
	}
}

// The log tells of refusals, once in a while and when all is quiet.
func TestRefusalsAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 1, 0)
		log := new(bytes.Buffer)
		c.log = slog.New(slog.NewTextHandler(log, nil))
		l := c.lane("a", 0)
		one := c.comes(t.Context(), l)
		for range 25 {
			c.comes(t.Context(), l)
			c.sleep(time.Second)
		}
		if n := strings.Count(log.String(), "invocations were refused"); n != 3 {
			t.Errorf("told %d times in 25 s: %s", n, log)
		}
		c.leaves(one)
		c.sleep(2 * strainTick)
		total := 0
		for line := range strings.Lines(log.String()) {
			_, counts, _ := strings.Cut(line, "queue_full=")
			var n int
			if _, err := fmt.Sscan(counts, &n); err != nil {
				t.Errorf("%v in %s", err, line)
			}
			total += n
		}
		if total != 25 {
			t.Errorf("told of %d: %s", total, log)
		}
	})
}

// How many may wait in a strain: for each row, so many already do, and the next would have to wait for so long.
func TestTooMany(t *testing.T) {
	t.Parallel()
	processors := runtime.GOMAXPROCS(0)
	now := time.Now()
	for _, row := range []struct {
		waiting  int
		wait     time.Duration
		standing time.Duration
		want     bool
	}{
		{fewest*processors - 1, time.Minute, time.Minute, false}, // a few always may
		{fewest * processors, 30 * time.Millisecond, 0, false},   // a handful may for a while
		{fewest * processors, handfulWait + 1, 0, true},
		{fewest * processors, 30 * time.Millisecond, standingMost + 1, true}, // the queue doesn't move
		{handful*processors - 1, 30 * time.Millisecond, 0, false},
		{handful * processors, 30 * time.Millisecond, 0, true},
		{100 * processors, strainWait, 0, false}, // they are served in no time
	} {
		g := newGate(1000, 10000, slog.New(slog.DiscardHandler))
		g.places = fewest * processors
		l := &lane{busy: true}
		g.busy = 1
		for range row.waiting {
			l.queue = append(l.queue, &waiter{since: now.Add(-row.standing)})
		}
		if got := g.tooMany(l, row.wait, now); got != row.want {
			t.Errorf("%d wait, the first for %s, the next would for %s: %v", row.waiting, row.standing, row.wait, got)
		}
	}
}
