package deploy

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sortie-run/sortie/server/deploy/sbom"
)

// TestSBOM compares the bill that lies beside the release with what the go command says that the command imports, and with go.sum:
// two sources that the bill isn't made from.
func TestSBOM(t *testing.T) {
	t.Parallel()
	dir := released(t)
	var bom sbom.BOM
	if err := json.Unmarshal([]byte(read(t, binaryOf(dir)+".cdx.json")), &bom); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range bom.Components {
		if c.Name == "stdlib" {
			continue
		}
		if len(c.Hashes) != 1 {
			t.Errorf("%s has %d hashes", c.Name, len(c.Hashes))
			continue
		}
		got[c.Name+" "+c.Version] = c.Hashes[0].Content
		if want := "pkg:golang/" + strings.ToLower(c.Name) + "@" + strings.ReplaceAll(c.Version, "+", "%2B"); c.PURL != want || c.Ref != want {
			t.Errorf("%s has the package URL %s and the reference %s, want %s", c.Name, c.PURL, c.Ref, want)
		}
	}
	if diff := cmp.Diff(imported(t, filepath.Join(dir, "sources")), got); diff != "" {
		t.Errorf("the bill isn't what is imported (-want +got):\n%s", diff)
	}
	main := bom.Metadata.Component
	if main.Version != testVersion || main.PURL != "pkg:golang/github.com/sortie-run/sortie@"+testVersion {
		t.Errorf("the bill is of %s %s, %s", main.Name, main.Version, main.PURL)
	}
	if n := len(bom.Dependencies[0].On); n != len(bom.Components) || len(bom.Components) != len(got)+1 {
		t.Errorf("%d components, %d of them modules, %d needed by the binary", len(bom.Components), len(got), n)
	}
}

// imported are the modules whose packages the command imports, and their digests by go.sum.
func imported(t *testing.T, sources string) map[string]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", "./server/cmd/sortie")
	cmd.Dir = sources
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" {
			used[line] = ""
		}
	}
	for line := range strings.Lines(read(t, filepath.Join(sources, "go.sum"))) {
		module, sum, _ := strings.Cut(strings.TrimSpace(line), " h1:")
		if _, ok := used[module]; !ok {
			continue
		}
		digest, err := base64.StdEncoding.DecodeString(sum)
		if err != nil {
			t.Fatal(err)
		}
		used[module] = hex.EncodeToString(digest)
	}
	return used
}

func TestSBOMOfNoBinary(t *testing.T) {
	t.Parallel()
	if _, err := sbom.Read("sbom_test.go", testVersion); err == nil {
		t.Error("a file that go didn't build has a bill")
	}
}
