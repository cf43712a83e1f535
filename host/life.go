package host

import (
	"context"
	"errors"
	"time"

	"github.com/sortie-run/sortie/host/manifest"
)

// Why an invocation's context ended.
var (
	errWall   = errors.New("limits.wall")
	errStream = errors.New("limits.stream")
	errCPU    = errors.New("limits.cpu")
	errCut    = errors.New("the plugin is closed")
	errGone   = errors.New("the client has gone")
)

// life is how long an invocation may last: until its wall limit, or once its response has begun, until its stream limit. It belongs to
// the goroutine that runs the guest. See RATIONALE.md, "Why has an invocation's context no deadline?".
type life struct {
	cut    context.CancelCauseFunc
	timer  *time.Timer
	until  time.Time
	stream time.Duration
}

// newLife begins a life under ctx, which end must end.
func newLife(ctx context.Context, arrived time.Time, limits manifest.Limits) (context.Context, *life) {
	ctx, cut := context.WithCancelCause(ctx)
	l := &life{cut: cut, until: arrived.Add(time.Duration(limits.Wall)), stream: time.Duration(limits.Stream)}
	left := time.Until(l.until)
	if left <= 0 {
		cut(errWall)
	}
	l.timer = time.AfterFunc(left, func() { cut(errWall) })
	return ctx, l
}

// begun goes over from the wall limit to the stream limit, unless the former has just run out.
func (l *life) begun() {
	if l.timer.Stop() {
		l.until = time.Now().Add(l.stream)
		l.timer = time.AfterFunc(l.stream, func() { l.cut(errStream) })
	}
}

func (l *life) end() {
	l.timer.Stop()
	l.cut(nil)
}
