package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

// Go is the Go host, in this process.
type Go struct{ cache string }

// NewGo makes the Go host a target. cache is a folder for compiled code, which several may share; "": none.
func NewGo(cache string) *Go { return &Go{cache} }

// Name implements Target.
func (*Go) Name() string { return "go" }

// Host implements Target.
func (*Go) Host() string { return "go" }

// Invoke implements Target, with a runtime for each case: operators differ.
func (g *Go) Invoke(ctx context.Context, c *Case) (*Outcome, error) {
	operator, err := manifest.ParseOperator(c.Operator)
	if err != nil {
		return nil, err
	}
	engine := fetch.New(fetch.Config{Resolver: names{}})
	defer engine.Close()
	runtime, err := host.New(ctx, host.Config{Engine: engine, Operator: operator, Secrets: c.Secrets, CacheDir: g.cache})
	if err != nil {
		return nil, err
	}
	defer func() { _ = runtime.Close(context.WithoutCancel(ctx)) }()
	m, _, err := operator.Manifest(c.Manifest)
	if err != nil {
		return &Outcome{ID: c.ID, Refused: &LoadFailure{Code: host.CodeInvalidManifest, Message: err.Error()}}, nil
	}
	plugin, err := runtime.Load(ctx, host.Source{Name: "guest", Version: 1, Wasm: c.Wasm, Manifest: m})
	if refused, ok := errors.AsType[*host.Error](err); ok {
		return &Outcome{ID: c.ID, Refused: &LoadFailure{Code: refused.Code, Message: refused.Detail}}, nil
	}
	if err != nil {
		return nil, err
	}
	out := &Outcome{ID: c.ID, Answers: make([]Answer, len(c.Requests))}
	var running sync.WaitGroup
	errs := make([]error, len(c.Requests))
	for i := range c.Requests {
		running.Go(func() { errs[i] = invoke(ctx, plugin, &c.Requests[i], &out.Answers[i]) })
		if !c.Concurrent {
			running.Wait()
		}
	}
	running.Wait()
	return out, errors.Join(errs...)
}

// names is the resolver that every target has: public.test is a public name with an address on loopback, .invalid has none.
type names struct{}

// LookupNetIP implements fetch.Resolver.
func (names) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	switch strings.TrimSuffix(name, ".") {
	case "public.test", "localhost":
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func invoke(ctx context.Context, plugin *host.Plugin, q *Request, to *Answer) error {
	u, err := url.Parse(q.URL)
	if err != nil {
		return err
	}
	req := &host.Request{Method: q.Method, Path: u.EscapedPath(), RawQuery: u.RawQuery, Host: u.Host, Header: http.Header{}, Body: q.Body}
	for _, h := range q.Headers {
		req.Header.Add(h[0], h[1])
	}
	switch {
	case q.Pieces != nil && plugin.StreamsRequest():
		req.Body, req.BodyReader, req.BodyLength = nil, pieces(q.Pieces), -1
	case plugin.StreamsRequest():
		req.Body, req.BodyReader, req.BodyLength = nil, io.NopCloser(bytes.NewReader(q.Body)), int64(len(q.Body))
	case q.Pieces != nil:
		req.Body = bytes.Join(q.Pieces, nil)
	}
	w := &writer{}
	req.Writer = w
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	if q.AbortAt != "" {
		left := make(chan struct{})
		defer func() { leave(); <-left }()
		go func() {
			defer close(left)
			if await(ctx, q.AbortAt) == nil {
				leave()
			}
		}()
	}
	response, report, err := plugin.Invoke(ctx, req)
	text, e := json.Marshal(report)
	if e != nil {
		return e
	}
	failed, ok := errors.AsType[*host.Error](err)
	if err != nil && !ok {
		return err
	}
	to.Report = text
	switch {
	case ok && failed.Code == host.CodeCancelled && w.head == nil:
		to.Aborted = true
	case w.head != nil:
		to.Status, to.Headers, to.Body, to.Cut = w.head.Status, headers(w.head), w.body, ok
	case ok:
		return to.problem(failed, report.ID)
	default:
		to.Status, to.Headers, to.Body = response.Status, headers(response), response.Body
	}
	return nil
}

// problem is how a server answers for a failed invocation (RFC 9457).
func (a *Answer) problem(e *host.Error, id string) (err error) {
	a.Status = e.Status
	a.Headers = [][2]string{{"content-type", "application/problem+json"}, {"sortie-error", e.Code}}
	a.Body, err = json.Marshal(map[string]any{
		"type": "urn:sortie:problem:" + e.Code, "title": e.Code, "status": e.Status, "detail": e.Detail, "code": e.Code, "invocation": id,
	})
	return err
}

func headers(r *host.Response) [][2]string {
	out := make([][2]string, len(r.Header))
	for i, f := range r.Header {
		out[i] = [2]string{f.Name, f.Value}
	}
	return out
}

// await returns once a GET of a URL is answered.
func await(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// pieces is a body that is read a piece at a time.
func pieces(all [][]byte) io.ReadCloser {
	readers := make([]io.Reader, len(all))
	for i, p := range all {
		readers[i] = bytes.NewReader(p)
	}
	return io.NopCloser(io.MultiReader(readers...))
}

// writer keeps a streamed answer.
type writer struct {
	head *host.Response
	body []byte
}

// Begin implements host.Writer.
func (w *writer) Begin(r *host.Response) error { w.head = r; return nil }

// Write implements host.Writer. Where HTTP has no body, what is written is thrown away: that is for who answers over HTTP to do.
func (w *writer) Write(p []byte) (int, error) {
	switch w.head.Status {
	case http.StatusNoContent, http.StatusResetContent, http.StatusNotModified:
	default:
		w.body = append(w.body, p...)
	}
	return len(p), nil
}

// Abort implements host.Writer: nobody ever waits.
func (*writer) Abort() {}
