package deploy

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestReproducible builds a release twice, from two folders and under two environments. SORTIE_RELEASE_COLD=1 gives the second an
// empty build cache, so that all of it is compiled twice; that takes minutes.
func TestReproducible(t *testing.T) {
	t.Parallel()
	first := released(t)
	second := filepath.Join(t.TempDir(), "a folder of another name", "and depth")
	if err := os.CopyFS(filepath.Join(second, "sources"), os.DirFS(filepath.Join(first, "sources"))); err != nil {
		t.Fatal(err)
	}
	env := []string{"CGO_ENABLED=1", "GOFLAGS=-buildvcs=auto", "TZ=Asia/Tokyo", "LC_ALL=C"}
	if os.Getenv("SORTIE_RELEASE_COLD") != "" {
		env = append(env, "GOCACHE="+filepath.Join(t.TempDir(), "cache"))
	}
	releaseIn(t, filepath.Join(second, "sources"), filepath.Join(second, "out"), env...)
	out := filepath.Join(first, "out")
	if names := different(t, out, filepath.Join(second, "out")); len(names) > 0 {
		t.Errorf("%s differ between two builds of the same sources", strings.Join(names, ", "))
	}
	if err := os.WriteFile(filepath.Join(second, "out", "SHA256SUMS"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if names := different(t, out, filepath.Join(second, "out")); !slices.Equal(names, []string{"SHA256SUMS"}) {
		t.Errorf("the comparison tells %q of a changed SHA256SUMS", names)
	}
}

// TestNoPaths looks for this machine's folders in the binary, and in one that was built without -trimpath.
func TestNoPaths(t *testing.T) {
	t.Parallel()
	dir := released(t)
	out, err := exec.Command("go", "env", "GOROOT", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	folders := append(strings.Fields(string(out)), dir)
	if found := pathsIn(t, binaryOf(dir), folders); len(found) > 0 {
		t.Errorf("the binary has paths of the machine that built it: %q", found)
	}
	self, err := os.Executable() // a test's binary isn't trimmed, and its own folder is in it
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if len(pathsIn(t, self, []string{here})) == 0 && !strings.Contains(os.Getenv("GOFLAGS"), "-trimpath") {
		t.Error("no path was found where there is one")
	}
}

func pathsIn(t *testing.T, binary string, folders []string) (found []string) {
	t.Helper()
	data := []byte(read(t, binary))
	for _, folder := range folders {
		if folder != "" && bytes.Contains(data, []byte(folder+"/")) {
			found = append(found, folder)
		}
	}
	return found
}

// TestStatic asks whether the binary runs where there is nothing else, as in an image from scratch: it names no interpreter and no
// library.
func TestStatic(t *testing.T) {
	t.Parallel()
	f, err := elf.Open(binaryOf(released(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary is linked dynamically: it has a segment %s", p.Type)
		}
	}
}

// TestStamp asks the binary for its version.
func TestStamp(t *testing.T) {
	t.Parallel()
	onLinux(t)
	out, err := exec.Command(binaryOf(released(t)), "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "sortie "+testVersion+" ") {
		t.Errorf("sortie version: %v, %s", err, out)
	}
}

func onLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("the binary is for Linux on amd64")
	}
}

// TestSums checks SHA256SUMS against the files beside it.
func TestSums(t *testing.T) {
	t.Parallel()
	out := filepath.Join(released(t), "out")
	var want strings.Builder
	for _, name := range []string{"sortie-" + testVersion + "-linux-amd64", "sortie-" + testVersion + "-linux-amd64.cdx.json"} {
		fmt.Fprintf(&want, "%x  %s\n", sha256.Sum256([]byte(read(t, filepath.Join(out, name)))), name)
	}
	if got := read(t, filepath.Join(out, "SHA256SUMS")); got != want.String() {
		t.Errorf("SHA256SUMS:\n%swant:\n%s", got, want.String())
	}
}
