package abi

import (
	"encoding/binary"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/guest"
)

// Fetches: started by send and group, waited for, read, cancelled, forgotten.
//
//	send:    stack [ptr, len] -> handle | -EFAULT -EINVAL -EMFILE -E2BIG
//	group:   stack [ptr, len] -> handle | -EFAULT -EINVAL -EMFILE -E2BIG
//	wait:    stack [handles, n, all, timeout i64, ready] -> number ready | -EFAULT -EINVAL
//	head:    stack [handle, ptr, cap] -> length of the head | -EFAULT -EBADF -EAGAIN
//	body:    stack [handle, ptr, cap] -> bytes copied, 0 at the end | -EFAULT -EINVAL -EBADF -EAGAIN
//	quiet:   stack [group] -> 0 | -EBADF
//	outcomes: stack [group, ptr, cap] -> bytes of whole records, 0 at the end | -EFAULT -EBADF -EAGAIN -E2BIG
//	cancel:  stack [handle] -> 0 | -EINVAL -EBADF
//	drop:    stack [handle] -> 0 | -EINVAL -EBADF

func send(c *guest.Call, stack []uint64) { start(c, stack, maxHead, readFetch, sendOne) }

func group(c *guest.Call, stack []uint64) {
	start(c, stack, maxGroup, readGroupOf(readFetch), sendGroup)
}

// start reads what a guest wants fetched, takes over its bodies, and starts it.
func start[T any](c *guest.Call, stack []uint64, most int, read func(*guest.Call, []byte) (T, int32),
	begin func(*guest.Call, T) (id uint32, ok, fits bool)) {
	in, ok := c.View(uint32(stack[0]), uint32(stack[1]))
	switch {
	case !ok:
		answer(stack, -EFAULT)
		return
	case len(in) > most:
		answer(stack, -E2BIG)
		return
	case c.Session == nil:
		answer(stack, -ECANCELED)
		return
	}
	what, errno := read(c, in)
	if errno != 0 {
		answer(stack, -errno)
		return
	}
	id, ok, fits := begin(c, what)
	if !fits {
		answer(stack, -E2BIG)
		return
	}
	handle(stack)(id, ok)
}

func sendOne(c *guest.Call, r *fetch.Request) (id uint32, ok, fits bool) {
	held, fits := own(c, r)
	if fits {
		id, ok = c.Handles.Send(c.Session, r, held)
	}
	return id, ok, fits
}

func sendGroup(c *guest.Call, g *fetch.Group) (id uint32, ok, fits bool) {
	held, fits := own(c, g.Requests...)
	if fits {
		id, ok = c.Handles.Group(c.Session, g, held)
	}
	return id, ok, fits
}

func handle(stack []uint64) func(uint32, bool) {
	return func(id uint32, ok bool) {
		if !ok {
			answer(stack, -EMFILE)
			return
		}
		answer(stack, int32(id))
	}
}

// own copies the bodies of fetches out of the guest's memory, since the engine reads them later. What one guest holds so is bounded:
// its fetches may all name the same bytes. A body over the policy's limit stays where it is, for the engine refuses it by its length
// before it would read it.
func own(c *guest.Call, requests ...*fetch.Request) (held int64, ok bool) {
	for _, r := range requests {
		if n := int64(len(r.Body)); n <= c.Limits.RequestBytes {
			held += n
		}
		if r.BodyReader != nil {
			held += guest.StreamSize
		}
	}
	if !c.Handles.Hold(held, c.Limits.Held) {
		return 0, false
	}
	for _, r := range requests {
		if n := int64(len(r.Body)); n > 0 && n <= c.Limits.RequestBytes {
			r.Body = append([]byte(nil), r.Body...)
		}
	}
	return held, true
}

// readFetch decodes one fetch. Its body is still the guest's own.
func readFetch(c *guest.Call, in []byte) (*fetch.Request, int32) {
	r, body, errno := decodeFetch(in)
	if errno != 0 {
		return nil, errno
	}
	return r, body.view(c, r)
}

