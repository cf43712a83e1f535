package sortietest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/internal/field"
	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// Failure is why an invocation has no answer. Code is the contract's: plugin_error when the handler returned an error or panicked,
// limit_wall, limit_output.
type Failure struct {
	Code, Detail string
	Err          error // what the handler returned
}

func (f *Failure) Error() string { return f.Code + ": " + f.Detail }

// Unwrap returns what the handler returned.
func (f *Failure) Unwrap() error { return f.Err }

// With adds something to the request of an Invoke.
type With func(*invocation)

type invocation struct {
	entry host.Entry
	ctx   context.Context
	in    host.Inbound
	body  io.Reader
	err   error
}

// Body gives the request a body.
func Body(s string) With { return func(i *invocation) { i.in.Body = []byte(s) } }

// BodyReader gives the request a body that is read piece by piece, by a plugin with sortie.HandleStream; others get the whole.
func BodyReader(r io.Reader) With { return func(i *invocation) { i.body = r } }

// JSON gives the request v as its JSON body, with the content type.
func JSON(v any) With {
	return func(i *invocation) {
		i.in.Body, i.err = json.Marshal(v)
		i.in.Header["content-type"] = []string{"application/json"}
	}
}

// Header adds a header field to the request.
func Header(name, value string) With {
	name = strings.ToLower(name)
	return func(i *invocation) {
		if !strings.HasPrefix(name, "sortie-") { // plugins don't see ours
			i.in.Header[name] = append(i.in.Header[name], value)
		}
	}
}

// Context runs the invocation under ctx: when it ends, the client is gone.
func Context(ctx context.Context) With { return func(i *invocation) { i.ctx = ctx } }

// Invoke runs the handler that the plugin has registered, with a request for target: the path below the plugin's, "/", and maybe a query. It
// returns when the answer is whole, also one that is streamed, and what was in flight then has been cancelled. A failed invocation is
// a *Failure.
func (h *Host) Invoke(method, target string, with ...With) (*sortie.Response, error) {
	h.t.Helper()
	var body bytes.Buffer
	out, err := h.serve(h.invocation(method, target, with), func(*host.Outbound) io.Writer { return &body })
	if err != nil {
		return nil, err
	}
	if out.BodyReader != nil {
		out.Body = body.Bytes()
	}
	return answered(out), nil
}

// InvokeStream is as Invoke, but returns when the answer begins. The Response's BodyReader gives the body as the plugin writes it, and in
// place of io.EOF a *Failure if the invocation fails. It is an io.Closer, and to close it is to be a client that goes away; the invocations of
// other Hosts wait until it has been closed or read to its end.
func (h *Host) InvokeStream(method, target string, with ...With) (*sortie.Response, error) {
	h.t.Helper()
	inv := h.invocation(method, target, with)
	var gone context.CancelFunc
	inv.ctx, gone = context.WithCancel(inv.ctx)
	over := make(chan struct{})
	to := newPipe(func() {
		gone()
		<-over
	})
	h.t.Cleanup(func() { _ = to.Close() })
	head := make(chan *sortie.Response, 1)
	var failure error
	go func() {
		defer close(over)
		out, err := h.serve(inv, func(out *host.Outbound) io.Writer {
			head <- answered(out)
			return to
		})
		failure = err
		switch {
		case err != nil:
			to.end(err)
		case out.BodyReader == nil:
			head <- answered(out)
			_, _ = to.Write(out.Body)
			to.end(io.EOF)
		default:
			to.end(io.EOF)
		}
	}()
	var resp *sortie.Response
	select {
	case resp = <-head:
	case <-over:
		select {
		case resp = <-head:
		default:
			return nil, failure
		}
	}
	resp.Body, resp.BodyReader = nil, to
	return resp, nil
}

// invocation is what an Invoke asks for.
func (h *Host) invocation(method, target string, with []With) *invocation {
	h.t.Helper()
	inv := &invocation{ctx: context.Background(), in: host.Inbound{Method: method, Host: "plugin.example", RemoteAddr: "192.0.2.1",
		Header: map[string][]string{}}}
	var streams bool
	if inv.entry, streams = host.Registered(); inv.entry == nil {
		h.t.Fatal("sortietest: no handler: does the plugin call sortie.Handle in an init function?")
	}
	inv.in.Path, inv.in.RawQuery, _ = strings.Cut(target, "?")
	if !strings.HasPrefix(inv.in.Path, "/") {
		inv.in.Path = "/" + inv.in.Path
	}
	for _, w := range with {
		w(inv)
	}
	body := inv.body
	switch {
	case inv.err != nil:
	case streams && body == nil:
		inv.in.BodyReader, inv.in.Body = io.NopCloser(bytes.NewReader(inv.in.Body)), nil
	case streams:
		inv.in.BodyReader, inv.in.Body = io.NopCloser(body), nil
		if c, ok := body.(io.ReadCloser); ok {
			inv.in.BodyReader = c
		}
	case body != nil:
		inv.in.Body, inv.err = io.ReadAll(body)
	}
	if inv.err != nil {
		h.t.Fatalf("sortietest: the request's body: %v", inv.err)
	}
	return inv
}

