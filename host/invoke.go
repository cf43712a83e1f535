package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/sortie-run/sortie/host/internal/guest"
)

// Why an invocation's context ended.
var (
	errWall = errors.New("limits.wall")
	errCPU  = errors.New("limits.cpu")
	errCut  = errors.New("the plugin is closed")
)

// Invoke runs the plugin once. The error is an *Error with one of the contract's codes. The report is never nil. When ctx ends the
// caller is taken to be gone: the guest is stopped, its fetches are cancelled.
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
	if int64(len(req.Body)) > int64(limits.Input) {
		return nil, NewError(CodeLimitInput, "the request's body has %d bytes, limits.input is %s", len(req.Body), limits.Input)
	}
	leave, err := p.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	defer context.AfterFunc(p.alive, func() { cut(errCut) })()
	ctx, cancel := context.WithDeadlineCause(ctx, arrived.Add(time.Duration(limits.Wall)), errWall)
	defer cancel()
	out, err := p.queue(ctx)
	if err != nil {
		return nil, err
	}
	defer out()
	ready, e := p.ready.take(ctx)
	report.Queue = time.Since(arrived)
	if e != nil {
		return nil, p.notStarted(ctx, e)
	}
	defer ready.discard()
	run := p.run(ctx, req, ready)
	resp, err := run.outcome(p)
	report.account(p, run)
	if overflowed(run.end.err) {
		p.rt.stacks.due()
	}
	return resp, err
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

// queue waits for the plugin's place, then for the process's: who waits for its own plugin holds nothing that others need.
func (p *Plugin) queue(ctx context.Context) (out func(), err *Error) {
	if p.places != nil && p.places.Acquire(ctx, 1) != nil {
		return nil, p.ended(context.Cause(ctx))
	}
	back := func() {
		if p.places != nil {
			p.places.Release(1)
		}
	}
	if e := p.rt.gate.enter(ctx); e != nil {
		back()
		if full, ok := errors.AsType[*Error](e); ok {
			return nil, full
		}
		return nil, p.ended(context.Cause(ctx))
	}
	return func() { p.rt.gate.leave(); back() }, nil
}

// ended is the error for an invocation whose context has ended for that cause.
func (p *Plugin) ended(cause error) *Error {
	limits := p.src.Manifest.Limits
	switch cause {
	case errWall:
		return NewError(CodeLimitWall, "no answer within limits.wall (%s)", limits.Wall)
	case errCPU:
		return NewError(CodeLimitCPU, "the plugin computed for longer than limits.cpu (%s in its manifest)", limits.CPU)
	case errCut:
		return NewError(CodeDraining, "the server is stopping, or this version is being removed; the invocation was cut off")
	default:
		return NewError(CodeCancelled, "the caller has gone")
	}
}

func (p *Plugin) notStarted(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		return p.ended(context.Cause(ctx))
	}
	// It did start at its deploy; now it doesn't.
	e := NewError(CodePluginTrapped, "the plugin doesn't start")
	if known, ok := errors.AsType[*Error](err); ok {
		e.Detail = known.Detail
	}
	e.Err = err
	return e
}

// newCall readies the state of one invocation.
func (p *Plugin) newCall(ctx context.Context, req *Request, ready *prepared) *guest.Call {
	m := p.src.Manifest
	c := &guest.Call{
		Session: p.client.Session(ctx),
		Request: guest.Request{
			Method: req.Method, Path: req.Path, RawQuery: req.RawQuery, Host: req.Host, RemoteAddr: req.RemoteAddr,
			Header: shown(req.Header), Body: req.Body,
		},
		Limits: guest.Limits{
			Output: int64(m.Limits.Output), RequestBytes: int64(m.Fetch.Limits.RequestBytes), Held: int64(m.Limits.Memory),
		},
		Config: p.config, Log: ready.log, Memory: ready.quota.Last,
	}
	c.Handles.Init()
	c.Start(ctx)
	return c
}
