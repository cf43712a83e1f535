package sortie_test

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// build makes a plugin as `sortie build` does.
func build(t *testing.T, dir string) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles for another target")
	}
	out := filepath.Join(t.TempDir(), "plugin.wasm")
	goTool(t, "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", out, dir)
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes", dir, len(module))
	return module
}

// Of either size 3.8 MB are Go's own: the runtime, and encoding/json, log/slog and net/url, which the SDK's signatures need.
func TestPluginSize(t *testing.T) {
	t.Parallel()
	for dir, most := range map[string]int{"./testdata/lean": 4 << 20, "./testdata/plugin": 4_400_000} {
		if n := len(build(t, dir)); n >= most {
			t.Errorf("%s has %d bytes; it must stay under %d", dir, n, most)
		}
	}
}

// A plugin that uses the whole core.
func TestPluginBuild(t *testing.T) {
	t.Parallel()
	imports, exports, err := names(build(t, "./testdata/plugin"))
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range imports {
		if module, _, _ := strings.Cut(i, " "); module != "sortie:host/v1" && module != "wasi_snapshot_preview1" {
			t.Errorf("the plugin imports from %s", i)
		}
	}
	for _, want := range []string{"group", "quiet", "outcomes"} { // one wake for a whole group, and one read
		if !slices.Contains(imports, "sortie:host/v1 "+want) {
			t.Errorf("the plugin never calls %s", want)
		}
	}
	for _, want := range []string{"memory", "_initialize", "handle"} {
		if !slices.Contains(exports, want) {
			t.Errorf("the plugin doesn't export %s, but %v", want, exports)
		}
	}
}

func TestLeanCore(t *testing.T) {
	t.Parallel()
	for dep := range strings.FieldsSeq(goTool(t, "list", "-deps", ".")) {
		switch {
		case dep == "net/http", dep == "net", dep == "crypto/tls", dep == "testing":
			t.Errorf("the core depends on %s", dep)
		case strings.Contains(dep, ".") && !strings.HasPrefix(dep, "github.com/sortie-run/sortie/sdk/go"):
			t.Errorf("the core depends on %s, which isn't the standard library's", dep)
		}
	}
}

// goTool runs the go command for the guest's target, without a network.
func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOPROXY=off", "GOWORK=off")
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return string(text)
}

// names lists the modules that a Wasm module imports from, and what it exports.
func names(module []byte) (imports, exports []string, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("not a well-formed module")
		}
	}()
	b := module[8:]
	number := func(b *[]byte) int {
		v, n := binary.Uvarint(*b) // LEB128, as in Wasm
		*b = (*b)[n:]
		return int(v)
	}
	text := func(b *[]byte) string {
		n := number(b)
		s := string((*b)[:n])
		*b = (*b)[n:]
		return s
	}
	for len(b) > 0 {
		id := b[0]
		b = b[1:]
		size := number(&b)
		section := b[:size]
		b = b[size:]
		switch id {
		case 2:
			for n := number(&section); n > 0; n-- {
				module := text(&section)
				imports = append(imports, module+" "+text(&section))
				if section[0] != 0 {
					return nil, nil, errors.New("an import that isn't a function")
				}
				section = section[1:]
				number(&section)
			}
		case 7:
			for n := number(&section); n > 0; n-- {
				exports = append(exports, text(&section))
				section = section[1:]
				number(&section)
			}
		}
	}
	return imports, exports, nil
}
