package sortie_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

var sentinels = []error{
	sortie.ErrInvalid, sortie.ErrDenied, sortie.ErrLimit, sortie.ErrNetwork,
	sortie.ErrProtocol, sortie.ErrUnavailable, sortie.ErrTimeout, sortie.ErrCancelled,
}

// The first table of the contract's section 6, code by code, and the browser host's own.
var codes = map[string]error{
	"invalid_url": sortie.ErrInvalid, "unsupported_protocol": sortie.ErrInvalid, "invalid_request": sortie.ErrInvalid,
	"host_denied": sortie.ErrDenied, "method_denied": sortie.ErrDenied, "address_denied": sortie.ErrDenied,
	"limit_requests": sortie.ErrLimit, "limit_bytes": sortie.ErrLimit,
	"request_too_large": sortie.ErrLimit, "response_too_large": sortie.ErrLimit,
	"dns_error": sortie.ErrNetwork, "connect_error": sortie.ErrNetwork, "connect_timeout": sortie.ErrNetwork,
	"tls_error": sortie.ErrNetwork, "proxy_error": sortie.ErrNetwork,
	"write_timeout": sortie.ErrNetwork, "write_error": sortie.ErrNetwork,
	"read_timeout": sortie.ErrNetwork, "read_error": sortie.ErrNetwork,
	"protocol_error": sortie.ErrProtocol, "decode_error": sortie.ErrProtocol,
	"pool_timeout": sortie.ErrUnavailable, "rate_limited": sortie.ErrUnavailable, "circuit_open": sortie.ErrUnavailable,
	"too_many_redirects": sortie.ErrProtocol, "redirect_blocked": sortie.ErrProtocol, "http_status": sortie.ErrProtocol,
	"timeout": sortie.ErrTimeout, "cancelled": sortie.ErrCancelled,
	"browser_header": sortie.ErrInvalid, "browser_body": sortie.ErrInvalid, "browser_secret": sortie.ErrDenied,
	"browser_network": sortie.ErrNetwork, "browser_redirect": sortie.ErrProtocol,
}

func TestErrorClasses(t *testing.T) {
	t.Parallel()
	for code, class := range codes {
		err := error(&sortie.Error{Code: code})
		for _, s := range sentinels {
			if got, want := errors.Is(err, s), s == class; got != want {
				t.Errorf("errors.Is(%s, %v) = %v, want %v", code, s, got, want)
			}
		}
		if got, want := errors.Is(err, context.DeadlineExceeded), code == "timeout"; got != want {
			t.Errorf("errors.Is(%s, context.DeadlineExceeded) = %v, want %v", code, got, want)
		}
		if got, want := errors.Is(err, context.Canceled), code == "cancelled"; got != want {
			t.Errorf("errors.Is(%s, context.Canceled) = %v, want %v", code, got, want)
		}
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || timeout.Timeout() != strings.Contains(code, "timeout") {
			t.Errorf("%s: Timeout() is wrong", code)
		}
	}
	for _, s := range sentinels {
		if errors.Is(&sortie.Error{Code: "of_a_later_version"}, s) {
			t.Errorf("a code nobody knows is %v", s)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  sortie.Error
		want string
	}{
		{sortie.Error{Code: "timeout"}, "sortie: timeout"},
		{sortie.Error{Code: "dns_error", Message: "no such host", URL: "https://a.example/", Attempts: 1}, "sortie: dns_error: no such host (https://a.example/)"},
		{sortie.Error{Code: "dns_error", Message: "no such host", Attempts: 3}, "sortie: dns_error: no such host after 3 attempts"},
		{sortie.Error{Code: "host_denied", Message: "no rule for https://a.example/", URL: "https://a.example/"}, "sortie: host_denied: no rule for https://a.example/"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
