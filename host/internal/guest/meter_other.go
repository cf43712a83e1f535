//go:build !linux

package guest

import "time"

var start = time.Now()

// threadTime is wall time where the system doesn't tell a thread's CPU time. Waiting isn't counted either way.
func threadTime() time.Duration { return time.Since(start) }
