package project

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// minGo is the first Go release that plugins are built with: 1.minGo.
const minGo = 26

// ToolchainError says that there is no Go toolchain that can build a plugin, and what to install.
type ToolchainError struct {
	Found string // the version found, such as go1.25.3; "" if there is none
	Err   error
}

func (e *ToolchainError) Error() string {
	const advice = "install Go 1.26 or newer from https://go.dev/dl/ and put it on your PATH"
	switch {
	case e.Found != "":
		return fmt.Sprintf("%s is too old to build a plugin: %s", e.Found, advice)
	case errors.Is(e.Err, exec.ErrNotFound):
		return "building a plugin needs Go, and there is no go command: " + advice
	}
	return fmt.Sprintf("the go command doesn't work (%v): %s", e.Err, advice)
}

func (e *ToolchainError) Unwrap() error { return e.Err }

// Toolchain is the go command of an environment.
type Toolchain struct {
	Go      string // path of the command
	Version string // such as go1.26.2
	env     []string
}

// FindGo looks for the go command on env's PATH and asks which version it is in dir, where a go.mod may choose another.
// env has the form of os.Environ. Errors are *ToolchainError, or the context's.
func FindGo(ctx context.Context, env []string, dir string) (*Toolchain, error) {
	path, err := lookPath("go", env)
	if err != nil {
		return nil, &ToolchainError{Err: err}
	}
	t := &Toolchain{Go: path, env: env}
	out, err := t.run(ctx, dir, nil, "env", "GOVERSION")
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &ToolchainError{Err: err}
	}
	t.Version = strings.TrimSpace(out)
	if minor, ok := minorOf(t.Version); ok && minor < minGo {
		return nil, &ToolchainError{Found: t.Version}
	}
	return t, nil
}

var release = regexp.MustCompile(`^go1\.(\d+)`)

// minorOf is false for a development version ("devel go1.27-…"), which is taken as it is.
func minorOf(version string) (int, bool) {
	match := release.FindStringSubmatch(version)
	if match == nil {
		return 0, false
	}
	minor, err := strconv.Atoi(match[1])
	return minor, err == nil
}

// run executes one go command in dir and returns its standard output; an error holds the first line of standard error.
func (t *Toolchain) run(ctx context.Context, dir string, extra []string, args ...string) (string, error) {
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(ctx, t.Go, args...)
	cmd.Dir = dir
	cmd.Env = append(append([]string{}, t.env...), extra...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		if first, _, _ := strings.Cut(strings.TrimSpace(problems.String()), "\n"); first != "" {
			return "", errors.New(strings.TrimPrefix(first, "go: "))
		}
		return "", err
	}
	return out.String(), nil
}

// lookPath is exec.LookPath for the given environment's PATH rather than the process's.
func lookPath(name string, env []string) (string, error) {
	for _, dir := range filepath.SplitList(Getenv(env, "PATH")) {
		if dir == "" || !filepath.IsAbs(dir) {
			continue // a relative entry would run what lies in the working folder
		}
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// Getenv returns key's last value in env, as a process would see it; "" if it isn't there.
func Getenv(env []string, key string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if name, value, ok := strings.Cut(env[i], "="); ok && name == key {
			return value
		}
	}
	return ""
}