// location is where a body lies in the guest's memory.
type location struct{ ptr, size uint64 }

// view gives a fetch the body that is there.
func (l location) view(c *guest.Call, r *fetch.Request) int32 {
	from, ok := c.View(uint32(l.ptr), uint32(l.size))
	if !ok {
		return EFAULT
	}
	if len(from) > 0 {
		r.Body = from
	}
	return 0
}

func decodeFetch(in []byte) (*fetch.Request, location, int32) {
	d := decoder{b: in}
	r := &fetch.Request{Method: d.string(), URL: d.string(), Header: d.fields()}
	r.Timeout = d.duration()
	r.AttemptTimeout = d.duration()
	r.Hedge = d.duration()
	r.Redirect = fetch.Redirect(d.number(uint64(fetch.Refuse)))
	r.Expect = d.string()
	if d.bool() {
		r.Retry = d.retry()
	}
	body := location{d.number(1<<32 - 1), d.number(1<<32 - 1)}
	if !d.end() {
		return nil, body, EINVAL
	}
	return r, body, 0
}

func (d *decoder) duration() time.Duration { return time.Duration(d.varint()) }

func (d *decoder) retry() *fetch.Retry {
	r := &fetch.Retry{Attempts: int(d.number(1 << 20)), Backoff: d.duration(), MaxBackoff: d.duration()}
	for n := d.number(maxStatuses); n > 0 && !d.bad; n-- {
		r.Statuses = append(r.Statuses, int(d.number(999)))
	}
	return r
}

// readGroupOf decodes a group of what one decodes.
func readGroupOf(one func(*guest.Call, []byte) (*fetch.Request, int32)) func(*guest.Call, []byte) (*fetch.Group, int32) {
	return func(c *guest.Call, in []byte) (*fetch.Group, int32) { return readGroup(c, in, one) }
}

func readGroup(c *guest.Call, in []byte, member func(*guest.Call, []byte) (*fetch.Request, int32)) (*fetch.Group, int32) {
	d := decoder{b: in}
	g := &fetch.Group{Mode: fetch.Mode(d.number(uint64(fetch.Quorum))), Count: int(d.number(guest.MaxHandles))}
	g.Concurrency = int(d.number(guest.MaxHandles))
	g.Timeout = d.duration()
	n := d.number(guest.MaxHandles - 1)
	if d.bad || n == 0 || g.Mode == fetch.Quorum && (g.Count == 0 || uint64(g.Count) > n) {
		return nil, EINVAL
	}
	for ; n > 0; n-- {
		one := d.view()
		if d.bad {
			return nil, EINVAL
		}
		r, errno := member(c, one)
		if errno != 0 {
			return nil, errno
		}
		g.Requests = append(g.Requests, r)
	}
	if !d.end() {
		return nil, EINVAL
	}
	return g, 0
}

func wait(c *guest.Call, stack []uint64) {
	n, all, timeout := uint32(stack[1]), uint32(stack[2]), time.Duration(stack[3])
	if n > guest.MaxHandles || all > 1 {
		answer(stack, -EINVAL)
		return
	}
	from, ok := c.View(uint32(stack[0]), n*4)
	if !ok {
		answer(stack, -EFAULT)
		return
	}
	to, ok := c.View(uint32(stack[4]), n*4)
	if !ok {
		answer(stack, -EFAULT)
		return
	}
	ids, ready := make([]uint32, n), make([]uint32, n)
	for i := range ids {
		ids[i] = binary.LittleEndian.Uint32(from[i*4:])
	}
	var got int
	c.Blocking(func() { got = c.Handles.Wait(ids, all == 1, timeout, c.Context().Done(), ready) })
	for i, id := range ready[:got] {
		binary.LittleEndian.PutUint32(to[i*4:], id)
	}
	answer(stack, int32(got))
}

