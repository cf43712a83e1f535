package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/internal/sealed"
	"github.com/sortie-run/sortie/server/store"
	"github.com/sortie-run/sortie/server/store/files"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeHost loads guests that do what a test says, so that tests can hold an invocation where they want it. What the real
// host does is tested in wasm_test.go.
type fakeHost struct {
	invoke func(ctx context.Context, src host.Source, r *host.Request) (*host.Response, error)
	loads  func(src host.Source) error // before a guest is loaded; nil: nothing
	record func(*host.Report)          // fills in what the invocation did; nil: nothing
	admit  func() error                // whether an invocation would be refused; nil: none is
	stream bool                        // whether guests want their requests in pieces

	mu     sync.Mutex
	loaded map[string]int // how often each module was loaded
	open   map[string]int // how many guests of each module are open
}

type fakeGuest struct {
	host *fakeHost
	src  host.Source
}

func (f *fakeHost) load(_ context.Context, src host.Source) (guest, error) {
	if f.loads != nil {
		if err := f.loads(src); err != nil {
			return nil, err
		}
	}
	if strings.HasPrefix(string(src.Wasm), "bad") {
		return nil, host.NewError(host.CodeInvalidWasm, "the module is bad")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loaded[string(src.Wasm)]++
	f.open[string(src.Wasm)]++
	return &fakeGuest{f, src}, nil
}

func (f *fakeHost) counts(wasm string) (loaded, open int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.loaded[wasm], f.open[wasm]
}

func (g *fakeGuest) StreamsRequest() bool { return g.host.stream }

func (g *fakeGuest) Admit(time.Time) error {
	if g.host.admit != nil {
		return g.host.admit()
	}
	return nil
}

func (g *fakeGuest) Invoke(ctx context.Context, r *host.Request) (*host.Response, *host.Report, error) {
	report := &host.Report{
		ID: r.ID, Plugin: g.src.Name, Version: g.src.Version, Kind: "http", Started: r.Arrived, Method: r.Method, Path: r.Path,
		Queue: time.Millisecond, Guest: 2 * time.Millisecond,
	}
	response, err := g.host.invoke(ctx, g.src, r)
	if r.BodyReader != nil {
		_ = r.BodyReader.Close()
	}
	if err == nil {
		report.Status = response.Status
	}
	if g.host.record != nil {
		g.host.record(report)
	}
	return response, report, err
}

func (g *fakeGuest) Close(context.Context) error {
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	g.host.open[string(g.src.Wasm)]--
	if g.host.open[string(g.src.Wasm)] < 0 {
		return errors.New("closed twice")
	}
	return nil
}

// says makes a guest that answers with the text.
func says(text string) func(context.Context, host.Source, *host.Request) (*host.Response, error) {
	return func(context.Context, host.Source, *host.Request) (*host.Response, error) {
		return &host.Response{Status: 200, Body: []byte(text)}, nil
	}
}

// testServer is a server on a loopback listener.
type testServer struct {
	*Server
	t     *testing.T
	host  *fakeHost
	url   string
	token string
	log   *syncBuffer
	pipes *pipes
	http2 bool
}

type options struct {
	token    string
	operator string // sortie.yaml
	store    store.Store
	loads    func(src host.Source) error
	record   func(*host.Report)
	admit    func() error
	stream   bool
	listener *pipes // nil: a loopback listener
	http2    bool   // and nothing else
	key      *sealed.Key
	getenv   func(string) (string, bool)
}

func start(t *testing.T, invoke func(context.Context, host.Source, *host.Request) (*host.Response, error), o options) *testServer {
	t.Helper()
	f := &fakeHost{invoke: invoke, loads: o.loads, record: o.record, admit: o.admit, stream: o.stream, loaded: map[string]int{}, open: map[string]int{}}
	operator, err := manifest.ParseOperator([]byte(o.operator))
	if err != nil {
		t.Fatal(err)
	}
	if o.store == nil {
		o.store = openStore(t)
	}
	log := new(syncBuffer)
	s, err := newServer(t.Context(), Deps{
		Store: o.store, Operator: operator, Build: "test", AdminToken: o.token, Key: o.key, LookupEnv: o.getenv,
		Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, f.load)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewUnstartedServer(s)
	h.Config = HTTPServer(s, slog.New(slog.DiscardHandler))
	if o.http2 {
		h.Config.Protocols = new(http.Protocols)
		h.Config.Protocols.SetUnencryptedHTTP2(true)
	}
	if o.listener != nil {
		_ = h.Listener.Close()
		h.Listener = o.listener
	}
	h.Start()
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Close: %v", err)
		}
		h.Close()
		for wasm, n := range f.open {
			if n != 0 {
				t.Errorf("%d guests of %q were never closed", n, wasm)
			}
		}
	})
	return &testServer{Server: s, t: t, host: f, url: h.URL, token: o.token, log: log, pipes: o.listener, http2: o.http2}
}

