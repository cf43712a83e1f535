package host

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sortie-run/sortie/host/manifest"
)

// Memory is a budget of bytes, process.memory: the bodies that a server holds and the memories of guests are taken from one. Nobody waits for it:
// whoever waited would hold meanwhile what the others wait for. What is only kept for the next invocation is given up first.
//
// Its methods may be called from several goroutines.
type Memory struct {
	limit int64
	used  atomic.Int64

	mu   sync.Mutex
	idle []*reserve // who is asked first changes each time
}

// reserve is somebody who holds bytes that he could do without.
type reserve struct{ free func(n int64) int64 }

// NewMemory makes a budget of so many bytes; 0 stands for the default.
func NewMemory(limit int64) *Memory {
	if limit <= 0 {
		limit = int64(manifest.DefaultOperator().Process.Memory)
	}
	return &Memory{limit: limit}
}

// Limit is what there is in all.
func (m *Memory) Limit() int64 { return m.limit }

// Used is what is taken.
func (m *Memory) Used() int64 { return m.used.Load() }

// Take takes n bytes, which must be released. It reports false, and takes none, if there aren't so many, even after those who could do without
// theirs were asked.
func (m *Memory) Take(n int64) bool {
	return m.take(n) || m.press(n)
}

func (m *Memory) take(n int64) bool {
	for {
		used := m.used.Load()
		if n > m.limit-used {
			return false
		}
		if m.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// Charge takes n bytes whether there are any or not: for what is in use already.
func (m *Memory) Charge(n int64) { m.used.Add(n) }

// Release gives n bytes back.
func (m *Memory) Release(n int64) {
	if m.used.Add(-n) < 0 {
		panic("host: more memory was released than taken")
	}
}

// OnPressure has free called when somebody else needs n bytes more than there are. It releases what it can do without, n bytes at least if it
// has so many, and returns how many it released. It must not take any, nor wait for who does. It isn't called any more when stop has returned.
func (m *Memory) OnPressure(free func(n int64) (released int64)) (stop func()) {
	r := &reserve{free}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.idle = append(m.idle, r)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for i, other := range m.idle {
			if other == r {
				m.idle = append(m.idle[:i:i], m.idle[i+1:]...)
				return
			}
		}
	}
}

// press has others give up what they can do without until n bytes can be taken.
func (m *Memory) press(n int64) bool {
	if n > m.limit {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for range m.idle {
		// Who came first was asked last time.
		first := m.idle[0]
		m.idle = append(m.idle[1:len(m.idle):len(m.idle)], first)
		first.free(n - (m.limit - m.used.Load()))
		if m.take(n) {
			return true
		}
	}
	return m.take(n) // others may have released some meanwhile
}

// Memory is the budget of the whole process (process.memory): what else holds bytes of clients should take them from it too.
func (r *Runtime) Memory() *Memory { return r.memory }

// claim takes n bytes for a guest. The error is `overloaded`.
func (r *Runtime) claim(n int64) *Error {
	if r.memory.Take(n) {
		return nil
	}
	r.gate.noRoom()
	e := NewError(CodeOverloaded, "there is no memory for another invocation: all of them and the bodies that the server holds may have %d bytes "+
		"together (process.memory); try again later", r.memory.Limit())
	e.RetryAfter = time.Second
	return e
}
