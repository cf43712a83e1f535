package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/manifest"
)

const readme = "../../../README.md"

// blocks returns the fenced blocks of the README in one language.
func blocks(t *testing.T, language string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(text), "\n```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(part, "\n```")
		found = append(found, block)
	}
	if len(found) == 0 {
		t.Fatalf("the README has no %s block", language)
	}
	return found
}

// offline is the environment of someone who has the binary, Go and no network.
func offline(t *testing.T, extra ...string) []string {
	t.Helper()
	return append(append(os.Environ(), "HOME="+t.TempDir(), "GOPROXY=off", "GOFLAGS=-mod=mod", "GOENV=off", "GOWORK=off"), append(extra, goCache(t)...)...)
}

// goCache keeps the outer build cache when HOME is another.
func goCache(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	dirs := strings.Fields(string(out))
	return []string{"GOCACHE=" + dirs[0], "GOMODCACHE=" + dirs[1]}
}

// TestReadmeCommands runs the README's console session, each line as it stands, against a server.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath("sortie")
	if err != nil {
		t.Fatal(err)
	}
	url, kill := serveIn(t, binary, t.TempDir())
	defer kill()
	env := offline(t, "SORTIE_SERVER="+url)
	for _, block := range blocks(t, "console") {
		script := "set -euo pipefail\n"
		for _, line := range strings.Split(block, "\n") {
			command, ok := strings.CutPrefix(line, "$ ")
			if !ok {
				t.Fatalf("not a command: %q", line)
			}
			script += fmt.Sprintf("echo '%s' >&2\n%s\n", strings.ReplaceAll(line, "'", `'\''`), command)
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
		cmd.Dir, cmd.Env = t.TempDir(), env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		// The last command called the plugin, which answers with what became of its fetches.
		if !strings.HasSuffix(strings.TrimSpace(string(out)), "}") || !strings.Contains(string(out), "/p/prices") {
			t.Errorf("%s", out)
		}
	}
}

// TestReadmePlugin builds the README's plugin, and reads its manifest.
func TestReadmePlugin(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath("sortie")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	env := offline(t)
	run := func(in string, args ...string) {
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Dir, cmd.Env = in, env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("sortie %v: %v\n%s", args, err, out)
		}
	}
	run(dir, "new", "prices")
	project := filepath.Join(dir, "prices")
	yaml := blocks(t, "yaml")[0]
	if _, err := manifest.Parse([]byte(yaml)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"main.go": blocks(t, "go")[0] + "\n", "plugin.yaml": yaml} {
		if err := os.WriteFile(filepath.Join(project, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(project, "build")
}

// TestReadmeLimits holds the README's table of limits to the defaults.
func TestReadmeLimits(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range manifest.Default().LimitList() {
		if limit.Key == "limits.stream" {
			continue // nothing streams yet
		}
		row := ""
		for _, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(line, "|") && strings.Contains(line, "`"+limit.Key+"`") {
				row = line
			}
		}
		if !strings.Contains(row, limit.Value) {
			t.Errorf("the README's table gives %s as %q, it is %s", limit.Key, row, limit.Value)
		}
	}
}

// TestReadmeTrace holds the README's picture to what trace draws.
func TestReadmeTrace(t *testing.T) {
	t.Parallel()
	if picture := blocks(t, "text")[0]; !strings.Contains(shown(t, sampleReport), "\n"+picture+"\n") {
		t.Errorf("the README shows\n%s\ntrace draws\n%s", picture, shown(t, sampleReport))
	}
}
