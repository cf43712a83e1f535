package guest

import (
	"math/bits"
	"runtime"
	"unsafe"
)

// Warmups are the functions to run before the host saves the memory.
var Warmups []func()

// Warm runs them, and makes so many bytes of room on the heap, so that invocations which need as much don't have to grow the memory. Below 0 it
// does neither, but comes to rest, and returns how many goroutines of the plugin still wait for something.
func Warm(room int32) int32 {
	if room < 0 {
		return settle()
	}
	for _, f := range Warmups {
		f()
	}
	Warmups = nil
	runtime.KeepAlive(make([]byte, room))
	if room > atFirst {
		furnish()
	}
	startPump()
	// What is garbage now would be in every invocation's way, and have each of them collect it.
	runtime.GC()
	return 0
}

// atFirst is how much room the host asks for at first. It asks for more when invocations have grown the memory nevertheless.
const atFirst = 1 << 20

// furnish has Go's runtime take what it keeps apart from the heap, in blocks of 256 KiB: invocations need little of that, but if the block that the host
// saves is just as good as full, each of them begins another one, whatever room there is on the heap. It's the lists of full spans, of which a
// collection swaps the two that each size has; and the records of finalizers, whose memory is kept for others, and which end such a block where it
// was those others that grew it.
func furnish() {
	for range 2 {
		runtime.GC()
		for size := 8; size <= 1024; size += max(8, size/16) {
			fill(size)
		}
	}
	const bytes, record = 96 << 10, 56
	objects := make([]*[16]byte, bytes/record)
	for i := range objects {
		objects[i] = new([16]byte)
		runtime.SetFinalizer(objects[i], func(*[16]byte) {})
	}
	for _, o := range objects {
		runtime.SetFinalizer(o, nil)
	}
}

// fill fills spans of objects of a size, with pointers and without.
func fill(size int) {
	const spans = 24 << 10
	for range spans / size {
		kept = unsafe.Pointer(unsafe.SliceData(make([]byte, size)))
		kept = unsafe.Pointer(unsafe.SliceData(make([]*byte, size/8)))
	}
}

// idle is closed when nothing runs any more, while somebody waits for that.
var idle chan struct{}

// own are the goroutines that are counted in an idle plugin: the pump, and the one this call runs in.
const own = 2

// stock leaves the allocator with an almost empty span of each small size, so that no invocation begins by looking for one: a collection takes
// them all away, and what comes back first are those with a few holes. See host/RATIONALE.md, "Why does a guest fill its allocator before it is
// saved?".
func stock() {
	for size := 8; size <= 4096; size += max(8, 1<<(bits.Len(uint(size))-4)) { // as the allocator's go, or finer
		fresh(size, false)
		if size <= 1024 {
			fresh(size, true)
		}
	}
}

// fresh allocates objects of a size, with pointers or without, until a quarter of a page, from its first object on, was given without a gap; or
// so much that a collection would come near.
//
//go:noinline
func fresh(size int, pointers bool) {
	const page, most, header = 8 << 10, 16 << 10, 8
	var first, last uintptr
	for range most / size {
		if pointers {
			kept = unsafe.Pointer(unsafe.SliceData(make([]*byte, size/8)))
		} else {
			kept = unsafe.Pointer(unsafe.SliceData(make([]byte, size)))
		}
		p := uintptr(kept)
		if p%page <= header {
			first = p
		} else if p-last > uintptr(size+size/4+16) {
			first = 0
		}
		if first != 0 && p-first >= page/4 {
			return
		}
		last = p
	}
}

// kept makes an object one of the heap's.
var kept unsafe.Pointer

// settle waits until every other goroutine waits, and returns how many the plugin itself has.
func settle() int32 {
	startPump()
	stock()
	idle = make(chan struct{})
	<-idle
	idle = nil
	return int32(runtime.NumGoroutine() - own)
}

// settled is the event that says so. It is no handle.
const settled = 0
