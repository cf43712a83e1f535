package sortie

import (
	"context"
	"fmt"
	"slices"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// All fetches the requests concurrently and returns their responses in the order of the requests. The first error cancels the rest
// and is returned, alone.
//
// Like all functions on groups it crosses to the host once for the whole group. How many fetches run at once is the policy's, or less by
// WithConcurrency; those over the budget are rejected one by one.
func All(ctx context.Context, reqs []*Request, opts ...Option) ([]*Response, error) {
	g := run(ctx, host.All, 0, reqs, opts)
	responses := make([]*Response, len(reqs))
	for i := range g.results {
		if g.results[i].State != Fulfilled {
			i = g.first()
			g.keep(i)
			return nil, g.results[i].Err
		}
		responses[i] = g.results[i].Response
	}
	return responses, nil
}

// AllSettled fetches the requests concurrently and returns what became of each, in the order of the requests. Nothing is cancelled
// unless ctx ends; what had settled by then stays.
func AllSettled(ctx context.Context, reqs []*Request, opts ...Option) []Result {
	return run(ctx, host.AllSettled, 0, reqs, opts).results
}

// Any fetches the requests concurrently and returns the first response, which cancels the rest. If there is none, the error wraps those
// of all, in the order of the requests, for errors.Is and errors.As.
func Any(ctx context.Context, reqs []*Request, opts ...Option) (*Response, error) {
	if len(reqs) == 0 {
		return nil, &Error{Code: "invalid_request", Message: "Any of no requests"}
	}
	g := run(ctx, host.Any, 0, reqs, opts)
	for _, i := range g.order {
		if g.results[i].State == Fulfilled {
			g.keep(i)
			return g.results[i].Response, nil
		}
	}
	return nil, g.errors(fmt.Sprintf("none of %d fetches has a response", len(reqs)))
}

// Race fetches the requests concurrently and returns what became of the first to settle, response or error, which cancels the rest.
func Race(ctx context.Context, reqs []*Request, opts ...Option) Result {
	if len(reqs) == 0 {
		return rejected(&Error{Code: "invalid_request", Message: "Race of no requests"})
	}
	g := run(ctx, host.Race, 0, reqs, opts)
	g.keep(g.order[0])
	return g.results[g.order[0]]
}

// Quorum fetches the requests concurrently and returns the first n responses, in the order of their arrival; the n-th cancels the
// rest. If there are fewer, it returns those there are, and an error that wraps those of all others.
func Quorum(ctx context.Context, n int, reqs []*Request, opts ...Option) ([]*Response, error) {
	if n <= 0 {
		return nil, nil
	}
	if n > len(reqs) {
		return nil, &Error{Code: "invalid_request", Message: fmt.Sprintf("a quorum of %d among %d requests", n, len(reqs))}
	}
	g := run(ctx, host.Quorum, n, reqs, opts)
	responses, kept := make([]*Response, 0, n), make([]int, 0, n)
	for _, i := range g.order {
		if g.results[i].State == Fulfilled && len(responses) < n {
			responses, kept = append(responses, g.results[i].Response), append(kept, i)
		}
	}
	if len(responses) < n {
		return responses, g.errors(fmt.Sprintf("%d responses of %d wanted", len(responses), n))
	}
	g.keep(kept...)
	return responses, nil
}

// group is one group of fetches, from the requests to the results.
type group struct {
	calls   host.Calls // nil if nothing was sent
	settled chan int   // positions in sent
	sent    []sent     // what crossed
	results []Result   // by request; those in order are final
	order   []int      // requests in the order they settled
}

type sent struct {
	_     host.NoCompare
	index int // of the request
	fetch *host.Fetch
	taken bool // its outcome was
}

// run runs a group to its end.
func run(ctx context.Context, mode host.Mode, count int, reqs []*Request, opts []Option) *group {
	g := start(ctx, mode, count, true, reqs, opts)
	if g.calls == nil {
		return g
	}
	done := ctx.Done()
	for len(g.order) < len(g.results) {
		if len(g.settled) > 0 { // what is here already needs no select
			g.settle(ctx, <-g.settled)
			continue
		}
		select {
		case i, ok := <-g.settled:
			if !ok {
				g.lose()
			} else {
				g.settle(ctx, i)
			}
		case <-done:
			// The host settles what is cancelled at once, so this goes on to the group's end: what was there in time isn't lost.
			g.calls.Cancel()
			done = nil
		}
	}
	g.end()
	return g
}

// end lets go of what was sent. Streams that were handed out go on.
func (g *group) end() {
	if g.calls == nil {
		return
	}
	g.calls.Drop()
	for _, s := range g.sent {
		if !s.taken {
			over(s.fetch)
		}
	}
}

// keep closes the streams of all results but those at the indexes: nobody else could, and each is a fetch in flight.
func (g *group) keep(indexes ...int) {
	for i := range g.results {
		if !slices.Contains(indexes, i) {
			g.results[i].close()
		}
	}
}

// start sends a group. Requests that the plugin itself has got wrong are rejected without being sent; where one such decides the mode,
// nothing is sent. whole says that nobody looks at a member before all have settled.
func start(ctx context.Context, mode host.Mode, count int, whole bool, reqs []*Request, opts []Option) *group {
	g := &group{results: make([]Result, len(reqs)), order: make([]int, 0, len(reqs))}
	h, err := hostOf(ctx)
	if err == nil && ctx.Err() != nil {
		err = contextError(ctx, "")
	}
	if err != nil {
		g.rejectRest(err)
		return g
	}
	var call settings
	call.apply(opts)
	hg := &host.Group{Mode: mode, Count: count, Concurrency: max(call.concurrency, 0), Whole: whole, Fetches: make([]*host.Fetch, 0, len(reqs))}
	hg.Timeout, _ = remaining(ctx, h)
	g.sent = make([]sent, 0, len(reqs))
	for i, req := range reqs {
		f, err := build(ctx, h, req, &call)
		if err != nil {
			g.put(i, rejected(err))
			continue
		}
		hg.Fetches = append(hg.Fetches, f)
		g.sent = append(g.sent, sent{index: i, fetch: f})
	}
	decided := len(g.order) > 0 && (mode == host.All || mode == host.Race || mode == host.Quorum && len(hg.Fetches) < count)
	if len(hg.Fetches) == 0 || decided {
		g.unsent()
		g.cancelRest()
		return g
	}
	g.settled = make(chan int, len(hg.Fetches))
	calls, fail := h.Group(hg, g.settled)
	if fail != nil {
		g.unsent()
		g.rejectRest(failure(fail))
		return g
	}
	g.calls = calls
	return g
}

// unsent is for fetches that were made in vain.
func (g *group) unsent() {
	for _, s := range g.sent {
		over(s.fetch)
	}
}

// settle takes the outcome of what was sent as number i.
func (g *group) settle(ctx context.Context, i int) {
	s := &g.sent[i]
	s.taken = true
	g.put(s.index, result(ctx, s.fetch, g.calls.Outcome(i)))
}

// put isn't inlined, nor is cancelRest: every copy is in every plugin.
//
//go:noinline
func (g *group) put(i int, r Result) {
	g.results[i] = r
	g.order = append(g.order, i)
}

// lose ends a group whose host has ended without telling of all: the invocation is over.
func (g *group) lose() { g.cancelRest() }

//go:noinline
func (g *group) cancelRest() {
	g.rest(func() Result {
		return failed(&Error{Code: "cancelled", Message: "cancelled with its group"})
	})
}

//go:noinline
func (g *group) rejectRest(err *Error) {
	g.rest(func() Result { return failed(err) })
}

func (g *group) rest(make func() Result) {
	for i := range g.results {
		if r := &g.results[i]; r.Response == nil && r.Err == nil {
			g.put(i, make())
		}
	}
}

// first is where the first error of a group is: one that came about by itself, before those that it cancelled.
func (g *group) first() int {
	for _, i := range g.order {
		if g.results[i].State == Rejected {
			return i
		}
	}
	return slices.IndexFunc(g.results, func(r Result) bool { return r.Err != nil })
}

// errors are all errors of a group, in the order of the requests.
func (g *group) errors(what string) error {
	f := &failures{what: what}
	for i := range g.results {
		if err := g.results[i].Err; err != nil {
			f.errs = append(f.errs, err)
		}
	}
	return f
}
