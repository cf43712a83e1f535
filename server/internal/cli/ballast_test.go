package cli

import (
	"runtime"
	"testing"
)

// The ballast raises the heap at which the collector runs. Not parallel: it looks at the whole process.
func TestBallast(t *testing.T) {
	next := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NextGC
	}
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := next()
	b := ballast(2 << 30)
	after := next()
	if len(b) != 128<<20 || after < before+200<<20 {
		t.Errorf("with %d bytes the collector runs at %d, without at %d", len(b), after, before)
	}
	runtime.KeepAlive(b)
	if n := len(ballast(256 << 20)); n != 16<<20 {
		t.Errorf("of 256 MiB it takes %d", n)
	}
	t.Setenv("GOGC", "50")
	if ballast(2<<30) != nil {
		t.Error("it overrules GOGC")
	}
}
