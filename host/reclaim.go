package host

import (
	"runtime/debug"
	"sync"
	"time"
)

// reclaimer returns memory to the system after a native stack overflowed, up to 400 MB each: left to itself Go's runtime keeps it for
// minutes. It collects garbage for that, so it waits a little for others and does it once for all. See RATIONALE.md, "What does
// runaway recursion cost?".
type reclaimer struct {
	mu      sync.Mutex
	timer   *time.Timer // nil: nothing is due
	stopped bool
}

// reclaimDelay bounds how often garbage is collected for it.
const reclaimDelay = time.Second

func (r *reclaimer) due() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer == nil && !r.stopped {
		r.timer = time.AfterFunc(reclaimDelay, r.reclaim)
	}
}

func (r *reclaimer) reclaim() {
	r.mu.Lock()
	r.timer = nil
	r.mu.Unlock()
	debug.FreeOSMemory()
}

func (r *reclaimer) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if r.timer != nil {
		r.timer.Stop()
	}
}
