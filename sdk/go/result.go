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

// result makes the plugin's result of the host's outcome. A fetch that was cancelled since ctx ended has ctx's error, and one that was since its
// own body failed, the body's. The fetch is over then, unless its response is a stream.
func result(ctx context.Context, f *host.Fetch, o host.Outcome) Result {
	body, _ := f.BodyReader.(*upload)
	if o.State == host.Fulfilled && o.Response != nil {
		return Result{Response: response(ctx, o.Response, body), State: Fulfilled}
	}
	broken := body.failure()
	switch {
	case o.State == host.Cancelled && ctx.Err() != nil:
		body.close()
		return failed(contextError(ctx, f.URL))
	case o.State == host.Cancelled && broken != nil:
		body.close()
		return rejected(&Error{Code: "invalid_request", Message: "reading the request's body: " + broken.Error(), URL: f.URL, err: broken})
	case o.Failure != nil:
		err := failure(o.Failure)
		if o.Failure.Response != nil {
			err.Response = response(ctx, o.Failure.Response, body)
		} else {
			body.close()
		}
		return Result{Err: err, State: State(o.State)}
	}
	body.close()
	return rejected(&Error{Code: "protocol_error", Message: "the host told nothing about the fetch", URL: f.URL})
}

func rejected(err *Error) Result { return Result{Err: err, State: Rejected} }

// failed is the result for an error whose code tells the state: a time-out is a rejection, as the host has it.
func failed(err *Error) Result {
	if err.Code == "cancelled" {
		return Result{Err: err, State: Cancelled}
	}
	return rejected(err)
}

// close ends a streamed response that nobody will be given.
func (r *Result) close() {
	response := r.Response
	if e, ok := r.Err.(*Error); ok { //nolint:errorlint // ours, never wrapped
		response = e.Response
	}
	if response == nil {
		return
	}
	if s, ok := response.BodyReader.(*stream); ok {
		_ = s.Close()
	}
}

// response makes the plugin's response of the host's; body is the request's, which may still be under way beside a stream.
func response(ctx context.Context, r *host.Response, body *upload) *Response {
	p := &Response{Status: r.Status, Header: r.Header, Body: r.Body, URL: r.URL, Attempts: r.Attempts, Elapsed: r.Elapsed, Redirected: r.Redirected}
	if r.Reader != nil {
		p.BodyReader = newStream(ctx, r.URL, r.Reader, body)
	} else {
		body.close()
	}
	return p
}
