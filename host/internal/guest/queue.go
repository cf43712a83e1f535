package guest

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// What the guest's side of a queue answers besides bytes and io.EOF.
var (
	ErrAgain  = errors.New("nothing can be moved now")
	ErrClosed = errors.New("nobody takes what is written any more")
)

// StreamSize is how many bytes of a stream the host keeps, and so how far one side can be ahead of the other.
const StreamSize = 64 << 10

var rings = sync.Pool{New: func() any { return new([StreamSize]byte) }}

// Queue holds the bytes of a stream between a guest and the host. The guest's side never waits: it is told, by a call of told, when to try
// again after ErrAgain. The host's side does wait. One goroutine is at each side, and a third may Close.
//
// The bytes lie in a ring, whose filled and free parts are used outside the lock by who takes and who gives.
type Queue struct {
	told   func()                        // called when the guest, having had ErrAgain, may try again
	source atomic.Pointer[io.ReadCloser] // what it is being filled from; nil: nothing

	mu      sync.Mutex
	wake    chan struct{} // a token for the host's side, when something has moved
	ring    *[StreamSize]byte
	rest    []byte // what was left at the end, in place of a ring
	from, n int
	lent    bool  // the host's side is using a part of the ring
	err     error // what comes after the last byte: io.EOF or a failure; nil: more bytes may
	closed  bool  // the bytes have no use any more
	again   bool  // the guest's last try gave ErrAgain
	parked  bool  // and it hasn't been told since
}

func newQueue() *Queue { return &Queue{wake: make(chan struct{}, 1)} }

// NewUpload makes the queue of a fetch's request body: it is the fetch's BodyReader. Send and Group take it over.
func NewUpload() *Queue { return newQueue() }

func (q *Queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// release gives the ring back once nobody uses it. The caller holds mu.
func (q *Queue) release() {
	if q.ring != nil && !q.lent && (q.closed || q.n == 0 && q.err != nil) {
		rings.Put(q.ring)
		q.ring = nil
	}
}

// --- the guest's side

// take moves bytes to the guest: n > 0, or why there are none. parked tells that the guest has just begun to wait.
func (q *Queue) take(to []byte) (n int, parked bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.again = false
	if len(to) == 0 && (q.n > 0 || q.err == nil) {
		return 0, false, nil
	}
	for n < len(to) && q.n > 0 {
		part := q.filled()
		k := copy(to[n:], part)
		n += k
		q.from, q.n = q.from+k, q.n-k
		if q.ring != nil {
			q.from %= StreamSize
		}
	}
	switch {
	case n > 0:
		q.release()
		q.rouse()
		return n, false, nil
	case q.err != nil:
		return 0, false, q.err
	}
	return 0, q.park(), ErrAgain
}

// put moves bytes from the guest.
func (q *Queue) put(from []byte) (n int, parked bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.again = false
	if q.closed || q.err != nil {
		return 0, false, ErrClosed
	}
	for n < len(from) && q.n < StreamSize {
		k := copy(q.free(), from[n:])
		n += k
		q.n += k
	}
	if n > 0 || len(from) == 0 {
		q.rouse()
		return n, false, nil
	}
	return 0, q.park(), ErrAgain
}

func (q *Queue) park() bool {
	before := q.parked
	q.again, q.parked = true, true
	return !before
}

// unpark is for a guest that has given up waiting; it tells whether it was.
func (q *Queue) unpark() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	before := q.parked
	q.again, q.parked = false, false
	return before
}

// taking tells whether what the guest writes is taken at all.
func (q *Queue) taking() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.closed && q.err == nil
}

// waits tells whether the guest's last try gave ErrAgain, and whether another would give something else.
func (q *Queue) waits(writing bool) (again, could bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if writing {
		return q.again, q.n < StreamSize || q.closed || q.err != nil
	}
	return q.again, q.n > 0 || q.err != nil
}

// --- the host's side

// filled is the next part that has bytes. The caller holds mu.
func (q *Queue) filled() []byte {
	if q.ring == nil {
		return q.rest[q.from : q.from+q.n]
	}
	return q.ring[q.from:min(q.from+q.n, StreamSize)]
}

// free is the next part that has none. The caller holds mu.
func (q *Queue) free() []byte {
	if q.ring == nil {
		q.ring = rings.Get().(*[StreamSize]byte)
	}
	at := (q.from + q.n) % StreamSize
	return q.ring[at : at+min(StreamSize-q.n, StreamSize-at)]
}

