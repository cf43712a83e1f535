package failure

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// The first table of the contract's section 6, row by row: codes, and whether
// they are retryable for GET, for POST and for a method that isn't known.
var contract = []struct {
	codes              string
	get, post, unknown bool
}{
	{"invalid_url unsupported_protocol invalid_request", false, false, false},
	{"host_denied method_denied address_denied", false, false, false},
	{"limit_requests limit_bytes request_too_large response_too_large", false, false, false},
	{"dns_error connect_error connect_timeout proxy_error", true, true, true},
	{"tls_error", false, false, false},
	{"write_timeout write_error read_timeout read_error protocol_error", true, false, false},
	{"decode_error", false, false, false},
	{"pool_timeout rate_limited circuit_open", true, true, true},
	{"too_many_redirects redirect_blocked", false, false, false},
	{"http_status", false, false, false}, // by status, which a code doesn't know
	{"timeout cancelled", false, false, false},
}

func TestRetryableIsTheContracts(t *testing.T) {
	t.Parallel()
	seen := map[Code]bool{}
	for _, row := range contract {
		for text := range strings.FieldsSeq(row.codes) {
			code := Code(text)
			seen[code] = true
			if !code.Known() {
				t.Errorf("%s is not known", code)
			}
			for method, want := range map[string]bool{"GET": row.get, "POST": row.post, "": row.unknown} {
				if got := code.Retryable(method); got != want {
					t.Errorf("%s.Retryable(%q) = %v, want %v", code, method, got, want)
				}
			}
		}
	}
	codes := Codes()
	if len(codes) != len(seen) {
		t.Errorf("Codes() has %d codes, the contract %d", len(codes), len(seen))
	}
	for _, code := range codes {
		if !seen[code] {
			t.Errorf("%s is not in the contract", code)
		}
	}
}

func TestIdempotentMethods(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]bool{
		"GET": true, "HEAD": true, "OPTIONS": true, "TRACE": true, "PUT": true, "DELETE": true,
		"POST": false, "PATCH": false, "CONNECT": false, "": false, "get": false, "QUERY2": false,
	} {
		if got := Idempotent(method); got != want {
			t.Errorf("Idempotent(%q) = %v, want %v", method, got, want)
		}
		if got := ReadTimeout.Retryable(method); got != want {
			t.Errorf("ReadTimeout.Retryable(%q) = %v, want %v", method, got, want)
		}
	}
}

func TestUnknownCode(t *testing.T) {
	t.Parallel()
	if c := Code("no_such_code"); c.Known() || c.Retryable("GET") {
		t.Errorf("%q: Known %v, Retryable %v, want false for both", c, c.Known(), c.Retryable("GET"))
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	cause := fmt.Errorf("dial 10.0.0.7: %w", context.DeadlineExceeded)
	err := Wrap(ConnectTimeout, cause, "no connection to %s", "api.example.com:443")
	if got, want := err.Error(), "connect_timeout: no connection to api.example.com:443"; got != want {
		t.Errorf("Error() = %q, want %q (without the cause)", got, want)
	}
	if !err.Retryable {
		t.Error("Retryable is false for connect_timeout")
	}
	if New(ReadError, "cut").Retryable {
		t.Error("Retryable is true for read_error though the method isn't known")
	}
	if got := (&Error{Code: Cancelled}).Error(); got != "cancelled" {
		t.Errorf("Error() without a message = %q", got)
	}
	wrapped := fmt.Errorf("attempt 2: %w", err)
	if !errors.Is(wrapped, context.DeadlineExceeded) {
		t.Error("the cause is lost")
	}
	if !errors.Is(wrapped, &Error{Code: ConnectTimeout}) || errors.Is(wrapped, &Error{Code: DNSError}) {
		t.Error("errors.Is doesn't go by the code")
	}
	if errors.Is(wrapped, &Error{Code: ConnectTimeout, Message: "another"}) {
		t.Error("errors.Is takes errors with different messages for the same")
	}
	if got := CodeOf(wrapped); got != ConnectTimeout {
		t.Errorf("CodeOf = %q", got)
	}
	if got := CodeOf(cause); got != "" {
		t.Errorf("CodeOf of a foreign error = %q", got)
	}
	if got := CodeOf(nil); got != "" {
		t.Errorf("CodeOf(nil) = %q", got)
	}
}
