package rewrite

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
)

// code is a code section of functions without locals.
func code(bodies ...string) []byte {
	b := appendLEB([]byte{sectionCode}, uint64(len(bodies)))
	for _, x := range bodies {
		b = appendName(b, "\x00"+x+"\x0b")
	}
	return b
}

func TestDetach(t *testing.T) {
	t.Parallel()
	count := []byte{sectionDataCount, 2}
	const page = 1 << 16
	for name, tc := range map[string]struct {
		data    []byte
		counted bool
		want    []Segment
		rest    []byte
		stays   bool
	}{
		"none":              {data: data()},
		"two":               {data: data(segment(8, "a"), segment(1000, "b")), want: []Segment{{8, []byte("a")}, {1000, []byte("b")}}},
		"joined":            {data: data(segment(8, "a"), segment(10, "b")), want: []Segment{{8, []byte("a\x00b")}}},
		"overlapping":       {data: data(segment(8, "abc"), segment(9, "d")), want: []Segment{{8, []byte("abc")}, {9, []byte("d")}}},
		"to the end":        {data: data(segment(2*page-1, "a"), segment(2*page, "")), want: []Segment{{2*page - 1, []byte("a")}}},
		"with the memory":   {data: data("\x02\x00\x41\x07\x0b\x01a"), want: []Segment{{7, []byte("a")}}},
		"counted":           {data: data(segment(8, "a"), segment(9, "b")), counted: true, want: []Segment{{8, []byte("a")}, {9, []byte("b")}}, rest: data("\x01\x00", "\x01\x00")},
		"counted, passive":  {data: data(segment(8, "a"), "\x01\x02bc"), counted: true, want: []Segment{{8, []byte("a")}}, rest: data("\x01\x00", "\x01\x02bc")},
		"out of bounds":     {data: data(segment(2*page, "a")), stays: true},
		"empty, and out":    {data: data(segment(2*page+1, "")), stays: true},
		"far out of bounds": {data: data(segment(-1, "a")), stays: true},
		"by a global":       {data: data("\x00\x23\x00\x0b\x01d"), stays: true},
		"computed":          {data: data("\x00\x41\x01\x41\x01\x6a\x0b\x01d"), stays: true},
		"another memory":    {data: data("\x02\x01\x41\x07\x0b\x01a"), stays: true},
	} {
		sections := [][]byte{memory}
		if tc.counted {
			sections = append(sections, count)
		}
		m, err := Parse(module(append(sections, tc.data)...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		out := m.Rewrite(Options{Detach: true})
		if tc.stays {
			tc.rest = tc.data
		}
		if tc.rest != nil {
			sections = append(sections, tc.rest)
		}
		if d := cmp.Diff(tc.want, out.Data); d != "" || out.Detached == tc.stays {
			t.Errorf("%s: detached %v: %s", name, out.Detached, d)
		}
		if d := cmp.Diff(module(sections...), out.Wasm); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestDetachedSegmentsAreDropped holds that instructions see segments as the standard has them once they have been applied.
func TestDetachedSegmentsAreDropped(t *testing.T) {
	t.Parallel()
	wasm := func(n byte) []byte {
		return module(types, []byte{3, 1, 0}, memory, []byte{7, 1, 1, 'f', 0, 0}, []byte{sectionDataCount, 1},
			code("\x41\x00\x41\x00\x41"+string(rune(n))+"\xfc\x08\x00\x00"), data(segment(8, "abc")))
	}
	if _, err := run(t, wasm(0), 1000, 1<<30); err != nil {
		t.Error(err)
	}
	if _, err := run(t, wasm(1), 1000, 1<<30); err == nil || !strings.Contains(err.Error(), "out of bounds memory access") {
		t.Error(err)
	}
}

// TestStart holds that a start function runs once, and not before its data is there.
func TestStart(t *testing.T) {
	t.Parallel()
	// It copies what is at 8 to 16.
	wasm := module(types, []byte{3, 1, 0}, memory, []byte{7, 1, 1, 'm', 2, 0}, []byte{8, 0}, code("\x41\x10\x41\x08\x28\x02\x00\x36\x02\x00"),
		data(segment(8, "abcd")))
	m, err := Parse(wasm)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"nothing": {}, "everything": full, "no fuel": {Expose: "x", Detach: true}, "no names": {Detach: true, Fuel: full.Fuel}, "only detached": {Detach: true},
	} {
		out := m.Rewrite(o)
		if out.Detached != (o.Detach && o.Expose != "") || (out.Start != "") != out.Detached {
			t.Errorf("%s: detached %v, start %q", name, out.Detached, out.Start)
		}
		ctx := context.Background()
		rt := compiler(ctx)
		defer func() { _ = rt.Close(ctx) }()
		if _, err := rt.NewHostModuleBuilder(full.Fuel.Module).NewFunctionBuilder().WithFunc(func() {}).Export("tick").Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
		mod, err := rt.InstantiateWithConfig(ctx, out.Wasm, wazero.NewModuleConfig().WithStartFunctions())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if before, _ := mod.Memory().ReadUint32Le(16); (before == 0) != out.Detached {
			t.Errorf("%s: the start function was called: %v", name, before != 0)
		}
		if err := apply(ctx, mod, out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := mod.Memory().Read(16, 4); string(got) != "abcd" {
			t.Errorf("%s: it left %q", name, got)
		}
	}
}

func TestExpose(t *testing.T) {
	t.Parallel()
	globals := []byte{6, 3, i64, 1, 0x42, 5, 0x0b, i32, 0, 0x41, 7, 0x0b, f64, 1, 0x44, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x0b}
	m, err := Parse(module(types, globals, []byte{7, 1, 1, 'g', 3, 0}))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		o    Options
		want string
	}{
		"nothing":    {Options{}, "[g] []"},
		"everything": {full, "[g sortie:global0 sortie:global2 sortie:global3 sortie:hook] [sortie:global0 sortie:global2 sortie:global3]"},
		"no fuel":    {Options{Expose: "x"}, "[g xglobal0 xglobal2 xhook] [xglobal0 xglobal2]"},
		"no names":   {Options{Fuel: full.Fuel}, "[g] []"},
		"taken":      {Options{Expose: "g", Fuel: full.Fuel, Detach: true}, "[g] []"},
	} {
		out := m.Rewrite(tc.o)
		if !compiles(context.Background(), out.Wasm) {
			t.Errorf("%s: wazero refuses it", name)
		}
		again, err := Parse(out.Wasm)
		if err != nil {
			t.Fatal(err)
		}
		var exports []string
		for _, e := range again.Exports {
			exports = append(exports, e.Name)
		}
		if got := fmt.Sprint(exports, out.Globals); got != tc.want {
			t.Errorf("%s: %s", name, got)
		}
		if taken := name == "taken"; taken != (out.Unfit != "") || (tc.o.Fuel.Name == "" || taken) != (out.Unfueled != "") {
			t.Errorf("%s: unfit %q, unfueled %q", name, out.Unfit, out.Unfueled)
		}
	}
}

func TestUnfit(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		code   string
		global []byte
		want   string
	}{
		"nothing":            {"", []byte{i32, 1, 0x41, 0, 0x0b}, ""},
		"table.get":          {"\x41\x00\x25\x00\x1a", nil, ""},
		"table.size":         {"\xfc\x10\x00\x1a", nil, ""},
		"memory.init":        {"\x41\x00\x41\x00\x41\x00\xfc\x08\x00\x00", nil, ""},
		"table.set":          {"\x41\x00\xd0\x70\x26\x00", nil, "it writes to its tables"},
		"table.set, dead":    {"\x00\x41\x00\xd0\x70\x26\x00", nil, "it writes to its tables"},
		"table.init":         {"\x41\x00\x41\x00\x41\x00\xfc\x0c\x00\x00", nil, "it writes to its tables"},
		"table.copy":         {"\x41\x00\x41\x00\x41\x00\xfc\x0e\x00\x00", nil, "it writes to its tables"},
		"table.grow":         {"\xd0\x70\x41\x00\xfc\x0f\x00\x1a", nil, "it writes to its tables"},
		"table.fill":         {"\x41\x00\xd0\x70\x41\x00\xfc\x11\x00", nil, "it writes to its tables"},
		"data.drop":          {"\xfc\x09\x00", nil, "it drops segments"},
		"elem.drop":          {"\xfc\x0d\x00", nil, "it drops segments"},
		"mutable vector":     {"", append(append([]byte{0x7b, 1, 0xfd, 0x0c}, make([]byte, 16)...), 0x0b), "it has a mutable global that is a vector or a reference"},
		"vector":             {"", append(append([]byte{0x7b, 0, 0xfd, 0x0c}, make([]byte, 16)...), 0x0b), ""},
		"mutable reference":  {"", []byte{0x70, 1, 0xd0, 0x70, 0x0b}, "it has a mutable global that is a vector or a reference"},
		"external reference": {"", []byte{0x6f, 1, 0xd0, 0x6f, 0x0b}, "it has a mutable global that is a vector or a reference"},
	} {
		if tc.global == nil {
			tc.global = []byte{i32, 0, 0x41, 0, 0x0b}
		}
		wasm := module(types, []byte{3, 1, 0}, []byte{4, 1, 0x70, 0, 1}, memory, append([]byte{6, 1}, tc.global...), []byte{9, 1, 1, 0, 1, 0},
			[]byte{sectionDataCount, 1}, code(tc.code), data("\x01\x00"))
		if !compiles(context.Background(), wasm) {
			t.Errorf("%s: wazero refuses it", name)
		}
		m, err := Parse(wasm)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := m.Rewrite(Options{}).Unfit; got != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
