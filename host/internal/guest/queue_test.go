package guest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"
)

// told makes a queue with a channel that gets a token when the guest is told.
func told() (*Queue, chan struct{}) {
	q, c := newQueue(), make(chan struct{}, 1)
	q.told = func() { c <- struct{}{} }
	return q, c
}

// takeAll reads as a guest does, in pieces of random length.
func takeAll(q *Queue, told <-chan struct{}) ([]byte, error) {
	var all []byte
	buf := make([]byte, 100<<10)
	for {
		n, _, err := q.take(buf[:1+rand.IntN(len(buf)-1)])
		all = append(all, buf[:n]...)
		switch {
		case errors.Is(err, ErrAgain):
			<-told
		case err != nil:
			return all, err
		}
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

func TestQueueToTheGuest(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 1000, StreamSize, StreamSize + 1, 1 << 20} {
		want := random(size)
		for name, from := range map[string]io.Reader{
			"whole":  bytes.NewReader(want),
			"halves": iotest.HalfReader(bytes.NewReader(want)),
			"at end": iotest.DataErrReader(bytes.NewReader(want)),
		} {
			q, told := told()
			var wg sync.WaitGroup
			wg.Go(func() { q.fill(from) })
			if got, err := takeAll(q, told); !bytes.Equal(got, want) || err != io.EOF {
				t.Errorf("%d bytes, %s: got %d, %v", size, name, len(got), err)
			}
			wg.Wait()
		}
	}
}

func TestQueueFromTheGuest(t *testing.T) {
	t.Parallel()
	want := random(1 << 20)
	q, told := told()
	var got bytes.Buffer
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := q.Drain(func(b []byte) error { got.Write(b); return nil }); err != nil {
			t.Error(err)
		}
	})
	for rest := want; len(rest) > 0; {
		n, _, err := q.put(rest[:min(len(rest), 1+rand.IntN(100<<10))])
		if rest = rest[n:]; errors.Is(err, ErrAgain) {
			<-told
		} else if err != nil {
			t.Fatal(err)
		}
	}
	q.End(io.EOF)
	wg.Wait()
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got %d bytes of %d", got.Len(), len(want))
	}
	if _, _, err := q.put(want); err != ErrClosed {
		t.Errorf("after the end: %v", err)
	}
}

// endless gives bytes without end, and counts them.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) { e.n += len(p); return len(p), nil }

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	q, _ := told()
	var from endless
	var wg sync.WaitGroup
	wg.Go(func() { q.fill(&from) })
	for again, could := q.waits(false); !could || again; again, could = q.waits(false) { // until it has begun
	}
	_ = q.Close()
	wg.Wait()
	if from.n > StreamSize {
		t.Errorf("%d bytes were read ahead", from.n)
	}
	q, _ = told()
	if n, _, err := q.put(make([]byte, 1<<20)); n != StreamSize || err != nil {
		t.Errorf("%d bytes were taken, %v", n, err)
	}
	if n, parked, err := q.put([]byte{1}); n != 0 || !parked || err != ErrAgain {
		t.Errorf("%d bytes more were taken, %v", n, err)
	}
}

func TestQueueFailures(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	q, c := told()
	q.fill(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader([]byte("ab")))))
	if got, err := takeAll(q, c); string(got) != "a" || err != iotest.ErrTimeout {
		t.Errorf("%q, %v", got, err)
	}
	_ = q.fail(broken) // at its end already
	if _, _, err := q.take(make([]byte, 1)); err != iotest.ErrTimeout {
		t.Error(err)
	}
	q, c = told()
	if _, parked, err := q.take(make([]byte, 1)); !parked || err != ErrAgain {
		t.Error(parked, err)
	}
	if _, parked, _ := q.take(make([]byte, 1)); parked {
		t.Error("parked twice")
	}
	_ = q.fail(broken)
	<-c
	if _, _, err := q.take(make([]byte, 1)); err != broken {
		t.Error(err)
	}
	q, _ = told()
	_, _, _ = q.put([]byte("abc"))
	if err := q.Drain(func([]byte) error { return broken }); err != broken {
		t.Error(err)
	}
	if _, _, err := q.put([]byte("abc")); err != ErrClosed {
		t.Error(err)
	}
	if n, err := q.Read(make([]byte, 1)); n != 0 || err != io.ErrClosedPipe {
		t.Error(n, err)
	}
}
