package wasi

import (
	"crypto/rand"
	"runtime"
	"time"

	"github.com/tetratelabs/wazero/sys"

	"github.com/sortie-run/sortie/host/internal/guest"
)

// Clock identifiers.
const (
	clockRealtime  = 0
	clockMonotonic = 1
	clockCPU       = 3 // 2 and 3 are the process's and the thread's CPU time
)

// started is what the monotonic clock counts from. It is the process's, so that a guest's own arithmetic across snapshots stays
// monotonic.
var started = time.Now()

// now reads a clock in nanoseconds. The CPU clocks give monotonic time: what a guest has used is not its own to know.
func now(id uint32) (ns uint64, ok bool) {
	switch {
	case id == clockRealtime:
		return uint64(time.Now().UnixNano()), true
	case id <= clockCPU:
		return uint64(time.Since(started)), true
	default:
		return 0, false
	}
}

// clockResGet: stack [id, result*] -> errno
func clockResGet(c *guest.Call, stack []uint64) {
	if uint32(stack[0]) > clockCPU {
		stack[0] = eInval
		return
	}
	stack[0] = faultUnless(put64(c, uint32(stack[1]), 1))
}

// clockTimeGet: stack [id, precision i64, result*] -> errno
func clockTimeGet(c *guest.Call, stack []uint64) {
	t, ok := now(uint32(stack[0]))
	if !ok {
		stack[0] = eInval
		return
	}
	stack[0] = faultUnless(put64(c, uint32(stack[2]), t))
}

// randomGet: stack [buf*, len] -> errno
func randomGet(c *guest.Call, stack []uint64) {
	to, ok := c.View(uint32(stack[0]), uint32(stack[1]))
	if ok {
		_, _ = rand.Read(to) // never fails: crypto/rand ends the process instead
	}
	stack[0] = faultUnless(ok)
}

// procExit: stack [code]; ends the guest.
func procExit(_ *guest.Call, stack []uint64) {
	panic(sys.NewExitError(uint32(stack[0])))
}

// schedYield: stack [] -> errno
func schedYield(c *guest.Call, stack []uint64) {
	c.StopIfDone()
	runtime.Gosched()
	stack[0] = success
}

func faultUnless(ok bool) uint64 {
	if ok {
		return success
	}
	return eFault
}
