package guest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sortie-run/sortie/host/fetch"
)

// Attacks on queues and on the table of handles, from below the ABI.

// within fails the test if f doesn't return in time.
func within(t *testing.T, d time.Duration, what string, f func()) bool {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
		return true
	case <-time.After(d):
		t.Errorf("%s: it doesn't return", what)
		return false
	}
}

// body is what a hostile sender makes of a Read: pieces of all lengths, nothing without an error now and then, bytes together with the
// error, and one that goes on for a while after its Close.
type body struct {
	mark   byte
	left   int
	err    error
	slow   time.Duration // that Read takes no notice of Close
	wait   bool          // until closed, when nothing is left
	once   sync.Once
	closed chan struct{}
	r      *rand.Rand
}

func newBody(mark byte, r *rand.Rand) *body {
	b := &body{mark: mark, left: r.IntN(300 << 10), closed: make(chan struct{}), r: rand.New(rand.NewPCG(r.Uint64(), 1)), err: io.EOF}
	switch r.IntN(5) {
	case 0:
		b.err = errors.New("broken")
	case 1:
		b.wait = true
	case 2:
		b.slow = time.Duration(r.IntN(3)) * time.Millisecond
	}
	return b
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 && b.wait {
		<-b.closed
		time.Sleep(b.slow)
		return 0, errors.New("closed")
	}
	n := min(b.left, b.r.IntN(len(p)+1))
	for i := range p { // more than it says, as a Reader may: p is its scratch space
		p[i] = b.mark
		if i >= n {
			p[i] = 0xff
		}
		if b.slow > 0 && i%(32<<10) == 0 {
			time.Sleep(b.slow / 4)
		}
	}
	b.left -= n
	if b.left == 0 && !b.wait {
		return n, b.err
	}
	return n, nil
}

func (b *body) Close() error { b.once.Do(func() { close(b.closed) }); return nil }

// Whatever a guest does to its streams and whenever they end, no byte of one is seen in another, all goroutines end, and the counters by
// which a deadlock is told come back to nothing.
func TestAttackRingsAndCounters(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 99))
			for round, until := 0, time.Now().Add(1500*time.Millisecond); round < 400 && time.Now().Before(until); round++ {
				attackHandles(t, r, byte(1+worker*40+round%40))
				if t.Failed() {
					return
				}
			}
		})
	}
	wg.Wait()
}

