package host

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/sys"

	"github.com/sortie-run/sortie/host/internal/guest"
	"github.com/sortie-run/sortie/host/internal/memory"
)

// run is what came of running a guest once.
type run struct {
	stream  *streamed // the answer, if the guest streams it
	head    time.Time // when it began; zero: it isn't streamed
	stopped error     // why the guest was stopped from outside; nil: it wasn't
	call    *guest.Call
	quota   *memory.Quota
	end     ending
	elapsed time.Duration
	cpu     time.Duration
	memory  int64
}

// run enters the guest, watched for its CPU time.
func (p *Plugin) run(ctx context.Context, req *Request, ready *prepared, life *life) *run {
	r := &run{call: p.newCall(ctx, req, ready), quota: ready.quota}
	defer r.call.Handles.Close()
	defer r.call.Session.Close()
	r.call.Until = life.until
	r.call.OnBegin = func(g *guest.Response) {
		r.head = time.Now()
		life.begun()
		r.call.Until = life.until
		r.stream = stream(g, req.Writer, func() { life.cut(errGone) })
	}
	ready.quota.Begin()
	start := time.Now()
	stop := p.meter(r.call, func() { life.cut(errCPU) })
	defer stop()
	r.end = ready.run(guest.Bind(ctx, r.call), r.call)
	r.cpu = stop()
	r.stopped = context.Cause(ctx) // a guest may well exit by itself with wazero's code for a stopped one
	r.elapsed = time.Since(start)
	r.memory = ready.quota.Peak()
	return r
}

// outcome decides what an invocation's end means: the first limit reached wins, then what the guest did.
func (r *run) outcome(p *Plugin) (*Response, *Error) {
	c, end := r.call, r.end
	switch {
	case c.OverLimit != "":
		return nil, NewError(c.OverLimit, "%s", c.Detail)
	case unread(c.RequestError) != nil:
		return nil, unread(c.RequestError)
	case end.err == nil && end.result == 0 && end.said == "" && c.Response != nil:
		if r.stream != nil {
			return r.stream.response, nil
		}
		return &Response{Status: c.Response.Status, Header: sendable(c.Response.Header), Body: c.Response.Body}, nil
	case end.err != nil && r.stopped != nil && stopped(end.err):
		return nil, p.ended(r.stopped)
	}
	if r.quota.Short() {
		p.rt.gate.noRoom()
		err := NewError(CodeOverloaded, "the plugin needed more memory than the process had left (process.memory); try again later")
		err.RetryAfter = time.Second
		return nil, err
	}
	if asked, refused := r.quota.Refused(); refused {
		return nil, NewError(CodeLimitMemory, "the plugin needed %d bytes of memory and failed without; limits.memory is %s",
			asked, p.src.Manifest.Limits.Memory)
	}
	return nil, r.failure(p)
}

// unread is the failure that a request's body brought with it; nil: none, or none but the plugin's to deal with.
func unread(err error) *Error {
	e, _ := errors.AsType[*Error](err)
	return e
}

// sent waits until a streamed answer has gone out, or gives up what is left of one that has failed.
func (r *run) sent(ctx context.Context, p *Plugin, err *Error) (*Response, *Error) {
	if err != nil {
		r.stream.abort()
		return nil, err
	}
	r.stream.from.End(io.EOF)
	resp, e := r.stream.wait(ctx)
	switch {
	case e == nil:
		return resp, nil
	case context.Cause(ctx) != nil:
		return nil, p.ended(context.Cause(ctx))
	default:
		return nil, p.ended(errGone)
	}
}

// stopped tells whether the guest was stopped by its context's end rather than by itself.
func stopped(err error) bool {
	exit, ok := errors.AsType[*sys.ExitError](err)
	return ok && (exit.ExitCode() == sys.ExitCodeContextCanceled || exit.ExitCode() == sys.ExitCodeDeadlineExceeded)
}

// failure is for a guest that failed by itself.
func (r *run) failure(p *Plugin) *Error {
	c, end := r.call, r.end
	exit, exited := errors.AsType[*sys.ExitError](end.err)
	said := end.said
	if said == "" {
		said = c.Failure
	}
	switch {
	case exited && said == "":
		return failed("the plugin exited with status %d%s", exit.ExitCode(), lastPrinted(c.Log))
	case exited:
		return failed("the plugin exited with status %d: %s", exit.ExitCode(), said)
	case end.err != nil && p.Kind() == "http" && gaveUp(c.Log) != "":
		return failed("the plugin gave up: %s", gaveUp(c.Log))
	case end.err != nil:
		return r.trapped()
	case said != "":
		return failed("%s", said)
	case end.result != 0:
		return failed("the plugin returned %d", end.result)
	default:
		return failed("the plugin returned without having answered")
	}
}

func failed(format string, args ...any) *Error { return NewError(CodePluginError, format, args...) }

// trapped is for a trap. The whole of wazero's message, with the guest's stack, goes to the invocation's log.
func (r *run) trapped() *Error {
	err := r.end.err
	if _, ours := errors.AsType[runtime.Error](err); ours {
		// A host function panicked: that is our fault, and our stack is not the plugin's to read.
		e := NewError(CodeInternal, "the host failed; this is a bug in Sortie")
		e.Err = err
		return e
	}
	text, _, _ := strings.Cut(err.Error(), "\n\nGo runtime stack trace:")
	r.call.Log.Add(slog.LevelError, text)
	e := NewError(CodePluginTrapped, "the plugin trapped: %s", brief(err))
	e.Err = err
	if overflowed(err) {
		e.Detail = "the plugin trapped: its call stack is exhausted (runaway recursion?)"
	}
	return e
}

// overflowed tells whether a guest ran out of native stack; wazero's error for it isn't exported.
func overflowed(err error) bool { return err != nil && strings.Contains(err.Error(), "stack overflow") }

// brief is the first line of an error's text, bounded: what follows in wazero's is the guest's stack.
func brief(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	line = strings.TrimSuffix(line, " (recovered by wazero)")
	return bounded(line)
}

func bounded(s string) string {
	const most = 300
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// gaveUp is the line with which Go's runtime says why it ends the program, which it does with a trap: a panic in a goroutine that
// isn't the handler's, all of them asleep, and the like. "" if there is none.
func gaveUp(l *guest.Log) string {
	for _, line := range l.Lines() {
		if line.Level == slog.LevelWarn && (strings.HasPrefix(line.Message, "panic: ") || strings.HasPrefix(line.Message, "fatal error: ")) {
			return bounded(line.Message)
		}
	}
	return ""
}

// lastPrinted is the line that tells most of what a guest printed before it ended, as the end of a sentence.
func lastPrinted(l *guest.Log) string {
	if s := gaveUp(l); s != "" {
		return ": " + s
	}
	for _, line := range slices.Backward(l.Lines()) {
		if line.Level == slog.LevelWarn && line.Message != "" {
			return ": " + bounded(line.Message)
		}
	}
	return ""
}
