package deploy

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const top = "../.."

// source is a copy of what the command is built from, without tests: about what the image's build is given.
func source(t *testing.T, to string) {
	t.Helper()
	for _, name := range []string{"go.mod", "go.sum", "host", "server"} {
		err := filepath.WalkDir(filepath.Join(top, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "testdata" || d.Name() == "bench" || d.Name() == "lint" || d.Name() == "node_modules") {
				return fs.SkipDir
			}
			if !d.Type().IsRegular() || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			rel, err := filepath.Rel(top, path)
			if err != nil {
				return err
			}
			return copyFile(path, filepath.Join(to, rel))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// testVersion is the release that tests build.
const testVersion = "v1.2.3"

// releaseIn has the release built from the sources in dir, for Linux on amd64, into the folder out.
func releaseIn(t *testing.T, dir, out string, env ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "run", "./server/deploy/release", "-version", testVersion, "-targets", "linux/amd64", "-out", out)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("release: %v\n%s", err, said)
	}
}

var built struct {
	sync.Mutex
	dir   string
	whole bool // dir has a release, and not only what was left of an attempt
}

// released is a folder with a release built from this repository, once for all tests of a run.
func released(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a release takes too long to build for -short")
	}
	built.Lock()
	defer built.Unlock()
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "sortie-release-")
		if err != nil {
			t.Fatal(err)
		}
		built.dir = dir
		sources := filepath.Join(dir, "sources")
		source(t, sources)
		releaseIn(t, sources, filepath.Join(dir, "out"))
		built.whole = true
	}
	if !built.whole {
		t.Fatal("the release couldn't be built: another test says why")
	}
	return built.dir
}

func TestMain(m *testing.M) {
	status := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(status)
}

// binaryOf is the release's binary in a folder that released gave.
func binaryOf(dir string) string {
	return filepath.Join(dir, "out", "sortie-"+testVersion+"-linux-amd64")
}

// different names the files of two folders that aren't the same in both.
func different(t *testing.T, a, b string) (names []string) {
	t.Helper()
	entries := map[string]bool{}
	for _, dir := range []string{a, b} {
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			entries[e.Name()] = true
		}
	}
	for name := range entries {
		x, errX := os.ReadFile(filepath.Join(a, name))
		y, errY := os.ReadFile(filepath.Join(b, name))
		if errX != nil || errY != nil || !bytes.Equal(x, y) {
			names = append(names, name)
		}
	}
	return names
}
