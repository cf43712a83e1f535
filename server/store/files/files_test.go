package files_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sortie-run/sortie/server/store"
	"github.com/sortie-run/sortie/server/store/files"
	"github.com/sortie-run/sortie/server/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirVariable); dir != "" {
		putForever(dir)
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, dir string) *files.Store {
	t.Helper()
	s, err := files.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(t *testing.T, s store.Store, name, wasm string) store.Version {
	t.Helper()
	done, err := s.Put(t.Context(), store.PutRequest{
		Change: store.Change{Name: name}, Manifest: []byte("name: " + name), Wasm: []byte(wasm), Traffic: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return done.Version
}

func TestSuite(t *testing.T) {
	t.Parallel()
	storetest.Suite(t, func(t *testing.T) store.Store { return open(t, t.TempDir()) })
}

func TestReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, dir)
	put(t, first, "a", "one")
	put(t, first, "a", "two")
	put(t, first, "b", "three")
	if err := first.Delete(t.Context(), store.DeleteRequest{Change: store.Change{Name: "b"}}); err != nil {
		t.Fatal(err)
	}
	want, err := first.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, dir)
	got, err := second.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after opening again (-before +after):\n%s", diff)
	}
	if v := put(t, second, "a", "four"); v.Number != 3 {
		t.Errorf("next version = %d, want 3", v.Number)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	_, err := files.Open(dir)
	var locked *files.LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Fatalf("second Open = %v, want a LockedError with pid %d", err, os.Getpid())
	}
	if !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("message %q doesn't name the process", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	v := put(t, s, "a", "one")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	calls := map[string]error{}
	_, calls["Put"] = s.Put(t.Context(), store.PutRequest{Change: store.Change{Name: "a"}})
	_, calls["SetTraffic"] = s.SetTraffic(t.Context(), store.TrafficRequest{Change: store.Change{Name: "a"}})
	_, calls["Rollback"] = s.Rollback(t.Context(), store.RollbackRequest{Change: store.Change{Name: "a"}})
	calls["AddToken"] = s.AddToken(t.Context(), store.Token{ID: "a"})
	_, calls["RevokeToken"] = s.RevokeToken(t.Context(), "a", "")
	_, calls["Tokens"] = s.Tokens(t.Context())
	calls["SetSecret"] = s.SetSecret(t.Context(), store.Secret{Name: "a"})
	calls["DeleteSecret"] = s.DeleteSecret(t.Context(), "a", "")
	_, calls["Secrets"] = s.Secrets(t.Context())
	_, calls["Audit"] = s.Audit(t.Context(), store.AuditQuery{})
	_, calls["Get"] = s.Get(t.Context(), "a")
	_, calls["List"] = s.List(t.Context())
	_, calls["Blob"] = s.Blob(t.Context(), v.Digest)
	calls["Delete"] = s.Delete(t.Context(), store.DeleteRequest{Change: store.Change{Name: "a"}})
	calls["Check"] = s.Check(t.Context())
	for name, err := range calls {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s = %v, want ErrClosed", name, err)
		}
	}
}

// TestLeftovers plants what a killed process can leave, and more.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	v := put(t, s, "a", "one")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	orphan := store.Digest([]byte("orphan"))[len("sha256:"):]
	plant := func(parts ...string) string {
		path := filepath.Join(append([]string{dir}, parts...)...)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("orphan"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gone := []string{plant("tmp", "new-123"), plant("blobs", "sha256", orphan[:2], orphan)}
	stay := []string{plant("plugins", "README"), plant("cache", "something")}
	s = open(t, dir)
	for _, path := range gone {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	for _, path := range stay {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("a file that isn't the store's was touched: %v", err)
		}
	}
	if _, err := s.Blob(t.Context(), v.Digest); err != nil {
		t.Error(err)
	}
}

func blobFile(dir, digest string) string {
	hexa := digest[len("sha256:"):]
	return filepath.Join(dir, "blobs", "sha256", hexa[:2], hexa)
}

func TestCorruptBlob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	v := put(t, s, "a", "one")
	if err := os.WriteFile(blobFile(dir, v.Digest), []byte("onf"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Blob(t.Context(), v.Digest); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Blob = %v, want ErrCorrupt", err)
	}
	// Deploying the module again heals it, though the version isn't the newest.
	put(t, s, "a", "two")
	put(t, s, "a", "one")
	if got, err := s.Blob(t.Context(), v.Digest); err != nil || string(got) != "one" {
		t.Errorf("Blob after another Put = %q, %v", got, err)
	}
}

func TestCorruptRecord(t *testing.T) {
	t.Parallel()
	digest := store.Digest(nil)
	version := func(n int) string { return fmt.Sprintf(`{"number":%d,"digest":%q}`, n, digest) }
	tests := map[string]string{
		"empty":            ``,
		"cut":              `{"format":1,"name":"a"`,
		"another format":   `{"format":3,"name":"a","last":1,"versions":[` + version(1) + `]}`,
		"another name":     `{"format":1,"name":"b","last":1,"versions":[` + version(1) + `]}`,
		"no versions":      `{"format":1,"name":"a","last":1,"versions":[]}`,
		"above the last":   `{"format":1,"name":"a","last":1,"versions":[` + version(2) + `]}`,
		"number twice":     `{"format":1,"name":"a","last":2,"versions":[` + version(1) + `,` + version(1) + `]}`,
		"traffic of none":  `{"format":2,"name":"a","last":1,"versions":[` + version(1) + `],"traffic":[{"version":2,"weight":100}]}`,
		"half the traffic": `{"format":2,"name":"a","last":1,"versions":[` + version(1) + `],"traffic":[{"version":1,"weight":50}]}`,
		"a path as digest": `{"format":1,"name":"a","last":1,"versions":[{"number":1,"digest":"sha256:../a"}]}`,
	}
	for name, record := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := open(t, dir).Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "plugins", "a.json")
			if err := os.WriteFile(path, []byte(record), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := files.Open(dir)
			if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "a.json") {
				t.Fatalf("Open = %v, want ErrCorrupt that names the file", err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			open(t, dir) // a failed Open keeps no lock
		})
	}
}

// TestPutThatCanNotWrite makes the record's folder unusable, so that the blob can be written and the record can't.
func TestPutThatCanNotWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	old := put(t, s, "a", "one")
	plugins := filepath.Join(dir, "plugins")
	if err := os.Rename(plugins, plugins+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), store.PutRequest{Change: store.Change{Name: "a"}, Wasm: []byte("two")}); err == nil {
		t.Error("Put succeeded without a folder for the record")
	}
	if _, err := os.Stat(blobFile(dir, store.Digest([]byte("two")))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the failed Put left its blob: %v", err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("the failed Put left %v, %v", left, err)
	}
	p, err := s.Get(t.Context(), "a")
	if err != nil || len(p.Versions) != 1 || p.Versions[0].Digest != old.Digest {
		t.Errorf("Get = %+v, %v; want the old version", p, err)
	}
	if err := os.Rename(plugins+".away", plugins); err != nil {
		t.Fatal(err)
	}
	if v := put(t, s, "a", "two"); v.Number != 2 {
		t.Errorf("next version = %d, want 2", v.Number)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err == nil {
		t.Error("Check found nothing wrong with a removed directory")
	}
}
