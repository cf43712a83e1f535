package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/server/store"
	"github.com/sortie-run/sortie/server/store/files"
)

// held makes guests whose invocations wait: each tells its module on entered, and goes on when it's let.
func held() (invoke func(context.Context, host.Source, *host.Request) (*host.Response, error), entered chan string, let chan struct{}) {
	entered, let = make(chan string, 100), make(chan struct{})
	return func(ctx context.Context, src host.Source, _ *host.Request) (*host.Response, error) {
		entered <- string(src.Wasm)
		select {
		case <-let:
			return &host.Response{Status: 200, Body: src.Wasm}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}, entered, let
}

// later sends a GET in the background.
func (s *testServer) later(path string) <-chan answer {
	got := make(chan answer, 1)
	go func() { got <- s.get(path) }()
	return got
}

func TestOldVersionFinishesItsInvocations(t *testing.T) {
	t.Parallel()
	invoke, entered, let := held()
	s := start(t, invoke, options{})
	s.deployed("a", "", "one", "")
	first := s.later("/p/a")
	if got := <-entered; got != "one" {
		t.Fatalf("entered %s", got)
	}
	s.deployed("a", "", "two", "")
	second := s.later("/p/a")
	if got := <-entered; got != "two" {
		t.Fatalf("after the deploy, entered %s", got)
	}
	if _, open := s.host.counts("one"); open != 1 {
		t.Errorf("%d guests of the old version are open while it serves", open)
	}
	close(let)
	if a := <-first; a.body != "one" {
		t.Errorf("the old version's invocation = %d %q", a.StatusCode, a.body)
	}
	if a := <-second; a.body != "two" {
		t.Errorf("the new version's invocation = %d %q", a.StatusCode, a.body)
	}
	eventually(t, "the old version is closed", func() bool { _, open := s.host.counts("one"); return open == 0 })
	if _, open := s.host.counts("two"); open != 1 {
		t.Errorf("%d guests of the new version are open", open)
	}
}

func TestRemovedPluginFinishesItsInvocations(t *testing.T) {
	t.Parallel()
	invoke, entered, let := held()
	s := start(t, invoke, options{})
	s.deployed("a", "", "one", "")
	running := s.later("/p/a")
	<-entered
	if a := s.send(http.MethodDelete, "/v1/plugins/a", nil); a.StatusCode != 204 {
		t.Fatalf("DELETE = %d %s", a.StatusCode, a.body)
	}
	wantProblem(t, s.get("/p/a"), 404, "plugin_not_found")
	close(let)
	if a := <-running; a.body != "one" {
		t.Errorf("the invocation that ran = %d %q", a.StatusCode, a.body)
	}
	eventually(t, "the guest is closed", func() bool { _, open := s.host.counts("one"); return open == 0 })
}

// stored makes a store that holds plugins already.
func stored(t *testing.T, modules map[string]string) *files.Store {
	t.Helper()
	st := openStore(t)
	for name, wasm := range modules {
		if _, err := st.Put(t.Context(), store.PutRequest{Change: store.Change{Name: name}, Wasm: []byte(wasm), Traffic: true}); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

func TestLoadedOnceWhenFirstCalled(t *testing.T) {
	t.Parallel()
	let := make(chan struct{})
	s := start(t, says("hello"), options{
		store: stored(t, map[string]string{"a": "one", "b": "two"}),
		loads: func(host.Source) error { <-let; return nil },
	})
	var answers []<-chan answer
	for range 10 {
		answers = append(answers, s.later("/p/a"))
	}
	v := s.plugins.find("a").versions[1]
	eventually(t, "loading", func() bool { v.mu.Lock(); defer v.mu.Unlock(); return v.loading != nil })
	close(let)
	for _, got := range answers {
		if a := <-got; a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
	if loaded, _ := s.host.counts("one"); loaded != 1 {
		t.Errorf("loaded %d times for 10 calls", loaded)
	}
	if loaded, _ := s.host.counts("two"); loaded != 0 {
		t.Error("a plugin nobody called was loaded")
	}
}

func TestUnloadableVersions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	st, err := files.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	put := func(name, manifest, wasm string) store.Version {
		done, err := st.Put(t.Context(), store.PutRequest{Change: store.Change{Name: name}, Manifest: []byte(manifest), Wasm: []byte(wasm), Traffic: true})
		if err != nil {
			t.Fatal(err)
		}
		return done.Version
	}
	put("good", "", "one")
	put("bad-wasm", "", "bad")
	put("bad-manifest", "limits: {wal: 1s}", "one")
	corrupt := put("corrupt", "", "corrupt")
	if err := os.WriteFile(filepath.Join(dir, "blobs", "sha256", corrupt.Digest[7:9], corrupt.Digest[7:]), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, says("hello"), options{store: st})
	if a := s.get("/p/good"); a.StatusCode != 200 {
		t.Errorf("the good one: %d %s", a.StatusCode, a.body)
	}
	for name, why := range map[string]string{"bad-wasm": "invalid_wasm", "bad-manifest": "limits.wal", "corrupt": "corrupt"} {
		a := s.get("/p/" + name)
		wantProblem(t, a, 500, "internal_error")
		if !strings.Contains(a.problem().Detail, why) || !strings.Contains(a.problem().Detail, "Version 1") {
			t.Errorf("%s: detail = %q", name, a.problem().Detail)
		}
	}
	if a := s.get("/readyz"); a.StatusCode != 200 {
		t.Errorf("plugins that can't be loaded make the server unready: %d %s", a.StatusCode, a.body)
	}
	// Deploying heals it.
	s.deployed("corrupt", "", "two", "")
	if a := s.get("/p/corrupt"); a.StatusCode != 200 {
		t.Errorf("deployed again: %d %s", a.StatusCode, a.body)
	}
}

func TestFailedLoadIsRemembered(t *testing.T) {
	t.Parallel()
	var loads atomic.Int32
	s := start(t, says("hello"), options{
		store: stored(t, map[string]string{"a": "one"}),
		loads: func(host.Source) error {
			if loads.Add(1) == 1 {
				return errors.New("no luck")
			}
			return nil
		},
	})
	var offset atomic.Int64
	base := time.Now()
	s.plugins.now = func() time.Time { return base.Add(time.Duration(offset.Load())) }
	for range 3 {
		a := s.get("/p/a")
		wantProblem(t, a, 500, "internal_error")
		if strings.Contains(a.body, "no luck") {
			t.Error("the answer tells what only the log should")
		}
	}
	if n := loads.Load(); n != 1 {
		t.Errorf("%d loads", n)
	}
	offset.Store(int64(loadRetry))
	if a := s.get("/p/a"); a.StatusCode != 200 {
		t.Errorf("after the wait: %d %s", a.StatusCode, a.body)
	}
}

// TestLoadOutlivesItsCaller has the first caller of a plugin go away, and the second get the module that was loaded meanwhile.
func TestLoadOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	let := make(chan struct{})
	s := start(t, says("hello"), options{
		store: stored(t, map[string]string{"a": "one"}),
		loads: func(host.Source) error { <-let; return nil },
	})
	ctx, cancel := context.WithCancel(t.Context())
	v := s.plugins.find("a").versions[1]
	gone := make(chan error, 1)
	go func() { _, err := v.ready(ctx); gone <- err }()
	eventually(t, "loading", func() bool { v.mu.Lock(); defer v.mu.Unlock(); return v.loading != nil })
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that went away: %v", err)
	}
	close(let)
	if a := s.get("/p/a"); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if loaded, _ := s.host.counts("one"); loaded != 1 {
		t.Errorf("loaded %d times", loaded)
	}
}

func TestWallLimitWhileLoading(t *testing.T) {
	t.Parallel()
	let := make(chan struct{})
	st := openStore(t)
	quick := store.PutRequest{Change: store.Change{Name: "a"}, Manifest: []byte("limits: {wall: 20ms}"), Wasm: []byte("one"), Traffic: true}
	if _, err := st.Put(t.Context(), quick); err != nil {
		t.Fatal(err)
	}
	s := start(t, says("hello"), options{store: st, loads: func(host.Source) error { <-let; return nil }})
	wantProblem(t, s.get("/p/a"), 504, "limit_wall")
	close(let)
}

func TestFewPinnedVersionsStayLoaded(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{})
	const versions = pinnedVersions + 5
	for n := range versions {
		s.deployed("a", "", fmt.Sprint("module ", n+1), "")
	}
	open := func() (open []int) {
		for n := range versions {
			if _, o := s.host.counts(fmt.Sprint("module ", n+1)); o > 0 {
				open = append(open, n+1)
			}
		}
		return open
	}
	eventually(t, "only the newest version is loaded", func() bool { return fmt.Sprint(open()) == fmt.Sprint([]int{versions}) })
	for n := range versions - 1 {
		if a := s.get("/p/a", "Sortie-Version", fmt.Sprint(n+1)); a.StatusCode != 200 {
			t.Errorf("version %d: %d %s", n+1, a.StatusCode, a.body)
		}
		v := s.plugins.find("a").versions[n+1]
		eventually(t, "it counts as pinned", func() bool { // soon after it's loaded; the order matters
			s.plugins.pins.Lock()
			defer s.plugins.pins.Unlock()
			return slices.Contains(s.plugins.pinned, v)
		})
	}
	eventually(t, "the last pinned ones and the newest are loaded", func() bool {
		got := open()
		return len(got) == pinnedVersions+1 && got[0] == versions-pinnedVersions
	})
}

