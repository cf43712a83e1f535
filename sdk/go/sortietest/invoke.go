package sortietest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

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
	ctx context.Context
	in  host.Inbound
	err error
}

// Body gives the request a body.
func Body(s string) With { return func(i *invocation) { i.in.Body = []byte(s) } }

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
// returns when the handler has, and what was in flight then has been cancelled. A failed invocation is a *Failure.
func (h *Host) Invoke(method, target string, with ...With) (*sortie.Response, error) {
	h.t.Helper()
	entry := host.Registered()
	if entry == nil {
		h.t.Fatal("sortietest: no handler: does the plugin call sortie.Handle in an init function?")
	}
	inv := &invocation{ctx: context.Background(), in: host.Inbound{Method: method, Host: "plugin.example", RemoteAddr: "192.0.2.1",
		Header: map[string][]string{}}}
	inv.in.Path, inv.in.RawQuery, _ = strings.Cut(target, "?")
	if !strings.HasPrefix(inv.in.Path, "/") {
		inv.in.Path = "/" + inv.in.Path
	}
	for _, w := range with {
		w(inv)
	}
	if inv.err != nil {
		h.t.Fatalf("sortietest: the request's body: %v", inv.err)
	}
	var out *host.Outbound
	var err error
	late := h.session(inv.ctx, func(ctx context.Context, s *session) {
		out, err = entry(ctx, s, &inv.in)
	})
	switch {
	case late:
		return nil, &Failure{Code: "limit_wall", Detail: fmt.Sprintf("the wall limit is %s", h.wall()), Err: err}
	case err != nil:
		return nil, &Failure{Code: "plugin_error", Detail: err.Error(), Err: err}
	case int64(len(out.Body)) > h.output():
		return nil, &Failure{Code: "limit_output", Detail: fmt.Sprintf("the output limit is %d bytes; the body has %d", h.output(), len(out.Body))}
	}
	return answered(out), nil
}

// Do runs f as if it were the handler: fetches, Config and Log work in it, with the context it is given. It is for tests of a plugin's own
// functions.
func (h *Host) Do(f func(ctx context.Context)) {
	h.t.Helper()
	h.session(context.Background(), func(ctx context.Context, _ *session) { f(ctx) })
}

// session runs f as one invocation and says whether that took longer than the wall limit.
func (h *Host) session(ctx context.Context, f func(context.Context, *session)) (late bool) {
	h.mu.Lock()
	limits := h.limits
	h.mu.Unlock()
	s := newSession(ctx, h, limits)
	release := h.acquire(s)
	defer release()
	defer s.close()
	s.deadline = time.Now().Add(limits.Wall)
	ctx, cancel := context.WithDeadline(host.With(ctx, s), s.deadline)
	defer cancel()
	f(ctx, s)
	return !time.Now().Before(s.deadline)
}

// turn is held by the Host whose invocations run. A mutex rather than a channel: to wait for one doesn't let the fake time of a
// synctest bubble go on.
var turn sync.Mutex

// acquire makes s the host of calls without a context, once it is its Host's turn.
func (h *Host) acquire(s *session) (release func()) {
	h.owning.Lock()
	defer h.owning.Unlock()
	if h.active == 0 {
		turn.Lock()
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

func (h *Host) wall() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.limits.Wall
}

func (h *Host) output() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.limits.Output
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
