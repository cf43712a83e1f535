// Package memory gives guests their linear memories, and holds all memories of one instance under one limit.
//
// A wazero instance takes its memories from an allocator in the context it is instantiated with. That makes the host the
// owner of the bytes: it can refuse growth and know that it did, and host functions read and write them without asking
// wazero. See host/RATIONALE.md, "How does the host reach a guest's memory?".
package memory

import "github.com/tetratelabs/wazero/experimental"

// Quota holds the memories of one instance: at most Limit bytes, all together. It belongs to the goroutine that runs the
// instance.
type Quota struct {
	limit   uint64
	used    uint64
	peak    uint64
	refused uint64 // bytes asked for when growth was refused; 0: never
	last    *linear
	all     []*linear
}

// NewQuota returns a quota of limit bytes.
func NewQuota(limit int64) *Quota { return &Quota{limit: uint64(max(limit, 0))} }

// Allocate implements experimental.MemoryAllocator.
func (q *Quota) Allocate(_, maximum uint64) experimental.LinearMemory {
	l := &linear{quota: q, max: min(maximum, q.limit)}
	q.last = l
	q.all = append(q.all, l)
	return l
}

// Release frees all memories of the instance, which must not run again. wazero frees them itself only when a module is closed the
// ordinary way: not when its start fails, nor when it was stopped inside a host function.
func (q *Quota) Release() {
	for _, l := range q.all {
		l.Free()
	}
	q.all = nil
}

// Used returns the bytes in use by all memories of the instance.
func (q *Quota) Used() int64 { return int64(q.used) }

// Peak returns the most bytes that were in use at once.
func (q *Quota) Peak() int64 { return int64(q.peak) }

// Free returns what is left of the limit, in bytes; it may be negative after a start that needed more.
func (q *Quota) Free() int64 { return int64(q.limit) - int64(q.used) }

// Refused tells whether growth was refused, and at what size of all memories.
func (q *Quota) Refused() (asked int64, refused bool) { return int64(q.refused), q.refused > 0 }

// Last returns the memory allocated last: the guest's own, since a main module is instantiated after the modules it imports
// from. It is nil where there is none. The slice is valid until the guest runs again.
func (q *Quota) Last() []byte {
	if q.last == nil {
		return nil
	}
	return q.last.bytes
}

// linear is one memory: a reservation of address space of which the first len(bytes) are in use. Growing doesn't move it.
type linear struct {
	quota *Quota
	max   uint64 // what the reservation holds
	whole []byte // the reservation; nil before the first use
	bytes []byte // whole[:size]
}

// Reallocate implements experimental.LinearMemory. It returns nil, which the guest sees as a refused memory.grow, when all
// memories together would pass the limit. A memory's first size is always granted, as wazero can't cope with less: modules
// that need more than their limit to start are refused at deploy.
func (l *linear) Reallocate(size uint64) []byte {
	q := l.quota
	first := l.whole == nil
	used := q.used - uint64(len(l.bytes)) + size
	if !first && (used > q.limit || size > uint64(len(l.whole))) {
		q.refused = used
		return nil
	}
	if first {
		l.whole = reserve(max(l.max, size, 1))
	}
	q.used = used
	q.peak = max(q.peak, used)
	l.bytes = l.whole[:size]
	return l.bytes
}

// Free implements experimental.LinearMemory. Further calls do nothing.
func (l *linear) Free() {
	if l.whole == nil {
		return
	}
	l.quota.used -= uint64(len(l.bytes))
	if l.quota.last == l {
		l.quota.last = nil
	}
	release(l.whole)
	l.whole, l.bytes = nil, nil
}