func TestWeights(t *testing.T) {
	t.Parallel()
	one, two := &version{}, &version{}
	p := &plugin{
		stored:   store.Plugin{Traffic: []store.Weight{{Version: 1, Weight: 90}, {Version: 2, Weight: 10}}},
		versions: map[int]*version{1: one, 2: two},
	}
	const n = 20_000
	picked := map[*version]int{}
	for range n {
		picked[p.pick(0, "")]++
	}
	if share := float64(picked[one]) / n; share < 0.88 || share > 0.92 || picked[one]+picked[two] != n { // 10 σ and more
		t.Errorf("version 1 got %.3f of the traffic, want 0.9", share)
	}
	if p.pick(2, "") != two || p.pick(3, "") != nil {
		t.Error("pins aren't kept")
	}
	if none := (&plugin{versions: p.versions}).pick(0, ""); none != nil {
		t.Error("a plugin without traffic answers")
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	invoke, entered, let := held()
	s := start(t, invoke, options{})
	s.deployed("a", "", "one", "")
	if a := s.get("/readyz"); a.StatusCode != 200 || !strings.Contains(a.body, `"ready"`) {
		t.Errorf("/readyz = %d %s", a.StatusCode, a.body)
	}
	running := s.later("/p/a")
	<-entered
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(t.Context()) }()
	eventually(t, "draining", func() bool { return s.get("/readyz").StatusCode == 503 })
	for _, a := range []answer{
		s.get("/readyz"), s.get("/p/a"), s.send(http.MethodDelete, "/v1/plugins/a", nil),
		s.send(http.MethodPut, "/v1/plugins/a", strings.NewReader("two"), "Content-Type", "application/wasm"),
	} {
		wantProblem(t, a, 503, "draining")
		if a.Header.Get("Retry-After") == "" {
			t.Error("draining without Retry-After")
		}
	}
	if a := s.get("/livez"); a.StatusCode != 200 {
		t.Errorf("/livez while draining = %d", a.StatusCode)
	}
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Drain(expired); !errors.Is(err, context.Canceled) {
		t.Errorf("Drain with an ended context = %v", err)
	}
	select {
	case err := <-drained:
		t.Fatalf("Drain = %v while an invocation runs", err)
	default:
	}
	close(let)
	if a := <-running; a.StatusCode != 200 || a.body != "one" {
		t.Errorf("the running invocation = %d %q", a.StatusCode, a.body)
	}
	if err := <-drained; err != nil {
		t.Errorf("Drain = %v", err)
	}
}

