package store_test

import (
	"strings"
	"testing"

	"github.com/sortie-run/sortie/server/store"
)

func TestDigest(t *testing.T) {
	t.Parallel()
	const empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // FIPS 180-4, of no bytes
	if got := store.Digest(nil); got != empty {
		t.Errorf("Digest = %s, want %s", got, empty)
	}
	if !store.ValidDigest(empty) {
		t.Error("its own digest isn't valid")
	}
	for _, s := range []string{"", "sha256:", empty[:70], empty + "0", strings.ToUpper(empty), empty[7:], "sha256:" + strings.Repeat("g", 64)} {
		if store.ValidDigest(s) {
			t.Errorf("%q is taken for a digest", s)
		}
	}
}

func FuzzValidName(f *testing.F) {
	for _, s := range []string{"a", "prices", "a-1", "", "A", "a/b", "..", "a\x00", strings.Repeat("a", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !store.ValidName(s) {
			return
		}
		if len(s) > 63 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.ContainsAny(s[:1], "-0123456789") {
			t.Errorf("%q is taken for a name", s)
		}
	})
}
