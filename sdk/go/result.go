package sortie

import (
	"context"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// State is a fetch's state. It prints as pending, running, fulfilled, rejected or cancelled.
type State uint8

// The states of a fetch. Results only have the last three.
const (
	Pending State = iota
	Running
	Fulfilled
	Rejected
	Cancelled
)

func (s State) String() string {
	switch s {
	case Pending:
		return "pending"
	case Running:
		return "running"
	case Fulfilled:
		return "fulfilled"
	case Rejected:
		return "rejected"
	case Cancelled:
		return "cancelled"
	}
	return "unknown"
}

// Result is what became of one fetch of a group: a Response if it is fulfilled, else an Err, which then is an [*Error].
type Result struct {
	Response *Response
	Err      error
	State    State
}

// result makes the plugin's result of the host's outcome. A fetch that was cancelled since ctx ended has ctx's error.
func result(ctx context.Context, url string, o host.Outcome) Result {
	switch {
	case o.State == host.Fulfilled && o.Response != nil:
		return Result{Response: response(o.Response), State: Fulfilled}
	case o.State == host.Cancelled && ctx.Err() != nil:
		return failed(contextError(ctx, url))
	case o.Failure != nil:
		return Result{Err: failure(o.Failure), State: State(o.State)}
	}
	return rejected(&Error{Code: "protocol_error", Message: "the host told nothing about the fetch", URL: url})
}

func rejected(err *Error) Result { return Result{Err: err, State: Rejected} }

// failed is the result for an error whose code tells the state: a time-out is a rejection, as the host has it.
func failed(err *Error) Result {
	if err.Code == "cancelled" {
		return Result{Err: err, State: Cancelled}
	}
	return rejected(err)
}

func response(r *host.Response) *Response {
	return &Response{Status: r.Status, Header: r.Header, Body: r.Body, BodyReader: r.Reader, URL: r.URL,
		Attempts: r.Attempts, Elapsed: r.Elapsed, Redirected: r.Redirected}
}