func head(c *guest.Call, stack []uint64) {
	h, result, known, settled := c.Handles.Settled(uint32(stack[0]))
	switch {
	case !known:
		answer(stack, -EBADF)
	case !settled:
		answer(stack, -EAGAIN)
	default:
		if h.Head == nil {
			h.Head = appendResult(nil, result)
		}
		sized(c, stack, uint32(stack[1]), uint32(stack[2]), h.Head)
	}
}

func quiet(c *guest.Call, stack []uint64) {
	if !c.Handles.Quiet(uint32(stack[0])) {
		answer(stack, -EBADF)
		return
	}
	answer(stack, 0)
}

// smallBody is how long a body may be to come with its head.
const smallBody = 4 << 10

// outcomes encodes into the guest's memory what fits there; no more than one record is ever held beside it.
func outcomes(c *guest.Call, stack []uint64) {
	to, ok := c.View(uint32(stack[1]), uint32(stack[2]))
	if !ok {
		answer(stack, -EFAULT)
		return
	}
	var head []byte
	n, full := 0, false
	known, settled := c.Handles.Outcomes(uint32(stack[0]), func(i uint32, r fetch.Result) bool {
		head = appendResult(head[:0], r)
		var body []byte
		if resp := r.Received(); resp != nil && len(resp.Body) <= smallBody {
			body = resp.Body
		}
		size := sizeVarint(uint64(i)) + sizeString(head) + sizeString(body)
		if full = size > len(to)-n; full {
			return false
		}
		appendString(appendString(appendVarint(to[n:n], uint64(i)), head), body)
		n += size
		return true
	})
	switch {
	case !known:
		answer(stack, -EBADF)
	case !settled:
		answer(stack, -EAGAIN)
	case n == 0 && full:
		answer(stack, -E2BIG)
	default:
		answer(stack, int32(n))
	}
}

func appendResult(b []byte, r fetch.Result) []byte {
	b = appendVarint(b, uint64(r.State))
	if r.Err == nil {
		return appendResponse(b, r.Response)
	}
	e := r.Err
	b = appendBool(appendError(b, e), e.Response != nil)
	if e.Response != nil {
		b = appendResponse(b, e.Response)
	}
	return b
}

func appendResponse(b []byte, r *fetch.Response) []byte {
	b = appendString(appendVarint(b, uint64(r.Status)), r.URL)
	b = appendVarint(appendBool(b, r.Redirected), uint64(r.Attempts))
	b = appendFields(appendVarint(b, uint64(r.Elapsed)), r.Header)
	if r.Stream {
		return appendVarint(b, unknownLength)
	}
	return appendVarint(b, uint64(len(r.Body)))
}

func body(c *guest.Call, stack []uint64) {
	h, _, known, settled := c.Handles.Settled(uint32(stack[0]))
	to, ok := c.View(uint32(stack[1]), uint32(stack[2]))
	switch {
	case !known:
		answer(stack, -EBADF)
	case !settled:
		answer(stack, -EAGAIN)
	case !ok:
		answer(stack, -EFAULT)
	case h.Streams():
		answer(stack, -EINVAL)
	default:
		answer(stack, int32(h.Read(to)))
	}
}

func cancel(c *guest.Call, stack []uint64) {
	if c.Handles.Response(uint32(stack[0])) {
		answer(stack, -EINVAL)
		return
	}
	if !c.Handles.Cancel(uint32(stack[0])) {
		answer(stack, -EBADF)
		return
	}
	answer(stack, 0)
}

func drop(c *guest.Call, stack []uint64) {
	if c.Handles.Response(uint32(stack[0])) {
		answer(stack, -EINVAL)
		return
	}
	if !c.Handles.Drop(uint32(stack[0])) {
		answer(stack, -EBADF)
		return
	}
	answer(stack, 0)
}
