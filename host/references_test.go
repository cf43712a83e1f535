package host_test

import (
	"runtime"
	"testing"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

// wazero makes an object of each executed ref.func, and keeps it as long as the instance. A guest that executes millions must not fill the host's
// memory, which no limit counts. Not parallel: it looks at the whole process.
func TestReferencesTakeNoMemory(t *testing.T) {
	m, err := manifest.Parse([]byte("entry: run\nlimits: {cpu: 30s}"))
	if err != nil {
		t.Fatal(err)
	}
	// A loop of 1,000,000 rounds of ref.func 0, drop.
	code := []byte{1, 1, 0x7f, 0x41, 0xc0, 0x84, 0x3d, 0x21, 0, 0x03, 0x40, 0xd2, 0, 0x1a, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x41, 0, 0x0b}
	wasm := []byte("\x00asm\x01\x00\x00\x00\x01\x05\x01\x60\x00\x01\x7f\x03\x02\x01\x00\x05\x03\x01\x00\x01\x07\x10\x02\x03run\x00\x00\x06memory\x02\x00")
	wasm = append(append(wasm, 10, byte(len(code)+2), 1, byte(len(code))), code...)
	rt := newRuntime(t, fetch.Config{})
	p, err := rt.Load(t.Context(), host.Source{Name: "references", Version: 1, Wasm: wasm, Manifest: m})
	if err != nil {
		t.Fatal(err)
	}
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := heap()
	for range 3 { // some 100 MB, if each reference were kept
		if _, _, err := try(p, "", "/"); err != nil {
			t.Fatal(err)
		}
	}
	if grown := heap() - before; grown > 24<<20 {
		t.Errorf("three million references take %d bytes", grown)
	}
}
