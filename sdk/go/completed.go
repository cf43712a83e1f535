package sortie

import (
	"context"
	"iter"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// AsCompleted fetches the requests concurrently and yields each one's index and result as soon as it has settled. Leaving the loop
// cancels the rest. The fetches start when the loop does, all with one crossing; WithConcurrency bounds how many run at once.
//
//	for i, r := range sortie.AsCompleted(ctx, reqs, sortie.WithConcurrency(8)) {
//		…
//	}
func AsCompleted(ctx context.Context, reqs []*Request, opts ...Option) iter.Seq2[int, Result] {
	return func(yield func(int, Result) bool) {
		g := start(ctx, host.AllSettled, 0, false, reqs, opts)
		defer g.end()
		done := ctx.Done()
		for next := 0; next < len(g.results); {
			for ; next < len(g.order); next++ {
				if i := g.order[next]; !yield(i, g.results[i]) {
					return
				}
			}
			if next == len(g.results) {
				return
			}
			select {
			case i, ok := <-g.settled:
				if !ok {
					g.lose()
				} else {
					g.settle(ctx, i)
				}
			case <-done:
				g.calls.Cancel()
				done = nil
			}
		}
	}
}
