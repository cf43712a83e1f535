package sortietest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/internal/field"
	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// exchange is one fetch under way.
type exchange struct {
	s        *session
	f        *host.Fetch
	sent     *sortie.Request // as the test sees it
	expect   func(status int) bool
	attempts int // sent
	tries    int // begun; one that found no slot isn't sent
	retry    host.Retry
	deadline time.Time
	held     []func() // gives back what the last hop has: its slot, its timer
}

// hop is the request of one hop.
type hop struct {
	method string
	url    *url.URL
	header map[string][]string
	body   []byte
	// streams is the body before it has been read; nil: it was whole.
	streams *upload
	onward  bool // it continues an attempt
}

// fetch runs one fetch to its end. It has settled by then; a streamed response's body goes on, in a goroutine of its own.
func (s *session) fetch(group context.Context, f *host.Fetch, sent *sortie.Request, settle func(host.Outcome)) {
	start := time.Now()
	if group.Err() != nil {
		settle(outcome(nil, stopped(group), f.URL, 0))
		return
	}
	x := &exchange{s: s, f: f, sent: sent, retry: retryPolicy(f.Retry)}
	first, fail := x.prepare()
	if fail != nil {
		settle(outcome(nil, fail, f.URL, 0))
		return
	}
	timeout := s.limits.Timeout
	if f.Timeout > 0 {
		timeout = min(timeout, f.Timeout)
	}
	x.deadline = start.Add(timeout)
	ctx, end := context.WithCancelCause(group)
	detach := func() bool { return true }
	if f.Stream { // what is still being read then doesn't end with its group
		ctx, end = context.WithCancelCause(s.ctx)
		detach = context.AfterFunc(group, func() { end(context.Cause(group)) })
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, stopFetch)
	free := sync.OnceFunc(x.release)
	over := func() {
		free()
		cancel()
		end(nil)
	}
	r, body, fail := x.run(ctx, first)
	detach()
	if r != nil {
		r.Attempts, r.Elapsed = x.attempts, time.Since(start)
		if fail == nil && !x.expect(r.Status) {
			fail = &host.Failure{Code: "http_status", Message: fmt.Sprintf("status %d is not among those expected: %s", r.Status, f.Expect),
				URL: r.URL, Retryable: first.replayable() && slices.Contains(x.retry.Statuses, r.Status), Response: r}
		}
	}
	if body != nil {
		to := newPipe(func() { end(stopGuest) })
		to.ending = free // before the plugin sees the end: it may begin its next fetch then
		r.Reader = to
		s.running.Go(func() {
			defer over()
			body.feed(to, func(fail *host.Failure) *host.Failure {
				fail.URL, fail.Attempts, fail.Retryable = r.URL, x.attempts, passing(fail.Code, first)
				return fail
			})
		})
	} else {
		over()
	}
	settle(outcome(r, fail, f.URL, x.attempts))
}

// release gives back what the last hop has.
func (x *exchange) release() {
	for _, f := range slices.Backward(x.held) { // the slot last: who gets it next mustn't find this one counted still
		f()
	}
	x.held = nil
}

func outcome(r *host.Response, fail *host.Failure, url string, attempts int) host.Outcome {
	if fail == nil {
		return host.Outcome{State: host.Fulfilled, Response: r}
	}
	fail.Attempts = attempts
	if fail.URL == "" {
		fail.URL = url
	}
	if fail.Code == "cancelled" {
		return host.Outcome{State: host.Cancelled, Failure: fail}
	}
	return host.Outcome{State: host.Rejected, Failure: fail}
}

// run goes from the first hop to the last. The body is one that is still to be read; nil: there is none, or it was read.
func (x *exchange) run(ctx context.Context, to *hop) (*host.Response, *download, *host.Failure) {
	for redirects := 0; ; redirects++ {
		r, body, fail := x.retried(ctx, to)
		if fail != nil {
			return nil, nil, fail
		}
		r.Redirected = redirects > 0
		location := sortie.Header(r.Header).Get("location")
		if location == "" || !slices.Contains([]int{301, 302, 303, 307, 308}, r.Status) || x.f.Redirect == host.Manual {
			return r, body, nil
		}
		body.abandon()
		if x.f.Redirect == host.Refuse {
			return nil, nil, bad("redirect_blocked", "the response redirects (status %d), and the request says not to follow", r.Status)
		}
		if redirects == x.s.limits.Redirects {
			return nil, nil, bad("too_many_redirects", "redirects is %d, and the response redirects once more", redirects)
		}
		if to, fail = to.follow(r.Status, location); fail != nil {
			return nil, nil, fail
		}
		x.release()
	}
}

