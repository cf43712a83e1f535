package host_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

// Modules by hand: header, then sections as identifier, length, body.
const header = "\x00asm\x01\x00\x00\x00"

func TestInvalidWasm(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, fetch.Config{})
	const oneType = "\x01\x05\x01\x60\x00\x01\x7f" // () -> i32
	const function = "\x03\x02\x01\x00"
	const code = "\x0a\x06\x01\x04\x00\x41\x00\x0b" // i32.const 0
	exports := func(name string) string {
		return "\x07" + string(rune(len(name)+4)) + "\x01" + string(rune(len(name))) + name + "\x00\x00"
	}
	imported := func(module, name, desc string) string {
		body := "\x01" + string(rune(len(module))) + module + string(rune(len(name))) + name + desc
		return "\x02" + string(rune(len(body))) + body
	}
	for name, tc := range map[string]struct{ wasm, want string }{
		"nothing":          {"", "not a WebAssembly"},
		"a component":      {"\x00asm\x0d\x00\x01\x00", "component"},
		"cut":              {header + "\x01", "ends too early"},
		"no entry":         {header + oneType + function + exports("other") + code, `no function "handle"`},
		"another ABI":      {header + oneType + imported("sortie:host/v9", "send", "\x00\x00"), "ABI v9; this server speaks v1"},
		"a newer function": {header + oneType + imported("sortie:host/v1", "teleport", "\x00\x00"), "doesn't have"},
		"unknown import":   {header + oneType + imported("env", "abort", "\x00\x00"), "env.abort"},
		"imported memory":  {header + imported("env", "memory", "\x02\x00\x01"), "memory env.memory"},
		"too much memory":  {header + "\x05\x04\x01\x00\x81\x10", "limits.memory"},
		"invalid code":     {header + oneType + function + exports("handle") + "\x0a\x04\x01\x02\x00\x0b", "not enough results"},
	} {
		_, err := rt.Load(context.Background(), host.Source{Name: "x", Wasm: []byte(tc.wasm), Manifest: manifest.Default()})
		e, ok := errors.AsType[*host.Error](err)
		if !ok || e.Code != "invalid_wasm" || e.Status != 422 || !strings.Contains(e.Detail, tc.want) {
			t.Errorf("%s: %v, want …%s…", name, err, tc.want)
		}
	}
}

// A module of forty bytes is a raw plugin too.
func TestSmallestPlugin(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, fetch.Config{})
	wasm := header + "\x01\x05\x01\x60\x00\x01\x7f" + "\x03\x02\x01\x00" + "\x07\x0a\x01\x06handle\x00\x00" + "\x0a\x06\x01\x04\x00\x41\x07\x0b"
	p, err := rt.Load(context.Background(), host.Source{Name: "x", Wasm: []byte(wasm), Manifest: manifest.Default()})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := try(p, "", "/"); err == nil || err.Error() != "plugin_error: the plugin returned 7" {
		t.Errorf("%v", err)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if _, _, err := try(p, "", "/"); err == nil || !strings.HasPrefix(err.Error(), "draining") {
		t.Errorf("after Close: %v", err)
	}
}

func TestCompileCacheOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var before map[string]time.Time
	for round := range 2 {
		engine := fetch.New(fetch.Config{})
		rt, err := host.New(context.Background(), host.Config{Engine: engine, CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		p := load(t, rt, guestDir, "name: guest")
		call(t, p, "/state")
		if err := rt.Close(context.Background()); err != nil {
			t.Error(err)
		}
		engine.Close()
		after := files(t, dir)
		if len(after) == 0 {
			t.Fatal("nothing is cached")
		}
		if round == 1 && !maps.EqualFunc(before, after, time.Time.Equal) {
			t.Errorf("the second start compiled again: %v, then %v", before, after)
		}
		before = after
	}
}

// Close waits as long as it may, then cuts off what still runs.
func TestCloseCutsOff(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, fetch.Config{})
	p := load(t, rt, guestDir, "name: guest")
	ended := make(chan error, 1)
	go func() {
		_, _, err := try(p, "", "/sleep", "for", "20s")
		ended <- err
	}()
	eventually(t, "it runs", func() bool { return rt.Stats().InUse == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	if err := <-ended; err == nil || !strings.HasPrefix(err.Error(), "draining") {
		t.Errorf("the invocation: %v", err)
	}
}

// files are a folder's, with the time each was written.
func files(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	found := map[string]time.Time{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			found[path] = info.ModTime()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
