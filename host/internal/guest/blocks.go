package guest

import (
	"cmp"
	"slices"
)

// Blocks are the blocks of Extism's memory that a guest was given and may write to.
type Blocks struct {
	all  []block // by offset
	last int     // where the last write went
}

type block struct{ offset, length uint64 }

// maxBlocks bounds them: each costs the host some bytes, and the kernel a step of every search.
const maxBlocks = 1 << 16

// Room tells whether there may be one more.
func (b *Blocks) Room() bool { return len(b.all) < maxBlocks }

// Add notes a block.
func (b *Blocks) Add(offset, length uint64) {
	i, found := b.find(offset)
	if found {
		b.all[i].length = length
		return
	}
	b.all = slices.Insert(b.all, i, block{offset, length})
}

// Remove forgets the block at an offset, if there is one.
func (b *Blocks) Remove(offset uint64) bool {
	i, found := b.find(offset)
	if found {
		b.all = slices.Delete(b.all, i, i+1)
	}
	return found
}

// Clear forgets all, and tells of each.
func (b *Blocks) Clear(each func(offset uint64)) {
	all := b.all
	b.all = nil
	for _, x := range all {
		each(x.offset)
	}
}

// Holds tells whether n bytes from an offset on are within a block.
func (b *Blocks) Holds(offset, n uint64) bool {
	if b.last < len(b.all) && b.all[b.last].holds(offset, n) {
		return true
	}
	i, found := b.find(offset)
	if !found {
		i--
	}
	if i < 0 || !b.all[i].holds(offset, n) {
		return false
	}
	b.last = i
	return true
}

func (b *Blocks) find(offset uint64) (int, bool) {
	return slices.BinarySearchFunc(b.all, offset, func(x block, offset uint64) int { return cmp.Compare(x.offset, offset) })
}

func (b block) holds(offset, n uint64) bool {
	return offset >= b.offset && n <= b.length && offset-b.offset <= b.length-n
}
