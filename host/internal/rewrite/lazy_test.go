package rewrite

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// indirect builds a module whose functions 2 to 101 return their number through a table of 300 entries, with function 0 imported, and function 1
// calling the entry that it is given. sections take the place of those with the same number; an empty one, of none.
func indirect(sections ...[]byte) []byte {
	const n = 100
	declared, code := &body{}, &body{}
	declared.op(3, n+1, 1)
	code.op(10, n+1)
	code.Write(appendName(nil, (&body{}).op(0).get(0).op(0x11, 0, 0).end().Bytes()))
	for i := range n {
		declared.op(0)
		code.Write(appendName(nil, (&body{}).op(0).op(0x41).index(i).end().Bytes())) // numbers below 64 stand for themselves
	}
	elements := &body{}
	elements.op(9, 3)
	elements.op(0, 0x41, 10, 0x0b, n)
	for i := range n {
		elements.index(i + 2)
	}
	elements.op(0, 0x41, 0xc8, 1, 0x0b, 2, 0, 1)   // the imported function, and one of another type, at 200
	elements.op(2, 0, 0x41, 12, 0x0b, 0, 2, 50, 0) // over the first
	all := [][]byte{
		{1, 2, 0x60, 0, 1, i32, 0x60, 1, i32, 1, i32}, append([]byte{2, 1}, "\x03env\x01a\x00\x00"...), declared.Bytes(),
		{4, 1, 0x70, 0, 0xac, 2}, append([]byte{7, 1}, "\x04call\x00\x01"...), elements.Bytes(), code.Bytes(),
	}
	for _, s := range sections {
		for i := range all {
			if all[i][0] == s[0] {
				all[i] = s
			}
		}
	}
	return module(all...)
}

