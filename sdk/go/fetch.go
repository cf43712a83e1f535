package sortie

import (
	"context"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// Get fetches a URL.
//
// A status such as 404 or 500 is a response, not an error, unless WithExpect says otherwise; see also [Response.Check]. Every error
// is an [*Error]. When ctx ends, the fetch is cancelled in the host, and the error matches ctx's own: context.Canceled or
// context.DeadlineExceeded.
//
// The response's body is whole, unless WithStream leaves it to be read as it arrives.
//
// Goroutines that fetch do overlap: a plugin is single-threaded, but only the goroutine that waits is stopped.
func Get(ctx context.Context, url string, opts ...Option) (*Response, error) {
	return Fetch(ctx, &Request{Method: "GET", URL: url}, opts...)
}

// Post sends a body to a URL; else it is as Get. The empty content type sets none.
func Post(ctx context.Context, url, contentType string, body []byte, opts ...Option) (*Response, error) {
	req := &Request{Method: "POST", URL: url, Body: body}
	if contentType != "" {
		req.Header = Header{"content-type": {contentType}}
	}
	return Fetch(ctx, req, opts...)
}

// Fetch fetches any request; else it is as Get. Options of the request itself, see [Request.With], beat those given here.
func Fetch(ctx context.Context, req *Request, opts ...Option) (*Response, error) {
	h, err := hostOf(ctx)
	if err != nil {
		return nil, err
	}
	var call settings
	call.apply(opts)
	f, err := build(ctx, h, req, &call)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		over(f)
		return nil, contextError(ctx, f.URL)
	}
	settled := make(chan int)
	calls, fail := h.Send(f, settled)
	if fail != nil {
		over(f)
		return nil, failure(fail)
	}
	select {
	case <-settled:
	case <-ctx.Done():
		calls.Drop()
		over(f)
		return nil, contextError(ctx, f.URL)
	}
	r := result(ctx, f, calls.Outcome(0))
	calls.Drop()
	return r.Response, r.Err
}

// hostOf finds the host of an invocation; its error is a nil *Error if there is one.
func hostOf(ctx context.Context) (host.Host, *Error) {
	if h := host.From(ctx); h != nil {
		return h, nil
	}
	return nil, &Error{Code: "invalid_request", Message: noHost}
}
