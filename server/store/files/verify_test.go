package files

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/server/store"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if v, err := Verify(t.Context(), filepath.Join(dir, "none")); err != nil || v.Plugins != 0 || v.LockedBy != nil {
		t.Errorf("%+v, %v", v, err)
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, wasm := range []string{"one", "two", "one"} {
		for _, name := range []string{"a", "b"} {
			if _, err := s.Put(t.Context(), store.PutRequest{Change: store.Change{Name: name}, Manifest: []byte(wasm + name), Wasm: []byte(wasm)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	v, err := Verify(t.Context(), dir)
	var locked *LockedError
	if err != nil || v.Plugins != 2 || v.Modules != 2 || v.Bytes != 6 || len(v.Wrong) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if !errors.As(v.LockedBy, &locked) || locked.PID != os.Getpid() {
		t.Errorf("%v", v.LockedBy)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if v, err := Verify(t.Context(), dir); err != nil || v.LockedBy != nil {
		t.Errorf("%+v, %v", v, err)
	}
	for _, tt := range []struct {
		path, text string
		wrong      []string
	}{
		{s.blobPath(store.Digest([]byte("one"))), "bad", []string{"its bytes have sha256:"}},
		{s.blobPath(store.Digest([]byte("one"))), "", []string{"plugin "}}, // removed
		{s.recordPath("a"), `{"format": 99}`, []string{"format 99, this program reads up to"}},
		{s.recordPath("a"), `{`, []string{"a.json"}},
		{s.tokensPath(), `{"format": 99}`, []string{"tokens.json", "format 99"}},
	} {
		before, readErr := os.ReadFile(tt.path)
		if tt.text == "" {
			err = os.Remove(tt.path)
		} else {
			err = os.WriteFile(tt.path, []byte(tt.text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		v, err := Verify(t.Context(), dir)
		if err != nil || len(v.Wrong) != 1 {
			t.Errorf("%s: %+v, %v", tt.path, v, err)
			continue
		}
		for _, part := range tt.wrong {
			if !strings.Contains(v.Wrong[0].Error(), part) {
				t.Errorf("%s: %v, want %s", tt.path, v.Wrong[0], part)
			}
		}
		if readErr != nil {
			_ = os.Remove(tt.path)
		} else if err := os.WriteFile(tt.path, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := Verify(t.Context(), dir); err != nil || len(v.Wrong) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}
