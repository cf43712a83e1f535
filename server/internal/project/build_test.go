package project

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// environment is the test's own, offline and without what could change a build.
func environment(extra ...string) []string {
	return append(append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod", "GOTOOLCHAIN=local", "GOWORK=off"), extra...)
}

// small makes a module with a package of its own beside it, reached by a replace directive: a plugin in small.
func small(t *testing.T) (dir, wasm string) {
	t.Helper()
	top := t.TempDir()
	dir = filepath.Join(top, "plugin")
	write(t, filepath.Join(top, "lib", "go.mod"), "module example.com/lib\n\ngo 1.26\n")
	write(t, filepath.Join(top, "lib", "lib.go"), "package lib\n\nconst Text = \"one\"\n")
	write(t, filepath.Join(dir, "go.mod"), "module example.com/plugin\n\ngo 1.26\n\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../lib\n")
	write(t, filepath.Join(dir, "main.go"), "package main\n\nimport \"example.com/lib\"\n\nfunc main() { println(lib.Text) }\n")
	write(t, filepath.Join(dir, "more.go"), "package main\n")
	return dir, filepath.Join(dir, "plugin.wasm")
}

func TestBuildAndStale(t *testing.T) {
	t.Parallel()
	dir, wasm := small(t)
	stale := func(want bool, when string) {
		t.Helper()
		got, err := Stale(t.Context(), dir, wasm, environment())
		if err != nil || got != want {
			t.Errorf("%s: stale = %t, %v", when, got, err)
		}
	}
	build := func() *Built {
		t.Helper()
		built, err := Build(t.Context(), BuildConfig{Dir: dir, Output: wasm, Env: environment()})
		if err != nil {
			t.Fatal(err)
		}
		return built
	}
	// Clocks of file systems are coarse: what comes after gets a time that is surely later.
	later := time.Now()
	touch := func(path string) {
		t.Helper()
		later = later.Add(time.Minute)
		if err := os.Chtimes(path, later, later); err != nil {
			t.Fatal(err)
		}
	}
	settle := func() {
		t.Helper()
		touch(wasm)
		stale(false, "after a build")
	}

	stale(true, "before the first build")
	first := build()
	stale(false, "after the first build")
	if info, err := os.Stat(wasm); err != nil || info.Size() != first.Bytes || !strings.HasPrefix(first.Digest, "sha256:") {
		t.Errorf("built %+v, on disk %v, %v", first, info, err)
	}
	for _, changed := range []string{"main.go", "go.mod", "../lib/lib.go", "../lib/go.mod"} {
		touch(filepath.Join(dir, changed))
		stale(true, changed)
		settle()
	}
	write(t, filepath.Join(dir, "more_test.go"), "package main\n")
	touch(dir)
	settle()
	touch(filepath.Join(dir, "more_test.go"))
	stale(false, "a test changed")
	if err := os.Remove(filepath.Join(dir, "more.go")); err != nil {
		t.Fatal(err)
	}
	touch(dir)
	stale(true, "a file was removed")
	write(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() { println(1) }\n")
	if again := build(); again.Digest == first.Digest {
		t.Error("other sources have the same digest")
	}
	write(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() {\n")
	stale(true, "sources that Go can't read")
	_, err := Build(t.Context(), BuildConfig{Dir: dir, Output: wasm, Env: environment()})
	var compile *CompileError
	if !errors.As(err, &compile) || !strings.Contains(compile.Output, "main.go:4") {
		t.Errorf("sources that don't compile: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".sortie-build-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBuildSealed(t *testing.T) {
	t.Parallel()
	dir, wasm := small(t)
	write(t, filepath.Join(dir, "..", "go.work"), "go 1.26\n")
	hostile := environment("GOFLAGS=-mod=vendor -race -tags=x", "GOWORK=")
	if _, err := Build(t.Context(), BuildConfig{Dir: dir, Output: wasm, Env: hostile}); err == nil {
		t.Error("the environment is meant to be one that keeps this from building")
	}
	if _, err := Build(t.Context(), BuildConfig{Dir: dir, Output: wasm, Env: hostile, Sealed: true}); err != nil {
		t.Error(err)
	}
}

func TestBuildInterrupted(t *testing.T) {
	t.Parallel()
	dir, wasm := small(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Build(ctx, BuildConfig{Dir: dir, Output: wasm, Env: environment()})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(wasm); err == nil {
		t.Error("a module was written")
	}
}

func TestBuildLibrary(t *testing.T) {
	t.Parallel()
	dir, _ := small(t)
	_, err := Build(t.Context(), BuildConfig{Dir: filepath.Join(dir, "..", "lib"), Output: filepath.Join(dir, "x.wasm"), Env: environment()})
	if err == nil {
		t.Error("a package that isn't main: no error")
	}
}

func TestFindGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fake := func(name, script string) string {
		folder := filepath.Join(dir, name)
		if err := os.Chmod(write(t, filepath.Join(folder, "go"), "#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
		return folder
	}
	for _, test := range []struct{ name, path, version, fails string }{
		{name: "none", path: filepath.Join(dir, "nowhere"), fails: "there is no go command"},
		{name: "relative", path: ".", fails: "there is no go command"},
		{name: "old", path: fake("old", "echo go1.25.3"), fails: "go1.25.3 is too old"},
		{name: "older", path: fake("older", "echo go1.9"), fails: "go1.9 is too old"},
		{name: "broken", path: fake("broken", "echo 'go: oh no' >&2; exit 1"), fails: "doesn't work (oh no)"},
		{name: "new", path: fake("new", "echo go1.26rc1"), version: "go1.26rc1"},
		{name: "devel", path: fake("devel", "echo devel go1.28-abcdef"), version: "devel go1.28-abcdef"},
		{name: "first", path: fake("first", "echo go1.27.0") + string(os.PathListSeparator) + dir + "/old", version: "go1.27.0"},
	} {
		tool, err := FindGo(t.Context(), []string{"PATH=" + test.path}, dir)
		var wrong *ToolchainError
		switch {
		case test.fails != "":
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.fails) || !strings.Contains(err.Error(), "https://go.dev/dl/") {
				t.Errorf("%s: %v", test.name, err)
			}
		case err != nil || tool.Version != test.version:
			t.Errorf("%s: %+v, %v", test.name, tool, err)
		}
	}
}

func TestHasSources(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x_test.go"), "package x\n")
	write(t, filepath.Join(dir, "plugin.wasm"), "")
	if HasSources(dir) || HasSources(filepath.Join(dir, "nowhere")) {
		t.Error("a folder without sources has some")
	}
	write(t, filepath.Join(dir, "x.go"), "package x\n")
	if !HasSources(dir) {
		t.Error("a folder with sources has none")
	}
}
