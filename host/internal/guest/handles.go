package guest

import (
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
)

// MaxHandles bounds the handles open in one invocation.
const MaxHandles = 1 << 16

// lastHandle bounds the handles ever given in one invocation: they are positive i32 values.
const lastHandle = 1<<31 - 1

// canceller is what fetch.Call, fetch.GroupCall and member share.
type canceller interface{ Cancel() }

// member is one fetch of a group.
type member struct {
	group *fetch.GroupCall
	i     int
}

// Cancel cancels the member alone; its group's mode sees it as a failure.
func (m member) Cancel() { m.group.CancelMember(m.i) }

// Handle is one fetch or group of an invocation, or one of the invocation's own bodies.
type Handle struct {
	result  fetch.Result // meaningful once settled
	settled bool
	call    canceller
	members uint32 // of a group; 0 for a fetch
	held    int64  // bytes that it holds until it has settled

	request, response bool   // whether it stands for a body of the invocation itself
	up, down          *Queue // what the guest writes and reads; nil: nothing
	told              bool   // it is among the events already
	seen              bool   // the guest has looked at what became of it

	quiet   bool     // of a member: that it settles is no event
	settles []uint32 // of a group: its members' indexes, in the order in which they settled
	given   int      // how many outcomes Outcomes has given: of the members, or its own

	Head []byte // the encoded head, kept between a guest's two calls for it
	read int    // how much of the body the guest has taken
}

// Handles are those of one invocation. Guests are single-threaded, so at most one goroutine waits; fetches settle from others.
type Handles struct {
	mu     sync.Mutex
	open   map[uint32]*Handle
	last   uint32
	events []uint32      // settled, or can move again, since the event descriptor was read last
	moved  chan struct{} // holds a token when something settled that a waiter may not have seen
	flying int           // handles not settled
	parked int           // streams that the guest waits for
	held   int64         // bytes of bodies of what hasn't settled

	inbound   *Queue // the request's body, if it is read as it comes; the guest's goroutine's own
	inboundID uint32 // its handle; 0: it has none

	idle    bool // the event that says so is to be told
	waited  bool // Wait may look at handles that are quiet
	closed  bool
	pumping sync.WaitGroup // what fills and closes streams; added to under mu, and only before closed
}

// Hold counts n bytes of bodies that are about to be copied for a fetch or group, unless that makes them more than limit. Send or Group
// takes them over.
func (h *Handles) Hold(n, limit int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held+n > limit {
		return false
	}
	h.held += n
	return true
}

// Init readies the table for an invocation.
func (h *Handles) Init() {
	h.open = make(map[uint32]*Handle)
	h.moved = make(chan struct{}, 1)
}

// Send starts a fetch that holds so many bytes; ok is false when too many handles are open.
func (h *Handles) Send(s *fetch.Session, r *fetch.Request, held int64) (id uint32, ok bool) {
	h.mu.Lock()
	if len(h.open) >= MaxHandles || h.last >= lastHandle {
		h.held -= held
		h.mu.Unlock()
		return 0, false
	}
	h.last++
	id = h.last
	hd := &Handle{held: held}
	h.upload(id, hd, r)
	h.open[id] = hd
	h.flying++
	h.mu.Unlock()
	// Start may settle it before it returns, and settle takes the lock.
	call := s.Start(r, func(res fetch.Result) { h.settle(id, hd, res, nil, 0) })
	h.mu.Lock()
	defer h.mu.Unlock()
	hd.attach(call)
	return id, true
}

// Group starts a group that holds so many bytes; its members have the handles after its own.
func (h *Handles) Group(s *fetch.Session, g *fetch.Group, held int64) (id uint32, ok bool) {
	n := len(g.Requests)
	h.mu.Lock()
	if len(h.open)+n+1 > MaxHandles || uint64(h.last)+uint64(n)+1 > lastHandle {
		h.held -= held
		h.mu.Unlock()
		return 0, false
	}
	id = h.last + 1
	h.last += uint32(n) + 1
	hd := &Handle{members: uint32(n), held: held, settles: make([]uint32, 0, n)}
	h.open[id] = hd
	members := make([]*Handle, n)
	for i := range members {
		members[i] = &Handle{}
		h.upload(id+1+uint32(i), members[i], g.Requests[i])
		h.open[id+1+uint32(i)] = members[i]
	}
	h.flying += n + 1
	h.mu.Unlock()
	call := s.StartGroup(g,
		func(i int, r fetch.Result) { h.settle(id+1+uint32(i), members[i], r, hd, uint32(i)) },
		func() { h.settle(id, hd, fetch.Result{State: fetch.Fulfilled}, nil, 0) })
	h.mu.Lock()
	defer h.mu.Unlock()
	hd.attach(call)
	for i, m := range members {
		m.attach(member{call, i})
	}
	return id, true
}

