package sortie

import "unsafe"

//go:wasmimport wasi_snapshot_preview1 random_get
//go:noescape
func randomGet(ptr unsafe.Pointer, length uint32) uint32

// seed asks the host, as crypto/rand would in the end; that package itself would make every plugin 200 KB larger.
func seed() (s [32]byte) {
	if errno := randomGet(unsafe.Pointer(&s), uint32(len(s))); errno != 0 {
		panic("sortie: the host gives no randomness")
	}
	return s
}