func attackHandles(t *testing.T, r *rand.Rand, mark byte) {
	var h Handles
	h.Init()
	type stream struct {
		id      uint32
		hd      *Handle
		gone    bool
		sinking chan struct{}
	}
	var all []*stream
	for range 1 + r.IntN(5) {
		s := &stream{sinking: make(chan struct{})}
		up := newQueue()
		s.hd = &Handle{up: up, settled: false}
		id, _ := h.add(s.hd)
		s.id = id
		h.mu.Lock()
		h.flying++
		h.mu.Unlock()
		up.told = func() { h.tell(id) }
		after, sinkErr, delay := r.IntN(400<<10), r.IntN(3) == 0, time.Duration(r.IntN(2))*time.Millisecond
		readers := r.IntN(2) == 0
		go func() { // the fetch, which takes the upload
			defer close(s.sinking)
			n := 0
			check := func(p []byte) error {
				for _, c := range p {
					if c != mark {
						t.Errorf("an upload with %d holds %d", mark, c)
						return io.ErrUnexpectedEOF
					}
				}
				time.Sleep(delay)
				if n += len(p); n > after && sinkErr {
					return io.ErrShortWrite
				}
				return nil
			}
			if !readers {
				_ = up.Drain(check)
				return
			}
			buf := make([]byte, 32<<10)
			for {
				k, err := up.Read(buf)
				if err == nil {
					err = check(buf[:k])
				}
				if err != nil {
					_ = up.Close()
					return
				}
			}
		}()
		settleAfter, b := time.Duration(r.IntN(3))*time.Millisecond, newBody(mark, r)
		go func() {
			time.Sleep(settleAfter)
			h.settle(id, s.hd, fetch.Result{State: fetch.Fulfilled, Response: &fetch.Response{Stream: true, BodyReader: b}}, nil, 0)
		}()
		all = append(all, s)
	}
	buf, fill := make([]byte, 100<<10), bytes.Repeat([]byte{mark}, 100<<10)
	for range r.IntN(120) {
		s := all[r.IntN(len(all))]
		if s.gone {
			continue
		}
		switch r.IntN(12) {
		case 0:
			h.Cancel(s.id)
		case 1:
			h.Drop(s.id)
			s.gone = true
		case 2:
			h.Finish(s.id)
		case 3, 4, 5:
			if _, parked, _ := s.hd.up.put(fill[:r.IntN(len(fill))]); parked {
				h.park(1)
			}
		case 6:
			ids := []uint32{s.id, s.id, all[0].id}
			h.Wait(ids, r.IntN(2) == 0, time.Duration(r.IntN(3))*time.Millisecond, nil, make([]uint32, 3))
		case 7:
			h.Events(make([]uint32, 2))
		default:
			h.mu.Lock()
			down := s.hd.down
			h.mu.Unlock()
			if down == nil {
				runtime.Gosched()
				continue
			}
			n, parked, err := down.take(buf[:r.IntN(len(buf))])
			if parked {
				h.park(1)
			}
			for _, c := range buf[:n] {
				if c != mark {
					t.Errorf("a stream of %d gives %d", mark, c)
					return
				}
			}
			if errors.Is(err, ErrAgain) && r.IntN(2) == 0 {
				h.Wait([]uint32{s.id}, false, 5*time.Millisecond, nil, make([]uint32, 1))
			}
		}
	}
	// As at an invocation's end: the session, which closes uploads and waits for what settles; then the handles.
	for _, s := range all {
		_ = s.hd.up.Close()
		if !within(t, 10*time.Second, "a drain", func() { <-s.sinking }) {
			return
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		if _, flying := h.Pending(); !flying {
			break
		}
		h.mu.Lock()
		settled := h.flying == 0
		h.mu.Unlock()
		if settled {
			break
		}
		if time.Now().After(deadline) {
			t.Error("never settled")
			return
		}
	}
	if !within(t, 10*time.Second, "Handles.Close", h.Close) {
		return
	}
	if h.flying != 0 || h.parked != 0 {
		t.Errorf("flying %d, parked %d", h.flying, h.parked)
	}
}

// Closing a queue at any moment, from a third goroutine, ends both sides, and the ring isn't another's while it's still being used.
func TestAttackQueueClosedAnytime(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	for i, until := 0, time.Now().Add(1500*time.Millisecond); i < 3000 && time.Now().Before(until); i++ {
		mark := byte(i%250 + 1)
		q := newQueue()
		var tells atomic.Int64
		q.told = func() { tells.Add(1) }
		b := newBody(mark, r)
		var wg sync.WaitGroup
		parks := int64(0)
		wg.Go(func() { q.fill(b) })
		wg.Go(func() {
			runtime.Gosched()
			if i%2 == 0 {
				time.Sleep(time.Duration(i%7) * 50 * time.Microsecond)
			}
			_ = q.fail(errors.New("closed"))
			_ = b.Close()
		})
		buf := make([]byte, 10<<10)
		for stop := time.Now().Add(10 * time.Second); ; {
			n, parked, err := q.take(buf)
			if parked {
				parks++
			}
			if bytes.Count(buf[:n], []byte{mark}) != n {
				t.Fatalf("foreign bytes in a queue of %d", mark)
			}
			if errors.Is(err, ErrAgain) {
				if time.Now().After(stop) {
					t.Fatal("neither bytes nor an end")
				}
				runtime.Gosched()
			} else if err != nil {
				break
			}
		}
		wg.Wait()
		if tells.Load() != parks || q.ring != nil || q.parked {
			t.Fatalf("told %d times of %d; ring kept: %t", tells.Load(), parks, q.ring != nil)
		}
	}
}

// Once: With all handles open, the stream that read_request begins gets none,
// so that Close, which looks at handles only, doesn't stop it and waits for it for ever.
func TestAttackRequestWithoutHandle(t *testing.T) {
	t.Parallel()
	var c Call
	c.Handles.Init()
	for range MaxHandles {
		c.Handles.add(&Handle{settled: true})
	}
	from, to := io.Pipe()
	c.Request.Source, c.Request.Length = from, -1
	_, err := c.ReadRequest(make([]byte, 10))
	t.Logf("read_request: %v", err)
	if !within(t, 10*time.Second, "Handles.Close with a request's stream that has no handle", c.Handles.Close) {
		_ = to.Close() // lets the goroutines go
	}
}

// Once: A source that gives nothing, and no error, is asked again at once for as long as the invocation lasts: io.Reader discourages it
// and allows it. What is read whole gives up after maxIdleReads (host/fetch/body.go).
func TestAttackNothingForEver(t *testing.T) {
	t.Parallel()
	var h Handles
	h.Init()
	q := newQueue()
	h.add(&Handle{settled: true, down: q})
	var reads atomic.Int64
	h.pump(q, readFunc(func([]byte) (int, error) { reads.Add(1); return 0, nil }))
	time.Sleep(50 * time.Millisecond)
	if !within(t, 10*time.Second, "Close", h.Close) {
		return
	}
	if n := reads.Load(); n > 1000 {
		t.Errorf("%d reads in 50 ms", n)
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
func (readFunc) Close() error                 { return nil }

// net/http's HTTP/2 server may still have to read the bytes of a Write that has returned an error: a
// frame is written by a goroutine of its own, and a reset of the stream makes Write return before that is done (writeDataFromHandler). Drain
// gives the ring back to all plugins then, while its bytes may still go out on this client's connection.
func TestAttackRingBehindAnHTTP2Write(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := newQueue()
		q.told = func() {}
		done := make(chan struct{})
		go func() {
			defer close(done)
			err := q.Drain(func(p []byte) error { // as server's outgoing does
				if _, err := w.Write(p); err != nil {
					return err
				}
				return http.NewResponseController(w).Flush()
			})
			for range 4 { // whoever gets the ring next, another plugin perhaps
				next := rings.Get().(*[StreamSize]byte)
				for i := range next {
					next[i] = 0xee
				}
			}
			failed <- err
		}()
		piece := bytes.Repeat([]byte{1}, StreamSize)
		for until := time.Now().Add(20 * time.Second); time.Now().Before(until); runtime.Gosched() {
			if _, _, err := q.put(piece); err == ErrClosed {
				break
			}
		}
		<-done
	}))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	defer srv.Close()
	for range 3 {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, http2.ClientPreface)
		f := http2.NewFramer(conn, conn)
		_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		_ = f.WriteWindowUpdate(0, 1<<30)
		var head bytes.Buffer
		enc := hpack.NewEncoder(&head)
		for _, field := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "x"}, {":path", "/"}} {
			_ = enc.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
		}
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true, EndStream: true})
		time.Sleep(150 * time.Millisecond) // nothing is read: the server is stuck in a frame
		_ = f.WriteRSTStream(1, http2.ErrCodeCancel)
		select {
		case err := <-failed:
			if err == nil {
				t.Error("the answer ended well")
			}
		case <-time.After(20 * time.Second):
			t.Error("the reset isn't noticed")
		}
		_ = conn.Close()
	}
}
