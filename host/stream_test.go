package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

const streamsDir = "testdata/streams"

// client takes a streamed answer as a caller over HTTP would: piece by piece.
type client struct {
	head    chan *host.Response
	pieces  chan string
	gone    chan struct{} // closed: it has gone
	aborted chan struct{}
	abort   sync.Once
}

func newClient() *client {
	return &client{head: make(chan *host.Response, 1), pieces: make(chan string), gone: make(chan struct{}), aborted: make(chan struct{})}
}

func (c *client) Abort() { c.abort.Do(func() { close(c.aborted) }) }

func (c *client) Begin(r *host.Response) error { c.head <- r; return nil }

func (c *client) Write(p []byte) (int, error) {
	select {
	case c.pieces <- string(p):
		return len(p), nil
	case <-c.gone:
		return 0, io.ErrClosedPipe
	case <-c.aborted:
		return 0, io.ErrClosedPipe
	}
}

// read reads until it has want.
func (c *client) read(t *testing.T, want string) {
	t.Helper()
	got := ""
	for timeout := time.After(time.Minute); got != want; {
		select {
		case p := <-c.pieces:
			if got += p; !strings.HasPrefix(want, got) {
				t.Fatalf("read %q, want %q", got, want)
			}
		case <-timeout:
			t.Fatalf("read %q only, want %q", got, want)
		}
	}
}

type invoked struct {
	resp   *host.Response
	report *host.Report
	err    error
}

// begin invokes a plugin for a client, with a body that comes in pieces if there is one.
func (c *client) begin(ctx context.Context, p *host.Plugin, path, upstream string, body io.ReadCloser) <-chan invoked {
	done := make(chan invoked, 1)
	go func() {
		var o invoked
		o.resp, o.report, o.err = p.Invoke(ctx, &host.Request{
			Path: path, RawQuery: "url=" + url.QueryEscape(upstream), BodyReader: body, BodyLength: -1, Writer: c,
		})
		done <- o
	}()
	return done
}

func streams(t *testing.T, limits string) *host.Plugin {
	t.Helper()
	return load(t, newRuntime(t, fetch.Config{}), streamsDir, allowLoopback+limits)
}

// gated answers each path piece by piece, as the test says.
type gated struct {
	*httptest.Server
	mu    sync.Mutex
	gates map[string]chan string
	gone  chan string // paths whose client has gone
}

func newGated(t *testing.T) *gated {
	g := &gated{gates: map[string]chan string{}, gone: make(chan string, 10)}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		for {
			select {
			case piece, ok := <-g.gate(r.URL.Path):
				if !ok {
					return
				}
				if piece == "cut" {
					panic(http.ErrAbortHandler)
				}
				fmt.Fprint(w, piece)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				g.gone <- r.URL.Path
				return
			}
		}
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *gated) gate(path string) chan string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gates[path] == nil {
		g.gates[path] = make(chan string, 10)
	}
	return g.gates[path]
}

func TestStreamPassesThrough(t *testing.T) {
	t.Parallel()
	p, g, c := streams(t, ""), newGated(t), newClient()
	if !p.StreamsRequest() {
		t.Error("what the plugin asks for in its initialisation is lost")
	}
	done := c.begin(t.Context(), p, "/pass", g.URL+"/a", nil)
	if head := <-c.head; head.Status != 200 {
		t.Errorf("%+v", head)
	}
	for _, piece := range []string{"one", "two"} { // each before the next is there
		g.gate("/a") <- piece
		c.read(t, piece)
	}
	close(g.gate("/a"))
	o := <-done
	if o.err != nil || !o.resp.Streamed || o.resp.Body != nil || len(o.report.Fetches) != 1 || o.report.Fetches[0].Bytes != 6 {
		t.Errorf("%+v, %v", o.resp, o.err)
	}
	budget := map[string]int64{}
	for _, b := range o.report.Budget {
		budget[b.Name] = b.Used
	}
	if budget["limits.output"] != 6 {
		t.Errorf("budget %v", budget)
	}
}

// A stream is read while another is, and while a third fetch is in flight.
func TestStreamsAreReadSideBySide(t *testing.T) {
	t.Parallel()
	p, g, c := streams(t, ""), newGated(t), newClient()
	done := c.begin(t.Context(), p, "/merge", g.URL, nil)
	<-c.head
	for i := range 5 {
		for _, path := range []string{"/a", "/b"} {
			piece := fmt.Sprint(path, i)
			g.gate(path) <- piece
			c.read(t, piece)
		}
	}
	for _, path := range []string{"/b", "/a", "/c"} {
		close(g.gate(path))
	}
	if o := <-done; o.err != nil {
		t.Error(o.err)
	}
}