// moved ends what a host's side did under mu, and unlocks it.
func (q *Queue) moved() {
	tell := q.parked
	q.parked = false
	q.mu.Unlock()
	if tell && q.told != nil {
		q.told()
	}
}

// fill moves all of a reader to the guest, and returns when it has ended or nobody wants it any more.
func (q *Queue) fill(from io.Reader) {
	for idle := 0; ; {
		room := q.room()
		if room == nil {
			return
		}
		n, err := from.Read(room)
		if idle++; n > 0 {
			idle = 0
		} else if err == nil && idle == maxIdleReads {
			err = io.ErrNoProgress
		}
		q.mu.Lock()
		q.lent = false
		if !q.closed {
			q.n += n
			if err != nil {
				q.err = err
				q.settle()
			}
		}
		q.release()
		if n > 0 || err != nil {
			q.moved()
		} else {
			q.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// maxIdleReads is how often a source may give neither bytes nor an error, as in bufio.
const maxIdleReads = 100

// settle puts what is left at the end of a stream where it takes no more than it needs: there may be many that nobody reads.
func (q *Queue) settle() {
	if q.n == 0 || q.n > StreamSize/2 {
		return
	}
	rest := make([]byte, 0, q.n)
	for q.n > 0 {
		part := q.filled()
		rest = append(rest, part...)
		q.from, q.n = (q.from+len(part))%StreamSize, q.n-len(part)
	}
	rings.Put(q.ring)
	q.ring, q.rest, q.from, q.n = nil, rest, 0, len(rest)
}

// room waits for room, and lends it; nil: there is no use for it.
func (q *Queue) room() []byte {
	for {
		q.mu.Lock()
		if q.closed {
			q.release()
			q.mu.Unlock()
			return nil
		}
		if q.n < StreamSize {
			q.lent = true
			room := q.free()
			q.mu.Unlock()
			return room
		}
		q.mu.Unlock()
		<-q.wake
	}
}

// Drain moves what the guest writes to a function, as it comes, until it has ended: nil if cleanly. The function must be done with the
// bytes when it returns, and its error ends it too.
func (q *Queue) Drain(to func([]byte) error) error {
	for {
		part, err := q.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err = to(part); err != nil {
			q.mu.Lock()
			q.lent, q.ring, q.n = false, nil, 0 // see RATIONALE.md, "Why is a ring dropped, not pooled, when its writer fails?"
			q.mu.Unlock()
			_ = q.Close()
			return err
		}
		q.advance(len(part))
	}
}

// next waits for bytes, and lends them.
func (q *Queue) next() ([]byte, error) {
	for {
		q.mu.Lock()
		switch {
		case q.closed:
			q.mu.Unlock()
			return nil, io.ErrClosedPipe
		case q.n > 0:
			q.lent = true
			part := q.filled()
			q.mu.Unlock()
			return part, nil
		case q.err != nil:
			err := q.err
			q.mu.Unlock()
			return nil, err
		}
		q.mu.Unlock()
		<-q.wake
	}
}

func (q *Queue) advance(n int) {
	q.mu.Lock()
	q.lent = false
	if !q.closed {
		q.from, q.n = (q.from+n)%StreamSize, q.n-n
	}
	q.release()
	q.moved()
}

// Read implements io.Reader, for the fetch that takes an upload.
func (q *Queue) Read(p []byte) (int, error) {
	part, err := q.next()
	if err != nil {
		return 0, err
	}
	n := copy(p, part)
	q.advance(n)
	return n, nil
}

// Close says that nobody has a use for the bytes any more. It makes the host's side return, and the guest be told.
func (q *Queue) Close() error { return q.fail(nil) }

// fail is Close; what the guest reads from now on is err, unless it has come to the end already.
func (q *Queue) fail(err error) error {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		if q.err == nil || q.n > 0 && err != nil {
			q.err = err
		}
		q.n, q.rest = 0, nil
		q.release()
	}
	q.rouse()
	q.moved()
	return nil
}

// End says that nothing comes after what was put in, but err: io.EOF, or why it isn't whole.
func (q *Queue) End(err error) {
	q.mu.Lock()
	if q.err == nil && !q.closed {
		q.err = err
		q.release()
	}
	q.mu.Unlock()
	q.rouse()
}