// retried sends a hop's request until there is an answer, or a failure that no other attempt would change, or no attempt left. It waits as
// long as the real host does at most.
func (x *exchange) retried(ctx context.Context, to *hop) (*host.Response, *download, *host.Failure) {
	for {
		x.tries++
		r, body, fail := x.hop(ctx, to)
		again, wait := false, min(x.retry.Backoff<<min(x.tries-1, 20), x.retry.MaxBackoff)
		if fail != nil {
			again = passing(fail.Code, to) && !slices.Contains([]string{"pool_timeout", "rate_limited", "circuit_open"}, fail.Code) ||
				fail.Message == stopAttempt.message
			fail.Retryable = fail.Retryable || passing(fail.Code, to)
		} else {
			again = slices.Contains(x.retry.Statuses, r.Status)
			if seconds, err := strconv.Atoi(sortie.Header(r.Header).Get("retry-after")); err == nil && seconds >= 0 {
				wait = time.Duration(seconds) * time.Second
			}
		}
		if !again || !to.replayable() || x.tries >= x.retry.Attempts || wait >= time.Until(x.deadline) {
			return r, body, fail
		}
		body.abandon()
		x.release()
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, nil, stopped(ctx)
		}
	}
}

// hop sends one request, within the budget and the slots. What it holds is released later.
func (x *exchange) hop(ctx context.Context, to *hop) (*host.Response, *download, *host.Failure) {
	s := x.s
	at := withoutFragment(to.url)
	if fail := s.acquire(ctx); fail != nil {
		return nil, nil, fail
	}
	x.held = append(x.held, func() { <-s.slots })
	if fail := s.takeRequest(); fail != nil {
		return nil, nil, fail
	}
	rule := s.host.match(to.method, to.url)
	if rule == nil {
		s.host.t.Errorf("sortietest: no reply for %s %s; registered: %s", to.method, at, s.host.patterns())
		return nil, nil, &host.Failure{Code: "host_denied", Message: "no reply was registered for " + to.method + " " + at, URL: at}
	}
	if x.f.AttemptTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, x.f.AttemptTimeout, stopAttempt)
		x.held = append(x.held, cancel)
	}
	if !to.onward { // the first request of a later hop goes on with the attempt of the one before
		x.attempts++
	}
	to.onward = false
	s.host.enter()
	x.held = append(x.held, s.host.leave)
	if to.streams != nil && !rule.unsent {
		body, fail := to.streams.read(ctx)
		if fail != nil {
			return nil, nil, fail
		}
		to.body = body
		s.host.received(x.sent, body)
	}
	if rule.delay > 0 {
		select {
		case <-time.After(rule.delay):
		case <-ctx.Done():
			return nil, nil, stopped(ctx)
		}
	}
	r, err := rule.answer(ctx, to.request())
	if err != nil {
		return nil, nil, refusal(err, at)
	}
	if r == nil {
		return nil, nil, &host.Failure{Code: "connect_error", Message: "the test's function gave neither a response nor an error", URL: at}
	}
	return x.take(ctx, to, r, at)
}

// acquire takes a slot of the invocation's concurrency.
func (s *session) acquire(ctx context.Context) *host.Failure {
	ctx, cancel := context.WithTimeoutCause(ctx, s.limits.PoolTimeout, stopPool)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return stopped(ctx)
	}
}

func (s *session) takeRequest() *host.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests >= s.limits.Requests {
		return &host.Failure{Code: "limit_requests", Message: fmt.Sprintf("requests is %d and %d are used up; one more was asked for", s.limits.Requests, s.requests)}
	}
	s.requests++
	return nil
}

// take makes the host's response of the test's. The body is read here, within the limits on bytes, or left to be read if the fetch streams.
func (x *exchange) take(ctx context.Context, to *hop, r *sortie.Response, at string) (*host.Response, *download, *host.Failure) {
	header := make(sortie.Header, len(r.Header))
	for name, values := range r.Header {
		if strings.EqualFold(name, "content-length") || strings.EqualFold(name, "content-encoding") {
			continue
		}
		for _, v := range values {
			header.Add(name, v)
		}
	}
	status := r.Status
	if status == 0 {
		status = 200
	}
	taken := &host.Response{Status: status, URL: at, Header: header}
	body := &download{ctx: ctx, s: x.s, from: bytes.NewReader(r.Body), at: at}
	if r.Body == nil && r.BodyReader != nil {
		body.from = r.BodyReader
	}
	if to.method == "HEAD" {
		body.abandon()
		body.from = bytes.NewReader(nil)
	}
	if x.f.Stream {
		return taken, body, nil
	}
	var fail *host.Failure
	if taken.Body, fail = body.gather(); fail != nil {
		return nil, nil, fail
	}
	return taken, nil, nil
}

// refusal makes the host's failure of an error of the test's.
func refusal(err error, at string) *host.Failure {
	var e *sortie.Error
	if !errors.As(err, &e) {
		return &host.Failure{Code: "connect_error", Message: err.Error(), URL: at}
	}
	return &host.Failure{Code: e.Code, Message: e.Message, URL: at, Retryable: e.Retryable}
}

func (to *hop) request() *sortie.Request {
	header := make(sortie.Header, len(to.header))
	for name, values := range to.header {
		if !field.Owned(name) {
			for _, v := range values {
				header.Add(name, v)
			}
		}
	}
	return &sortie.Request{Method: to.method, URL: withoutFragment(to.url), Header: header, Body: to.body}
}
