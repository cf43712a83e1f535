package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/hosttest"
	"github.com/sortie-run/sortie/host/manifest"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sortie-cache")
	if err != nil {
		panic(err)
	}
	cacheDir = dir
	code := m.Run()
	if err := goleak.Find(goleak.IgnoreTopFunction("time.goFunc")); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// cacheDir is shared, so that each guest is compiled once for all tests.
var cacheDir string

const guestDir, rawDir = "testdata/guest", "../examples/raw-extism"

// newRuntime starts a runtime whose operator permits private addresses on loopback.
func newRuntime(t testing.TB, cfg fetch.Config) *host.Runtime {
	t.Helper()
	op := manifest.DefaultOperator()
	op.Private = []string{"http://127.0.0.1:*", "http://upstream.test:*"}
	rt, _ := start(t, cfg, op)
	return rt
}

// start starts a runtime and its engine.
func start(t testing.TB, cfg fetch.Config, op *manifest.Operator) (*host.Runtime, *fetch.Engine) {
	t.Helper()
	engine := fetch.New(cfg)
	rt, err := host.New(context.Background(), host.Config{Engine: engine, Operator: op, CacheDir: cacheDir})
	if err != nil {
		t.Fatal(err)
	}
	rt.Unstrained()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := rt.Close(ctx); err != nil {
			t.Error(err)
		}
		engine.Close()
	})
	return rt, engine
}

// load loads a guest with a manifest given as YAML.
func load(t testing.TB, rt *host.Runtime, dir, yaml string) *host.Plugin {
	t.Helper()
	m, err := manifest.Parse([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	p, err := rt.Load(context.Background(), host.Source{Name: "guest", Version: 1, Wasm: hosttest.Build(t, dir), Manifest: m})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// allowLoopback is a manifest that allows what the tests' upstreams are.
const allowLoopback = "fetch: {allow: [{url: 'http://127.0.0.1:*', private: true}]}\n"

// call invokes a plugin with a target such as /fetch?url=… and returns the body.
func call(t testing.TB, p *host.Plugin, path string, query ...string) (string, *host.Report) {
	t.Helper()
	body, report, err := try(p, "", path, query...)
	if err != nil {
		t.Fatalf("%s: %v\nlog: %v", path, err, report.Logs)
	}
	return body, report
}

func try(p *host.Plugin, body, path string, query ...string) (string, *host.Report, error) {
	q := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	resp, report, err := p.Invoke(context.Background(), &host.Request{
		Method: "GET", Path: path, RawQuery: q.Encode(), Host: "sortie.test", Body: []byte(body), Header: http.Header{},
	})
	if err != nil {
		return "", report, err
	}
	return string(resp.Body), report, nil
}

func fromJSON[T any](t testing.TB, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// gauge counts requests in flight and the most there were at once.
type gauge struct{ now, most, all, gone atomic.Int64 }

func (g *gauge) enter() {
	n := g.now.Add(1)
	g.all.Add(1)
	for {
		m := g.most.Load()
		if n <= m || g.most.CompareAndSwap(m, n) {
			return
		}
	}
}

func (g *gauge) leave() { g.now.Add(-1) }

// hold is a handler that answers the path's last byte after d, or counts the caller as gone.
func (g *gauge) hold(d time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g.enter()
		defer g.leave()
		select {
		case <-time.After(d):
			fmt.Fprint(w, r.URL.Path[1:])
		case <-r.Context().Done():
			g.gone.Add(1)
		}
	}
}

// crowd is hold, but lets nobody go before n have been in flight at once: on a busy machine the first would be gone before the last are there.
func (g *gauge) crowd(n int64, d time.Duration) http.HandlerFunc {
	var held gauge
	var once sync.Once
	hold, all := held.hold(d), make(chan struct{})
	return func(w http.ResponseWriter, r *http.Request) {
		g.enter()
		defer g.leave()
		if g.now.Load() >= n {
			once.Do(func() { close(all) })
		}
		select {
		case <-all:
		case <-r.Context().Done():
		}
		hold(w, r)
	}
}

// eventually waits for a condition that others bring about, on a slow machine that is busy too.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func request(body string) *host.Request { return &host.Request{Method: "POST", Body: []byte(body)} }
