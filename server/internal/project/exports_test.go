package project

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	header  = "\x00asm\x01\x00\x00\x00"
	exports = "\x07\x22\x03\x06handle\x00\x01\x06memory\x02\x00\x0b_initialize\x00\x80\x01"
)

func TestCheckEntry(t *testing.T) {
	t.Parallel()
	file := write(t, filepath.Join(t.TempDir(), "x.wasm"), header+"\x00\x02\x01x"+exports)
	for _, entry := range []string{"", "handle"} {
		if err := checkEntry(file, entry); err != nil {
			t.Errorf("%q: %v", entry, err)
		}
	}
	for _, entry := range []string{"handel", "memory"} {
		var missing *EntryError
		if err := checkEntry(file, entry); !errors.As(err, &missing) || !slices.Equal(missing.Exports, []string{"handle"}) {
			t.Errorf("%q: %v", entry, err)
		}
	}
	none := write(t, filepath.Join(t.TempDir(), "x.wasm"), header)
	if err := checkEntry(none, "handle"); err == nil || !strings.HasSuffix(err.Error(), "it exports none") {
		t.Errorf("a module without exports: %v", err)
	}
	if err := checkEntry(file+"x", "handle"); !errors.Is(err, errNoModule) {
		t.Errorf("no module: %v", err)
	}
}

func TestFunctionsOfMalformedModules(t *testing.T) {
	t.Parallel()
	whole := header + exports
	for n := range len(whole) {
		if n == len(header) {
			continue // a module with nothing in it
		}
		if names, err := functions([]byte(whole[:n])); err == nil {
			t.Errorf("the first %d bytes: %q, no error", n, names)
		}
	}
	for _, text := range []string{header + "\x07\x01\x05", header + "\x07\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", "not a module"} {
		if names, err := functions([]byte(text)); err == nil {
			t.Errorf("%q: %q, no error", text, names)
		}
	}
}
