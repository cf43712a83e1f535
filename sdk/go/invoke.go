package sortie

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/sortie-run/sortie/sdk/go/internal/field"
	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

const noHost = "no invocation is running here: a handler runs in Sortie, or in a test by package sortietest"

// invoke runs one invocation. It doesn't let a panic pass.
func invoke(ctx context.Context, h host.Host, in *host.Inbound, handler func(context.Context, *Request) (*Response, error)) (out *host.Outbound, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if deadline := h.Deadline(); !deadline.IsZero() {
		ctx = limited{ctx, deadline}
	}
	defer func() {
		if p := recover(); p != nil {
			h.Log(8, fmt.Sprintf("panic: %v\n\n%s", p, debug.Stack()))
			out, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	source.reseed()
	resp, err := handler(ctx, inbound(in))
	if err != nil {
		return nil, err
	}
	return outbound(resp)
}

// limited tells the wall deadline, but has no timer for it: at that time the host ends the guest anyway, and while a timer runs nobody can
// tell that all goroutines of a plugin wait for each other.
type limited struct {
	context.Context
	deadline time.Time
}

// Deadline is the invocation's wall deadline.
func (l limited) Deadline() (time.Time, bool) { return l.deadline, true }

func inbound(in *host.Inbound) *Request {
	url := in.Path
	if in.RawQuery != "" {
		url += "?" + in.RawQuery
	}
	header := Header(in.Header)
	if header == nil {
		header = Header{}
	}
	return &Request{Method: in.Method, URL: url, Header: header, Body: in.Body, Path: in.Path, Host: in.Host, RemoteAddr: in.RemoteAddr}
}

func outbound(r *Response) (*host.Outbound, error) {
	if r == nil {
		return nil, errors.New("the handler returned neither a response nor an error")
	}
	if r.err != nil {
		return nil, r.err
	}
	status := r.Status
	if status == 0 {
		status = 200
	}
	if status < 200 || status > 599 {
		return nil, fmt.Errorf("the response's status is %d; it must be 200 to 599", status)
	}
	for name, values := range r.Header {
		if !field.ValidName(name) || !all(values, field.ValidValue) {
			return nil, fmt.Errorf("the response's header field %q is not valid", name)
		}
	}
	body, err := r.bytes()
	if err != nil {
		return nil, fmt.Errorf("reading the response's body: %w", err)
	}
	return &host.Outbound{Status: status, Header: r.Header, Body: body}, nil
}

func all(values []string, valid func(string) bool) bool {
	for _, v := range values {
		if !valid(v) {
			return false
		}
	}
	return true
}
