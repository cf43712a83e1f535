package sortiehttp_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A plugin that uses both sides compiles for the guest's target, to the size that the package's documentation tells.
func TestPluginBuild(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles net/http for another target")
	}
	out := filepath.Join(t.TempDir(), "plugin.wasm")
	goTool(t, "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", out, "./testdata/gateway")
	info, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	const most = 12 << 20
	if info.Size() >= most {
		t.Errorf("the plugin has %d bytes; it must stay under %d", info.Size(), most)
	}
	t.Logf("%d bytes", info.Size())
}

func TestOnlyTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for dep := range strings.FieldsSeq(goTool(t, "list", "-deps", ".")) {
		first, _, _ := strings.Cut(dep, "/")
		if strings.Contains(first, ".") && !strings.HasPrefix(dep, "github.com/sortie-run/sortie/sdk/go") {
			t.Errorf("the package depends on %s", dep)
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
