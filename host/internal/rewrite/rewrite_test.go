package rewrite

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tetratelabs/wazero"
)

// module builds a module from sections given as id and body.
func module(sections ...[]byte) []byte {
	out := append([]byte(nil), magic[:]...)
	for _, s := range sections {
		out = append(out, s[0])
		out = appendLEB(out, uint64(len(s)-1))
		out = append(out, s[1:]...)
	}
	return out
}

var (
	types   = []byte{1, 1, 0x60, 0, 0} // one type: () -> ()
	imports = append(append([]byte{2, 2}, imported("env", "a")...), imported("other", "b")...)
	memory  = []byte{5, 1, 1, 2, 9} // 2 to 9 pages
	exports = []byte{7, 2, 1, 'm', 2, 0, 1, 'f', 0, 0}
)

func imported(module, name string) []byte {
	return append(appendName(appendName(nil, module), name), 0, 0)
}

func TestParse(t *testing.T) {
	t.Parallel()
	m, err := Parse(module(types, imports, memory, exports))
	if err != nil {
		t.Fatal(err)
	}
	want := &Module{Outline: Outline{
		Imports:  []Import{{Module: "env", Name: "a"}, {Module: "other", Name: "b"}},
		Exports:  []Export{{Name: "m", Kind: Memory}, {Name: "f", Kind: Func}},
		Memories: []Limits{{Min: 2, Max: 9, HasMax: true}},
	}}
	if d := cmp.Diff(want, m, cmpopts.IgnoreUnexported(Module{}, Import{})); d != "" {
		t.Error(d)
	}
	if !m.Exported("m", Memory) || m.Exported("m", Func) || m.Exported("x", Func) {
		t.Error("Exported tells wrong")
	}
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	in := module(types, imports, memory, exports)
	m, err := Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Rewrite(Options{Redirect: make([]string, len(m.Imports))}).Wasm; !bytes.Equal(got, in) {
		t.Errorf("nothing redirected, yet\n%x\nbecame\n%x", in, got)
	}
	out := m.Rewrite(Options{Redirect: []string{"sortie:extism", ""}}).Wasm
	again, err := Parse(out)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Imports[0].Module + " " + again.Imports[1].Module; got != "sortie:extism other" {
		t.Errorf("imports from %s", got)
	}
	rt := wazero.NewRuntime(context.Background())
	defer rt.Close(context.Background())
	compiled, err := rt.CompileModule(context.Background(), out)
	if err != nil {
		t.Fatalf("wazero refuses the rewritten module: %v", err)
	}
	if got, _, _ := compiled.ImportedFunctions()[0].Import(); got != "sortie:extism" {
		t.Errorf("wazero sees the import from %q", got)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in   []byte
		want string
	}{
		"empty":               {nil, "doesn't begin"},
		"text":                {[]byte("(module (func))"), "doesn't begin"},
		"component":           {[]byte("\x00asm\x0d\x00\x01\x00"), "component"},
		"version":             {[]byte("\x00asm\x02\x00\x00\x00"), "version"},
		"cut section":         {module(types)[:11], "ends too early"},
		"unknown section":     {module([]byte{99}), "unknown section"},
		"section twice":       {module(types, types), "stands twice"},
		"out of order":        {module(memory, types), "out of order"},
		"count too large":     {module([]byte{2, 0xff, 0xff, 0xff, 0xff, 0x0f}), "4294967295 imports; the bound is 1000"},
		"count not borne out": {module([]byte{2, 100}), "ends too early"},
		"33-bit count":        {module([]byte{2, 0xff, 0xff, 0xff, 0xff, 0x1f}), "too many bytes or bits"},
		"endless integer":     {module([]byte{2, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80}), "too many bytes or bits"},
		"left over":           {module([]byte{5, 0, 1}), "left over"},
		"name not UTF-8":      {module([]byte{7, 1, 1, 0xff, 0, 0}), "UTF-8"},
		"unknown import":      {module([]byte{2, 1, 0, 0, 9}), "unknown kind"},
		"a first value":       {module([]byte{4, 1, 0x40, 0, 0x70, 0, 1, 0xd0, 0x70, 0x0b}), "a table with an initial value"},
		"table of 64 bits":    {module([]byte{4, 1, 0x70, 4, 1}), "unknown form 0x4"},
		"no function type":    {module([]byte{1, 1, 0x5f}), "no function type"},
		"unknown segment":     {module([]byte{11, 1, 3}), "unknown flags 0x3"},
		"unknown elements":    {module([]byte{9, 1, 8}), "unknown flags 0x8"},
		"constant":            {module([]byte{6, 1, 0x7f, 0, 0x20, 0, 0x0b}), "instruction 0x20 in a constant expression"},
		"too much code":       {module(types, []byte{3, 1, 0}, []byte{10, 2, 2, 0, 0x0b, 2, 0, 0x0b}), "1 functions, but code for 2"},
		"no such type":        {module(types, []byte{3, 1, 1}, []byte{10, 1, 2, 0, 0x0b}), "function 0: a use of type 1, where there are 1"},
		"unknown limit flag":  {module([]byte{5, 1, 0x40, 1}), "unknown flags"},
	} {
		_, err := Parse(tc.in)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want …%s…", name, err, tc.want)
		}
	}
	if _, err := Parse(nil); !errors.Is(err, ErrNotWasm) {
		t.Error("no ErrNotWasm")
	}
}
