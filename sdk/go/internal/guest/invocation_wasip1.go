package guest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
	"github.com/sortie-run/sortie/sdk/go/internal/wire"
)

// Run serves one invocation: the request is read, the registered entry called, its answer given. It returns what the exported function
// returns: 0 says that the response has been given.
func Run() int32 {
	if err := run(); err != nil {
		message := err.Error()
		hostFail(stringPointer(message), uint32(len(message)))
		runtime.KeepAlive(message)
		return 1
	}
	return 0
}

func run() error {
	entry, streams := host.Registered()
	if entry == nil {
		return fmt.Errorf("the plugin has no handler: call sortie.Handle in an init function")
	}
	inv := &invocation{}
	restore := host.Use(inv)
	defer restore()
	defer inv.end()
	in, err := inv.request(streams)
	if err != nil {
		return err
	}
	out, err := entry(context.Background(), inv, in)
	if err != nil {
		return err
	}
	return inv.respond(out)
}

// invocation is the host.Host of one invocation.
type invocation struct {
	mu       sync.Mutex               // guards the rest; never held while anything blocks
	deadline time.Time                // asked for when it changes only, so that the same deadline is always the same time
	buf      []byte                   // what crosses, one encoding at a time
	waiting  map[uint32]member        // nil until somebody does; so is parked
	parked   map[uint32]chan struct{} // those of handles whose stream somebody waits for
	ended    bool
}

// member is one handle that somebody waits for to settle.
type member struct {
	of    *waiter
	index int // -1: the group's own handle
}

// waiter waits for the fetches of one Send or Group.
type waiter struct {
	_       host.NoCompare
	settled chan<- int
	single  bool
	uploads bool   // some members' request bodies are streams
	base    uint32 // the first member's handle
	n, left int

	whole    bool           // the host tells of the group alone, and of all its members then
	outcomes []wire.Outcome // what it told
}

// end wakes whoever still waits. Goroutines outlive an invocation only where the instance does; those find their fetches cancelled.
func (inv *invocation) end() {
	inv.mu.Lock()
	inv.ended = true
	for handle := range inv.parked {
		inv.unpark(handle)
	}
	for handle, m := range inv.waiting {
		delete(inv.waiting, handle)
		if m.of.left > 0 {
			m.of.left = 0
			close(m.of.settled)
		}
	}
	inv.mu.Unlock()
}

// Deadline implements host.Host; so do Log, Config, Send and Group.
func (inv *invocation) Deadline() time.Time {
	inv.mu.Lock()
	deadline := inv.deadline
	inv.mu.Unlock()
	return deadline
}

// maxLine keeps a line below what the host takes at once.
const maxLine = 60 << 10

// Log writes one line to the invocation's log.
func (inv *invocation) Log(level int, line string) {
	line = line[:min(len(line), maxLine)]
	hostLog(int32(level), stringPointer(line), uint32(len(line)))
	runtime.KeepAlive(line)
}

// Config reads one value of the config as JSON.
func (inv *invocation) Config(key string) ([]byte, bool) {
	value, result := sized(make([]byte, 256), func(ptr unsafe.Pointer, capacity uint32) int32 {
		return hostConfig(stringPointer(key), uint32(len(key)), ptr, capacity)
	})
	runtime.KeepAlive(key)
	return value, result >= 0
}

// Send starts a fetch.
func (inv *invocation) Send(f *host.Fetch, settled chan<- int) (host.Calls, *host.Failure) {
	fetches := []*host.Fetch{f}
	return inv.start(&waiter{settled: settled, single: true, n: 1, left: 1}, fetches, func(b []byte, open bool) ([]byte, int32) {
		if open {
			b = wire.AppendOpen(b, f, address)
			return b, hostOpen(pointer(b), uint32(len(b)))
		}
		b = wire.AppendFetch(b, f, address)
		return b, hostSend(pointer(b), uint32(len(b)))
	})
}

// Group starts a group.
func (inv *invocation) Group(g *host.Group, settled chan<- int) (host.Calls, *host.Failure) {
	n := len(g.Fetches)
	return inv.start(&waiter{settled: settled, n: n, left: n, whole: g.Whole}, g.Fetches, func(b []byte, open bool) ([]byte, int32) {
		if open {
			b = wire.AppendOpenGroup(b, g, address)
			return b, hostOpenGroup(pointer(b), uint32(len(b)))
		}
		b = wire.AppendGroup(b, g, address)
		return b, hostGroup(pointer(b), uint32(len(b)))
	})
}

