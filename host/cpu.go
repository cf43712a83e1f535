package host

import (
	"runtime"
	"sync"
	"time"
)

// cpuWatch measures the CPU time of the thread that runs a guest, and says when it passes a limit. Waiting costs no CPU time, so host
// waits are excluded by themselves. See RATIONALE.md, "How is a guest's CPU time measured?".
type cpuWatch struct {
	clock threadClock
	limit time.Duration
	over  func()

	mu    sync.Mutex
	timer *time.Timer
	done  bool // checking is over: the limit was passed, or the guest has ended
	ended bool // the guest has ended
}

// watchCPU binds the calling goroutine to its thread until stop. over is called once, from another goroutine, when the thread has
// used limit.
func watchCPU(limit time.Duration, over func()) *cpuWatch {
	runtime.LockOSThread()
	w := &cpuWatch{clock: newThreadClock(), limit: limit, over: over}
	w.mu.Lock()
	w.timer = time.AfterFunc(limit, w.check)
	w.mu.Unlock()
	return w
}

// leastCheck bounds how often a guest close to its limit is looked at.
const leastCheck = 2 * time.Millisecond

func (w *cpuWatch) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return // the thread may be another's by now
	}
	used := w.clock.used()
	if used < w.limit {
		w.timer.Reset(max(w.limit-used, leastCheck))
		return
	}
	w.done = true
	w.over()
}

// stop ends the watch and returns the CPU time used. It is called by the goroutine that began it; further calls do nothing.
func (w *cpuWatch) stop() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return 0
	}
	w.ended, w.done = true, true
	w.timer.Stop()
	used := w.clock.used()
	runtime.UnlockOSThread()
	return used
}
