package host_test

import (
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
