package failure

// Code names a kind of failure. Its text is part of the public contract.
type Code string

// Before anything is sent.
const (
	InvalidURL          Code = "invalid_url"          // not a URL a browser would fetch, or one with userinfo
	UnsupportedProtocol Code = "unsupported_protocol" // a scheme other than http and https
	InvalidRequest      Code = "invalid_request"      // a bad method, header or option; CR, LF or NUL anywhere
)

// Refused by the policy.
const (
	HostDenied    Code = "host_denied"    // no rule matches the URL
	MethodDenied  Code = "method_denied"  // a rule matches the URL, none of those the method
	AddressDenied Code = "address_denied" // a private, loopback, link-local or otherwise special address
)

// A budget or a cap.
const (
	LimitRequests    Code = "limit_requests"
	LimitBytes       Code = "limit_bytes"
	RequestTooLarge  Code = "request_too_large"
	ResponseTooLarge Code = "response_too_large"
)

// Connecting.
const (
	DNSError       Code = "dns_error"
	ConnectError   Code = "connect_error"
	ConnectTimeout Code = "connect_timeout"
	TLSError       Code = "tls_error"
	ProxyError     Code = "proxy_error"
)

// Exchanging. The timeouts mean: no byte for that long.
const (
	WriteTimeout  Code = "write_timeout"
	WriteError    Code = "write_error"
	ReadTimeout   Code = "read_timeout"
	ReadError     Code = "read_error"
	ProtocolError Code = "protocol_error"
	DecodeError   Code = "decode_error"
)

// Waiting for leave to start.
const (
	PoolTimeout Code = "pool_timeout" // no slot within pool_timeout
	RateLimited Code = "rate_limited" // the host's own limiter
	CircuitOpen Code = "circuit_open" // the origin's breaker
)

// Redirects.
const (
	TooManyRedirects Code = "too_many_redirects"
	RedirectBlocked  Code = "redirect_blocked"
)

// The outcome as a whole.
const (
	HTTPStatus Code = "http_status" // the status is not among those expected
	Timeout    Code = "timeout"     // the fetch's or the group's whole time is over
	Cancelled  Code = "cancelled"   // by the guest, the mode, or the end of the invocation
)

// retry says when a failure may be followed by another attempt.
type retry uint8

const (
	never      retry = iota
	always           // nothing has reached the other side
	idempotent       // something may have: only if repeating it is harmless
	byStatus         // the response's status decides
)

// class is the contract's table: one case for each of its rows.
func (c Code) class() (retry, bool) {
	switch c {
	case InvalidURL, UnsupportedProtocol, InvalidRequest:
		return never, true
	case HostDenied, MethodDenied, AddressDenied:
		return never, true
	case LimitRequests, LimitBytes, RequestTooLarge, ResponseTooLarge:
		return never, true
	case DNSError, ConnectError, ConnectTimeout, ProxyError:
		return always, true
	case TLSError:
		return never, true
	case WriteTimeout, WriteError, ReadTimeout, ReadError, ProtocolError:
		return idempotent, true
	case DecodeError:
		return never, true
	case PoolTimeout, RateLimited, CircuitOpen:
		return always, true
	case TooManyRedirects, RedirectBlocked:
		return never, true
	case HTTPStatus:
		return byStatus, true
	case Timeout, Cancelled:
		return never, true
	}
	return never, false
}

// Known reports whether c is one of [Codes].
func (c Code) Known() bool {
	_, known := c.class()
	return known
}

// Retryable reports whether a request with that method that failed with c may
// be sent again. For failures that may have happened after the request had
// reached the other side only idempotent methods may (RFC 9110, section
// 9.2.2); method "" is one that isn't known, and is taken not to be.
//
// [HTTPStatus] is false here: the status decides, not the code.
func (c Code) Retryable(method string) bool {
	switch class, _ := c.class(); class {
	case always:
		return true
	case idempotent:
		return Idempotent(method)
	default:
		return false
	}
}

// Idempotent reports whether repeating a request with that method has the
// effect of sending it once (RFC 9110, section 9.2.2). Methods are
// case-sensitive (section 9.1): "get" is not GET.
func Idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// Codes returns every code, in the order of the contract.
func Codes() []Code {
	return []Code{
		InvalidURL, UnsupportedProtocol, InvalidRequest,
		HostDenied, MethodDenied, AddressDenied,
		LimitRequests, LimitBytes, RequestTooLarge, ResponseTooLarge,
		DNSError, ConnectError, ConnectTimeout, TLSError, ProxyError,
		WriteTimeout, WriteError, ReadTimeout, ReadError, ProtocolError, DecodeError,
		PoolTimeout, RateLimited, CircuitOpen,
		TooManyRedirects, RedirectBlocked,
		HTTPStatus, Timeout, Cancelled,
	}
}
