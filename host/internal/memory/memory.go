// Package memory gives guests their linear memories, holds all memories of one instance under one limit, and brings them back to their
// images.
//
// A wazero instance takes its memories from an allocator in the context it is instantiated with. That makes the host the
// owner of the bytes: it can refuse growth and know that it did, and host functions read and write them without asking
// wazero. See host/RATIONALE.md, "How does the host reach a guest's memory?".
package memory

import (
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/sortie-run/sortie/host/internal/image"
)

// Quota holds the memories of one instance: at most Limit bytes, all together. It belongs to the goroutine that runs the
// instance.
type Quota struct {
	limit   uint64
	used    uint64
	peak    uint64
	refused uint64 // bytes asked for when growth was refused; 0: never
	last    *linear
	all     []*linear
	images  []*image.Image
	err     error // why an image isn't in its place
	budget  Budget
	charged int64 // what is taken of the budget
	short   bool  // whether that is why growth was refused
}

// Budget is what all instances of a process share.
type Budget interface {
	Take(n int64) bool // false: there aren't so many bytes
	Charge(n int64)    // whether there are or not
	Release(n int64)
}

// Draw has the memories taken from a budget from now on, of which charged bytes have been taken for them: in full, but those that begin as an
// image for no more than that.
func (q *Quota) Draw(b Budget, charged int64) { q.budget, q.charged = b, charged }

// Settle makes it that many bytes that are taken of the budget.
func (q *Quota) Settle(n int64) {
	if q.budget == nil {
		return
	}
	if n > q.charged {
		q.budget.Charge(n - q.charged)
	} else {
		q.budget.Release(q.charged - n)
	}
	q.charged = n
}

// Charged is what is taken of the budget.
func (q *Quota) Charged() int64 { return q.charged }

// Short tells whether growth was refused for the budget's sake.
func (q *Quota) Short() bool { return q.short }

// NewQuota returns a quota of limit bytes. The first memories allocated begin as the images, one each.
func NewQuota(limit int64, images ...*image.Image) *Quota {
	return &Quota{limit: uint64(max(limit, 0)), images: images}
}

// Allocate implements experimental.MemoryAllocator.
func (q *Quota) Allocate(_, maximum uint64) experimental.LinearMemory {
	l := &linear{quota: q, max: min(maximum, q.limit)}
	if n := len(q.all); n < len(q.images) {
		l.image = q.images[n]
	}
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
	q.Settle(0)
}

// Begin starts counting anew, for the next invocation: the peak, and what was refused.
func (q *Quota) Begin() { q.peak, q.refused, q.short = q.used, 0, false }

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

// Images takes an image of each memory, in the order they were allocated.
func (q *Quota) Images(method image.Method) ([]*image.Image, error) {
	var all []*image.Image
	for _, l := range q.all {
		i, err := image.New(l.bytes, method)
		if err != nil {
			for _, i := range all {
				err = errors.Join(err, i.Close())
			}
			return nil, err
		}
		all = append(all, i)
	}
	return all, nil
}

// Size is that of the n-th image, in bytes; 0 if there is none.
func (q *Quota) Size(n int) int {
	if n >= len(q.images) {
		return 0
	}
	return q.images[n].Size()
}

// Grown is how many bytes larger the memories are than their images.
func (q *Quota) Grown() int64 {
	n := int64(0)
	for _, l := range q.all {
		if l.image != nil {
			n += int64(len(l.bytes)) - int64(l.image.Size())
		}
	}
	return n
}

// Restore brings all memories back to their images, and tells how many bytes are the instance's own. After an error it must not run again: a
// memory has grown, or has no image.
func (q *Quota) Restore() (own int, err error) {
	if q.err != nil {
		return 0, q.err
	}
	if len(q.all) != len(q.images) {
		return 0, fmt.Errorf("memory: %d memories, but %d images", len(q.all), len(q.images))
	}
	for _, l := range q.all {
		if l.laid == nil {
			return own, errors.New("memory: an image isn't in its place")
		}
		n, err := l.laid.Restore(l.bytes)
		own += n
		if err != nil {
			return own, err
		}
	}
	return own, nil
}

// linear is one memory: a reservation of address space of which the first len(bytes) are in use. Growing doesn't move it.
type linear struct {
	quota *Quota
	image *image.Image // what it begins as; nil: empty
	laid  *image.Mapping
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
	if !q.pay(l, size, first) {
		q.refused, q.short = used, true
		return nil
	}
	if first {
		l.begin(size)
	}
	q.used = used
	q.peak = max(q.peak, used)
	l.bytes = l.whole[:size]
	return l.bytes
}

// pay takes from the budget what a memory grows by.
func (q *Quota) pay(l *linear, size uint64, first bool) bool {
	more := int64(size) - int64(len(l.bytes))
	if l.image != nil {
		more = int64(size) - int64(max(len(l.bytes), l.image.Size()))
	}
	switch {
	case q.budget == nil || more <= 0:
		return true
	case first:
		q.budget.Charge(more)
	case !q.budget.Take(more):
		return false
	}
	q.charged += more
	return true
}

// begin reserves the address space, and lays the image into it.
func (l *linear) begin(size uint64) {
	room := max(l.max, size, 1)
	if l.image != nil {
		room = max(room, uint64(l.image.Size()))
	}
	var mapped bool
	l.whole, mapped = reserve(room)
	switch {
	case l.image == nil:
	case !mapped && l.image.Method() != image.Copy:
		l.quota.err = errors.New("memory: the system has no address space for an image")
	default:
		var err error
		l.laid, err = l.image.Map(l.whole)
		l.quota.err = errors.Join(l.quota.err, err)
	}
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
