package host_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
)

// What the warm-up request leaves, every invocation begins with; unless it leaves something that runs, a timer or a goroutine.
func TestWarmup(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, fetch.Config{})
	for path, want := range map[string]string{"/state": "2", "/leave": "1", "/leave-goroutine": "1", "/panic-elsewhere": "1"} {
		p := load(t, rt, guestDir, "warmup: {path: "+path+"}")
		if p.Unfit() != "" {
			t.Errorf("%s: %s", path, p.Unfit())
		}
		for range 3 {
			if body, _ := call(t, p, "/state"); body != want {
				t.Errorf("%s: the count is %s, not %s", path, body, want)
			}
		}
	}
}

// Where growing is the rule, the image is taken anew with more room, until it isn't any more.
func TestImageWithRoom(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, "name: guest")
	eventually(t, "a larger image", func() bool {
		call(t, p, "/bytes", "n", "6000000")
		return p.Retaken() > 0
	})
	eventually(t, "instances are kept", func() bool {
		call(t, p, "/bytes", "n", "6000000")
		return p.Idle() > 0
	})
}

// What Go's runtime takes for itself comes in blocks of 256 KiB. However full the last of them is when the image is taken, invocations that need some
// of that come to need no further block.
func TestImageWithRoomForTheRuntime(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, fetch.Config{})
	retaken := 0
	for n := 0; n < 256<<10; n += 16 << 10 { // such records are made by 16 KiB
		p := load(t, rt, guestDir, fmt.Sprintf("warmup: {path: '/records?n=%d'}", n/56))
		kept := 0
		eventually(t, fmt.Sprintf("with %d bytes taken beforehand, instances are kept", n), func() bool {
			if call(t, p, "/spans"); p.Idle() > 0 {
				kept++
			} else {
				kept = 0
			}
			return kept == 10
		})
		retaken += p.Retaken()
	}
	if retaken == 0 {
		t.Error("none has needed another block: this shows nothing")
	}
}

// A plugin keeps as many instances as it had in use at once, for two periods at most.
func TestPoolFollowsDemand(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, "name: guest")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { call(t, p, "/sleep", "for", "1s") })
	}
	wg.Wait()
	most := p.Idle()
	p.Trim()
	if kept := p.Idle(); most < 2 || kept != most {
		t.Errorf("%d instances, and %d after a period", most, kept)
	}
	p.Trim()
	if p.Idle() != 0 {
		t.Errorf("%d instances after two periods without an invocation", p.Idle())
	}
	call(t, p, "/state")
}
