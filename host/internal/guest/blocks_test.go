package guest

import (
	"math/rand/v2"
	"testing"
)

// Blocks agree with a plain map of bytes.
func TestBlocks(t *testing.T) {
	t.Parallel()
	var b Blocks
	owner := map[uint64]uint64{} // of each byte, its block's offset
	given := map[uint64]uint64{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		offset, n := r.Uint64N(400)*10, 1+r.Uint64N(10)
		switch r.IntN(4) {
		case 0:
			if _, taken := given[offset]; !taken {
				b.Add(offset, n)
				given[offset] = n
				for i := range n {
					owner[offset+i] = offset + 1
				}
			}
		case 1:
			if got := b.Remove(offset); got != (given[offset] > 0) {
				t.Fatalf("Remove(%d) = %v", offset, got)
			}
			for i := range given[offset] {
				delete(owner, offset+i)
			}
			delete(given, offset)
		default:
			at := offset + r.Uint64N(10)
			want := owner[at] != 0
			for i := range n {
				want = want && owner[at+i] == owner[at]
			}
			if got := b.Holds(at, n); got != want {
				t.Fatalf("Holds(%d, %d) = %v", at, n, got)
			}
		}
	}
	if b.Holds(^uint64(0), 8) || b.Holds(^uint64(0)-3, 8) {
		t.Error("wraps around")
	}
	n := 0
	b.Clear(func(uint64) { n++ })
	if n != len(given) || b.Holds(0, 1) {
		t.Errorf("cleared %d of %d", n, len(given))
	}
}
