package sortie

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// settings is what options set. Zero fields weren't set.
type settings struct {
	timeout, attemptTimeout, hedge time.Duration
	retry                          *Retry
	concurrency                    int
	header                         Header
	query                          []pair
	body                           []byte
	contentType                    string
	redirect                       Redirect
	expect                         string
	stream                         bool
	err                            error
}

type pair struct{ name, value string }

func (s *settings) apply(opts []Option) {
	for _, o := range opts {
		if o != nil {
			o(s)
		}
	}
}

func (s *settings) setHeader(name, value string) {
	if s.header == nil {
		s.header = make(Header, 1)
	}
	s.header.Set(name, value)
}

// over returns own's settings where they are set, and s's elsewhere. The parts that belong to the request itself (header, query, body)
// are merged by build.
func (s *settings) over(own *settings) (merged settings) {
	merged = settings{
		timeout:        first(own.timeout, s.timeout),
		attemptTimeout: first(own.attemptTimeout, s.attemptTimeout),
		hedge:          first(own.hedge, s.hedge),
		retry:          first(own.retry, s.retry),
		redirect:       first(own.redirect, s.redirect),
		expect:         first(own.expect, s.expect),
		stream:         own.stream || s.stream,
		err:            errors.Join(own.err, s.err),
	}
	return merged
}

func first[T comparable](own, call T) T {
	var zero T
	if own != zero {
		return own
	}
	return call
}

// build makes the fetch that crosses of a request and the options of the call. It changes neither.
func build(ctx context.Context, h host.Host, req *Request, call *settings) (*host.Fetch, *Error) {
	if req == nil {
		return nil, &Error{Code: "invalid_request", Message: "the request is nil"}
	}
	f, err := merge(req, call)
	if err != nil {
		if req.BodyReader != nil {
			(&upload{from: req.BodyReader}).close()
		}
		return nil, invalid(req, err)
	}
	if left, ok := remaining(ctx, h); ok && (f.Timeout == 0 || left < f.Timeout) {
		f.Timeout = left
	}
	return f, nil
}

func merge(req *Request, call *settings) (*host.Fetch, error) {
	own := &req.own
	s := call.over(own)
	f := &host.Fetch{
		Method:         req.Method,
		URL:            withQuery(req.URL, query(own.query, call.query)),
		Timeout:        s.timeout,
		AttemptTimeout: s.attemptTimeout,
		Hedge:          s.hedge,
		Expect:         s.expect,
		Stream:         s.stream,
	}
	if s.err != nil {
		return nil, s.err
	}
	if s.retry != nil {
		f.Retry = &host.Retry{Attempts: s.retry.Attempts, Backoff: s.retry.Backoff, MaxBackoff: s.retry.MaxBackoff, Statuses: s.retry.Statuses}
	}
	switch s.redirect {
	case "", RedirectFollow:
	case RedirectManual:
		f.Redirect = host.Manual
	case RedirectError:
		f.Redirect = host.Refuse
	default:
		return nil, errors.New("unknown redirect mode " + string(s.redirect))
	}
	if err := check(f); err != nil {
		return nil, err
	}
	contentType := body(f, req, own, call)
	f.Header = header(req.Header, own.header, call.header, contentType)
	return f, nil
}

// check refuses numbers that the encoding can't carry: one such would cost its whole group.
func check(f *host.Fetch) error {
	if f.Timeout < 0 || f.AttemptTimeout < 0 || f.Hedge < 0 {
		return errors.New("a time is below 0")
	}
	r := f.Retry
	if r == nil {
		return nil
	}
	if r.Backoff < 0 || r.MaxBackoff < 0 || r.Attempts < 0 || r.Attempts > maxAttempts {
		return errors.New("WithRetry: a number is below 0, or too large")
	}
	for _, status := range r.Statuses {
		if status < 100 || status > 999 || len(r.Statuses) > maxStatuses {
			return errors.New("WithRetry: not a list of statuses")
		}
	}
	return nil
}

// What is more than these is no one's honest wish.
const (
	maxAttempts = 1 << 16
	maxStatuses = 100
)

// body gives f its body, and tells the content type that came with it.
func body(f *host.Fetch, req *Request, own, call *settings) (contentType string) {
	switch {
	case own.contentType != "":
		f.Body, contentType = own.body, own.contentType
	case req.Body != nil:
		f.Body = req.Body
	case req.BodyReader != nil:
		send(f, req.BodyReader)
	case call.contentType != "":
		f.Body, contentType = call.body, call.contentType
	}
	if contentType != "" && f.Method == "" {
		f.Method = "POST"
	}
	return contentType
}

// header merges the request's own fields over those of the call. The request's map is handed on itself when nothing is added to it.
func header(fields, own, call Header, contentType string) Header {
	if len(own) == 0 && len(call) == 0 && contentType == "" {
		return fields
	}
	merged := make(Header, len(fields)+len(own)+len(call)+1)
	maps.Copy(merged, call)
	for name, values := range fields {
		merged.Del(name)
		merged[strings.ToLower(name)] = values
	}
	for name, values := range own {
		merged.Del(name)
		merged[name] = values
	}
	if contentType != "" && merged.Values("content-type") == nil {
		merged.Set("content-type", contentType)
	}
	return merged
}

// remaining is how long ctx leaves, if it ends before the invocation does: the host keeps to the invocation's end by itself, and a time-out
// nobody asked for would only blur its errors. It is never 0, which would mean none.
func remaining(ctx context.Context, h host.Host) (time.Duration, bool) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0, false
	}
	if wall := h.Deadline(); !wall.IsZero() && !deadline.Before(wall) {
		return 0, false
	}
	return max(time.Until(deadline), time.Nanosecond), true
}

func invalid(req *Request, err error) *Error {
	return &Error{Code: "invalid_request", Message: err.Error(), URL: req.URL, err: err}
}
