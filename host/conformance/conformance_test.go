package conformance_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sortie-run/sortie/host/conformance"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("time.goFunc"), goleak.Cleanup(func(code int) {
		if dir, err := built(); bundled && err == nil {
			os.RemoveAll(dir)
		}
		os.Exit(code)
	}))
}

// columns are the results of the hosts that were tested, for TestTable, which comes last.
var columns []conformance.Column

// run holds a target to the vectors, and keeps what came of it.
func run(t *testing.T, target conformance.Target) {
	t.Helper()
	started := time.Now()
	columns = append(columns, conformance.Column{Name: target.Name(), Results: conformance.Run(t, target)})
	t.Logf("%s: %s", target.Name(), time.Since(started).Round(time.Millisecond))
}

func TestGo(t *testing.T) { run(t, conformance.NewGo(t.TempDir())) }

func TestNode(t *testing.T) { run(t, driver(t, "node", "node", "node.mjs", "auto")) }

func TestChromiumJSPI(t *testing.T) {
	run(t, driver(t, "chromium, JSPI", "browser", "chromium.mjs", "jspi"))
}

func TestChromiumAtomics(t *testing.T) {
	run(t, driver(t, "chromium, worker", "browser", "chromium.mjs", "atomics"))
}

func TestChromiumInline(t *testing.T) {
	run(t, driver(t, "chromium, no worker", "inline", "chromium.mjs", "inline"))
}

const browserDir, driverDir = "../browser", "../browser/test/conformance"

// driver starts a host of host/browser in a process. Where what it needs isn't installed the test is skipped, unless SORTIE_BROWSER=required; with
// SORTIE_BROWSER=skip it is skipped anyway.
func driver(t *testing.T, name, host, script, mode string) conformance.Target {
	t.Helper()
	missing := func(what string) {
		t.Helper()
		if os.Getenv("SORTIE_BROWSER") == "required" {
			t.Fatal(what)
		}
		t.Skip(what + "; SORTIE_BROWSER=required makes this a failure")
	}
	if os.Getenv("SORTIE_BROWSER") == "skip" {
		t.Skip("SORTIE_BROWSER=skip")
	}
	if _, err := exec.LookPath("node"); err != nil {
		missing("Node isn't installed")
	}
	if _, err := os.Stat(filepath.Join(browserDir, "node_modules")); err != nil {
		missing("host/browser has no node_modules; npm ci there installs them")
	}
	if script == "chromium.mjs" && !hasChromium() {
		missing("no Chromium in PATH; SORTIE_CHROMIUM may name one")
	}
	return startDriver(t, name, host, script, mode, bundle(t))
}

// startDriver starts a driver with a bundle of its own, until the test's end.
func startDriver(t *testing.T, name, host, script, mode, bundle string) conformance.Target {
	t.Helper()
	cmd := exec.Command("node", filepath.Join(driverDir, script), bundle, mode)
	cmd.Stderr = os.Stderr
	p, err := conformance.StartProcess(name, host, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("the driver: %v", err)
		}
	})
	return p
}

func hasChromium() bool {
	if path := os.Getenv("SORTIE_CHROMIUM"); path != "" {
		_, err := os.Stat(path)
		return err == nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if _, err := exec.LookPath(name); err == nil {
			return true
		}
	}
	return false
}

var bundled bool // whether built has been called

// built is the browser host as it is now, built once for all tests.
var built = sync.OnceValues(func() (string, error) {
	bundled = true
	dir, err := os.MkdirTemp("", "sortie-bundle")
	if err != nil {
		return "", err
	}
	return dir, build(filepath.Join(browserDir, "src"), dir)
})

func bundle(t *testing.T) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// build bundles the browser host of a source folder into another folder, as make does.
func build(src, dir string) error {
	cmd := exec.Command("go", "tool", "esbuild", filepath.Join(src, "index.ts"), filepath.Join(src, "worker.ts"),
		"--bundle", "--format=esm", "--target=es2022", "--splitting", "--chunk-names=guest", "--external:yaml", "--external:node:*", "--log-level=warning", "--outdir="+dir)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("esbuild: %w\n%s", err, text)
	}
	return os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type": "module"}`), 0o600) // so that Node takes .js for modules
}

// Every guest's .wasm is made of the .wat beside it: the recipe (README.md) leaves the text's SHA-256 at its end.
func TestGuestsAreAssembled(t *testing.T) {
	t.Parallel()
	texts, err := filepath.Glob("guests/*.wat")
	if err != nil || len(texts) == 0 {
		t.Fatalf("%d guests, %v", len(texts), err)
	}
	for _, path := range texts {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		wasm, err := os.ReadFile(strings.TrimSuffix(path, ".wat") + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(text); !strings.HasSuffix(string(wasm), string(sum[:])) {
			t.Errorf("%s has changed since it was assembled, or its .wasm was made by other means: run make wat", path)
		}
	}
}

// There are vectors of every class, no two of one class have the same name, and each guest is some vector's.
func TestVectors(t *testing.T) {
	t.Parallel()
	vectors, err := conformance.Vectors()
	if err != nil {
		t.Fatal(err)
	}
	seen, classes, guests := map[string]bool{}, map[string]int{}, map[string]bool{}
	for _, v := range vectors {
		if name := v.Class + "/" + v.Name; seen[name] {
			t.Errorf("%s is there twice", name)
		} else {
			seen[name] = true
		}
		classes[v.Class]++
		guests[v.Plugin] = true
	}
	for class := range strings.FieldsSeq("policy budgets modes cancellation redirects decoding streams failures limits raw abi") {
		if classes[class] == 0 {
			t.Errorf("there are no vectors of the class %s", class)
		}
	}
	files, err := filepath.Glob("guests/*.wasm")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".wasm"); !guests[name] {
			t.Errorf("no vector needs the guest %s", name)
		}
	}
}

// tablePath is where TestTable writes, from this folder.
const tablePath = "../../build/conformance.md"

// TestTable writes hosts × vectors, as far as the tests before it have run.
func TestTable(t *testing.T) {
	if len(columns) == 0 {
		t.Skip("no host was tested")
	}
	text := conformance.Table(columns)
	if err := os.MkdirAll(filepath.Dir(tablePath), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tablePath, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	summary, _, _ := strings.Cut(text, "\n## ")
	t.Logf("build/conformance.md has it all.\n%s", summary)
}
