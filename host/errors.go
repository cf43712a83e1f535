package host

import (
	"fmt"
	"net/http"
	"time"
)

// The codes of failed invocations and deploys (the contract's section 6). The server adds those of its own API.
const (
	CodeInvalidManifest = "invalid_manifest"
	CodeInvalidWasm     = "invalid_wasm"
	CodeRateLimited     = "rate_limited"
	CodePluginError     = "plugin_error"
	CodePluginTrapped   = "plugin_trapped"
	CodeLimitInput      = "limit_input"
	CodeLimitCPU        = "limit_cpu"
	CodeLimitMemory     = "limit_memory"
	CodeLimitOutput     = "limit_output"
	CodeLimitWall       = "limit_wall"
	CodeInternal        = "internal_error"
	CodeOverloaded      = "overloaded"
	CodeDraining        = "draining"
	// CodeCancelled is for the report alone: the caller has gone, so nobody is answered.
	CodeCancelled = "cancelled"
)

// Error is a failed invocation or deploy.
type Error struct {
	Code       string
	Status     int           // HTTP status that goes with the code
	Detail     string        // one sentence for people: what happened and what to do
	RetryAfter time.Duration // with overloaded, draining and rate_limited; 0: not known
	Err        error         // the cause, for logs; may be nil
}

// NewError makes an error with the status that goes with its code.
func NewError(code, format string, args ...any) *Error {
	return &Error{Code: code, Status: StatusOf(code), Detail: fmt.Sprintf(format, args...)}
}

// Error gives the code and the detail.
func (e *Error) Error() string { return e.Code + ": " + e.Detail }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// StatusOf returns the HTTP status of a code of the contract's section 6; 500 for what it doesn't know.
func StatusOf(code string) int {
	if s, ok := statuses[code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

var statuses = map[string]int{
	"bad_request":            http.StatusBadRequest,
	"unauthorized":           http.StatusUnauthorized,
	"forbidden":              http.StatusForbidden,
	"not_found":              http.StatusNotFound,
	"plugin_not_found":       http.StatusNotFound,
	"version_not_found":      http.StatusNotFound,
	"method_not_allowed":     http.StatusMethodNotAllowed,
	"conflict":               http.StatusConflict,
	CodeLimitInput:           http.StatusRequestEntityTooLarge,
	"unsupported_media_type": http.StatusUnsupportedMediaType,
	CodeInvalidManifest:      http.StatusUnprocessableEntity,
	CodeInvalidWasm:          http.StatusUnprocessableEntity,
	CodeRateLimited:          http.StatusTooManyRequests,
	CodePluginError:          http.StatusInternalServerError,
	CodePluginTrapped:        http.StatusInternalServerError,
	CodeLimitCPU:             http.StatusInternalServerError,
	CodeLimitMemory:          http.StatusInternalServerError,
	CodeLimitOutput:          http.StatusInternalServerError,
	CodeInternal:             http.StatusInternalServerError,
	CodeOverloaded:           http.StatusServiceUnavailable,
	CodeDraining:             http.StatusServiceUnavailable,
	CodeLimitWall:            http.StatusGatewayTimeout,
	CodeCancelled:            499, // nginx's, for access logs
}
