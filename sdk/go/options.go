package sortie

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"time"
)

// Option sets something about fetches. Given to a call it holds for all its requests; given to (*Request).With, for that request, and
// beats the call's. What isn't set is the policy's: the manifest's own numbers.
type Option func(*settings)

// WithTimeout bounds the whole fetch: from the call to the last byte, streamed or not, waiting for a slot, retries and redirects included. Its
// expiry is `timeout`. It can only lower the manifest's `fetch.limits.timeout`, 10 s unless that says otherwise. In a group it bounds every
// member; to bound the group as a whole give it a context with a deadline.
func WithTimeout(d time.Duration) Option { return func(s *settings) { s.timeout = d } }

// WithAttemptTimeout bounds one attempt; the next may follow if there are retries.
func WithAttemptTimeout(d time.Duration) Option { return func(s *settings) { s.attemptTimeout = d } }

// Retry says how often and when a fetch is tried again. Zero fields are the policy's; those in brackets, unless its manifest says
// otherwise.
type Retry struct {
	Attempts   int           // all of them, the first too (1)
	Backoff    time.Duration // the longest wait before the second attempt; it doubles from there (100ms)
	MaxBackoff time.Duration // the longest wait at all (2s)
	Statuses   []int         // retried like failures (408, 425, 429, 500, 502, 503, 504)
}

// WithRetry retries failures that may pass, and the statuses listed, of requests that may be sent twice: those with an idempotent method (RFC
// 9110, section 9.2.2) or an Idempotency-Key field. Every attempt counts in the budget.
func WithRetry(r Retry) Option { return func(s *settings) { s.retry = &r } }

// WithHedge starts a second attempt when the first hasn't answered after d; the first answer counts. Only for idempotent methods.
func WithHedge(d time.Duration) Option { return func(s *settings) { s.hedge = d } }

// WithConcurrency lets at most n of a group's fetches run at once; 0 is as many as the policy allows.
func WithConcurrency(n int) Option { return func(s *settings) { s.concurrency = n } }

// WithHeader sets a header field, in place of any of that name.
func WithHeader(name, value string) Option {
	return func(s *settings) { s.setHeader(name, value) }
}

// WithQuery adds a parameter to the URL's query, which otherwise stays byte for byte as it is. Given more than once for a name, it adds more
// than one.
func WithQuery(name, value string) Option {
	return func(s *settings) { s.query = append(s.query[:len(s.query):len(s.query)], pair{name, value}) }
}

// WithJSON makes v, as JSON, the body of requests that have none, and sets the content type unless the request does.
// A request without a method becomes a POST.
func WithJSON(v any) Option {
	return func(s *settings) {
		body, err := json.Marshal(v)
		if err != nil {
			s.err = fmt.Errorf("WithJSON: %w", err)
			return
		}
		s.body, s.contentType = body, "application/json"
	}
}

// WithForm makes the form, URL-encoded, the body of requests that have none, and sets the content type unless the request does.
// A request without a method becomes a POST.
func WithForm(form url.Values) Option {
	return func(s *settings) {
		s.body, s.contentType = []byte(form.Encode()), "application/x-www-form-urlencoded"
	}
}

// WithBasicAuth sets the Authorization field (RFC 7617). For credentials of the operator's use a manifest's secret: a plugin never
// sees those.
func WithBasicAuth(user, password string) Option {
	return WithHeader("authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// Redirect says what becomes of a redirecting answer.
type Redirect string

// The redirect modes; the empty one is RedirectFollow.
const (
	RedirectFollow Redirect = "follow" // go there, each hop under policy and budget
	RedirectManual Redirect = "manual" // the redirecting answer is the response
	RedirectError  Redirect = "error"  // reject as redirect_blocked
)

// WithRedirect says what becomes of a redirecting answer.
func WithRedirect(mode Redirect) Option { return func(s *settings) { s.redirect = mode } }

// WithExpect rejects, as http_status with the response attached, answers whose status isn't listed: "2xx", "200", "2xx,404".
// Without it every status is a response.
func WithExpect(statuses string) Option { return func(s *settings) { s.expect = statuses } }

// WithStream makes the call return when the response's head is here: Body is nil, and BodyReader reads the body as it arrives, while
// other fetches are in flight. In a group, too, a member has settled with its head. The fetch lasts until the body's end: all its times run
// on, and it takes a slot of the policy's concurrency, so read it or close it.
func WithStream() Option { return func(s *settings) { s.stream = true } }