func (inv *invocation) start(w *waiter, fetches []*host.Fetch, send func(b []byte, open bool) ([]byte, int32)) (host.Calls, *host.Failure) {
	open, url := false, ""
	for _, f := range fetches {
		open = open || f.Stream || f.BodyReader != nil
		w.uploads = w.uploads || f.BodyReader != nil
	}
	if w.single {
		url = fetches[0].URL
	}
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if inv.ended {
		return nil, &host.Failure{Code: "cancelled", Message: "the invocation is over", URL: url}
	}
	b, handle := send(inv.buf[:0], open)
	runtime.KeepAlive(b)
	runtime.KeepAlive(fetches)
	inv.buf = b[:0]
	if handle <= 0 {
		return nil, refused(handle, url)
	}
	c := &calls{inv: inv, handle: uint32(handle), waiter: w}
	w.base = c.handle
	if inv.waiting == nil {
		inv.waiting = make(map[uint32]member)
	}
	if !w.single {
		inv.waiting[c.handle] = member{w, -1}
		w.base++
	}
	if w.whole {
		hostQuiet(c.handle)
	}
	for i := range w.n {
		if !w.whole {
			inv.waiting[w.base+uint32(i)] = member{w, i}
		}
		if fetches[i].BodyReader != nil {
			go inv.upload(w.base+uint32(i), fetches[i])
		}
	}
	startPump()
	return c, nil
}

// refused is the failure of a send that gave no handle. What a fetch is never makes it so.
func refused(result int32, url string) *host.Failure {
	f := &host.Failure{Code: "invalid_request", Message: fmt.Sprintf("the host refuses the fetch: errno %d", -result), URL: url}
	switch result {
	case errMfile:
		f.Code, f.Message = "limit_requests", "too many fetches are open at once (limit 65536)"
	case errCanceled:
		f.Code, f.Message = "cancelled", "the invocation is ending"
	case errTooBig:
		f.Code, f.Message = "request_too_large", "the host takes no request of that length"
	}
	return f
}

// wake tells those who wait for handle. Unknown handles are those nobody waits for any more. One whose request's body is being written needn't
// have settled: the host may mean that there is room again.
func (inv *invocation) wake(handle uint32) {
	inv.unpark(handle)
	m, ok := inv.waiting[handle]
	if !ok || m.index >= 0 && m.of.uploads && hostHead(handle, nil, 0) == errAgain {
		return
	}
	delete(inv.waiting, handle)
	w := m.of
	if m.index >= 0 {
		w.settle(m.index)
		return
	}
	if w.whole {
		w.collect(handle, w.n)
		if w.left > 0 { // a host that tells of some only
			w.left = 0
			close(w.settled)
		}
		return
	}
	// The group has settled, so all of its members have, whether or not the host has told of each.
	for i := range w.n {
		inv.wake(w.base + uint32(i))
	}
}

// collect asks for what became of a fetch, or of all n members of a group that is looked at as a whole: those settle here. What the host
// doesn't tell of is left pending.
func (w *waiter) collect(handle uint32, n int) {
	w.outcomes = make([]wire.Outcome, n)
	take := func(i int, o wire.Outcome) {
		if i < len(w.outcomes) {
			w.outcomes[i] = o
			if w.whole {
				w.settle(i)
			}
		}
	}
	for size := min(512+256*n, 32<<10); n > 0; {
		buf := make([]byte, size)
		length := hostOutcomes(handle, pointer(buf), uint32(size))
		if length == errTooBig {
			size *= 2
			continue
		}
		if length <= 0 {
			return
		}
		told, err := wire.DecodeOutcomes(buf[:length], take)
		if err != nil {
			return
		}
		n -= told
	}
}

func (w *waiter) settle(i int) {
	if w.left == 0 {
		return
	}
	if !w.single {
		w.settled <- i // has room for all
	}
	if w.left--; w.left == 0 {
		close(w.settled)
	}
}
