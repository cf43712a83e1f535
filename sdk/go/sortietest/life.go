package sortietest

import (
	"context"
	"sync"
	"time"
)

// life is the context of one invocation. It ends at the wall limit, or once the answer has begun, at the stream limit, or with its parent. No
// context of the standard library has a deadline that moves.
type life struct {
	context.Context // the parent
	done            chan struct{}
	unhook          func() bool

	mu       sync.Mutex
	timer    *time.Timer
	deadline time.Time
	begun    bool
	err      error
}

func newLife(parent context.Context, wall time.Duration) *life {
	l := &life{Context: parent, done: make(chan struct{}), deadline: time.Now().Add(wall)}
	l.timer = time.AfterFunc(wall, func() { l.end(context.DeadlineExceeded) })
	l.unhook = context.AfterFunc(parent, func() { l.end(parent.Err()) })
	return l
}

// begin goes over from the wall limit to the stream limit.
func (l *life) begin(stream time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = true
	if l.timer.Stop() {
		l.deadline = time.Now().Add(stream)
		l.timer = time.AfterFunc(stream, func() { l.end(context.DeadlineExceeded) })
	}
}

// late tells whether the limit that runs is over, and which it is.
func (l *life) late() (late, begun bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !time.Now().Before(l.deadline), l.begun
}

func (l *life) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		close(l.done)
	}
	l.timer.Stop()
}

// close ends it for good.
func (l *life) close() {
	l.unhook()
	l.end(context.Canceled)
}

// Deadline implements context.Context; so do Done and Err.
func (l *life) Deadline() (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deadline, true
}

// Done is closed at the end.
func (l *life) Done() <-chan struct{} { return l.done }

// Err tells why it has ended.
func (l *life) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
