package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/fetch/policy"
)

// flight is one fetch from the call until it has settled. It is run by one goroutine; others see only its entry.
type flight struct {
	client  *Client
	session *Session
	request *Request

	parent   context.Context // its session's or its group's
	base     context.Context // of what it does: parent, or a stream's session's
	deadline time.Time       // when it is over at the latest
	clock    clock
	unlink   func() bool // from the caller's context; may be nil
	detach   func() bool // from the group's context, of which a stream's isn't a child; may be nil

	attemptTimeout time.Duration
	retry          Retry
	expect         Expect

	method  string
	first   hop
	tries   int // rounds of attempts begun; a hedge doesn't count
	hops    int
	url     *policy.URL // of the current hop; nil: it never parsed
	upload  *upload     // may be nil
	cookies cookies
	entry   *entry

	prepaid atomic.Bool // the first request has been charged
}

// newFlight begins a fetch whose times run from now on. parent is its session's or its group's context; caller can end it too.
func newFlight(parent, caller context.Context, s *Session, r *Request) *flight {
	if r == nil {
		r = &Request{}
	}
	c := s.client
	f := &flight{client: c, session: s, parent: parent, request: r, method: r.Method, retry: c.retry.with(r.Retry)}
	started := time.Now()
	f.attemptTimeout = shorter(r.AttemptTimeout, c.limits.attempt)
	f.entry = s.record(r, started)
	if f.base = parent; r.Stream && s.ctx != parent { // a group's context ends with the group, and what is still being read then mustn't
		f.base = s.ctx
		f.detach = context.AfterFunc(parent, func() { f.clock.end(callerStop(parent)) })
	}
	timeout := shorter(r.Timeout, c.limits.timeout)
	f.deadline = started.Add(timeout)
	f.clock.run(started, timeout)
	f.within(parent)
	if caller.Done() != nil {
		f.within(caller)
		if caller.Err() != nil {
			f.clock.end(callerStop(caller))
		} else {
			f.unlink = context.AfterFunc(caller, func() { f.clock.end(callerStop(caller)) })
		}
	}
	return f
}

// within takes over an earlier deadline.
func (f *flight) within(ctx context.Context) {
	if d, ok := ctx.Deadline(); ok && d.Before(f.deadline) {
		f.deadline = d
	}
}

