package guest

import (
	"errors"
	"io"
)

// The invocation's own bodies: its request's, whole or as it comes, and its response's.

// ReadRequest copies the next bytes of the request's body. The error is io.EOF at its end, ErrAgain, or why it can't be read.
func (c *Call) ReadRequest(to []byte) (int, error) {
	r := &c.Request
	if r.Source == nil {
		n := copy(to, r.Body[c.read:])
		if c.read += n; n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}
	if r.Stream == nil {
		c.startRequest()
	}
	n, parked, err := r.Stream.take(to)
	c.read += n
	if parked {
		c.Handles.park(1)
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, ErrAgain) && c.RequestError == nil {
		c.RequestError = err
	}
	return n, err
}

// startRequest begins to read what the client sends.
func (c *Call) startRequest() {
	q := newQueue()
	q.told = c.Handles.tellInbound
	c.Request.Stream, c.Handles.inbound = q, q
	c.Handles.pump(q, c.Request.Source)
}

// OpenRequest gives the request's body a handle; ok is false if it had one, and id 0 if there are too many.
func (c *Call) OpenRequest() (id uint32, ok bool) {
	if c.opened {
		return 0, false
	}
	if c.Request.Source != nil && c.Request.Stream == nil {
		c.startRequest()
	}
	id, c.opened = c.Handles.add(&Handle{settled: true, request: true, down: c.Request.Stream})
	c.Handles.nameInbound(id)
	return id, true
}

// Begin begins a streamed response; id is 0 if there are too many handles.
func (c *Call) Begin(r *Response) (id uint32) {
	q := newQueue()
	hd := &Handle{settled: true, response: true, up: q}
	id, ok := c.Handles.add(hd)
	if !ok {
		return 0
	}
	q.told = func() { c.Handles.tell(id) }
	r.Stream = q
	c.Response = r
	c.OnBegin(r)
	return id
}

// Write writes to the stream of a handle. ok is false if it has none, fits false if that makes the response longer than its limit.
func (c *Call) Write(id uint32, from []byte) (n int, ok, fits bool, err error) {
	hd := c.Handles.get(id)
	if hd == nil || hd.up == nil {
		return 0, false, true, nil
	}
	if hd.response && hd.up.taking() && c.written+int64(len(from)) > c.Limits.Output {
		c.tooLong(c.written + int64(len(from)))
		return 0, true, false, nil
	}
	n, parked, err := hd.up.put(from)
	if parked {
		c.Handles.park(1)
	}
	if hd.response {
		c.written += int64(n)
	}
	return n, true, true, err
}

// Written is how many bytes the response's body has so far.
func (c *Call) Written() int64 {
	if c.Response == nil {
		return 0
	}
	return c.written + int64(len(c.Response.Body))
}

// Read reads from the stream of a handle, or from its whole body. ok is false if it has neither.
func (c *Call) Read(id uint32, to []byte) (n int, ok bool, err error) {
	hd := c.Handles.get(id)
	switch {
	case hd == nil || hd.members > 0 || hd.response:
		return 0, false, nil
	case hd.request:
		n, err = c.ReadRequest(to)
		return n, true, err
	}
	c.Handles.mu.Lock()
	settled, down := hd.settled, hd.down
	c.Handles.mu.Unlock()
	switch {
	case !settled:
		return 0, true, ErrAgain
	case down == nil:
		if n = hd.Read(to); n == 0 {
			err = io.EOF
		}
		return n, true, err
	}
	n, parked, err := down.take(to)
	if parked {
		c.Handles.park(1)
	}
	return n, true, err
}

// Received is how many bytes of the request's body are here: all of a whole one, of a stream what the guest has read.
func (c *Call) Received() int64 {
	if c.Request.Source != nil {
		return int64(c.read)
	}
	return int64(len(c.Request.Body))
}
