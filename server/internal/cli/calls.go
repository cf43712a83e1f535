package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// Limits of what dev shows.
const (
	// maxUnshown is how many invocations may wait to be shown: whoever measures the plugin has thousands a second, and reads none of them.
	maxUnshown = 256
	// maxShownFailures is how many failed fetches of one invocation are shown; sortie trace has them all.
	maxShownFailures = 3
)

// calls are the plugins' invocations that are still to be shown.
type calls struct {
	answered chan answered
	open     atomic.Int64  // those under way included
	none     chan struct{} // holds one when there were none
	missed   atomic.Int64  // those that there was no room for
}

// answered is one of them. What it did is in its report, if it got as far as to have one.
type answered struct{ method, path, id, code string }

func newCalls() *calls {
	return &calls{answered: make(chan answered, maxUnshown), none: make(chan struct{}, 1)}
}

// around notes every invocation that the server has answered, by what is in the answer's own header. It takes no time of it: a call that
// finds no room is only counted.
func (c *calls) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/p/") {
			next.ServeHTTP(w, r)
			return
		}
		call := answered{method: r.Method, path: r.URL.Path}
		c.open.Add(1)
		defer func() { // after an answer that was cut off, too
			call.id, call.code = w.Header().Get("Sortie-Invocation"), w.Header().Get("Sortie-Error")
			select {
			case c.answered <- call:
			default:
				c.missed.Add(1)
				c.shown()
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (c *calls) shown() {
	if c.open.Add(-1) > 0 {
		return
	}
	select {
	case c.none <- struct{}{}:
	default: // whoever waits knows
	}
}

// wait returns when all have been shown, or ctx ends.
func (c *calls) wait(ctx context.Context) {
	for c.open.Load() > 0 {
		select {
		case <-c.none:
		case <-ctx.Done():
			return
		}
	}
}

// show prints invocations until ctx ends. server keeps its connection, and nobody else uses it.
func (d *development) show(ctx context.Context, server *api) {
	server.wire.DisableKeepAlives = false // a connection for each report would use up the ports
	defer server.wire.CloseIdleConnections()
	for {
		select {
		case call := <-d.calls.answered:
			_, _ = d.app.stderr.Write(d.text(ctx, server, call)) // there is nobody to tell
			d.calls.shown()
		case <-ctx.Done():
			return
		}
		if len(d.calls.answered) > 0 {
			continue
		}
		if n := d.calls.missed.Swap(0); n > 0 {
			d.app.note("%d more invocations are not shown: they came too fast", n)
		}
	}
}

// text is what is printed of one invocation.
func (d *development) text(ctx context.Context, server *api, call answered) []byte {
	var text bytes.Buffer
	var report traced
	err := server.get(ctx, "/v1/invocations/"+call.id, &report)
	var refused *problem
	switch {
	case !isInvocation(call.id), errors.As(err, &refused) && refused.Status == http.StatusNotFound: // it never got to a version
		fmt.Fprintf(&text, "%s %s %s\n", printable(call.method), printable(call.path), d.paint("bad", printable(call.code)))
	case err != nil:
		fmt.Fprintf(&text, "%s %s, of which nothing else is known: the server is gone\n", printable(call.method), printable(call.path))
	default:
		d.printInvocation(&text, &report)
	}
	return text.Bytes()
}

// printInvocation writes one line about an invocation, and below it what a person would look for next: why it failed, which of its fetches
// failed, what it logged.
func (d *development) printInvocation(text *bytes.Buffer, r *traced) {
	end := d.paint("good", fmt.Sprint(r.Status))
	if r.Code != "" {
		end = d.paint("bad", fmt.Sprintf("%d %s", r.Status, printable(r.Code)))
	}
	fmt.Fprintf(text, "%s %s %s %s  fetches %s  %s\n", printable(r.Method), printable(r.Path), end, ms(r.Total), requestsUsed(r),
		d.paint("dim", printable(r.ID)))
	if r.Detail != "" {
		fmt.Fprintf(text, "    %s\n", printableLines(r.Detail))
	}
	failures := 0
	for _, f := range r.Fetches {
		if f.Code == "" || f.Code == "cancelled" { // the losers of a race haven't failed
			continue
		}
		if failures++; failures <= maxShownFailures {
			fmt.Fprintf(text, "    %s %s %s: %s%s\n", printable(f.Method), printable(f.URL), d.paint("bad", printable(f.Code)), oneLine(f.Message), d.advice(f))
		}
	}
	if more := failures - maxShownFailures; more > 0 {
		fmt.Fprintf(text, "    and %d more failed fetches\n", more)
	}
	for _, line := range r.Logs {
		style := "dim"
		if line.Level == "warn" || line.Level == "error" {
			style = "bad"
		}
		fmt.Fprintf(text, "    %s %s\n", d.paint(style, printable(line.Level)), strings.ReplaceAll(printableLines(line.Message), "\n", "\n    "))
	}
}

// requestsUsed is what an invocation has used of its requests, as 3/64.
func requestsUsed(r *traced) string {
	for _, b := range r.Budget {
		if b.Unit == "requests" {
			return fmt.Sprintf("%d/%d", b.Used, b.Limit)
		}
	}
	return fmt.Sprint(len(r.Fetches)) // it failed before its limits counted
}

// advice says how a private address is permitted.
func (d *development) advice(f tracedFetch) string {
	if !d.hint {
		return ""
	}
	return privateHint(failure.Code(f.Code), f.Message)
}
