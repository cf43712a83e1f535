package cli

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/server/store"
	"github.com/sortie-run/sortie/server/store/files"
)

// TestManyPlugins starts a server on the data of 50 plugins with 5 versions each, or as many as SORTIE_TEST_PLUGINS says: it loads
// and compiles none that isn't called.
func TestManyPlugins(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath("sortie")
	if err != nil {
		t.Fatal(err)
	}
	plugins, versions := 50, 5
	if text := os.Getenv("SORTIE_TEST_PLUGINS"); text != "" {
		if plugins, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	home := t.TempDir()
	st, err := files.Open(filepath.Join(home, "store"))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for p := range plugins {
		for v := range versions {
			r := store.PutRequest{Change: store.Change{Name: fmt.Sprintf("plugin-%04d", p)}, Wasm: returning(p*versions + v), Traffic: true}
			if _, err := st.Put(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	stored := time.Since(began)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	url, stop := serveIn(t, binary, home)
	defer stop()
	if status, text, err := call(http.MethodGet, url+"/readyz", nil); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s %v", status, text, err)
	}
	started := time.Since(began)
	began = time.Now()
	_, text, err := call(http.MethodGet, url+"/v1/plugins", nil)
	listed := time.Since(began)
	var list struct{ Plugins []json.RawMessage }
	if err != nil || json.Unmarshal([]byte(text), &list) != nil || len(list.Plugins) != plugins {
		t.Fatalf("%d plugins listed: %v", len(list.Plugins), err)
	}
	if n := compiled(t, home); n != 0 {
		t.Errorf("%d files of compiled modules before the first call", n)
	}
	const called = 42
	_, text, err = call(http.MethodGet, fmt.Sprintf("%s/p/plugin-%04d", url, called), nil)
	if want := fmt.Sprintf("returned %d", called*versions+versions-1); err != nil || !strings.Contains(text, want) {
		t.Errorf("%v: %s; want %q", err, text, want)
	}
	if n := compiled(t, home); n == 0 || n > 4 {
		t.Errorf("%d files of compiled modules after one call", n)
	}
	t.Logf("%d plugins of %d versions: stored in %s; ready after %s; listed in %s; %s", plugins, versions,
		stored.Round(time.Millisecond), started.Round(time.Millisecond), listed.Round(time.Millisecond), resident(t, home))
}

// compiled counts the files that compiling leaves.
func compiled(t *testing.T, home string) (n int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(home, "cache"), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// resident is what the server that has the data takes, where the system tells.
func resident(t *testing.T, home string) string {
	t.Helper()
	pid, err := os.ReadFile(filepath.Join(home, "store", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	status, _ := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/status")
	for line := range strings.Lines(string(status)) {
		if size, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSpace(size) + " resident"
		}
	}
	return "its memory isn't known"
}
