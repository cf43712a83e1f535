package rewrite

import (
	"context"
	"errors"
	"slices"
	"testing"
)

func FuzzParse(f *testing.F) {
	f.Add(module(types, imports, memory, exports))
	f.Add(module([]byte{0, 4, 'n', 'a', 'm', 'e'}, types))
	f.Add(module(types, []byte{4, 2, 0x70, 0, 1, 0x6f, 1, 2, 3}, names("\x00\x01m", "\x01\x01\x00\x01f")))
	for _, seed := range []string{"", "\x03", "\x05 some statements \xff\xfe\xfd"} {
		f.Add((&generator{bytes: []byte(seed)}).program())
	}
	f.Add(endless((&body{}).op(0, 0x03, 0x40, 0x0c, 0).end().end(), (&body{}).op(0).end()))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		to := slices.Repeat([]string{"x"}, len(m.Imports))
		again, err := Parse(m.Rewrite(Options{Redirect: to, TableEntries: MaxTableEntries}).Wasm)
		if err != nil {
			t.Fatalf("rewritten module doesn't parse: %v", err)
		}
		if len(again.Imports) != len(m.Imports) || len(again.Exports) != len(m.Exports) || again.TableEntries != m.TableEntries {
			t.Fatal("imports, exports or tables lost")
		}
		for _, i := range again.Imports {
			if i.Module != "x" {
				t.Fatalf("import from %q", i.Module)
			}
		}
		var most uint64
		for _, table := range again.Tables {
			most += table.Max
		}
		if most > MaxTableEntries {
			t.Fatalf("the tables can grow to %d entries", most)
		}
		o := full
		o.TableEntries = MaxTableEntries
		out := m.Rewrite(o)
		if m.importedFunctions+len(m.leaves) != len(m.functions) { // functions without code stay without: wazero refuses them
			return
		}
		if again, err = Parse(out.Wasm); err != nil {
			t.Fatalf("with everything, it doesn't parse: %v", err)
		}
		for _, name := range append(out.Globals, out.Start, out.Hook) {
			if kind := again.kind(name); name != "" && kind == "" {
				t.Fatalf("no export %q", name)
			}
		}
		if len(data) < 1000 && compiles(context.Background(), data) && !compiles(context.Background(), out.Wasm) {
			t.Fatal(errRewritten)
		}
	})
}

// kind is an export's; "": there is none.
func (m *Module) kind(name string) string {
	for _, e := range m.Exports {
		if e.Name == name {
			return e.Kind.String()
		}
	}
	return ""
}

// FuzzCode checks that the decoder never panics, and that it can read what wazero compiles.
func FuzzCode(f *testing.F) {
	for op, i := range opcodes {
		for _, imm := range immediates[i.immediate] {
			f.Add(append(append([]byte{0, byte(op)}, imm...), 0x0b))
		}
	}
	for prefix, table := range map[byte]*[256]instruction{0xfc: &miscs, 0xfd: &vectors, 0xfe: &atomics} {
		for op, i := range table {
			for _, imm := range immediates[i.immediate] {
				f.Add(append(append([]byte{0, prefix, byte(op)}, imm...), 0x0b))
			}
		}
	}
	for _, x := range bombs {
		b := &body{}
		x.write(b, 2, min(x.width, 5))
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		if len(code) > 1000 {
			return
		}
		wasm := one(code...)
		m, err := Parse(wasm)
		if err == nil && (m.steps < 0 || m.locals < 6) {
			t.Fatalf("counted %d steps, %d locals", m.steps, m.locals)
		}
		if err := readable(wasm); err != nil && !isRefused(err) && !errors.Is(err, errInteger) { // wazero takes some integers that are too long
			t.Fatal(err)
		}
	})
}
