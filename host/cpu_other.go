//go:build !linux

package host

import "time"

// threadClock is wall time where the system doesn't tell a thread's CPU time: a guest that waits is then held to it too.
type threadClock struct{ start time.Time }

func newThreadClock() threadClock { return threadClock{time.Now()} }

func (c threadClock) used() time.Duration { return time.Since(c.start) }
