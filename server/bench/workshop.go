package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// workshop is where things are built and found.
type workshop struct {
	root     string // of the repository
	dir      string // build/bench in it: what is installed stays
	temp     string // for this run alone
	self     string // this program
	sortie   string // the program; "": it's built from the sources
	progress io.Writer
	client   *http.Client // for everything but what is measured
}

func newWorkshop(sortie string, progress io.Writer) (*workshop, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, "build", "bench")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if sortie != "" {
		if sortie, err = filepath.Abs(sortie); err != nil {
			return nil, err
		}
	}
	temp, err := os.MkdirTemp("", "sortie-bench-")
	if err != nil {
		return nil, err
	}
	return &workshop{root: root, dir: dir, temp: temp, self: self, sortie: sortie, progress: progress, client: pooled(time.Minute)}, nil
}

func (w *workshop) close() {
	w.client.CloseIdleConnections()
	if err := os.RemoveAll(w.temp); err != nil {
		w.say("%v", err)
	}
}

func (w *workshop) say(format string, args ...any) {
	fmt.Fprintf(w.progress, "bench: "+format+"\n", args...)
}

// source is a file of this package's folder.
func (w *workshop) source(elem ...string) string {
	return filepath.Join(append([]string{w.root, "server", "bench"}, elem...)...)
}

// repository is the folder of the module that this package belongs to, at or above the working directory.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "server", "bench", "plugin", "plugin.yaml")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("run it from inside Sortie's repository: it needs server/bench and a Go toolchain")
		}
		dir = parent
	}
}

// command runs a command to its end and returns what it printed.
func (w *workshop) command(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.SysProcAttr = childAttr()
	cmd.Cancel = func() error { return signalGroup(cmd.Process, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		if len(text) > 300 {
			text = "… " + text[len(text)-300:]
		}
		if text != "" {
			err = fmt.Errorf("%w: %s", err, strings.ReplaceAll(text, "\n", " | "))
		}
		return "", fmt.Errorf("%s: %w", filepath.Base(args[0]), err)
	}
	return text, nil
}

// guest builds a Go module of this package's folder into a WebAssembly module.
func (w *workshop) guest(ctx context.Context, folder string) error {
	w.say("building the guest in server/bench/%s", folder)
	_, err := w.command(ctx, w.source(folder), []string{"GOOS=wasip1", "GOARCH=wasm"},
		"go", "build", "-trimpath", "-buildmode=c-shared", "-o", filepath.Join(w.dir, folder+".wasm"), ".")
	return err
}

// writeJSON writes what was measured to a file; "": to none.
func writeJSON(file string, seen any) error {
	if file == "" {
		return nil
	}
	data, err := json.MarshalIndent(seen, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}
