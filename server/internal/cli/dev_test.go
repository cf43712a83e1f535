package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/manifest"
)

// TestDevLeavesNothing runs dev in this process, whose goroutines are counted at the end, and ends it at several moments: by its context as a
// signal does, and by whoever reads its output going away.
func TestDevLeavesNothing(t *testing.T) {
	t.Parallel()
	dir, tmp := t.TempDir(), t.TempDir()
	for name, data := range map[string][]byte{"plugin.yaml": []byte("name: raw\n"), "plugin.wasm": returning(7)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(ctx context.Context, stdout io.Writer) (string, error) {
		var said bytes.Buffer
		a := &app{env: []string{"TMPDIR=" + tmp}, stdout: stdout, stderr: &said}
		err := a.dev(ctx, dir, devOptions{addr: "127.0.0.1:0"})
		return said.String(), err
	}
	ctx, cancel := context.WithCancel(t.Context())
	called := readers(func(p []byte) (int, error) {
		status, _, err := call("GET", strings.TrimSpace(string(p)), nil)
		cancel()
		if status != 500 {
			t.Errorf("status %d, %v", status, err)
		}
		return len(p), nil
	})
	if said, err := run(ctx, called); err != nil || !strings.Contains(said, "GET / 500 plugin_error") {
		t.Errorf("%v: %s", err, said)
	}
	if said, err := run(ctx, called); err != nil && !errors.Is(err, context.Canceled) { // it has ended before it begins
		t.Errorf("%v: %s", err, said)
	}
	gone := readers(func([]byte) (int, error) { return 0, io.ErrClosedPipe })
	if said, err := run(t.Context(), gone); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v: %s", err, said)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// readers is a writer whose text somebody reads.
type readers func(p []byte) (int, error)

func (r readers) Write(p []byte) (int, error) { return r(p) }

// TestDevConfig: the limits are a server's, whatever they are; the data is never that of a server which people use.
func TestDevConfig(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sortie.yaml")
	if err := os.WriteFile(file, []byte("data: /var/lib/sortie\nlog: {level: debug}\nceilings: {limits: {wall: 5s}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{env: []string{"SORTIE_DATA=/srv/sortie"}, stderr: io.Discard}
	for _, o := range []devOptions{{data: "own"}, {data: "own", config: file}, {data: "own", config: file, allowPrivate: true}} {
		served, err := a.serveConfig(serveOptions{config: o.config})
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.devConfig(o)
		if err != nil {
			t.Fatal(err)
		}
		if got.Data != "own" || got.Ceilings.Limits != served.Ceilings.Limits || got.Addr != served.Addr || (len(got.Private) > 0) != o.allowPrivate {
			t.Errorf("%+v: %+v", o, got)
		}
		if want := map[bool]string{true: "warn", false: "debug"}[o.config == ""]; got.Log.Level != want {
			t.Errorf("%+v: log %+v", o, got.Log)
		}
	}
	if d := manifest.DefaultOperator(); d.Log.Level == "warn" {
		t.Error("the default is what dev has of its own")
	}
}