func TestRequestPassesThrough(t *testing.T) {
	t.Parallel()
	p := streams(t, "")
	got := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			if n > 0 {
				got <- string(buf[:n])
			}
			if err != nil {
				fmt.Fprint(w, err, r.ContentLength)
				return
			}
		}
	}))
	defer srv.Close()
	from, to := io.Pipe()
	c := newClient()
	done := c.begin(t.Context(), p, "/up", srv.URL, from)
	for _, piece := range []string{"one", "two"} {
		fmt.Fprint(to, piece)
		if s := <-got; s != piece {
			t.Errorf("the upstream got %q", s)
		}
	}
	to.Close()
	if o := <-done; o.err != nil || string(o.resp.Body) != "EOF -1" {
		t.Errorf("%+v, %v", o.resp, o.err)
	}
}

func TestEchoInPieces(t *testing.T) {
	t.Parallel()
	p, c := streams(t, ""), newClient()
	from, to := io.Pipe()
	done := c.begin(t.Context(), p, "/echo", "", from)
	for _, piece := range []string{"one", "two"} {
		fmt.Fprint(to, piece)
		c.read(t, piece)
	}
	to.Close()
	if o := <-done; o.err != nil {
		t.Error(o.err)
	}
	// Whole, for callers that have neither a reader nor a writer.
	if body, _, err := try(p, "whole", "/echo"); body != "whole" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

func TestRequestFails(t *testing.T) {
	t.Parallel()
	p := streams(t, "")
	for _, tc := range []struct {
		with error
		want string
	}{
		{host.NewError(host.CodeLimitInput, "too long"), host.CodeLimitInput},
		{errors.New("broken off"), ""},
	} {
		from, to := io.Pipe()
		done := newClient().begin(t.Context(), p, "/count", "", from)
		fmt.Fprint(to, "some")
		to.CloseWithError(tc.with)
		o := <-done
		var e *host.Error
		if errors.As(o.err, &e); tc.want != "" && (e == nil || e.Code != tc.want) {
			t.Errorf("%v: %v", tc.with, o.err)
		}
		if tc.want == "" && (o.err != nil || !strings.Contains(string(o.resp.Body), "4 sortie: read_error")) {
			t.Errorf("%v: %v, %v", tc.with, o.resp, o.err)
		}
	}
	// Nobody reads it: the invocation doesn't wait for it.
	from, to := io.Pipe()
	if o := <-newClient().begin(t.Context(), p, "/nothing", "", from); o.err != nil || o.resp.Status != 404 {
		t.Errorf("%+v, %v", o.resp, o.err)
	}
	if _, err := to.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("the unread body wasn't closed: %v", err)
	}
}

func TestStreamBreaksOff(t *testing.T) {
	t.Parallel()
	p, g := streams(t, ""), newGated(t)
	g.gate("/x") <- "some"
	done := newClient().begin(t.Context(), p, "/cut", g.URL+"/x", nil)
	g.gate("/x") <- "cut"
	o := <-done
	if o.err != nil {
		t.Fatal(o.err)
	}
	if got := string(o.resp.Body); !strings.Contains(got, `["some",{"Code":"read_error"`) || !strings.Contains(got, `"URL":"`+g.URL) {
		t.Errorf("%s", got)
	}
	if f := o.report.Fetches[0]; f.Code != "read_error" || f.Status != 200 {
		t.Errorf("%+v", f)
	}
	g.gate("/y") <- "12345"
	done = newClient().begin(t.Context(), p, "/close", g.URL+"/y", nil)
	if o := <-done; o.err != nil || string(o.resp.Body) != "closed" {
		t.Errorf("%+v, %v", o.resp, o.err)
	}
	if gone := <-g.gone; gone != "/y" {
		t.Errorf("%s is gone", gone)
	}
}