// calling instantiates a module and returns a function that calls an entry and says what came of it.
func calling(t *testing.T, wasm []byte) func(entry int) string {
	t.Helper()
	ctx := context.Background()
	rt := compiler(ctx)
	t.Cleanup(func() { _ = rt.Close(ctx) })
	for name, f := range map[[2]string]any{{"env", "a"}: func() int32 { return 999 }, {full.Fuel.Module, full.Fuel.Name}: func() {}} {
		if _, err := rt.NewHostModuleBuilder(name[0]).NewFunctionBuilder().WithFunc(f).Export(name[1]).Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	mod, err := rt.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	return func(entry int) string {
		got, err := mod.ExportedFunction("call").Call(ctx, api.EncodeI32(int32(entry)))
		if err != nil {
			text, _, _ := bytes.Cut([]byte(err.Error()), []byte("\n")) // without the stack
			return string(text)
		}
		return fmt.Sprint(api.DecodeI32(got[0]))
	}
}

// A table that begins empty has the entries it would have had, and fails as it would have.
func TestLazyTable(t *testing.T) {
	t.Parallel()
	wasm := indirect()
	m, err := Parse(wasm)
	if err != nil {
		t.Fatal(err)
	}
	o := full
	o.TableEntries = MaxTableEntries
	out := m.Rewrite(o)
	if again, err := Parse(out.Wasm); err != nil || out.Unfueled != "" || len(again.functions) < len(m.functions)+4 {
		t.Fatalf("%v, %q, %d functions of %d: the table doesn't begin empty", err, out.Unfueled, len(again.functions), len(m.functions))
	}
	plain, lazy := calling(t, wasm), calling(t, out.Wasm)
	for round := range 2 {
		for entry := -1; entry <= 301; entry++ {
			if want, got := plain(entry), lazy(entry); got != want {
				t.Errorf("round %d: entry %d gives %s, not %s", round, entry, got, want)
			}
		}
	}
	if got := lazy(200) + lazy(13) + lazy(12); got != "99999948" {
		t.Errorf("the test's own module gives %s", got)
	}
}

// Where somebody could tell, a table begins with what it has.
func TestNotLazyTable(t *testing.T) {
	t.Parallel()
	at := func(flags ...byte) []byte { return append([]byte{9, 1}, flags...) }
	code := func(ops ...byte) []byte { // another function 1
		b := &body{}
		b.op(10, 101)
		b.Write(appendName(nil, (&body{}).op(0).op(ops...).end().Bytes()))
		return b.times(100, func(int) { b.Write([]byte{4, 0, 0x41, 0, 0x0b}) }).Bytes()
	}
	for name, s := range map[string][]byte{
		"exported":            append([]byte{7, 2}, "\x04call\x00\x01\x01t\x01\x00"...),
		"two tables":          {4, 2, 0x70, 0, 0xac, 2, 0x70, 0, 1},
		"a huge table":        {4, 1, 0x70, 0, 0xac, 0x82, 0x02},
		"external references": {4, 1, 0x6f, 0, 0xac, 2},
		"passive":             at(1, 0, 1, 2),
		"declarative":         at(3, 0, 1, 2),
		"expressions":         at(4, 0x41, 0, 0x0b, 1, 0xd2, 2, 0x0b),
		"past its end":        at(0, 0x41, 0xab, 2, 0x0b, 2, 2, 3),
		"no such function":    at(0, 0x41, 0, 0x0b, 1, 0x7f),
		"another kind":        at(2, 0, 0x41, 0, 0x0b, 1, 1, 2),
		"another table":       at(2, 1, 0x41, 0, 0x0b, 0, 1, 2),
		"a global's offset":   at(0, 0x23, 0, 0x0b, 1, 2),
		"a sum's offset":      at(0, 0x41, 0, 0x41, 1, 0x6a, 0x0b, 1, 2),
		"table.get":           code(0x20, 0, 0x25, 0, 0xd1),
		"table.set":           code(0x20, 0, 0xd0, 0x70, 0x26, 0, 0x20, 0),
		"a tail call":         code(0x20, 0, 0x13, 0, 0),
		"elem.drop":           code(0xfc, 13, 0, 0x20, 0),
	} {
		m, err := Parse(indirect(s))
		if err != nil {
			if name != "no such function" && name != "a global's offset" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		for _, section := range m.sections {
			if section.id == sectionElement && m.lazyTable(section.body) != nil {
				t.Errorf("%s: the table begins empty", name)
			}
		}
	}
	m, err := Parse(indirect())
	if err != nil {
		t.Fatal(err)
	}
	few, never := full, full
	few.TableEntries, few.LazyTable, never.TableEntries, never.LazyTable = 1000, 105, 1000, 0
	if !bytes.Equal(m.Rewrite(few).Wasm, m.Rewrite(never).Wasm) {
		t.Error("104 entries are as many as 105")
	}
}

// Code may refer to a function only if something else does, whatever the rewrite adds; and what refers to it may be an entry that another replaces.
func TestReferences(t *testing.T) {
	t.Parallel()
	refers := func(function byte) []byte { // another function 1: whether the reference is null, and an entry
		b := &body{}
		b.op(10, 101)
		b.Write(appendName(nil, (&body{}).op(0, 0xd2, function, 0xd1, 0x1a).get(0).op(0x11, 0, 0).end().Bytes()))
		return b.times(100, func(i int) { b.Write(appendName(nil, (&body{}).op(0).op(0x41).index(i&63).end().Bytes())) }).Bytes()
	}
	replaced := []byte{9, 2, 0, 0x41, 0, 0x0b, 1, 7, 0, 0x41, 0, 0x0b, 1, 8}
	for _, typed := range []bool{true, false} {
		o := full
		o.TableEntries, o.TypedReferences = MaxTableEntries, typed
		m, err := Parse(indirect(refers(7), replaced))
		if err != nil || !m.Refers {
			t.Fatalf("%v, refers: %t", err, m.Refers)
		}
		out := m.Rewrite(o)
		if out.Unfueled != "" {
			t.Fatal(out.Unfueled)
		}
		plain, lazy := calling(t, indirect(refers(7), replaced)), calling(t, out.Wasm)
		for entry := range 3 {
			if want, got := plain(entry), lazy(entry); got != want {
				t.Errorf("entry %d gives %s, not %s", entry, got, want)
			}
		}
	}
	if _, err := Parse(indirect(refers(9), replaced)); err == nil || !strings.Contains(err.Error(), "a reference to function 9, which nothing") {
		t.Errorf("a function that nothing refers to: %v", err)
	}
}

// The bits of an integer's last byte that its width doesn't use are copies of its sign.
func TestSigned(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"\x7f": "-1", "\x3f": "63", "\x80\x7f": "-128", "\xff\xff\xff\xff\x07": "2147483647", "\x80\x80\x80\x80\x78": "-2147483648",
		"\x80\x80\x80\x80\x30": "error", "\xff\xff\xff\xff\x0f": "error", "\x80\x80\x80\x80\x08": "error", "\xff\xff\xff\xff\x4f": "error",
		"\x80\x80\x80\x80\x80\x00": "error",
	} {
		r := &reader{data: []byte(text)}
		got := fmt.Sprint(r.signed(32))
		if r.err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%x is %s, want %s", text, got, want)
		}
	}
	r := &reader{data: []byte("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f")}
	if got := r.signed(64); got != math.MinInt64 || r.err != nil {
		t.Errorf("the least of 64 bits is %d, %v", got, r.err)
	}
}
