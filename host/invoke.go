package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/sortie-run/sortie/host/internal/guest"
)

// Invoke runs the plugin once. The error is an *Error with one of the contract's codes. The report is never nil. When ctx ends the
// caller is taken to be gone: the guest is stopped, its fetches are cancelled.
//
// An answer that the plugin streams goes to the request's Writer, from the head on; Invoke returns when all of it has gone out. If it fails
// after Begin, there is an error too: what went out must not be taken for the whole.
func (p *Plugin) Invoke(ctx context.Context, req *Request) (*Response, *Report, error) {
	arrived := req.Arrived
	if arrived.IsZero() {
		arrived = time.Now()
	}
	req = complete(req)
	report := p.report(req, arrived)
	resp, err := p.invoke(ctx, req, arrived, report)
	report.Total = time.Since(arrived)
	if err != nil {
		err.Detail = p.client.Redact(err.Detail) // the plugin's own words, maybe
		report.Code, report.Status, report.Detail = err.Code, err.Status, err.Detail
		return nil, report, err
	}
	report.Status = resp.Status
	return resp, report, nil
}

// complete fills in what a caller may leave out.
func complete(req *Request) *Request {
	r := *req
	if r.ID == "" {
		r.ID = NewID()
	}
	if r.Method == "" {
		r.Method = "GET"
	}
	if r.Path == "" {
		r.Path = "/"
	}
	return &r
}

// NewID makes an invocation's identifier: 128 random bits in hexadecimal.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b[:])
}

func (p *Plugin) invoke(ctx context.Context, req *Request, arrived time.Time, report *Report) (*Response, *Error) {
	limits := p.src.Manifest.Limits
	if req.BodyReader != nil {
		req.BodyReader = newInbound(req.BodyReader, limits.Input) // req is ours: complete copied it
		defer req.BodyReader.Close()
		if !p.streamsRequest || req.Body != nil {
			return nil, NewError(CodeInternal, "the host was given a request's body in pieces that the plugin doesn't take")
		}
	}
	if n := max(int64(len(req.Body)), req.BodyLength); n > int64(limits.Input) {
		return nil, NewError(CodeLimitInput, "the request's body has %d bytes, limits.input is %s", n, limits.Input)
	}
	leave, err := p.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, life := newLife(ctx, arrived, limits)
	defer life.end()
	defer context.AfterFunc(p.alive, func() { life.cut(errCut) })()
	out, err := p.queue(ctx, life.until)
	if err != nil {
		return nil, err
	}
	defer out()
	ready, e := p.supply.take(ctx)
	report.Queue = time.Since(arrived)
	if e != nil {
		return nil, p.notStarted(ctx, life, e)
	}
	run := p.run(ctx, req, ready, life)
	resp, err := run.outcome(p)
	report.account(p, run)
	p.supply.give(ready, run.end.err == nil) // a client may take its time for what is still to go out
	if overflowed(run.end.err) {
		p.rt.stacks.due()
	}
	if run.stream == nil {
		return resp, err
	}
	return run.sent(ctx, p, err)
}

// enter counts an invocation in, unless the plugin is closed or is called too often.
func (p *Plugin) enter() (leave func(), err *Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, NewError(CodeDraining, "this version of the plugin is being replaced or removed; try again")
	}
	if p.pace != nil && !p.pace.Allow() {
		err := NewError(CodeRateLimited, "the plugin is called more often than the operator allows (plugins.rate)")
		err.RetryAfter = time.Second
		return nil, err
	}
	p.running.Add(1)
	return p.running.Done, nil
}

// queue waits for a place, for which there is time until then.
func (p *Plugin) queue(ctx context.Context, until time.Time) (out func(), err *Error) {
	place, e := p.rt.gate.enter(ctx, p.lane, until)
	if e == nil {
		return func() { p.rt.gate.leave(place) }, nil
	}
	if refused, ok := errors.AsType[*Error](e); ok {
		return nil, refused
	}
	return nil, p.ended(context.Cause(ctx))
}

// Admit tells whether an invocation that arrived then would be refused now, so that nobody need read its body before. nil promises nothing; what
// isn't is an *Error, `overloaded`.
func (p *Plugin) Admit(arrived time.Time) error {
	return p.rt.gate.peek(p.lane, arrived.Add(time.Duration(p.src.Manifest.Limits.Wall)))
}

// ended is the error for an invocation whose context has ended for that cause.
func (p *Plugin) ended(cause error) *Error {
	limits := p.src.Manifest.Limits
	switch cause {
	case errWall:
		return NewError(CodeLimitWall, "no answer within limits.wall (%s)", limits.Wall)
	case errStream:
		return NewError(CodeLimitWall, "the response took longer than limits.stream (%s)", limits.Stream)
	case errCPU:
		return NewError(CodeLimitCPU, "the plugin computed for longer than limits.cpu (%s in its manifest)", limits.CPU)
	case errCut:
		return NewError(CodeDraining, "the server is stopping, or this version is being removed; the invocation was cut off")
	default:
		return NewError(CodeCancelled, "the caller has gone")
	}
}

func (p *Plugin) notStarted(ctx context.Context, life *life, err error) *Error {
	switch {
	case ctx.Err() != nil:
		return p.ended(context.Cause(ctx))
	case !time.Now().Before(life.until): // the start's own limit may be seen first
		return p.ended(errWall)
	}
	known, ok := errors.AsType[*Error](err)
	if ok && known.Code == CodeOverloaded { // there is no memory for it
		return known
	}
	// It did start at its deploy; now it doesn't.
	e := NewError(CodePluginTrapped, "the plugin doesn't start")
	if ok {
		e.Detail = known.Detail
	}
	e.Err = err
	return e
}

// newCall readies the state of one invocation.
func (p *Plugin) newCall(ctx context.Context, req *Request, ready *prepared) *guest.Call {
	m := p.src.Manifest
	log := ready.log.Clone()
	c := &guest.Call{
		Session: p.client.Session(ctx),
		Request: guest.Request{
			Method: req.Method, Path: req.Path, RawQuery: req.RawQuery, Host: req.Host, RemoteAddr: req.RemoteAddr,
			Header: shown(req.Header), Body: req.Body, Source: req.BodyReader, Length: req.BodyLength,
		},
		Describe: describe,
		Limits: guest.Limits{
			Output: int64(m.Limits.Output), RequestBytes: int64(m.Fetch.Limits.RequestBytes), Held: int64(m.Limits.Memory),
		},
		Config: p.config, Log: log, Memory: ready.quota.Last,
	}
	c.Handles.Init()
	c.Start(ctx)
	if req.OnLog != nil {
		log.Follow(func(l guest.LogLine) { req.OnLog(p.line(l)) })
	}
	return c
}

// describe tells a plugin why its request's body can't be read.
func describe(err error) (code, message string) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code, e.Detail
	}
	return "read_error", "the client broke the request's body off"
}
