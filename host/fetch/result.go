package fetch

import (
	"io"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// Code is what went wrong, in one word; package failure lists them all.
type Code = failure.Code

// Response is a decoded response.
type Response struct {
	Status     int
	Header     []Field       // names in lower case, sorted; without content-encoding and content-length where the body was decoded
	Body       []byte        // not to be changed: it may be the cache's
	Stream     bool          // whether the body is in BodyReader, as [Request].Stream asked
	BodyReader io.ReadCloser // the body as it arrives, decoded, within the fetch's limits and time; its errors are io.EOF and [*Error]
	URL        string        // of the last hop, without fragment
	decoded    int64         // bytes of the body, as far as it is here
	Redirected bool          // whether there was more than one hop
	Attempts   int           // retries and hedges included, hops not
	Elapsed    time.Duration // from the call to the last byte, waiting included; with Stream, to the head
}

// Error is why a fetch was rejected or cancelled.
type Error struct {
	Code      Code
	Message   string // one line for people; holds no secret
	URL       string // of the hop that failed
	Attempts  int
	Retryable bool      // whether the same fetch might succeed if it were made again; with http_status, the status alone decides
	Response  *Response // with http_status: the response that wasn't expected
	Err       error     // the cause, if there is one to know; not for the guest's eyes
}

// Error gives the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// State is how far a fetch has come.
type State uint8

// The states of a fetch. The first two change, the others are final.
const (
	Pending   State = iota // not started, or waiting for a slot
	Running                // has a slot
	Fulfilled              // has a response
	Rejected               // has an error
	Cancelled              // was stopped by the guest, its group's mode, or the end of its session
)

// String gives the state's name in lower case.
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

// MarshalText gives the state's name, for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Result is the outcome of a fetch: a Response if it is Fulfilled, else an Err. The state is never Pending or Running.
type Result struct {
	State    State
	Response *Response
	Err      *Error
}

// Received is the response that came, expected or not; nil: none did.
func (r Result) Received() *Response {
	if r.Err != nil {
		return r.Err.Response
	}
	return r.Response
}

// stream is the body that is still to be read; nil: there is none.
func (r Result) stream() *stream {
	if resp := r.Received(); resp != nil {
		s, _ := resp.BodyReader.(*stream)
		return s
	}
	return nil
}