// attach gives a handle what cancels it. What has settled needs nothing, and would only keep the request alive.
func (hd *Handle) attach(c canceller) {
	if !hd.settled {
		hd.call = c
	}
}

// upload gives a handle the stream that is its request's body, if it has one.
func (h *Handles) upload(id uint32, hd *Handle, r *fetch.Request) {
	if q, ok := r.BodyReader.(*Queue); ok {
		hd.up = q
		q.told = func() { h.tell(id) }
	}
}

// settle notes what became of a fetch or group. One that is member number i of a group is noted there too.
func (h *Handles) settle(id uint32, hd *Handle, r fetch.Result, of *Handle, i uint32) {
	if r.Err != nil {
		r.Err.URL = clipped(r.Err.URL)
	}
	body := streamed(r)
	h.mu.Lock()
	h.flying--
	h.held -= hd.held
	hd.settled, hd.call, hd.held = true, nil, 0
	_, open := h.open[id]
	if of != nil {
		of.settles = append(of.settles, i)
	}
	quiet := hd.quiet && !h.waited
	if open {
		hd.result = r
		if !hd.quiet {
			h.event(id, hd)
		}
		if body != nil {
			hd.down = newQueue()
			hd.down.told = func() { h.tell(id) }
		}
	}
	h.mu.Unlock()
	if body != nil && open {
		h.pump(hd.down, body)
	} else if body != nil {
		_ = body.Close()
	}
	if !quiet {
		h.signal()
	}
}

// Quiet makes it no event that a group's members settle: the group's own settling tells. false if there is no such group.
func (h *Handles) Quiet(id uint32) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	hd := h.open[id]
	if hd == nil || hd.members == 0 {
		return false
	}
	for i := range hd.members {
		if m := h.open[id+1+i]; m != nil {
			m.quiet = true
		}
	}
	return true
}

// Outcomes calls take with what became of a fetch, or of a settled group's members in the order in which they settled, as far as they haven't
// been given yet, until that returns false; the one it returned false for is given again. Members that were dropped are left out. known is
// false for what is no fetch's or group's handle.
func (h *Handles) Outcomes(id uint32, take func(i uint32, r fetch.Result) bool) (known, settled bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hd := h.open[id]
	switch {
	case hd == nil || hd.request || hd.response:
		return false, false
	case !hd.settled:
		return true, false
	case hd.members == 0:
		if hd.given == 0 && take(0, hd.result) {
			hd.given, hd.seen = 1, true
		}
		return true, true
	}
	for ; hd.given < len(hd.settles); hd.given++ {
		i := hd.settles[hd.given]
		m := h.open[id+1+i]
		if m == nil {
			continue
		}
		if !take(i, m.result) {
			break
		}
		m.seen = true
	}
	return true, true
}

// streamed is the body that is still to be read of what a fetch came to; nil: there is none.
func streamed(r fetch.Result) io.ReadCloser {
	resp := r.Received()
	if resp == nil || !resp.Stream {
		return nil
	}
	return resp.BodyReader
}

// event notes that a handle is worth a look. The caller holds mu.
func (h *Handles) event(id uint32, hd *Handle) {
	if !hd.told {
		hd.told = true
		h.events = append(h.events, id)
	}
}

func (h *Handles) signal() {
	select {
	case h.moved <- struct{}{}:
	default:
	}
}

// maxErrorURL bounds the URL that is kept with a failure: there may be as many as handles.
const maxErrorURL = 1 << 10

func clipped(url string) string {
	if len(url) <= maxErrorURL {
		return url
	}
	return strings.Clone(url[:maxErrorURL])
}

