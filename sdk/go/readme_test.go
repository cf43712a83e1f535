package sortie_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The plugin and the test in README.md are as they'd be in an author's folder, and pass.
func TestReadme(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles a module")
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, part := range strings.Split(string(readme), "```go\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		blocks = append(blocks, block)
	}
	if len(blocks) != 2 {
		t.Fatalf("README.md has %d Go blocks, not a plugin and a test", len(blocks))
	}
	sdk, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/search\n\ngo 1.26\n\nrequire github.com/sortie-run/sortie/sdk/go v0.0.0\n\n" +
			"replace github.com/sortie-run/sortie/sdk/go => " + sdk + "\n",
		"main.go":      blocks[0],
		"main_test.go": "package main\n\nimport (\n\t\"testing\"\n\n\t\"github.com/sortie-run/sortie/sdk/go/sortietest\"\n)\n\n" + blocks[1],
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOPROXY=off", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go test: %v\n%s", err, text)
	}
}
