package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

// outcome is what became of one call. It is written once, before done is closed.
type outcome struct {
	doc  *document // its value; with a failure, what stands in for it, or nil
	err  *callError
	done chan struct{}
}

// callError says why a call failed, in the answer.
type callError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// Status is the upstream's, where it answered.
	Status int `json:"status,omitempty"`
	// badRequest: it was never sent, because of what the caller gave or didn't.
	badRequest bool
}

// The codes that don't come from a fetch.
const (
	codeMissingValue     = "missing_value"     // a reference has no value
	codeBadValue         = "bad_value"         // a value doesn't do where the reference stands
	codeDependencyFailed = "dependency_failed" // the value was another call's, and that failed
	codeUnexpectedBody   = "unexpected_body"   // the body isn't JSON, or has nothing at the target
)

// answerMargin is kept free before the invocation's own deadline, so that there is time to answer what has arrived.
const answerMargin = 250 * time.Millisecond

// runner makes an endpoint's calls for one invocation.
type runner struct {
	endpoint *endpoint
	scope    *scope
	cancel   context.CancelFunc
	once     sync.Once
	failed   *call // the required call that failed first, if any
}

// run makes all calls at once, but those that wait for others, and returns when each has an outcome: it is answered, has failed, or the
// endpoint's deadline has passed. When a required call fails the others are cancelled, and it is returned.
func run(ctx context.Context, e *endpoint, s *scope) (failed *call) {
	ctx, cancel := context.WithDeadline(ctx, deadline(ctx, e.deadline))
	defer cancel()
	r := &runner{endpoint: e, scope: s, cancel: cancel}
	for _, c := range e.calls {
		s.calls[c.name] = &outcome{done: make(chan struct{})}
	}
	var all sync.WaitGroup
	for _, c := range e.calls {
		all.Go(func() { r.runCall(ctx, c) })
	}
	all.Wait()
	return r.failed
}

// deadline is when to answer at the latest.
func deadline(ctx context.Context, own time.Duration) time.Time {
	at := time.Now().Add(own)
	if own == 0 {
		at = time.Now().Add(maxDuration)
	}
	if wall, ok := ctx.Deadline(); ok && wall.Add(-answerMargin).Before(at) {
		at = wall.Add(-answerMargin)
	}
	return at
}

func (r *runner) runCall(ctx context.Context, c *call) {
	o := r.scope.calls[c.name]
	defer close(o.done)
	err := r.wait(ctx, c)
	if err == nil {
		o.doc, err = r.fetch(ctx, c)
	}
	if err == nil {
		return
	}
	o.doc, o.err = c.instead, r.explain(err)
	sortie.Log.Warn("a call failed", "call", c.name, "code", o.err.Code, "error", err)
	if c.required {
		r.once.Do(func() { r.failed = c })
		r.cancel()
	}
}

// wait returns when the calls that this one needs have an outcome.
func (r *runner) wait(ctx context.Context, c *call) error {
	for _, name := range c.waitsFor {
		select {
		case <-r.scope.calls[name].done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// bodyError is a body that isn't what the configuration says.
type bodyError struct {
	reason string
	status int
}

func (e *bodyError) Error() string { return e.reason }

func (r *runner) fetch(ctx context.Context, c *call) (*document, error) {
	req, err := c.request(r.scope, r.endpoint)
	if err != nil {
		return nil, err
	}
	resp, err := sortie.Fetch(ctx, req)
	if err != nil {
		return nil, err
	}
	doc, err := newDocument(c.decode, resp.Header.Get("content-type"), resp.Body)
	if err != nil {
		return nil, &bodyError{err.Error(), resp.Status}
	}
	if c.shape.empty() {
		return doc, nil
	}
	value, ok := c.shape.apply(doc.decode())
	if !ok {
		return nil, &bodyError{"the body has nothing where the configuration looks for it", resp.Status}
	}
	return &document{value: value}, nil
}

// explain says why a call failed, to the caller. It names no URL: those inside are the operator's business, and stand in the log.
func (r *runner) explain(err error) *callError {
	if fetch, ok := errors.AsType[*sortie.Error](err); ok {
		e := &callError{Code: fetch.Code, Message: "the fetch failed"}
		if text, known := messages[fetch.Code]; known {
			e.Message = text
		}
		if fetch.Response != nil {
			e.Status = fetch.Response.Status
			e.Message = fmt.Sprintf("the upstream answered with status %d", e.Status)
		}
		return e
	}
	if value, ok := errors.AsType[*valueError](err); ok {
		return r.explainValue(value)
	}
	if body, ok := errors.AsType[*bodyError](err); ok {
		return &callError{Code: codeUnexpectedBody, Message: body.reason, Status: body.status}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &callError{Code: "timeout", Message: messages["timeout"]}
	}
	return &callError{Code: "cancelled", Message: messages["cancelled"]}
}

func (r *runner) explainValue(err *valueError) *callError {
	e := &callError{Code: codeBadValue, Message: err.Error(), badRequest: err.ref.fromRequest()}
	if err.missing {
		e.Code = codeMissingValue
	}
	if err.ref.source == fromCalls && r.scope.calls[err.ref.name].doc == nil {
		e.Code = codeDependencyFailed
	}
	return e
}

// messages say for people what the codes of fetches mean.
var messages = map[string]string{
	"timeout":            "no answer in time",
	"cancelled":          "cancelled, because a required call failed",
	"connect_timeout":    "no connection in time",
	"read_timeout":       "the upstream stopped answering",
	"write_timeout":      "the upstream stopped reading",
	"connect_error":      "the upstream can't be reached",
	"dns_error":          "the upstream's name can't be resolved",
	"tls_error":          "no secure connection to the upstream",
	"read_error":         "the answer was cut short",
	"host_denied":        "the plugin's manifest doesn't allow this upstream",
	"method_denied":      "the plugin's manifest doesn't allow this method",
	"address_denied":     "the upstream's address is not one that may be reached",
	"limit_requests":     "the invocation's requests are used up",
	"limit_bytes":        "the invocation's bytes are used up",
	"response_too_large": "the answer is too large",
	"rate_limited":       "too many requests to this upstream for now",
	"circuit_open":       "the upstream is failing and left alone for now",
	"pool_timeout":       "no free slot in time",
	"too_many_redirects": "the upstream redirects in circles",
	"redirect_blocked":   "the upstream redirects, and that isn't followed",
}