// shorter is the shorter of two durations of which 0 and less are none.
func shorter(a, b time.Duration) time.Duration {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

// prepare checks a fetch and charges its first request, all in the caller's goroutine, so that of several fetches started one
// after the other the last are those that the budget refuses.
func (f *flight) prepare() *failure.Error {
	if fail := f.stopped(); fail != nil {
		return fail
	}
	r := f.request
	method, fail := checkMethod(r.Method)
	if fail != nil {
		return fail
	}
	f.method = method
	f.entry.setMethod(method)
	if f.url, fail = f.client.urls.parse(r.URL); fail != nil {
		return fail
	}
	if f.expect, fail = asFailure(ParseExpect(r.Expect)); fail != nil {
		return fail
	}
	if r.Redirect > Refuse {
		return failure.New(failure.InvalidRequest, "redirect mode %d is none; there are follow, manual and error", r.Redirect)
	}
	header, fail := requestHeader(r.Header, f.client.engine.defaults)
	if fail != nil {
		return fail
	}
	if fail := f.ready(&f.first, f.url, method, header, r.Body); fail != nil {
		return fail
	}
	if fail := f.checkBody(); fail != nil {
		return fail
	}
	if fail := f.session.budget.takeRequest(); fail != nil {
		return fail
	}
	f.prepaid.Store(true)
	return nil
}

// checkBody takes over the request's body.
func (f *flight) checkBody() *failure.Error {
	r, most := f.request, f.client.limits.requestBytes
	if n := max(int64(len(r.Body)), r.BodyLength); n > most {
		return failure.New(failure.RequestTooLarge, "request_bytes is %d; the request's body has %d", most, n)
	}
	if r.BodyReader != nil {
		if len(r.Body) > 0 {
			return failure.New(failure.InvalidRequest, "the request has both a body and a body's reader")
		}
		f.upload = newUpload(r, most)
		f.first.upload = f.upload
	}
	return nil
}

func asFailure[T any](v T, err error) (T, *failure.Error) {
	if err == nil {
		return v, nil
	}
	fail, ok := errors.AsType[*failure.Error](err)
	if !ok {
		fail = failure.Wrap(failure.InvalidRequest, err, "%s", err)
	}
	return v, fail
}

// run makes the fetch.
func (f *flight) run() Result {
	f.tries = 1
	h := &f.first
	for {
		r, fail := f.cached(h)
		if fail != nil {
			if h.onward.Load() { // it was never sent
				f.hops--
			}
			return f.reject(h, fail)
		}
		if r.verdict != redirect {
			return f.answer(h, r)
		}
		sent := h.header
		if h, fail = f.next(h, r); fail != nil {
			return f.reject(h, f.cleaned(fail, sent))
		}
	}
}

// cleaned is a failure that quotes a Location, in which an upstream may have sent back what it was sent.
func (f *flight) cleaned(fail *failure.Error, sent http.Header) *failure.Error {
	said := *fail
	said.Message = without(f.client.Redact(said.Message), f.client.credentials(sent, new(spelled)))
	return &said
}

// answer settles with a response.
func (f *flight) answer(h *hop, r *reply) Result {
	resp := &Response{
		Status: r.status, Header: responseFields(r.header, r.decoded), Body: r.body, Stream: f.request.Stream,
		URL: h.url.String(), Redirected: f.hops > 0, Attempts: int(f.entry.attempts.Load()), Elapsed: f.clock.now(),
		decoded: int64(len(r.body)),
	}
	switch {
	case r.stream != nil:
		resp.BodyReader = r.stream
	case resp.Stream:
		resp.Body, resp.BodyReader = nil, io.NopCloser(bytes.NewReader(r.body))
	}
	if !f.expect.Match(r.status) {
		e := f.error(h, failure.New(failure.HTTPStatus, "the status is %d; expected was %s", r.status, quote(f.expect.String())))
		e.Response, e.Retryable = resp, slices.Contains(f.retry.Statuses, r.status)
		return f.settle(Result{State: Rejected, Err: e})
	}
	return f.settle(Result{State: Fulfilled, Response: resp})
}

// reject settles with an error. h is nil if there was no hop to send.
func (f *flight) reject(h *hop, fail *failure.Error) Result {
	state := Rejected
	if fail.Code == failure.Cancelled {
		state = Cancelled
	}
	return f.settle(Result{State: state, Err: f.error(h, fail)})
}

// error is what the caller sees of a failure.
func (f *flight) error(h *hop, fail *failure.Error) *Error {
	method := f.method
	if h != nil {
		if method = h.method; h.idempotent() {
			method = "GET"
		}
	}
	e := &Error{
		Code: fail.Code, Message: f.client.clean(fail.Message), Attempts: int(f.entry.attempts.Load()),
		Retryable: fail.Code.Retryable(method), Err: fail.Err,
	}
	if f.url != nil {
		e.URL = f.url.String()
	}
	return e
}

func (f *flight) settle(res Result) Result {
	f.entry.settle(res, f.hops)
	if f.detach != nil {
		f.detach()
	}
	if s := res.stream(); s != nil {
		f.adopt(s)
	} else {
		f.finish()
	}
	return res
}

// finish lets go of what a fetch holds when nothing of it goes on any more.
func (f *flight) finish() {
	f.clock.stop()
	if f.unlink != nil {
		f.unlink()
	}
	if f.upload != nil {
		f.upload.close()
	} else if f.request.BodyReader != nil { // refused before it was looked at
		_ = f.request.BodyReader.Close()
	}
}

// streamed completes the record of a fetch whose body was the caller's to read.
func (f *flight) streamed(fail *failure.Error, decoded int64) {
	if fail == nil {
		f.entry.streamed("", "", decoded)
		return
	}
	f.entry.streamed(fail.Code, f.client.clean(fail.Message), decoded)
}
