package project

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// BuildConfig says what to build. The zero value of a field without a note is not valid.
type BuildConfig struct {
	Dir    string   // folder of the main package
	Output string   // path of the module to write
	Env    []string // the environment, as os.Environ; its GOFLAGS, GOPROXY and GOCACHE count as for any go command
	Entry  string   // the function that the module must export; "": any
	Sealed bool     // ignore GOFLAGS, workspaces and what `go env -w` has set: for sources that this program wrote and knows to need nothing else
}

// Built is a module that was written.
type Built struct {
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"` // sha256:…, as the server names it
}

// CompileError is what the go command said of sources it couldn't build, as it said it.
type CompileError struct{ Output string }

func (e *CompileError) Error() string {
	return "the plugin doesn't compile: correct what Go says above"
}

// Build compiles Dir's main package to a WASI reactor (`-buildmode=c-shared`, GOOS=wasip1 GOARCH=wasm) and puts it at Output in
// one step, so that a reader sees the old module or the new one, whole. Equal sources and toolchain give equal bytes. Errors are
// *ToolchainError, *CompileError, *EntryError, or the file system's.
func Build(ctx context.Context, c BuildConfig) (*Built, error) {
	if c.Sealed {
		c.Env = append(append([]string{}, c.Env...), "GOFLAGS=", "GOENV=off", "GOWORK=off")
	}
	tool, err := FindGo(ctx, c.Env, c.Dir)
	if err != nil {
		return nil, err
	}
	output, err := filepath.Abs(c.Output)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(output), 0o755); err != nil {
		return nil, err
	}
	// A folder of its own, beside the target: rename works only within a file system, and the linker wants to create the file.
	scratch, err := os.MkdirTemp(filepath.Dir(output), ".sortie-build-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	made := filepath.Join(scratch, "plugin.wasm")
	if err := tool.compile(ctx, c.Dir, made); err != nil {
		return nil, err
	}
	if err := checkEntry(made, c.Entry); err != nil {
		return nil, err
	}
	return publish(made, output)
}

// target is the environment of every go command about a plugin's sources.
func target() []string { return []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0"} }

func (t *Toolchain) compile(ctx context.Context, dir, output string) error {
	// Flags on the command line beat GOFLAGS: those that can't be used for this target, or would show in the module, are set here.
	cmd := exec.CommandContext(ctx, t.Go, "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-buildvcs=false",
		"-race=false", "-msan=false", "-asan=false", "-cover=false", "-o", output, ".")
	cmd.Dir = dir
	cmd.Env = append(append([]string{}, t.env...), target()...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	var failed *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &failed):
		return &CompileError{Output: said.String()}
	case err != nil:
		return &ToolchainError{Err: err}
	}
	return nil
}

var errNoModule = errors.New("go build wrote no module: the folder must hold a main package")

// publish gives the module its name and its time: not before the folder's, so that Stale doesn't see the rename as a change.
func publish(made, output string) (*Built, error) {
	file, err := os.Open(made)
	if err != nil {
		return nil, errNoModule
	}
	defer file.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	if err != nil {
		return nil, fmt.Errorf("reading the module: %w", err)
	}
	if err := os.Chmod(made, 0o644); err != nil {
		return nil, err
	}
	if err := os.Rename(made, output); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Dir(made)); err != nil {
		return nil, err
	}
	now := time.Now()
	if err := os.Chtimes(output, now, now); err != nil {
		return nil, err
	}
	return &Built{File: output, Bytes: size, Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil))}, nil
}

// HasSources tells whether dir holds Go files besides tests: whether there is anything to build.
func HasSources(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".go") && !strings.HasSuffix(entry.Name(), "_test.go") {
			return true
		}
	}
	return false
}

// listed is what `go list -json` says of one package.
type listed struct {
	Dir      string
	Standard bool
	GoFiles, SFiles, OtherFiles,
	EmbedFiles []string
	Module *struct {
		GoMod string
		Main  bool
	}
}

// Stale tells whether wasm is missing or older than anything it is built from: the package's files and those of every package it
// imports outside the standard library, their folders (a file may have gone), and the modules' go.mod. When go can't say what
// belongs to the build, it is stale: Build will tell why. Errors are *ToolchainError.
func Stale(ctx context.Context, dir, wasm string, env []string) (bool, error) {
	info, missing := os.Stat(wasm)
	tool, err := FindGo(ctx, env, dir)
	if missing != nil || err != nil {
		return true, err
	}
	packages, known := tool.sources(ctx, dir)
	return !known || slices.ContainsFunc(packages, func(p listed) bool { return p.newerThan(info.ModTime()) }), nil
}

// sources lists the packages that dir's main package is built from, those of the standard library aside. It is false where go can't
// list them.
func (t *Toolchain) sources(ctx context.Context, dir string) ([]listed, bool) {
	out, err := t.run(ctx, dir, target(), "list", "-deps", "-json=Dir,Standard,GoFiles,SFiles,OtherFiles,EmbedFiles,Module", ".")
	if err != nil {
		return nil, false
	}
	var packages []listed
	decoder := json.NewDecoder(strings.NewReader(out))
	for decoder.More() {
		var p listed
		if err := decoder.Decode(&p); err != nil {
			return nil, false
		}
		if !p.Standard {
			packages = append(packages, p)
		}
	}
	return packages, true
}

func (p *listed) newerThan(then time.Time) bool {
	files := []string{p.Dir}
	if p.Module != nil && p.Module.GoMod != "" {
		files = append(files, p.Module.GoMod)
	}
	for _, list := range [][]string{p.GoFiles, p.SFiles, p.OtherFiles, p.EmbedFiles} {
		for _, name := range list {
			files = append(files, filepath.Join(p.Dir, name))
		}
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.ModTime().After(then) {
			return true
		}
	}
	return false
}
