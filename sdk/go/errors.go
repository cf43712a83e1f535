package sortie

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// The classes of fetch failures, for errors.Is. Every code is in exactly one:
//
//	ErrInvalid      invalid_url unsupported_protocol invalid_request browser_header browser_body
//	ErrDenied       host_denied method_denied address_denied browser_secret
//	ErrLimit        limit_requests limit_bytes request_too_large response_too_large
//	ErrNetwork      dns_error connect_error connect_timeout tls_error proxy_error
//	                write_timeout write_error read_timeout read_error browser_network
//	ErrProtocol     protocol_error decode_error too_many_redirects redirect_blocked http_status
//	                browser_redirect
//	ErrUnavailable  pool_timeout rate_limited circuit_open
//	ErrTimeout      timeout (also matches context.DeadlineExceeded)
//	ErrCancelled    cancelled (also matches context.Canceled)
//
// Codes that begin with browser_ are for what a page can't do: the same plugin meets them there, and nowhere else.
//
// A phase's time-out is its phase's class: the whole time isn't over when connecting took too long. (*Error).Timeout is true for all of
// them.
var (
	ErrInvalid     = errors.New("sortie: invalid request")
	ErrDenied      = errors.New("sortie: denied by the policy")
	ErrLimit       = errors.New("sortie: over a limit")
	ErrNetwork     = errors.New("sortie: network failure")
	ErrProtocol    = errors.New("sortie: unacceptable answer")
	ErrUnavailable = errors.New("sortie: not available now")
	ErrTimeout     = errors.New("sortie: timed out")
	ErrCancelled   = errors.New("sortie: cancelled")
)

// classes is the table above. Codes are words of it.
var classes = [...]struct {
	err   error
	codes string
}{
	{ErrInvalid, " invalid_url unsupported_protocol invalid_request browser_header browser_body "},
	{ErrDenied, " host_denied method_denied address_denied browser_secret "},
	{ErrLimit, " limit_requests limit_bytes request_too_large response_too_large "},
	{ErrNetwork, " dns_error connect_error connect_timeout tls_error proxy_error write_timeout write_error read_timeout read_error browser_network "},
	{ErrProtocol, " protocol_error decode_error too_many_redirects redirect_blocked http_status browser_redirect "},
	{ErrUnavailable, " pool_timeout rate_limited circuit_open "},
	{ErrTimeout, " timeout "},
	{ErrCancelled, " cancelled "},
}

func class(code string) error {
	for i := range classes {
		if code != "" && strings.Contains(classes[i].codes, " "+code+" ") {
			return classes[i].err
		}
	}
	return nil
}

// Error is why a fetch has no response, or one that wasn't expected. All errors of fetches are of this type; those of Any and
// Quorum wrap several.
type Error struct {
	Code      string    // one of the contract's codes, see ErrInvalid and its companions
	Message   string    // one sentence for people
	URL       string    // the URL that failed, maybe a redirect's
	Attempts  int       // how many attempts were made
	Retryable bool      // another try may succeed
	Response  *Response // the unexpected response, for http_status

	err error
}

// Error describes the failure in one line.
func (e *Error) Error() string {
	text := "sortie: " + e.Code
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.URL != "" && !strings.Contains(e.Message, e.URL) {
		text += " (" + e.URL + ")"
	}
	if e.Attempts > 1 {
		text += " after " + strconv.Itoa(e.Attempts) + " attempts"
	}
	return text
}

// Is matches the error's class, and for time-outs and cancellation the context package's errors.
func (e *Error) Is(target error) bool {
	c := class(e.Code)
	switch {
	case c == nil:
		return false
	case target == c:
		return true
	case c == ErrTimeout:
		return target == context.DeadlineExceeded
	case c == ErrCancelled:
		return target == context.Canceled
	}
	return false
}

// Unwrap returns what lies beneath, if anything: the context's cause, or what went wrong in reading a body.
func (e *Error) Unwrap() error { return e.err }

// Timeout says whether some time ran out, as net.Error has it: the whole or a phase's.
func (e *Error) Timeout() bool { return strings.HasSuffix(e.Code, "timeout") }

// failure makes the plugin's error of the host's, but for its response.
//
//go:noinline
func failure(f *host.Failure) *Error {
	e := &Error{Code: f.Code, Message: f.Message, URL: f.URL, Attempts: f.Attempts, Retryable: f.Retryable}
	return e
}

// contextError is the error of a fetch whose context ended before the fetch did.
func contextError(ctx context.Context, url string) *Error {
	e := &Error{Code: "cancelled", Message: "the context was cancelled", URL: url, err: context.Cause(ctx)}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e.Code, e.Message = "timeout", "the context's deadline has passed"
	}
	return e
}

// failures are the errors of a group that got too few responses.
type failures struct {
	what string
	errs []error
}

func (f *failures) Error() string {
	text := "sortie: " + f.what
	separator := ": "
	for _, err := range f.errs {
		text += separator + strings.TrimPrefix(err.Error(), "sortie: ")
		separator = "; "
	}
	return text
}

func (f *failures) Unwrap() []error { return f.errs }
