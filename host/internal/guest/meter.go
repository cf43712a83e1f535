package guest

import (
	"runtime"
	"time"
)

// Meter measures a guest's CPU time: that of the threads that run it, without what host functions take. Reading a thread's clock costs
// more than most host functions, so for the first millisecond wall time stands for it, which is never less. It belongs to the
// goroutine that runs the guest. See host/RATIONALE.md, "How is a guest's CPU time measured?".
type Meter struct {
	limit   time.Duration // 0: none
	used    time.Duration // in the stretches before this one
	host    time.Duration // of this stretch, taken by host functions
	began   time.Time     // this stretch, which ends where the guest waits
	thread  time.Duration // the thread's clock then
	entered time.Duration // the same when the guest called a host function
	exact   bool          // whether the thread's clock is read
	locked  bool          // to its thread, so that there is one clock
	running bool
}

// coarse is how long wall time stands for CPU time.
const coarse = time.Millisecond

// NewMeter returns a meter whose Over tells when limit is passed.
func NewMeter(limit time.Duration) Meter { return Meter{limit: limit} }

// Resume is called when the guest is entered, or goes on after waiting.
func (m *Meter) Resume() {
	m.running, m.host = true, 0
	if m.exact {
		m.lock()
	}
	m.began = time.Now()
}

func (m *Meter) lock() {
	runtime.LockOSThread()
	m.locked = true
	m.thread = threadTime()
}

// Pause is called when the guest has returned, or before it waits. Further calls do nothing.
func (m *Meter) Pause() {
	if !m.running {
		return
	}
	m.used = m.Used()
	m.running = false
	if m.locked {
		m.locked = false
		runtime.UnlockOSThread()
	}
	m.exact = m.exact || m.used >= coarse
}

// Used is the CPU time so far.
func (m *Meter) Used() time.Duration {
	if !m.running {
		return m.used
	}
	if m.locked {
		return m.used + max(threadTime()-m.thread-m.host, 0)
	}
	// More than that is the machine's doing: a guest that computes is looked at more often.
	return m.used + min(m.wall()-m.used, coarse)
}

// wall is what it can be at most.
func (m *Meter) wall() time.Duration { return m.used + max(time.Since(m.began)-m.host, 0) }

// Over tells whether the guest has passed the limit. It is called from where the guest is.
func (m *Meter) Over() bool {
	if !m.locked && m.wall() > coarse {
		m.used, m.host, m.exact = m.Used(), 0, true
		m.lock()
		m.began = time.Now()
	}
	return m.limit > 0 && m.wall() > m.limit && m.Used() > m.limit
}

// Host is called when the guest calls a host function, Guest when that returns, with what Host gave.
func (m *Meter) Host() time.Time {
	if m.locked {
		m.entered = threadTime()
	}
	return time.Now()
}

// brief is how long a host function may take for its time to be taken for the CPU's.
const brief = 20 * time.Microsecond

// Guest takes the time since then for the host's. A host function that waited has begun another stretch. One that took long may have had to wait
// for a processor, most of all in tick, where Go's scheduler gets hold of a guest that computes: that wasn't the host's CPU time.
func (m *Meter) Guest(since time.Time) {
	if since.Before(m.began) {
		since, m.entered = m.began, m.thread
	}
	took := time.Since(since)
	if m.locked && took > brief {
		took = min(took, max(threadTime()-m.entered, 0))
	}
	m.host += took
}
