package guest

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"syscall"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// eventDescriptor is WASI descriptor 3: reading it yields the handles that have settled, each a little-endian u32.
const eventDescriptor = 3

var pumping sync.Once

// startPump starts the one goroutine that reads the event descriptor, when the first fetch is sent: a plugin that never fetches
// doesn't touch it. It lasts as long as the instance. Between invocations it is parked in the runtime's poller, which is nothing but
// memory: a saved image of the instance may hold it.
//
//go:noinline
func startPump() { pumping.Do(func() { go pump() }) }

func pump() {
	// The descriptor says that it is non-blocking, so os.NewFile gives it to the runtime's poller, and EAGAIN parks this goroutine
	// alone.
	events := os.NewFile(eventDescriptor, "sortie-events")
	buf := make([]byte, 4096)
	for {
		n, err := events.Read(buf)
		if n > 0 {
			deliver(buf[:n])
		}
		if err != nil && !errors.Is(err, syscall.EINTR) {
			// Without events nobody would ever be woken: let those who wait fail instead.
			if inv, ok := host.Current().(*invocation); ok {
				inv.Log(8, "reading the event descriptor: "+err.Error())
				inv.end()
			}
			pumping = sync.Once{}
			return
		}
	}
}

func deliver(events []byte) {
	if idle != nil && len(events) >= 4 && binary.LittleEndian.Uint32(events) == settled {
		close(idle)
		return
	}
	inv, ok := host.Current().(*invocation)
	if !ok {
		return
	}
	inv.mu.Lock()
	for ; len(events) >= 4; events = events[4:] {
		inv.wake(binary.LittleEndian.Uint32(events))
	}
	inv.mu.Unlock()
}
