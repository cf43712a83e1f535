package rewrite

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// everything turns on all features that wazero has, more than Sortie's runtimes do.
func everything() wazero.RuntimeConfig {
	return wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features)
}

const features = api.CoreFeaturesV2 | experimental.CoreFeaturesThreads | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst |
	experimental.CoreFeaturesExceptionHandling | experimental.CoreFeaturesTypedFunctionReferences

// refused are the modules of wazero's specification tests that the pass refuses and wazero takes, by the reason.
var refused = []string{"a table with an initial value", "the bound is"}

// TestCorpus reads every module that wazero and Extism are tested with: what wazero compiles, the pass can read, and compiles after it
// has been rewritten.
func TestCorpus(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("some 8,000 modules")
	}
	var read, known int
	for _, module := range []string{"github.com/tetratelabs/wazero", "github.com/extism/go-sdk"} {
		dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			t.Fatalf("%s: %v", module, err)
		}
		err = filepath.WalkDir(strings.TrimSpace(string(dir)), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".wasm" {
				return err
			}
			wasm, err := os.ReadFile(path)
			if err != nil || len(wasm) > 1<<20 {
				return err
			}
			switch err := readable(wasm); {
			case err == nil:
				read++
			case errors.Is(err, errMadeValid) && slices.ContainsFunc(lenient, func(x string) bool { return strings.HasPrefix(filepath.Base(path), x) }):
				known++
			case isRefused(err):
				known++
				t.Logf("%s: %v", filepath.Base(path), err)
			default:
				t.Errorf("%s: %v", path, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d modules read, %d refused by design", read, known)
	if read < 1000 {
		t.Errorf("only %d modules", read)
	}
}

func isRefused(err error) bool {
	for _, reason := range refused {
		if strings.Contains(err.Error(), reason) {
			return true
		}
	}
	return false
}

// lenient begins the names of modules that wazero refuses, and takes as rewritten: for custom sections, limits and types of references that are written anew,
// and for references to what was the start function, which is exported now.
var lenient = []string{"binary-leb128.", "custom.", "utf8-custom-section-id.", "table.", "ref.", "ref_func.", "names."}

var errMadeValid = errors.New("wazero refuses the module, but takes it as rewritten")

var errRewritten = errors.New("wazero compiles the module, but not as rewritten")

// readable tells whether the pass agrees with wazero: nil also for a module that both refuse, or wazero before and after.
func readable(wasm []byte) error {
	ctx := context.Background()
	m, err := Parse(wasm)
	if err != nil && isRefused(err) {
		return err
	}
	valid := compiles(ctx, wasm)
	if err != nil {
		if !valid {
			err = nil
		}
		return err
	}
	for _, o := range []Options{{}, full} {
		o.TableEntries = MaxTableEntries
		out := m.Rewrite(o).Wasm
		if bytes.Equal(out, wasm) {
			continue
		}
		if again := compiles(ctx, out); valid && !again {
			return errRewritten
		} else if again && !valid {
			return errMadeValid
		}
	}
	return nil
}

func compiles(ctx context.Context, wasm []byte) (ok bool) {
	defer func() {
		if recover() != nil { // some malformed bodies make its validator panic
			ok = false
		}
	}()
	rt := wazero.NewRuntimeWithConfig(ctx, everything())
	defer func() { _ = rt.Close(ctx) }()
	_, err := rt.CompileModule(ctx, wasm)
	return err == nil
}

// full asks for everything.
var full = Options{Expose: "sortie:", Detach: true, LazyTable: 1, TypedReferences: true, Fuel: Fuel{Module: "sortie:fuel", Name: "tick", Interval: 1000}}
