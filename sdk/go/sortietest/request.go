package sortietest

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/internal/field"
	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// prepare checks a fetch as the real host does before anything is sent.
func (x *exchange) prepare() (*hop, *host.Failure) {
	f := x.f
	expect, ok := parseExpect(f.Expect)
	if !ok {
		return nil, bad("invalid_request", "expect is %q; write statuses and classes such as 2xx,404", f.Expect)
	}
	x.expect = expect
	method := strings.ToUpper(f.Method)
	switch method {
	case "":
		method = "GET"
	case "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS":
	case "CONNECT", "TRACE", "TRACK":
		return nil, bad("invalid_request", "the method %s can't be used", method)
	default:
		if method = f.Method; !field.ValidName(method) {
			return nil, bad("invalid_request", "the method %q is not a token", method)
		}
	}
	for name, values := range f.Header {
		for _, v := range values {
			if !field.ValidName(name) || !field.ValidValue(v) {
				return nil, bad("invalid_request", "the header field %q is not valid", name)
			}
		}
	}
	u, fail := absolute(f.URL)
	if fail != nil {
		return nil, fail
	}
	if n, limit := int64(len(f.Body)), x.s.limits.RequestBytes; n > limit {
		return nil, bad("request_too_large", "request_bytes is %d; the body has %d", limit, n)
	}
	to := &hop{method: method, url: u, header: f.Header, body: f.Body}
	if f.BodyReader != nil {
		to.streams = &upload{from: f.BodyReader, limit: x.s.limits.RequestBytes, length: f.BodyLength}
	}
	return to, nil
}

func bad(code, format string, args ...any) *host.Failure {
	return &host.Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}

func absolute(raw string) (*url.URL, *host.Failure) {
	if strings.ContainsAny(raw, "\r\n\x00") {
		return nil, bad("invalid_request", "the URL holds a CR, LF or NUL")
	}
	u, err := parseURL(raw)
	if err != nil {
		return nil, bad("invalid_url", "%v", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, bad("unsupported_protocol", "only http and https can be fetched, not %s", u.Scheme)
	}
	return u, nil
}

// follow makes the request for a redirect's target: without credentials if that is another origin, and as a GET where the Fetch standard (section
// 4.4) says so.
func (to *hop) follow(status int, location string) (*hop, *host.Failure) {
	ref, err := url.Parse(location)
	if err != nil {
		return nil, bad("invalid_url", "location: %v", err)
	}
	u, fail := absolute(to.url.ResolveReference(ref).String())
	if fail != nil {
		return nil, fail
	}
	next := &hop{method: to.method, url: u, header: maps.Clone(to.header), body: to.body, streams: to.streams, onward: true}
	if next.header == nil {
		next.header = map[string][]string{}
	}
	drop := sortie.Header(next.header).Del
	if status == 303 && to.method != "HEAD" || (status == 301 || status == 302) && to.method == "POST" {
		next.method, next.body, next.streams = "GET", nil, nil
		for _, name := range []string{"content-type", "content-encoding", "content-language", "content-location"} {
			drop(name)
		}
	}
	if next.begun() {
		return nil, bad("redirect_blocked", "the response redirects (status %d) with a request's body that was a stream and can't be sent again", status)
	}
	if !strings.EqualFold(u.Scheme+"://"+u.Host, to.url.Scheme+"://"+to.url.Host) {
		for _, name := range []string{"authorization", "cookie"} {
			drop(name)
		}
	}
	return next, nil
}

// captured is a fetch as the test sees it.
func captured(f *host.Fetch) *sortie.Request {
	header := make(sortie.Header, len(f.Header))
	for name, values := range f.Header {
		for _, v := range values {
			header.Add(name, v)
		}
	}
	method := f.Method
	if method == "" {
		method = "GET"
	}
	return &sortie.Request{Method: method, URL: f.URL, Header: header, Body: bytes.Clone(f.Body)}
}

func withoutFragment(u *url.URL) string {
	n := *u
	n.Fragment, n.RawFragment = "", ""
	return n.String()
}

// parseExpect reads "2xx", "200", "2xx,404", "200-299".
func parseExpect(text string) (func(int) bool, bool) {
	if text == "" {
		return func(int) bool { return true }, true
	}
	var low, high []int
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.Atoi(strings.ReplaceAll(strings.ToLower(from), "x", "0"))
		b, err2 := strconv.Atoi(strings.ReplaceAll(strings.ToLower(to), "x", "9"))
		if err1 != nil || err2 != nil || a < 100 || b > 599 || a > b {
			return nil, false
		}
		low, high = append(low, a), append(high, b)
	}
	return func(status int) bool {
		for i := range low {
			if low[i] <= status && status <= high[i] {
				return true
			}
		}
		return false
	}, true
}

// retryPolicy fills in the manifest's defaults.
func retryPolicy(r *host.Retry) host.Retry {
	policy := host.Retry{Attempts: 1, Backoff: 100 * time.Millisecond, MaxBackoff: 2 * time.Second,
		Statuses: []int{408, 425, 429, 500, 502, 503, 504}}
	if r == nil {
		return policy
	}
	if r.Attempts > 0 {
		policy.Attempts = r.Attempts
	}
	if r.Backoff > 0 {
		policy.Backoff = r.Backoff
	}
	if r.MaxBackoff > 0 {
		policy.MaxBackoff = r.MaxBackoff
	}
	if len(r.Statuses) > 0 {
		policy.Statuses = r.Statuses
	}
	return policy
}

// connecting tells whether a code is of what comes before a request is sent.
func connecting(code string) bool {
	switch code {
	case "dns_error", "connect_error", "connect_timeout", "tls_error", "proxy_error", "pool_timeout", "rate_limited", "circuit_open":
		return true
	}
	return false
}

// passing tells whether a failure may pass if the request is sent again (the contract's column "retryable").
func passing(code string, to *hop) bool {
	switch code {
	case "dns_error", "connect_error", "connect_timeout", "proxy_error", "pool_timeout", "rate_limited", "circuit_open":
		return true
	case "write_timeout", "write_error", "read_timeout", "read_error", "protocol_error":
		return to.replayable()
	}
	return false
}

// replayable tells whether a request may be sent twice (RFC 9110, section 9.2.2, and the Idempotency-Key field).
func (to *hop) replayable() bool {
	if to.begun() {
		return false
	}
	switch to.method {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE":
		return true
	}
	return sortie.Header(to.header).Get("idempotency-key") != ""
}
