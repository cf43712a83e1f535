package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/sortie-run/sortie/server/internal/project"
)

// tree is a project that is watched.
type tree struct {
	*watcher
	t    *testing.T
	dir  string
	last change
}

// watched makes a project, reached by a link, whose plugin.yaml names the module. builds says whether there are sources.
func watched(t *testing.T, module string, builds bool) *tree {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "real")
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(top, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Skip(err)
	}
	w, err := watchTree(link, filepath.Join(link, "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	if err := w.aim(&project.Project{Dir: link, Wasm: filepath.Join(link, filepath.FromSlash(module))}, builds); err != nil {
		t.Fatal(err)
	}
	return &tree{watcher: w, t: t, dir: dir}
}

func (w *tree) write(name string) {
	w.t.Helper()
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(name), 0o600)); err != nil {
		w.t.Fatal(err)
	}
}

// wants waits for a change, which must be the next. On a machine that is very busy, the one before may be told of twice, the second time
// together with this one.
func (w *tree) wants(text string, sources bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	got, err := w.next(ctx)
	for err == nil && got == w.last {
		got, err = w.next(ctx)
	}
	both := change{min(text, w.last.text) + " and 1 more", sources || w.last.sources}
	again := w.last.text != "" && w.last.text != text && got == both
	w.last = change{text, sources}
	if err != nil || got != w.last && !again {
		w.t.Errorf("got %+v, %v; want %+v", got, err, w.last)
	}
}

func TestWatchSources(t *testing.T) {
	t.Parallel()
	w := watched(t, "plugin.wasm", true)
	w.write("main.go")
	w.wants("main.go", true)
	w.write("plugin.yaml")
	w.wants("plugin.yaml", false)
	w.write("go.mod")
	w.wants("go.mod", true)
	for _, ignored := range []string{
		"plugin.wasm", "main_test.go", "main.go~", "#main.go#", ".main.go.swp", ".git/index", ".sortie-build-1/plugin.wasm", "vendor/x/x.go",
		"node_modules/x.js", "build/out.go", "data/store/plugin.yaml",
	} {
		w.write(ignored)
	}
	w.write("z.go")
	w.wants("z.go", true)

	// Folders that come are watched, to any depth, and so is what was in them.
	w.write("a/b/c.go")
	w.wants("a", true)
	w.write("a/b/c.go")
	w.write("a/b/vendor/d.go")
	w.wants("a/b/c.go", true)

	// An editor that saves beside the file and renames; a file that goes.
	w.write(".new")
	if err := os.Rename(filepath.Join(w.dir, ".new"), filepath.Join(w.dir, "main.go")); err != nil {
		t.Fatal(err)
	}
	w.wants("main.go", true)
	if err := os.Chmod(filepath.Join(w.dir, "main.go"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(w.dir, "z.go")); err != nil {
		t.Fatal(err)
	}
	w.wants("z.go", true)
}

// TestWatchWithoutRest: something that never stops writing doesn't keep a change back.
func TestWatchWithoutRest(t *testing.T) {
	t.Parallel()
	w := watched(t, "plugin.wasm", true)
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		often := time.NewTicker(settleTime / 5)
		defer often.Stop()
		for {
			select {
			case <-often.C:
				w.write("main.go")
			case <-done:
				return
			}
		}
	}()
	w.wants("main.go", true)
	close(done)
	<-over
}

func TestWatchSummary(t *testing.T) {
	t.Parallel()
	w := &watcher{root: "/p"}
	for _, test := range []struct {
		changed map[string]bool
		want    change
	}{
		{map[string]bool{"/p/plugin.yaml": true}, change{"plugin.yaml", false}},
		{map[string]bool{"/p/plugin.yaml": true, "/p/go.mod": true}, change{"go.mod and 1 more", true}},
		{map[string]bool{"/p/a\x1b/plugin.yaml": true}, change{"a·/plugin.yaml", true}},
	} {
		if got := w.summary(test.changed); got != test.want {
			t.Errorf("%v: %+v, want %+v", test.changed, got, test.want)
		}
	}
}

// TestWatchModule: without sources the module is one, in whatever folder, and nothing else there.
func TestWatchModule(t *testing.T) {
	t.Parallel()
	for _, module := range []string{"plugin.wasm", "target/release/plugin.wasm", "../out/plugin.wasm"} {
		w := watched(t, module, false)
		w.write(filepath.Dir(module) + "/other~")
		w.write(module)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		for { // the folders' own coming may be told of before
			got, err := w.next(ctx)
			if err != nil {
				t.Fatalf("%s: %v", module, err)
			}
			if got.text == module {
				break
			}
			w.write(module)
		}
		cancel()
	}
}

// TestWatchOverflow: where events were lost, everything may have changed, and folders may have come.
func TestWatchOverflow(t *testing.T) {
	t.Parallel()
	w := watched(t, "plugin.wasm", true)
	go func() { w.events.Errors <- fsnotify.ErrEventOverflow }()
	w.wants(".", true)
	w.write("main.go")
	w.wants("main.go", true)
}

func TestWatchEnds(t *testing.T) {
	t.Parallel()
	w := watched(t, "plugin.wasm", true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w.close()
	if _, err := w.next(t.Context()); err == nil {
		t.Error("a closed watcher waits")
	}
	if _, err := watchTree(filepath.Join(w.dir, "nowhere"), w.dir); err == nil {
		t.Error("a folder that isn't there is watched")
	}
}
