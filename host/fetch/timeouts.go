package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// stop is the cause with which a context of ours ends: it tells one limit's expiry from another's, and both from being cancelled.
type stop struct {
	code    Code
	message string
	after   time.Duration // with %s in the message
	retry   bool          // whether another attempt may help
	cause   error         // may be nil
}

func (s *stop) Error() string {
	if s.after > 0 {
		return fmt.Sprintf(s.message, s.after)
	}
	return s.message
}

// Unwrap gives the cause.
func (s *stop) Unwrap() error { return s.cause }

func connectStop(d time.Duration) *stop {
	return &stop{code: failure.ConnectTimeout, message: "no connection within connect_timeout, %s", after: d, retry: true}
}

func poolStop(d time.Duration) *stop {
	return &stop{code: failure.PoolTimeout, message: "no slot within pool_timeout, %s", after: d}
}

func attemptStop(d time.Duration) *stop {
	return &stop{code: failure.Timeout, message: "the attempt wasn't over within attempt_timeout, %s", after: d, retry: true}
}

func wholeStop(d time.Duration) *stop {
	return &stop{code: failure.Timeout, message: "the fetch wasn't over within its timeout, %s", after: d}
}

func groupStop(d time.Duration) *stop {
	return &stop{code: failure.Timeout, message: "the group wasn't over within its timeout, %s", after: d}
}

func writeStop(d time.Duration) *stop {
	return &stop{code: failure.WriteTimeout, message: "no byte could be sent for write_timeout, %s", after: d, retry: true}
}

func readStop(d time.Duration) *stop {
	return &stop{code: failure.ReadTimeout, message: "no byte arrived for read_timeout, %s", after: d, retry: true}
}

// callerStop is why a fetch ends with the context it was given.
func callerStop(caller context.Context) *stop {
	cause := context.Cause(caller)
	if s, ok := errors.AsType[*stop](cause); ok {
		return s
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return &stop{code: failure.Cancelled, message: "cancelled because the caller's deadline has passed", cause: cause}
	}
	return &stop{code: failure.Cancelled, message: stopGuest.message, cause: cause}
}

// The causes that settle a fetch as Cancelled.
var (
	stopGuest   = &stop{code: failure.Cancelled, message: "cancelled by the caller"}
	stopMode    = &stop{code: failure.Cancelled, message: "cancelled because its group is decided"}
	stopSession = &stop{code: failure.Cancelled, message: "cancelled because the invocation is over"}
	stopHedge   = &stop{code: failure.Cancelled, message: "cancelled because the other attempt was faster"}
)

// stopped returns why ctx is over. A context that isn't ours, the invocation's own, ends by cancelling.
func stopped(ctx context.Context) *failure.Error {
	cause := context.Cause(ctx)
	if cause == nil {
		return nil
	}
	return asStop(cause)
}

func asStop(cause error) *failure.Error {
	var s *stop
	if !errors.As(cause, &s) {
		return failure.Wrap(failure.Cancelled, cause, "%s", stopSession.message)
	}
	return failure.Wrap(s.code, s, "%s", s.Error())
}
