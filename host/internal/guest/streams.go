package guest

import (
	"io"

	"github.com/sortie-run/sortie/host/fetch"
)

// cancelled is why a stream ends that its guest cancels.
var cancelled = &fetch.Error{Code: "cancelled", Message: "cancelled by the plugin"}

// add enlists a handle that is no fetch's.
func (h *Handles) add(hd *Handle) (id uint32, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.open) >= MaxHandles || h.last >= lastHandle {
		return 0, false
	}
	h.last++
	h.open[h.last] = hd
	return h.last, true
}

func (h *Handles) get(id uint32) *Handle {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open[id]
}

// park counts streams that the guest waits for: while there are any, it isn't asleep for ever.
func (h *Handles) park(n int) {
	h.mu.Lock()
	h.parked += n
	h.mu.Unlock()
}

// tell is a queue's: the guest may go on with a stream.
func (h *Handles) tell(id uint32) {
	h.mu.Lock()
	h.parked--
	if hd := h.open[id]; hd != nil {
		h.event(id, hd)
	}
	h.mu.Unlock()
	h.signal()
}

// tellInbound is tell for the request's body, which needs no handle to be read.
func (h *Handles) tellInbound() {
	h.mu.Lock()
	id := h.inboundID
	h.mu.Unlock()
	h.tell(id)
}

// nameInbound gives the request's body its handle.
func (h *Handles) nameInbound(id uint32) {
	h.mu.Lock()
	h.inboundID = id
	h.mu.Unlock()
}

// pump fills a queue until its source has ended, or the queue is stopped.
func (h *Handles) pump(q *Queue, from io.ReadCloser) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		_ = from.Close()
		return
	}
	h.pumping.Add(1)
	h.mu.Unlock()
	q.source.Store(&from)
	go func() {
		defer h.pumping.Done()
		q.fill(from)
		q.source.Store(nil)
		_ = from.Close()
	}()
}

// stop ends a handle's streams; what the guest reads from now on is err. One that has ended by itself is left so. It is called by the
// guest's goroutine, which nothing may hold up: a source that is being read may take a while to close.
func (h *Handles) stop(hd *Handle, err error) {
	if hd.response {
		return
	}
	h.mu.Lock()
	up, down := hd.up, hd.down
	h.mu.Unlock()
	for _, q := range []*Queue{up, down} {
		h.stopQueue(q, err)
	}
}

func (h *Handles) stopQueue(q *Queue, err error) {
	if q == nil {
		return
	}
	if q.unpark() {
		h.park(-1)
	}
	_ = q.fail(err)
	if source := q.source.Swap(nil); source != nil {
		h.pumping.Go(func() { _ = (*source).Close() })
	}
}

// Finish ends what is written to a handle's stream; false if it has none.
func (h *Handles) Finish(id uint32) bool {
	hd := h.get(id)
	if hd == nil || hd.up == nil {
		return false
	}
	if hd.up.unpark() {
		h.park(-1)
	}
	hd.up.End(io.EOF)
	return true
}

// Response tells whether a handle is the one that the response is written to, which isn't cancelled or dropped.
func (h *Handles) Response(id uint32) bool {
	hd := h.get(id)
	return hd != nil && hd.response
}

// Streams tells whether the response's body of a settled fetch is a stream.
func (hd *Handle) Streams() bool { return hd.down != nil }

// Failure is why reading the stream of a handle has failed. known is false for a handle without one.
func (h *Handles) Failure(id uint32) (err error, known bool) {
	h.mu.Lock()
	hd := h.open[id]
	var q *Queue
	if hd != nil {
		q = hd.down
	}
	h.mu.Unlock()
	if hd == nil || hd.members > 0 || hd.response {
		return nil, false
	}
	if q == nil {
		return nil, true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n > 0 || q.err == io.EOF {
		return nil, true
	}
	return q.err, true
}

// Close ends all streams and returns when nothing of them goes on. The fetches' session must have been closed before.
func (h *Handles) Close() {
	h.mu.Lock()
	h.closed = true
	open := make([]*Handle, 0, len(h.open))
	for _, hd := range h.open {
		open = append(open, hd)
	}
	h.mu.Unlock()
	for _, hd := range open {
		h.stop(hd, cancelled)
	}
	h.stopQueue(h.inbound, cancelled)
	h.pumping.Wait()
}
