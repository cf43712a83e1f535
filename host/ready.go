package host

import (
	"context"
	"math"
	"runtime"
	"sync"
)

// ready keeps instances made ahead, of a plugin whose memory can't be an image. Each is taken once; another is then made in the background, so that a caller
// pays for making one only when callers come faster than that.
type ready struct {
	plugin *Plugin
	stock  chan *prepared
	ctx    context.Context // ends with close
	stop   context.CancelFunc
	making sync.WaitGroup
	mu     sync.Mutex // guards closed and the start of making
	closed bool
	unhook func() // from the memory's pressure
	busy   bool   // an instance is being made in the background
}

func newReady(p *Plugin, first *prepared) *ready {
	ctx, stop := context.WithCancel(context.Background())
	r := &ready{plugin: p, stock: make(chan *prepared, runtime.GOMAXPROCS(0)), ctx: ctx, stop: stop}
	r.stock <- first
	r.unhook = p.rt.memory.OnPressure(r.drop)
	return r
}

// drop discards what was made ahead until so many bytes are given back, and tells how many were.
func (r *ready) drop(bytes int64) (dropped int64) {
	for dropped < bytes {
		select {
		case p := <-r.stock:
			dropped += p.quota.Charged()
			p.discard()
		default:
			return dropped
		}
	}
	return dropped
}

// take returns an instance, made ahead if there is one.
func (r *ready) take(ctx context.Context) (*prepared, error) {
	defer r.refill()
	select {
	case p := <-r.stock:
		return p, nil
	default:
		return r.plugin.instantiate(ctx, nil)
	}
}

// give discards an instance that has been used.
func (r *ready) give(p *prepared, _ bool) { p.discard() }

// trim does nothing: what is made ahead is no more than there are processors.
func (r *ready) trim() {}

// refill makes instances in the background until the stock is full, one at a time.
func (r *ready) refill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.busy {
		return
	}
	r.busy = true
	r.making.Add(1)
	go r.fill()
}

func (r *ready) fill() {
	defer r.making.Done()
	for {
		r.mu.Lock()
		if r.closed || len(r.stock) == cap(r.stock) {
			r.busy = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		p, err := r.make()
		if err != nil {
			if r.ctx.Err() == nil {
				// Nobody waits for it: the next invocation makes its own and answers with what is wrong.
				r.plugin.rt.cfg.Log.Warn("no instance could be made ahead", "plugin", r.plugin.src.Name, "err", err)
			}
			r.mu.Lock()
			r.busy = false
			r.mu.Unlock()
			return
		}
		r.stock <- p // has room: only this goroutine puts
	}
}

// make makes an instance in the background, not more at once in the process than there are processors: callers go first.
func (r *ready) make() (*prepared, error) {
	if err := r.plugin.rt.ahead.Acquire(r.ctx, 1); err != nil {
		return nil, err
	}
	defer r.plugin.rt.ahead.Release(1)
	return r.plugin.instantiate(r.ctx, nil)
}

// close discards what was made ahead.
func (r *ready) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	r.unhook()
	r.making.Wait()
	r.drop(math.MaxInt64)
}
