package host

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sortie-run/sortie/host/internal/guest"
	"github.com/sortie-run/sortie/host/internal/image"
	"github.com/sortie-run/sortie/host/internal/memory"
)

// prepared is an instance that waits for an invocation.
type prepared struct {
	instance
	quota *memory.Quota
	log   *guest.Log // what it printed while it started
	from  *snapshot  // what it is brought back to; nil: it is used once, or keeps its state

	streamsRequest bool // what it asked for then
}

// discard closes the instance and lets go of it, so that its memory can be given back at once.
func (p *prepared) discard() {
	p.close()
	p.quota.Release()
	p.instance = nil
	if p.from != nil {
		p.from.release()
		p.from = nil
	}
}

// supply is where invocations get their instances from.
type supply interface {
	take(ctx context.Context) (*prepared, error)
	// give takes an instance back. It is whole if the guest returned by itself.
	give(p *prepared, whole bool)
	// trim lets go of what hasn't been needed lately.
	trim()
	close()
}

// pool keeps instances for the next invocations: brought back to the plugin's snapshot, or, if the manifest says `isolation: pooled`,
// as the last one left them. It has as many as were in use at once lately. See RATIONALE.md, "How many instances does a plugin keep?".
type pool struct {
	plugin *Plugin

	mu     sync.Mutex
	idle   []*prepared // the one used last is at the end: its pages are warm
	inUse  int
	most   int       // in use at once, in this period
	before int       // and in the one before
	from   *snapshot // nil: instances keep their state
	closed bool

	growth  growth
	retakes sync.WaitGroup
	ctx     context.Context // ends with close
	stop    context.CancelFunc
	unhook  func() // from the memory's pressure
}

func newPool(p *Plugin, from *snapshot, first *prepared) *pool {
	ctx, stop := context.WithCancel(context.Background())
	l := &pool{plugin: p, from: from, idle: []*prepared{first}, most: 1, ctx: ctx, stop: stop}
	l.unhook = p.rt.memory.OnPressure(l.drop)
	return l
}

func (l *pool) take(ctx context.Context) (*prepared, error) {
	l.mu.Lock()
	l.inUse++
	l.most = max(l.most, l.inUse)
	if n := len(l.idle); n > 0 {
		p := l.idle[n-1]
		l.idle[n-1] = nil
		l.idle = l.idle[:n-1]
		l.mu.Unlock()
		return p, nil
	}
	from := l.from
	if from != nil {
		from.hold()
	}
	l.mu.Unlock()
	p, err := l.plugin.instantiate(ctx, from)
	if err != nil {
		l.mu.Lock()
		l.inUse--
		l.mu.Unlock()
	}
	return p, err
}

// give brings an instance back to its snapshot and keeps it, if as many were in use at once lately.
func (l *pool) give(p *prepared, whole bool) {
	if p.from != nil {
		l.grew(p)
	}
	keep := whole && (p.from == nil || l.current(p.from) && l.restore(p))
	l.mu.Lock()
	l.inUse--
	if keep && !l.closed && p.from == l.from && l.inUse+len(l.idle) < max(l.most, l.before) {
		l.idle = append(l.idle, p)
		p = nil
	}
	l.mu.Unlock()
	if p != nil {
		p.discard()
	}
}

// restore brings an instance back to its snapshot, and takes note of what it has of its own by now: those pages stay.
func (l *pool) restore(p *prepared) bool {
	own, err := p.restore()
	if err != nil {
		return false
	}
	if p.from.images[len(p.from.images)-1].Method() <= image.Scan {
		p.quota.Settle(own + around)
		p.from.usual.Store(own + around)
	}
	return true
}

func (l *pool) current(s *snapshot) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.from == s
}

// trim begins a new period, and discards what two periods haven't needed.
func (l *pool) trim() {
	l.mu.Lock()
	l.before, l.most = l.most, l.inUse
	n := max(l.most, l.before) - l.inUse
	var gone []*prepared
	if len(l.idle) > n {
		// Those used longest ago are at the front.
		gone = append(gone, l.idle[:len(l.idle)-n]...)
		clear(l.idle[copy(l.idle, l.idle[len(l.idle)-n:]):])
		l.idle = l.idle[:n]
	}
	l.mu.Unlock()
	for _, p := range gone {
		p.discard()
	}
}

// drop discards idle instances, those used longest ago first, until so many bytes are given back, and tells how many were.
func (l *pool) drop(bytes int64) (dropped int64) {
	for dropped < bytes {
		l.mu.Lock()
		if len(l.idle) == 0 {
			l.mu.Unlock()
			break
		}
		p := l.idle[0]
		l.idle = slices.Delete(l.idle, 0, 1)
		l.mu.Unlock()
		dropped += p.quota.Charged()
		p.discard()
	}
	return dropped
}

func (l *pool) close() {
	l.stop()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.unhook()
	l.retakes.Wait()
	l.drop(math.MaxInt64)
	if l.from != nil {
		l.from.release()
	}
}

// growth tells whether a plugin's invocations grow past its image as a rule. They lose their instance each time.
type growth struct {
	runs, grown atomic.Int32
	most        atomic.Int64 // bytes
	retaken     int          // how often; guarded by the pool's lock
	busy        bool         // the same
}

const (
	growthRuns = 8 // looked at together
	retakeMost = 3 // so often an image is taken anew: each is larger
)

// grew takes note of an instance that has been used, and has the image taken anew if half of the last ones have grown: from a clean start, with
// room for what they needed.
func (l *pool) grew(p *prepared) {
	g := &l.growth
	if by := p.quota.Grown(); by > 0 {
		g.grown.Add(1)
		for most := g.most.Load(); by > most && !g.most.CompareAndSwap(most, by); most = g.most.Load() {
		}
	}
	if g.runs.Add(1)%growthRuns != 0 {
		return
	}
	normal := g.grown.Swap(0)*2 >= growthRuns
	if !normal || !p.from.roomy {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || g.busy || g.retaken == retakeMost || l.from != p.from {
		return
	}
	g.busy = true
	g.retaken++
	room := p.from.room + int(g.most.Load()) // by then the instance has been discarded
	l.retakes.Go(func() { l.retake(room) })
}

// retake replaces the snapshot. Instances of the former one are discarded as they come back.
func (l *pool) retake(room int) {
	fresh, first, err := l.plugin.snapshot(l.ctx, room)
	l.mu.Lock()
	l.growth.busy = false
	if err != nil || l.closed {
		l.mu.Unlock()
		if err == nil {
			first.discard()
			fresh.release()
		} else if l.ctx.Err() == nil {
			l.plugin.rt.cfg.Log.Warn("no larger image could be taken", "plugin", l.plugin.src.Name, "err", err)
		}
		return
	}
	former, idle := l.from, l.idle
	l.from, l.idle = fresh, []*prepared{first}
	l.mu.Unlock()
	for _, p := range idle {
		p.discard()
	}
	former.release()
}

// trimEach is how long a period is: an idle instance is kept for one at least and two at most.
const trimEach = 10 * time.Second
