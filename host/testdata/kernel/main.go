// Command kernel is a raw plugin that corrupts the Extism kernel's memory blocks, which a guest can write to, and then has the host
// search them.
package main

func main() {}

//go:wasmimport extism:host/env alloc
func alloc(n uint64) uint64

//go:wasmimport extism:host/env store_u8
func storeU8(offset uint64, v uint32)

//go:wasmimport extism:host/env store_u64
func storeU64(offset, v uint64)

//go:wasmimport extism:host/env config_get
func configGet(name uint64) uint64

//go:wasmimport extism:host/env var_get
func varGet(name uint64) uint64

//go:wasmimport extism:host/env var_set
func varSet(name, value uint64)

//go:wasmimport extism:host/user fetch_all
func fetchAll(request uint64) uint64

// corrupted makes the first block its own successor, and returns a block behind it.
func corrupted() uint64 {
	first, name := alloc(1), alloc(8)
	storeU8(name, 'a')
	storeU64(first-8, 0x8_FFFFFFF4) // in use, and -12 bytes long
	return name
}

// early is a block from before the first call, which takes it back.
var early = alloc(512)

//go:wasmexport stale
func stale() int32 {
	for i := range uint64(64) {
		storeU64(early+8*i, 0x8_FFFFFFF4)
	}
	configGet(alloc(8))
	return 0
}

//go:wasmexport config
func config() int32 { configGet(corrupted()); return 0 }

//go:wasmexport variable
func variable() int32 { varGet(corrupted()); return 0 }

//go:wasmexport set
func set() int32 { name := corrupted(); varSet(name, name); return 0 }

//go:wasmexport fetch
func fetch() int32 { fetchAll(corrupted()); return 0 }
