package host

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// strain is the gate's eye on the processors. Every few milliseconds, as long as there is anybody, it looks how long goroutines that could run
// had to wait for a processor: as long as that is more than it should be, places are taken away, and given back afterwards. See RATIONALE.md,
// "When is the server overloaded?". The gate's lock guards it.
type strain struct {
	delays func() (n int, sum time.Duration) // what goroutines have waited since the last call, and how many did; it isn't guarded, only tick calls it

	timer   *time.Timer // nil: it doesn't look
	stopped bool
	n, sum  float64   // of the last ticks, the older ones counting less
	calm    time.Time // when it was last less than it may be
	said    Refused   // what the log tells
	saidAt  time.Time
}

const (
	// strainTick is how often it's looked at. That costs a microsecond.
	strainTick = 10 * time.Millisecond
	// strainDelay is what goroutines may wait for a processor on average. A request does so some ten times on its way.
	strainDelay = 2 * time.Millisecond
	// strainTime is how long they must have waited for more before there are fewer places: a burst that is over within that isn't an overload.
	strainTime = time.Second
	// strainWait is how long one may be expected to wait even then.
	strainWait = 5 * time.Millisecond
	// handfulWait is how long, if there are few.
	handfulWait = 50 * time.Millisecond
	// standingMost is how long who is next may have been waiting, before others are refused in a strain.
	standingMost = 100 * time.Millisecond
)

// sayTime is how often the log tells that invocations were refused.
const sayTime = 10 * time.Second

// fewest places are left for each processor, so that none is ever without work, and as many of each plugin may wait even then.
const fewest = 2

// handful is how many may wait for each processor in a strain, if they needn't for long.
const handful = 16

// watch begins to look, if it doesn't yet.
func (s *strain) watch(g *gate) {
	if s.timer != nil || s.stopped {
		return
	}
	s.calm = time.Now()
	s.n, s.sum = 0, 0
	s.timer = time.AfterFunc(strainTick, g.tick)
}

// tick looks once, and then again as long as there is somebody, or places are missing.
func (g *gate) tick() {
	s := &g.strain
	n, sum := s.delays()
	g.mu.Lock()
	if s.stopped {
		g.mu.Unlock()
		return
	}
	now := time.Now()
	g.adjust(now, n, sum)
	g.serve(now)
	if g.waiting > 0 {
		g.expire(now)
	}
	idle := g.running+g.waiting == 0 && g.places == g.most
	if idle {
		s.timer = nil
	} else {
		s.timer.Reset(strainTick)
	}
	before, after, places := s.said, g.refused, g.places
	tell := before != after && (idle || now.Sub(s.saidAt) >= sayTime)
	if tell {
		s.said, s.saidAt = after, now
	}
	g.mu.Unlock()
	if tell {
		g.log.Warn("invocations were refused", "queue_full", after.Full-before.Full, "pushed_out", after.Pushed-before.Pushed,
			"too_late", after.Late-before.Late, "processors", after.Strain-before.Strain, "memory", after.Memory-before.Memory, "places", places)
	}
}

// adjust takes places away, or gives them back: a sixteenth at once.
func (g *gate) adjust(now time.Time, n int, sum time.Duration) {
	s := &g.strain
	s.n, s.sum = s.n*3/4+float64(n), s.sum*3/4+float64(sum)
	least := min(fewest*runtime.GOMAXPROCS(0), g.most)
	switch {
	case s.n < 1 || s.sum <= s.n*float64(strainDelay):
		s.calm = now
		g.places = min(g.places+max(g.places/16, 1), g.most)
	case now.Sub(s.calm) >= strainTime || g.places < g.most:
		// What isn't used isn't what was too much; and who has yet to leave isn't counted again.
		g.places = min(g.places, max(g.running-max(g.running/16, 1), least))
	}
}

// stop ends the looking.
func (g *gate) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.strain.stopped = true
	if g.strain.timer != nil {
		g.strain.timer.Stop()
	}
}

// delays are how long goroutines waited for a processor, as Go's runtime counts one in eight of them.
type delays struct {
	sample [1]metrics.Sample
	last   []uint64
}

// read returns how many were counted since the last call, and what they waited together.
func (d *delays) read() (n int, sum time.Duration) {
	d.sample[0].Name = "/sched/latencies:seconds"
	metrics.Read(d.sample[:])
	if d.sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0, 0
	}
	h := d.sample[0].Value.Float64Histogram()
	if d.last == nil {
		d.last = make([]uint64, len(h.Counts))
	}
	for i, c := range h.Counts {
		if more := c - d.last[i]; more > 0 {
			n += int(more)
			sum += time.Duration(float64(more) * max(h.Buckets[i], 0) * float64(time.Second)) // the last bucket's upper end is infinite
		}
	}
	copy(d.last, h.Counts)
	return n, sum
}