// serve runs an invocation. begin is called when a streamed answer begins, for a writer of its body.
func (h *Host) serve(inv *invocation, begin func(*host.Outbound) io.Writer) (out *host.Outbound, err error) {
	var limits Limits
	var body output
	late, begun := h.session(inv.ctx, func(ctx context.Context, s *session) {
		limits = s.limits
		if out, err = inv.entry(ctx, s, &inv.in); err != nil {
			return
		}
		body.left = limits.Output - int64(len(out.Body))
		if out.BodyReader == nil {
			return
		}
		defer func() { _ = out.BodyReader.Close() }()
		s.life.begin(limits.Stream)
		body.to = begin(out)
		_, err = io.Copy(&body, out.BodyReader)
	})
	switch {
	case body.left < 0:
		return nil, &Failure{Code: "limit_output", Detail: fmt.Sprintf("the output limit is %d bytes; the body has at least %d", limits.Output, limits.Output-body.left)}
	case late && begun:
		return nil, &Failure{Code: "limit_wall", Detail: fmt.Sprintf("the stream limit is %s", limits.Stream), Err: err}
	case late:
		return nil, &Failure{Code: "limit_wall", Detail: fmt.Sprintf("the wall limit is %s", limits.Wall), Err: err}
	case err != nil:
		return nil, &Failure{Code: "plugin_error", Detail: err.Error(), Err: err}
	}
	return out, nil
}

// output is the body of a streamed answer, within the output limit.
type output struct {
	to   io.Writer
	left int64
}

func (o *output) Write(p []byte) (int, error) {
	if o.left < 0 {
		return 0, errOutput
	}
	if o.left -= int64(len(p)); o.left < 0 {
		return 0, errOutput
	}
	return o.to.Write(p)
}

var errOutput = errors.New("the response is longer than limits.output")

// Do runs f as if it were the handler: fetches, Config and Log work in it, with the context it is given. It is for tests of a plugin's own
// functions.
func (h *Host) Do(f func(ctx context.Context)) {
	h.t.Helper()
	h.session(context.Background(), func(ctx context.Context, _ *session) { f(ctx) })
}

// session runs f as one invocation and says whether that took longer than the limit that ran at its end, and whether that is the one of
// streamed answers.
func (h *Host) session(ctx context.Context, f func(context.Context, *session)) (late, begun bool) {
	h.mu.Lock()
	limits := h.limits
	h.mu.Unlock()
	s := newSession(ctx, h, limits)
	release := h.acquire(ctx, s)
	defer release()
	defer s.close()
	defer s.life.close()
	f(s.life, s)
	return s.life.late()
}

// turn is held by the Host whose invocations run. A mutex rather than a channel: to wait for one doesn't let the fake time of a
// synctest bubble go on.
var turn sync.Mutex

// acquire makes s the host of calls without a context, once it is its Host's turn. Its life begins then.
func (h *Host) acquire(ctx context.Context, s *session) (release func()) {
	h.owning.Lock()
	defer h.owning.Unlock()
	if h.active == 0 {
		turn.Lock()
	}
	s.life = newLife(host.With(ctx, s), s.limits.Wall)
	if h.active == 0 {
		h.restore = host.Use(s)
	} else {
		host.Use(s)
	}
	h.active++
	return func() {
		h.owning.Lock()
		defer h.owning.Unlock()
		if h.active--; h.active == 0 {
			h.restore()
			turn.Unlock()
		}
	}
}

// answered is the plugin's answer as its caller sees it.
func answered(out *host.Outbound) *sortie.Response {
	header := make(sortie.Header, len(out.Header))
	for name, values := range out.Header {
		if !field.Owned(name) {
			for _, v := range values {
				header.Add(name, v)
			}
		}
	}
	return &sortie.Response{Status: out.Status, Header: header, Body: out.Body}
}
