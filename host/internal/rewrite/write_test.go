package rewrite

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

func TestTables(t *testing.T) {
	t.Parallel()
	const million = "\xc0\x84\x3d"
	for name, tc := range map[string]struct {
		section []byte
		entries uint64
		want    []byte
	}{
		"no maximum":          {[]byte("\x04\x01\x70\x00\x0a"), 1_000_000, []byte("\x04\x01\x70\x01\x0a" + million)},
		"a small maximum":     {[]byte("\x04\x01\x70\x01\x0a\x14"), 1_000_000, []byte("\x04\x01\x70\x01\x0a\x14")},
		"a large maximum":     {[]byte("\x04\x01\x70\x01\x00\xff\xff\xff\x7f"), 1_000_000, []byte("\x04\x01\x70\x01\x00" + million)},
		"two share":           {[]byte("\x04\x02\x70\x00\x0a\x6f\x00\x14"), 50, []byte("\x04\x02\x70\x01\x0a\x14\x6f\x01\x14\x1e")},
		"nothing left":        {[]byte("\x04\x01\x70\x00\x0a"), 10, []byte("\x04\x01\x70\x01\x0a\x0a")},
		"too few":             {[]byte("\x04\x01\x70\x00\x0a"), 5, []byte("\x04\x01\x70\x01\x0a\x0a")},
		"reference with type": {[]byte("\x04\x01\x63\x70\x00\x01"), 3, []byte("\x04\x01\x63\x70\x01\x01\x03")},
		"none":                {[]byte("\x04\x00"), 3, []byte("\x04\x00")},
	} {
		m, err := Parse(module(types, tc.section))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := m.Rewrite(Options{TableEntries: tc.entries}).Wasm
		if want := module(types, tc.want); !bytes.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// TestTableGrow has wazero grow a table of a rewritten module.
func TestTableGrow(t *testing.T) {
	t.Parallel()
	m, err := Parse(module(
		[]byte{1, 1, 0x60, 1, 0x7f, 1, 0x7f}, []byte{3, 1, 0}, []byte{4, 1, 0x70, 0, 10}, []byte{7, 1, 1, 'g', 0, 0},
		[]byte{10, 1, 9, 0, 0xd0, 0x70, 0x20, 0, 0xfc, 15, 0, 0x0b},
	))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	mod, err := rt.Instantiate(ctx, m.Rewrite(Options{TableEntries: 100}).Wasm)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ by, want int32 }{{400_000_000, -1}, {91, -1}, {90, 10}, {1, -1}, {0, 100}} {
		got, err := mod.ExportedFunction("g").Call(ctx, api.EncodeI32(step.by))
		if err != nil || api.DecodeI32(got[0]) != step.want {
			t.Errorf("table.grow by %d gives %v, %v; want %d", step.by, got, err, step.want)
		}
	}
}

// names builds a name section of subsections given as id and body.
func names(subsections ...string) []byte {
	b := []byte("\x00\x04name")
	for _, s := range subsections {
		b = append(append(append(b, s[0]), appendLEB(nil, uint64(len(s)-1))...), s[1:]...)
	}
	return b
}

func named(index byte, name string) string {
	return string(appendName([]byte{index}, name))
}

func TestNames(t *testing.T) {
	t.Parallel()
	long, wide := strings.Repeat("x", 1000), strings.Repeat("x", 255)+"é"
	for name, tc := range map[string]struct {
		in, want []byte // want nil: dropped
	}{
		"short":          {names("\x00\x01m", "\x01\x01"+named(0, "f")), names("\x00\x01m", "\x01\x01"+named(0, "f"))},
		"long":           {names("\x00"+named(0xe8, "")[:0]+string(appendName(nil, long)), "\x01\x01"+named(0, long)), names("\x00"+string(appendName(nil, long[:256])), "\x01\x01"+named(0, long[:256]))},
		"cut character":  {names("\x01\x01" + named(0, wide)), names("\x01\x01" + named(0, wide[:255]))},
		"exactly":        {names("\x01\x01" + named(0, long[:256])), names("\x01\x01" + named(0, long[:256]))},
		"locals":         {names("\x01\x00", "\x02\xff\xff\xff\xff\x0f"), names("\x01\x00")},
		"more proposals": {names("\x01\x00", "\x07\x00"), names("\x01\x00")},
		"other section":  {[]byte("\x00\x0b.debug_infoxyz"), nil},
		"not UTF-8":      {names("\x01\x01" + named(0, "\xff")), nil},
		"count":          {names("\x01\xff\xff\xff\xff\x0f"), nil},
		"left over":      {names("\x01\x00\x00"), nil},
		"no function":    {names("\x01\x01" + named(1, "f")), nil},
		"descending":     {names("\x01\x02" + named(0, "f") + named(0, "f")), nil},
		"twice":          {names("\x01\x00", "\x01\x00"), nil},
		"cut":            {names("\x01\x00")[:7], nil},
		"no name":        {[]byte{0, 9}, nil},
		"too large":      {names("\x00\x00", "\x07"+strings.Repeat(" ", maxNames)), nil},
	} {
		code := functions("\x00\x0b")
		want := code
		if tc.want != nil {
			want = append(append([]byte{}, code...), module(tc.want)[8:]...)
		}
		m, err := Parse(append(append([]byte{}, code...), module(tc.in)[8:]...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(string(want), string(m.Rewrite(Options{}).Wasm)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestTrapNames checks that a trap still says which function it was in, and that no name makes its text long.
func TestTrapNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	code := module(
		types, []byte{3, 2, 0, 0}, []byte{7, 1, 1, 'f', 0, 1}, []byte{10, 2, 3, 0, 0, 0x0b, 4, 0, 0x10, 0, 0x0b},
		names("\x01\x02"+named(0, "short")+named(1, long)), names("\x01\x01"+named(0, "second")),
	)
	m, err := Parse(code)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	mod, err := rt.Instantiate(ctx, m.Rewrite(Options{}).Wasm)
	if err != nil {
		t.Fatal(err)
	}
	_, err = mod.ExportedFunction("f").Call(ctx)
	if text := fmt.Sprint(err); !strings.Contains(text, "short()") || !strings.Contains(text, long[:256]) || len(text) > 500 {
		t.Errorf("the trap's text is %.600q", text)
	}
}
