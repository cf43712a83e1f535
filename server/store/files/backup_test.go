package files

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sortie-run/sortie/server/store"
)

func backup(t *testing.T, s *Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(s.dir, tmpDir, "backup-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("a backup left %v, %v", left, err)
	}
	return b.Bytes()
}

// holds is all that a store gives out.
func holds(t *testing.T, s *Store) []any {
	t.Helper()
	plugins, err := s.List(t.Context())
	tokens, err2 := s.Tokens(t.Context())
	secrets, err3 := s.Secrets(t.Context())
	events, err4 := s.Audit(t.Context(), store.AuditQuery{Limit: 1 << 20})
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	return []any{plugins, tokens, secrets, events}
}

func TestBackup(t *testing.T) {
	t.Parallel()
	s := openFiles(t, t.TempDir())
	s.log.segment = 600
	for n := range 5 {
		deploy(t, s, "a", n)
		deploy(t, s, "b", n)
	}
	if err := errors.Join(s.AddToken(t.Context(), store.Token{ID: "one"}), s.SetSecret(t.Context(), store.Secret{Name: "S", Sealed: []byte("x")})); err != nil {
		t.Fatal(err)
	}
	want, data := holds(t, s), backup(t, s)
	deploy(t, s, "a", 6) // isn't in it
	dir := filepath.Join(t.TempDir(), "new", "store")
	if err := Restore(t.Context(), dir, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	restored := openFiles(t, dir)
	if diff := cmp.Diff(want, holds(t, restored)); diff != "" {
		t.Errorf("restored (-then +now):\n%s", diff)
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 1 {
		t.Errorf("a restore left %v, %v", left, err)
	}
	deploy(t, restored, "c", 1)
	if err := Restore(t.Context(), dir, bytes.NewReader(data)); err == nil {
		t.Error("a store was restored over another")
	}
}

// TestBackupWhileChanging takes backups while plugins come and go: each is whole.
func TestBackupWhileChanging(t *testing.T) {
	t.Parallel()
	s := openFiles(t, t.TempDir())
	deploy(t, s, "a", 0)
	stop, changing := make(chan struct{}), sync.WaitGroup{}
	changing.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			r := store.PutRequest{Change: store.Change{Name: "a"}, Wasm: bytes.Repeat([]byte{byte(n)}, 4096), Traffic: true, Keep: store.Retention{Versions: 1}}
			if _, err := s.Put(context.Background(), r); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 10 {
		if err := Restore(t.Context(), filepath.Join(t.TempDir(), "store"), bytes.NewReader(backup(t, s))); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	changing.Wait()
}

// archive is a tar of files, given as names and contents.
func archive(t testing.TB, files ...string) []byte {
	t.Helper()
	files = append(files, backupEnd, fmt.Sprintf(`{"format":1,"files":%d}`, len(files)/2))
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		head := &tar.Header{Name: files[i], Mode: 0o600, Size: int64(len(files[i+1]))}
		if strings.HasSuffix(files[i], "->") {
			head.Name, head.Typeflag, head.Linkname, head.Size = strings.TrimSuffix(files[i], "->"), tar.TypeSymlink, files[i+1], 0
		}
		if err := w.WriteHeader(head); err != nil {
			t.Fatal(err)
		}
		if head.Size > 0 {
			if _, err := io.WriteString(w, files[i+1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sparse is an archive of a file that is nothing but a hole of 300 MiB.
func sparse(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	block := make([]byte, 512)
	copy(block, "1\n314572800\n0\n")
	head := &tar.Header{Name: "x", Mode: 0o600, Size: 512, Format: tar.FormatPAX, PAXRecords: map[string]string{
		"GNU_sparse.major": "1", "GNU_sparse.minor": "0", "GNU_sparse.name": "tokens.json", "GNU_sparse.realsize": "314572800",
	}}
	if err := w.WriteHeader(head); err != nil {
		t.Fatal(err)
	}
	_, err := w.Write(block)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("GNU_sparse"), []byte("GNU.sparse")) // which the writer doesn't take
}

// TestRestoreRefuses gives a restore what isn't a backup: nothing is written, not beside the folder and not in it.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	s := openFiles(t, t.TempDir())
	deploy(t, s, "a", 1)
	good := backup(t, s)
	record, err := os.ReadFile(s.recordPath("a"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "text": []byte(strings.Repeat("x", 2000)), "cut": good[:len(good)/2], "without its end": good[:len(good)-2048],
		"out of the folder": archive(t, "plugins/../../a.json", "{}"), "an absolute path": archive(t, "/plugins/a.json", "{}"),
		"a link": archive(t, "plugins/a.json->", "/etc/passwd"), "the lock": archive(t, "lock", "1"), "another file": archive(t, "README", "x"),
		"a few bytes that would be many": sparse(t), "without its module": archive(t, "plugins/a.json", string(record)), "the same twice": archive(t, "tokens.json", "{}", "tokens.json", "{}"),
		"another module": archive(t, "plugins/a.json", string(record), "blobs/sha256/"+store.Digest([]byte("1"))[7:9]+"/"+store.Digest([]byte("1"))[7:], "2"),
	} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "store")
		err := Restore(t.Context(), dir, bytes.NewReader(data))
		if err == nil {
			t.Errorf("%s was restored", name)
		}
		if strings.HasPrefix(name, "a few bytes") && !strings.Contains(err.Error(), "sparse") {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) != 0 {
			t.Errorf("%s left %v, %v", name, left, err)
		}
	}
}

func FuzzRestore(f *testing.F) {
	f.Add(archive(f, "tokens.json", `{"format":2,"tokens":[]}`))
	f.Add(archive(f, "plugins/a.json", `{"format":2,"name":"a"}`, "audit/00000000000000000001.jsonl", "{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		if err := Restore(t.Context(), filepath.Join(parent, "store"), bytes.NewReader(data)); err != nil {
			if left, _ := os.ReadDir(parent); len(left) != 0 {
				t.Errorf("%v left %v", err, left)
			}
		}
	})
}