func TestReadyNeedsTheStore(t *testing.T) {
	t.Parallel()
	st := openStore(t)
	s := start(t, says(""), options{store: st})
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, s.get("/readyz"), 500, "internal_error")
	if !strings.Contains(s.log.String(), "store is closed") {
		t.Error("the log doesn't say why")
	}
}

func TestNewNeedsItsStore(t *testing.T) {
	t.Parallel()
	st := openStore(t)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := newServer(t.Context(), Deps{Store: st}, nil); !errors.Is(err, store.ErrClosed) {
		t.Errorf("newServer = %v, want ErrClosed", err)
	}
	if _, err := New(t.Context(), Deps{}); err == nil {
		t.Error("New took no dependencies")
	}
}

// TestHandlerAlone serves without a connection to set deadlines on.
func TestHandlerAlone(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{})
	s.deployed("a", "", "one", "")
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/p/a/x", strings.NewReader("body"))
	s.ServeHTTP(w, r)
	if w.Code != 200 || w.Body.String() != "hello" {
		t.Errorf("answer = %d %q", w.Code, w.Body)
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	var g gate
	var inside, most atomic.Int32
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			for g.enter() {
				most.Store(max(most.Load(), inside.Add(1)))
				inside.Add(-1)
				g.leave()
			}
		})
	}
	eventually(t, "somebody was inside", func() bool { return most.Load() > 0 })
	if err := g.close(t.Context()); err != nil || inside.Load() != 0 {
		t.Errorf("close = %v with %d inside", err, inside.Load())
	}
	group.Wait()
	if g.enter() || g.start(func() { t.Error("ran") }) {
		t.Error("a closed gate let someone in")
	}
	if err := g.close(t.Context()); err != nil {
		t.Errorf("close again = %v", err)
	}
}