// Wait waits until one of ids is ready, or all of them, or the time is over (below 0: none), or done is closed. It writes the ready ones to
// ready and returns their number. Unknown handles count as ready.
func (h *Handles) Wait(ids []uint32, all bool, timeout time.Duration, done <-chan struct{}, ready []uint32) int {
	var expired <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		expired = t.C
	}
	h.mu.Lock()
	h.waited = true
	h.mu.Unlock()
	for {
		n := h.ready(ids, ready)
		if n == len(ids) || n > 0 && !all || timeout == 0 {
			return n
		}
		select {
		case <-h.moved:
		case <-expired:
			return h.ready(ids, ready)
		case <-done:
			return n
		}
	}
}

func (h *Handles) ready(ids, ready []uint32) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, id := range ids {
		if hd := h.open[id]; hd == nil || hd.ready() {
			ready[n] = id
			n++
		}
	}
	return n
}

// ready tells whether the handle has settled, or if the guest's last try at a stream was in vain, whether that would go on now.
func (hd *Handle) ready() bool {
	waiting, can := false, false
	if hd.down != nil {
		again, could := hd.down.waits(false)
		waiting, can = again, again && could
	}
	if hd.up != nil {
		again, could := hd.up.waits(true)
		waiting, can = waiting || again, can || again && could
	}
	unseen := !hd.seen && !hd.request && !hd.response
	return can || hd.settled && (!waiting || unseen)
}

// Events takes up to len(to) of the handles that settled, or whose stream may go on, since the last call.
func (h *Handles) Events(to []uint32) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	if h.idle && len(to) > 0 {
		h.idle = false
		to[0] = 0
		n++
	}
	for n < len(to) && len(h.events) > 0 {
		if hd := h.open[h.events[0]]; hd != nil {
			hd.told = false
			to[n] = h.events[0]
			n++
		}
		h.events = h.events[1:]
	}
	if len(h.events) == 0 {
		h.events = nil
	}
	return n
}

// Pending tells whether Events has something to give, and whether anything may still settle or move.
func (h *Handles) Pending() (events, flying bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.events) > 0 && h.open[h.events[0]] == nil {
		h.events = h.events[1:]
	}
	return len(h.events) > 0 || h.idle, h.flying > 0 || h.parked > 0
}

// Idle makes handle 0, which is none, the next event: it tells a guest that is about to be saved that all of it waits.
func (h *Handles) Idle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idle = true
}

// Moved receives after something has settled; the receiver looks again at what it waits for.
func (h *Handles) Moved() <-chan struct{} { return h.moved }

// Settled returns a fetch's handle and its result, once it has settled. For unknown handles and groups known is false.
func (h *Handles) Settled(id uint32) (hd *Handle, r fetch.Result, known, settled bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hd = h.open[id]
	if hd == nil || hd.members > 0 || hd.request || hd.response {
		return nil, r, false, false
	}
	hd.seen = hd.settled
	return hd, hd.result, true, hd.settled
}

// Read takes the next bytes of a settled fetch's body.
func (hd *Handle) Read(to []byte) int {
	resp := hd.result.Received()
	if resp == nil {
		return 0
	}
	n := copy(to, resp.Body[hd.read:])
	hd.read += n
	return n
}

// Cancel cancels a fetch, a group, or one member of a group; the streams of one that has settled, too. false if there is no such handle.
func (h *Handles) Cancel(id uint32) bool {
	h.mu.Lock()
	hd := h.open[id]
	if hd == nil {
		h.mu.Unlock()
		return false
	}
	call := hd.call
	h.mu.Unlock()
	if call != nil {
		call.Cancel()
	}
	h.stop(hd, cancelled)
	return true
}

// Drop cancels and forgets; for a group, its members too.
func (h *Handles) Drop(id uint32) bool {
	if !h.Cancel(id) {
		return false
	}
	h.mu.Lock()
	dropped := make([]*Handle, 0, 1)
	members := h.open[id].members
	for i := range members + 1 {
		if hd := h.open[id+i]; hd != nil {
			dropped = append(dropped, hd)
			delete(h.open, id+i)
		}
	}
	h.mu.Unlock()
	for _, hd := range dropped {
		h.stop(hd, nil)
	}
	return true
}
