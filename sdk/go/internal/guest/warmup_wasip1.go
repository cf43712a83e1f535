package guest

import "runtime"

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
	startPump()
	// What is garbage now would be in every invocation's way, and have each of them collect it.
	runtime.GC()
	return 0
}

// idle is closed when nothing runs any more, while somebody waits for that.
var idle chan struct{}

// own are the goroutines that are counted in an idle plugin: the pump, and the one this call runs in.
const own = 2

// settle waits until every other goroutine waits, and returns how many the plugin itself has.
func settle() int32 {
	startPump()
	idle = make(chan struct{})
	<-idle
	idle = nil
	return int32(runtime.NumGoroutine() - own)
}

// settled is the event that says so. It is no handle.
const settled = 0
