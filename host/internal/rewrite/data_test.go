package rewrite

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// segment encodes a data segment at a constant place.
func segment(at int, data string) string {
	b := appendSigned([]byte{0, opI32Const}, int64(at))
	return string(appendName(append(b, opEnd), data))
}

func data(segments ...string) []byte {
	return append(appendLEB([]byte{sectionData}, uint64(len(segments))), strings.Join(segments, "")...)
}

func TestDataSegmentsAreJoined(t *testing.T) {
	t.Parallel()
	gap := strings.Repeat("\x00", maxGap)
	for name, tc := range map[string]struct{ in, want []byte }{
		"none":           {data(), data()},
		"one":            {data(segment(8, "abc")), data(segment(8, "abc"))},
		"adjacent":       {data(segment(8, "abc"), segment(11, "d")), data(segment(8, "abcd"))},
		"near":           {data(segment(8, "a"), segment(9+maxGap, "b"), segment(12+maxGap, "c")), data(segment(8, "a"+gap+"b\x00\x00c"))},
		"far":            {data(segment(8, "a"), segment(10+maxGap, "b")), data(segment(8, "a"), segment(10+maxGap, "b"))},
		"far, then near": {data(segment(0, "a"), segment(1000, "b"), segment(1002, "c")), data(segment(0, "a"), segment(1000, "b\x00c"))},
		"high":           {data(segment(-9, "a"), segment(-7, "b")), data(segment(-9, "a\x00b"))},
		"overlapping":    {data(segment(8, "abc"), segment(10, "d")), nil},
		"backwards":      {data(segment(8, "abc"), segment(4, "d"), segment(0, "e")), data(segment(0, "e\x00\x00\x00d\x00\x00\x00abc"))},
		"empty":          {data(segment(8, "abc"), segment(11, "")), nil},
		"passive":        {data(segment(8, "abc"), "\x01\x01d"), nil},
		"memory named":   {data(segment(8, "abc"), "\x02\x00\x41\x0b\x0b\x01d"), nil},
		"by a global":    {data("\x00\x23\x00\x0b\x01d"), nil},
		"two steps":      {data("\x00\x41\x01\x41\x01\x6a\x0b\x01d"), nil},
	} {
		if tc.want == nil {
			tc.want = tc.in
		}
		m, err := Parse(module(memory, tc.in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := m.Rewrite(Options{}).Wasm; !bytes.Equal(got, module(memory, tc.want)) {
			t.Errorf("%s: got %q", name, got)
		}
	}
	// Where instructions may name segments, their numbers must stay.
	counted := module(memory, []byte{sectionDataCount, 2}, data(segment(8, "a"), segment(9, "b")))
	m, err := Parse(counted)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Rewrite(Options{}).Wasm; !bytes.Equal(got, counted) {
		t.Errorf("with a data count: %q", got)
	}
}

// contents instantiates a module and returns what its memory holds then; nil if it doesn't start.
func contents(t *testing.T, wasm []byte) []byte {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer rt.Close(ctx)
	mod, err := rt.Instantiate(ctx, wasm)
	if err != nil {
		return nil
	}
	b, _ := mod.Memory().Read(0, mod.Memory().Size())
	return bytes.Clone(b)
}

// Whatever the segments, a memory begins with the same bytes, and a module that doesn't start still doesn't.
func TestJoinedDataIsTheSame(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 2))
	for range 300 {
		var segments []string
		at := r.IntN(2 << 16)
		for range r.IntN(20) {
			at = max(at+r.IntN(400)-r.IntN(200), 0)
			d := strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(100))
			segments = append(segments, segment(at, d))
			at += len(d)
		}
		wasm := module(memory, []byte{7, 1, 1, 'm', 2, 0}, data(segments...))
		m, err := Parse(wasm)
		if err != nil {
			t.Fatal(err)
		}
		if want, got := contents(t, wasm), contents(t, m.Rewrite(Options{}).Wasm); !bytes.Equal(want, got) {
			t.Fatalf("segments %q", segments)
		}
	}
}
