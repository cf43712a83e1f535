// Command keeper is a raw plugin that leaves a secret wherever it can, and searches for it: its input is 'p' and the secret, or 's' and the
// secret xored with mask.
package main

import (
	"fmt"
	"unsafe"
)

func main() {}

//go:wasmimport extism:host/env alloc
func alloc(n uint64) uint64

//go:wasmimport extism:host/env store_u64
func storeU64(offset, v uint64)

//go:wasmimport extism:host/env store_u8
func storeU8(offset uint64, v uint32)

//go:wasmimport extism:host/env load_u64
func loadU64(offset uint64) uint64

//go:wasmimport extism:host/env input_load_u8
func inputU8(offset uint64) uint32

//go:wasmimport extism:host/env input_load_u64
func inputU64(offset uint64) uint64

//go:wasmimport extism:host/env input_offset
func inputOffset() uint64

//go:wasmimport extism:host/env memory_bytes
func memoryBytes() uint64

//go:wasmimport extism:host/env output_set
func outputSet(offset, n uint64)

//go:wasmimport extism:host/env var_get
func varGet(name uint64) uint64

//go:wasmimport extism:host/env var_set
func varSet(name, value uint64)

const mask = 0x5aa5_1234_8765_a55a

var (
	kept uint64
	many [512]uint64
	heap []*uint64
)

func block(text string) uint64 {
	b := alloc(uint64(len(text)))
	for i := range len(text) {
		storeU8(b+uint64(i), uint32(text[i]))
	}
	return b
}

func output(text string) { outputSet(block(text), uint64(len(text))) }

//go:wasmexport keep
func keep() int32 {
	given := inputU64(1)
	if inputU8(0) == 'p' {
		plant(given)
		output("planted")
		return 0
	}
	output(fmt.Sprint(search(given)))
	return 0
}

func plant(secret uint64) {
	kept = secret
	for i := range many {
		many[i] = secret
	}
	for range 100 {
		v := secret
		heap = append(heap, &v)
	}
	b := alloc(64 << 10) // grows the kernel's memory now and then
	for i := range uint64(1 << 13) {
		storeU64(b+8*i, secret)
	}
	value := alloc(8)
	storeU64(value, secret)
	varSet(block("v"), value)
}

func search(want uint64) (found int) {
	if kept^mask == want || len(heap) > 0 || varGet(block("v")) != 0 {
		found++
	}
	for _, v := range many {
		if v^mask == want {
			found++
		}
	}
	for at := uintptr(8); at < uintptr(unsafe.Pointer(&many))+1<<20; at += 8 {
		if *(*uint64)(unsafe.Pointer(at))^mask == want {
			found++
		}
	}
	// The kernel checks no offsets.
	for at := uint64(1 << 16); at+8 <= memoryBytes(); at += 8 {
		if loadU64(at)^mask == want {
			found++
		}
	}
	return found
}
