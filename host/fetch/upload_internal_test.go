package fetch

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// closable counts how often it is closed.
type closable struct {
	io.Reader
	closed atomic.Int32
}

func (c *closable) Close() error {
	c.closed.Add(1)
	return nil
}

// TestUploadBelongsToOneAttempt: what an attempt hasn't begun with is the next one's, whole, and nothing of the first gets in its way.
func TestUploadBelongsToOneAttempt(t *testing.T) {
	t.Parallel()
	body := &closable{Reader: strings.NewReader("whole")}
	u := newUpload(&Request{BodyReader: body}, 100)
	attempt := func() (*sender, context.CancelFunc) {
		x := &exchange{}
		ctx, cancel := context.WithCancelCause(context.Background())
		x.ctx, x.cancel = ctx, cancel
		x.watch.clock = &clock{start: time.Now(), timer: time.NewTimer(time.Hour)}
		return u.send(x), func() { cancel(nil) }
	}
	first, endFirst := attempt()
	if !u.untouched() || !u.reclaim() {
		t.Fatal("a body that nobody has read can't be taken back")
	}
	second, endSecond := attempt()
	if n, err := first.Read(make([]byte, 1)); n != 0 || err != io.ErrClosedPipe {
		t.Errorf("the first attempt reads %d, %v", n, err)
	}
	got := make([]byte, 3)
	if n, err := second.Read(got); n != 3 || err != nil {
		t.Errorf("the second reads %d, %v", n, err)
	}
	endFirst() // as late as may be
	for range 100 {
		time.Sleep(time.Millisecond / 10)
	}
	if rest, err := io.ReadAll(second); string(got)+string(rest) != "whole" || err != nil {
		t.Errorf("the second attempt got %q, %v", string(got)+string(rest), err)
	}
	if u.untouched() || u.reclaim() {
		t.Error("a body that was begun is taken back")
	}
	if n := body.closed.Load(); n != 0 {
		t.Errorf("closed %d times before its end", n)
	}
	endSecond()
	for deadline := time.Now().Add(10 * time.Second); body.closed.Load() != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the end of the attempt that has it doesn't close it")
		}
	}
}
