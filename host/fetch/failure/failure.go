// Package failure holds the codes and the one error type of a fetch.
//
// Every fetch that does not end in a response ends in an [*Error] whose [Code]
// is one of the strings that plugins, reports and metrics see. The codes are
// public and never change their meaning; [Codes] lists them all.
//
//	err := failure.New(failure.HostDenied, "no rule allows %s", origin)
//	if failure.CodeOf(err) == failure.HostDenied { … }
//
// Whether a failure is worth another attempt depends on the code and, once
// bytes may have reached the other side, on the request's method:
// see [Code.Retryable].
package failure

import (
	"errors"
	"fmt"
)

// Error is why a fetch has no response. It is a value: build it with [New] or
// [Wrap], fill in the rest, and don't change it after handing it out.
type Error struct {
	// Code is the stable, machine-readable kind.
	Code Code
	// Message is one sentence for a person: what happened and, where there is
	// something to be done, what. The guest sees it, so it holds no address
	// the guest did not write itself and no secret.
	Message string
	// URL is what was being fetched, without fragment; "" if it never parsed.
	URL string
	// Attempts counts the attempts made, the failed one included; 0 if nothing
	// was sent.
	Attempts int
	// Retryable tells whether the same request may be sent again.
	Retryable bool
	// Err is the cause, or nil. It may hold what Message must not, such as a
	// resolved address: for the operator's log, not for the guest.
	Err error
}

// Error returns `code: message`, without the cause's own text.
func (e *Error) Error() string {
	if e.Message == "" {
		return string(e.Code)
	}
	return string(e.Code) + ": " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an *Error of the same code that says nothing
// else, so that errors.Is(err, &failure.Error{Code: failure.DNSError}) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Message == "" && t.URL == "" && t.Err == nil
}

// New returns an error of that code. Retryable is what the code says for an
// unknown method: call [Code.Retryable] with the method where it is known.
func New(code Code, format string, args ...any) *Error {
	return Wrap(code, nil, format, args...)
}

// Wrap is [New] with a cause.
func Wrap(code Code, err error, format string, args ...any) *Error {
	return &Error{
		Code:      code,
		Message:   fmt.Sprintf(format, args...),
		Retryable: code.Retryable(""),
		Err:       err,
	}
}

// CodeOf returns the code of the first *Error in err's tree, or "".
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
