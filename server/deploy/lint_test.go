package deploy

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestLint runs the checks of the module in lint, on the bill of materials of a release too.
func TestLint(t *testing.T) {
	t.Parallel()
	env := append(os.Environ(), "SORTIE_SBOM="+binaryOf(released(t))+".cdx.json", "GOWORK=off")
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Env = "lint", env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("list", "-deps", "-test", "./..."); err != nil {
		for _, offline := range []string{"GOPROXY=off", "dial tcp", "no such host"} {
			if strings.Contains(out, offline) {
				t.Skip("the parsers of Docker and Kubernetes aren't there, and can't be fetched: cd server/deploy/lint && go mod download")
			}
		}
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := run("test", "-vet=off", "./..."); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
