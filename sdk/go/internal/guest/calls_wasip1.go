package guest

import (
	"unsafe"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
	"github.com/sortie-run/sortie/sdk/go/internal/wire"
)

// calls are the fetches that one Send or Group started: one handle, or a group's and its members'.
type calls struct {
	inv     *invocation
	handle  uint32
	waiter  *waiter
	streams map[uint32]bool // members whose bodies were handed out as streams; their readers drop them
	taken   bool            // a single fetch's outcome was taken, and its handle dropped with it
	dropped bool
}

// Outcome implements host.Calls; so do Cancel and Drop. It drops the handle, unless its body is a stream.
func (c *calls) Outcome(i int) host.Outcome {
	c.inv.mu.Lock()
	defer c.inv.mu.Unlock()
	if c.inv.ended {
		return unknown(host.Cancelled, "cancelled", "the invocation is over")
	}
	w, handle := c.waiter, c.waiter.base+uint32(i)
	if !w.whole {
		w.collect(handle, 1)
		i = 0
	}
	o := &w.outcomes[i]
	if o.State == host.Pending {
		return unknown(host.Rejected, "protocol_error", "the host doesn't tell about the fetch")
	}
	response, long := received(&o.Outcome), false
	switch {
	case response == nil || response.Body != nil || o.Length == 0:
	case o.Length == wire.Unknown:
		response.Reader = &reader{inv: c.inv, handle: handle}
		if c.streams == nil {
			c.streams = make(map[uint32]bool)
		}
		c.streams[handle] = true
		return o.Outcome
	default:
		long = true
		response.Body = whole(o.Length, func(ptr unsafe.Pointer, capacity uint32) int32 { return hostBody(handle, ptr, capacity) })
	}
	if long || !w.whole {
		c.forget(handle) // the host need not hold a member's body until the whole group is dropped
	}
	c.taken = w.single
	return o.Outcome
}

// received is the response that came, expected or not; nil: none did.
func received(o *host.Outcome) *host.Response {
	if o.Failure != nil {
		return o.Failure.Response
	}
	return o.Response
}

func unknown(state host.State, code, message string) host.Outcome {
	return host.Outcome{State: state, Failure: &host.Failure{Code: code, Message: message}}
}

// Cancel cancels what hasn't settled; the host settles it at once. Streams of members that have settled go on.
func (c *calls) Cancel() {
	c.inv.mu.Lock()
	if !c.inv.ended {
		hostCancel(c.handle)
	}
	c.inv.mu.Unlock()
}

// Drop cancels and forgets.
func (c *calls) Drop() {
	c.inv.mu.Lock()
	defer c.inv.mu.Unlock()
	if c.inv.ended || c.dropped {
		return
	}
	c.dropped = true
	w := c.waiter
	if len(c.streams) > 0 {
		// Dropping a group drops its members, also those still read: so drop the others only, which cancels them. The group's own handle
		// goes with the invocation.
		if !w.single {
			delete(c.inv.waiting, c.handle)
		}
		for i := range w.n {
			if handle := w.base + uint32(i); !c.streams[handle] {
				c.forget(handle)
			}
		}
		return
	}
	for i := range w.n {
		delete(c.inv.waiting, w.base+uint32(i))
		c.inv.unpark(w.base + uint32(i))
	}
	if !c.taken {
		c.forget(c.handle)
	}
}

func (c *calls) forget(handle uint32) { c.inv.forget(handle) }

// forget drops a handle, in the host and here. Who waits for its streams tries again, and finds it gone.
func (inv *invocation) forget(handle uint32) {
	delete(inv.waiting, handle)
	inv.unpark(handle)
	hostDrop(handle)
}
