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

// invoke runs one invocation, but for a streamed answer's body. It doesn't let a panic pass.
func invoke(ctx context.Context, h host.Host, in *host.Inbound, handler func(context.Context, *Request) (*Response, error)) (out *host.Outbound, err error) {
	ctx, cancel := context.WithCancel(ctx)
	ctx = &limited{Context: ctx, h: h}
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, panicked(h, p, debug.Stack())
		}
		if out == nil || out.BodyReader == nil {
			cancel()
		}
	}()
	source.reseed()
	resp, err := handler(ctx, inbound(ctx, in))
	if err != nil {
		return nil, err
	}
	out, err = outbound(resp)
	if err == nil && resp.Body == nil && resp.BodyReader != nil {
		out.BodyReader = &answer{h: h, body: resp.BodyReader, end: cancel}
	}
	return out, err
}

// panicked logs a panic of the plugin's, and is the error that its invocation fails with.
func panicked(h host.Host, p any, stack []byte) error {
	h.Log(8, fmt.Sprintf("panic: %v\n\n%s", p, stack))
	return fmt.Errorf("panic: %v", p)
}

// limited tells the deadline of the limit that runs, but has no timer for it: at that time the host ends the guest anyway, and while a timer
// runs nobody can tell that all goroutines of a plugin wait for each other.
type limited struct {
	_ host.NoCompare
	context.Context
	h host.Host
}

// Deadline is the invocation's: it moves once, when a streamed answer begins.
func (l *limited) Deadline() (time.Time, bool) {
	if deadline := l.h.Deadline(); !deadline.IsZero() {
		return deadline, true
	}
	return l.Context.Deadline()
}

func inbound(ctx context.Context, in *host.Inbound) *Request {
	url := in.Path
	if in.RawQuery != "" {
		url += "?" + in.RawQuery
	}
	header := Header(in.Header)
	if header == nil {
		header = Header{}
	}
	req := &Request{Method: in.Method, URL: url, Header: header, Body: in.Body, Path: in.Path, Host: in.Host, RemoteAddr: in.RemoteAddr}
	if in.BodyReader != nil {
		req.BodyReader = newStream(ctx, "", in.BodyReader, nil)
	}
	return req
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
	return &host.Outbound{Status: status, Header: r.Header, Body: r.Body}, nil
}

func all(values []string, valid func(string) bool) bool {
	for _, v := range values {
		if !valid(v) {
			return false
		}
	}
	return true
}
