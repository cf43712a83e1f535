package abi

import (
	"encoding/binary"

	"github.com/tetratelabs/wazero/sys"

	"github.com/sortie-run/sortie/host/internal/guest"
)

// A guest writes to Extism's memory by address, and the kernel there, which the rewrite doesn't reach, takes what it finds for its own
// list of blocks: a guest that writes between them makes it search without end. So the functions that change that memory are ours, and a guest
// can write to blocks only that it was given. See host/RATIONALE.md, "Which of Extism's functions are ours?".

// extismAlloc: stack [length] -> [offset]; 0 where there is no room
func extismAlloc(c *guest.Call, blocks Blocks, stack []uint64) {
	c.Tick() // the kernel's search is the guest's time
	n := stack[0]
	stack[0] = 0
	if n == 0 || !c.Blocks.Room() {
		return
	}
	if offset, ok := blocks.Alloc(n); ok {
		c.Blocks.Add(offset, n)
		stack[0] = offset
	}
}

// extismFree: stack [offset] -> []
func extismFree(c *guest.Call, blocks Blocks, stack []uint64) {
	c.Tick()
	if c.Blocks.Remove(stack[0]) {
		blocks.Free(stack[0])
	}
}

// extismReset: stack [] -> []. Blocks of the guest's are given back; the host's own stay.
func extismReset(c *guest.Call, blocks Blocks, _ []uint64) {
	c.Blocks.Clear(func(offset uint64) {
		c.Tick()
		blocks.Free(offset)
	})
}

// storeU8: stack [offset, value] -> []
func storeU8(c *guest.Call, blocks Blocks, stack []uint64) {
	store(c, blocks, stack[0], []byte{byte(stack[1])})
}

// storeU64: stack [offset, value] -> []
func storeU64(c *guest.Call, blocks Blocks, stack []uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], stack[1])
	store(c, blocks, stack[0], b[:])
}

func store(c *guest.Call, blocks Blocks, offset uint64, b []byte) {
	if !c.Blocks.Holds(offset, uint64(len(b))) || !blocks.Store(offset, b) {
		c.Failure = "it wrote to Extism's memory outside of the blocks it was given"
		panic(sys.NewExitError(1))
	}
}
