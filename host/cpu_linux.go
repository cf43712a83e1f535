package host

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadClock reads the CPU clock of the thread it was made on, from any thread.
type threadClock struct {
	id    int32
	start time.Duration
}

func newThreadClock() threadClock {
	// The kernel's encoding of a thread's CPU clock (include/linux/posix-timers.h): the inverted thread id, shifted by three; the bits
	// say "per thread" (4) and "scheduler's clock" (2).
	c := threadClock{id: int32(^unix.Gettid())<<3 | 6}
	c.start = c.read()
	return c
}

func (c threadClock) read() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(c.id, &ts) != nil {
		return c.start
	}
	return time.Duration(ts.Nano())
}

func (c threadClock) used() time.Duration { return c.read() - c.start }