func openStore(t testing.TB) *files.Store {
	t.Helper()
	st, err := files.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// answer is a response read to its end.
type answer struct {
	*http.Response
	body string
}

// problem is the body as a problem; the zero one if it isn't any.
func (a answer) problem() (p Problem) {
	if a.Header.Get("Content-Type") == "application/problem+json" {
		_ = json.Unmarshal([]byte(a.body), &p)
	}
	return p
}

// send sends a request with the server's token, if it has one. Headers are given in pairs.
func (s *testServer) send(method, path string, body io.Reader, header ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.token != "" {
		r.Header.Set("Sortie-Authorization", "Bearer "+s.token)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	return s.do(r)
}

func (s *testServer) do(r *http.Request) answer {
	s.t.Helper()
	transport := s.client()
	if s.pipes != nil {
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return s.pipes.dial(), nil }
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{response, string(data)}
}

func (s *testServer) get(path string, header ...string) answer {
	s.t.Helper()
	return s.send(http.MethodGet, path, nil, header...)
}

// deploy deploys, and fails the test if that fails.
func (s *testServer) deployed(name, manifest, wasm, query string) Deployed {
	s.t.Helper()
	body, contentType := form("manifest", manifest, "wasm", wasm)
	a := s.send(http.MethodPut, "/v1/plugins/"+name+query, body, "Content-Type", contentType)
	if a.StatusCode != http.StatusCreated && a.StatusCode != http.StatusOK {
		s.t.Fatalf("deploying %s: %d %s", name, a.StatusCode, a.body)
	}
	var d Deployed
	if err := json.Unmarshal([]byte(a.body), &d); err != nil {
		s.t.Fatal(err)
	}
	return d
}

// form is a multipart body of these names and values.
func form(parts ...string) (io.Reader, string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(parts); i += 2 {
		p, _ := w.CreateFormFile(parts[i], parts[i]+".bin")
		_, _ = io.WriteString(p, parts[i+1])
	}
	_ = w.Close()
	return &b, w.FormDataContentType()
}

// wantProblem checks that an answer is a whole problem of that code.
func wantProblem(t *testing.T, a answer, status int, code string) {
	t.Helper()
	p := a.problem()
	if a.StatusCode != status || p.Code != code || a.Header.Get("Sortie-Error") != code {
		t.Errorf("answer = %d %s %s; want %d %s", a.StatusCode, a.Header.Get("Sortie-Error"), a.body, status, code)
		return
	}
	if p.Type != "urn:sortie:problem:"+code || p.Title == "" || p.Status != status || p.Detail == "" || p.Invocation == "" {
		t.Errorf("problem lacks something: %s", a.body)
	}
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute) // on a slow machine that is busy
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		}
	}
}

// syncBuffer is a bytes.Buffer that may be read while a log writes to it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *syncBuffer) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
}