func TestStreamedFailures(t *testing.T) {
	t.Parallel()
	patient := streams(t, "limits: {output: 100KiB, stream: 1m, wall: 30s}\n")
	brief := streams(t, "limits: {output: 100KiB, stream: 500ms, wall: 30s}\n")
	for path, want := range map[string]string{
		"/fail": "plugin_error: the response's body: no more", "/panic": "plugin_error: the response's body: panic: at the disco", "/panic-elsewhere": "plugin_error: the plugin gave up: panic: in a goroutine",
		"/too-long": "limit_output: ", "/ticks": "limit_wall: the response took longer than limits.stream (500ms)",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			p := patient
			if path == "/ticks" {
				p = brief
			}
			c := newClient()
			done := c.begin(t.Context(), p, path, "", nil)
			<-c.head
			var o invoked
			for o.report == nil {
				select {
				case <-c.pieces:
				case o = <-done:
				}
			}
			if o.err == nil || !strings.HasPrefix(o.err.Error(), want) || o.report.Code == "" || o.resp != nil {
				t.Errorf("%v, want %s", o.err, want)
			}
			if log := fmt.Sprint(o.report.Logs); strings.HasPrefix(path, "/panic") && (!strings.Contains(log, "goroutine") || !strings.Contains(log, "main.go")) {
				t.Errorf("no stack in %s", log)
			}
		})
	}
}

// wall counts to the head, and stream from there on.
func TestStreamOutlivesWall(t *testing.T) {
	t.Parallel()
	p, c := streams(t, "limits: {wall: 3s, stream: 1m}\n"), newClient()
	ctx, cancel := context.WithCancel(t.Context())
	began := time.Now()
	done := c.begin(ctx, p, "/ticks", "", nil)
	select {
	case <-c.head:
	case o := <-done:
		t.Fatal(o.err)
	}
	for i := 0; time.Since(began) < 3300*time.Millisecond; i++ {
		c.read(t, fmt.Sprintf("data: %d\n\n", i))
	}
	cancel()
	if o := <-done; o.report.Code != "cancelled" {
		t.Errorf("%v", o.err)
	}
	if body, _, err := try(streams(t, "limits: {wall: 10s, stream: 1m}\n"), "", "/deadline"); body != "true 50s" || err != nil {
		t.Errorf("%s, %v", body, err)
	}
}

// Whoever has gone ends the invocation and its fetches, whether that is seen by writing to it or by its context.
func TestStreamsClientGoes(t *testing.T) {
	t.Parallel()
	p, g := streams(t, ""), newGated(t)
	for i, leave := range []func(*client, context.CancelFunc){ // the second is stuck in Write, or will be
		func(c *client, _ context.CancelFunc) { close(c.gone); g.gate("/0") <- "more" },
		func(_ *client, cancel context.CancelFunc) { cancel() },
	} {
		c := newClient()
		ctx, cancel := context.WithCancel(t.Context())
		path := fmt.Sprint("/", i)
		g.gate(path) <- "some"
		done := c.begin(ctx, p, "/pass", g.URL+path, nil)
		<-c.head
		c.read(t, "some")
		leave(c, cancel)
		if gone := <-g.gone; gone != path {
			t.Errorf("%s is gone", gone)
		}
		if o := <-done; o.report.Code != "cancelled" {
			t.Errorf("%v", o.err)
		}
		cancel()
	}
}

// A plugin whose client is slow is as far ahead as the queue is long, and then waits.
func TestSlowClientHoldsThePluginUp(t *testing.T) {
	t.Parallel()
	p, c := streams(t, "limits: {output: 10MiB, cpu: 5s}\n"), newClient()
	done := c.begin(t.Context(), p, "/too-long", "", nil)
	<-c.head
	first := <-c.pieces
	if len(first) > 64<<10 {
		t.Errorf("a piece of %d bytes", len(first))
	}
	select { // nobody takes more: it can't come to its limit
	case o := <-done:
		t.Errorf("%v", o.err)
	case <-time.After(300 * time.Millisecond):
	}
	close(c.gone)
	if o := <-done; o.report.Code != "cancelled" {
		t.Errorf("%v", o.err)
	}
}

// A log's lines are told as they come.
func TestLogLinesAreTold(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, allowLoopback)
	var told []string
	_, report, err := p.Invoke(t.Context(), &host.Request{Path: "/log", OnLog: func(l host.LogLine) { told = append(told, l.Message) }})
	if err != nil || len(report.Logs) != 4 || len(told) != 4 {
		t.Fatalf("%v, %d lines, told %v", err, len(report.Logs), told)
	}
	for i, l := range report.Logs {
		if l.Message != told[i] {
			t.Errorf("told %q, logged %q", told[i], l.Message)
		}
	}
}
