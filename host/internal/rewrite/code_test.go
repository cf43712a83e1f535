package rewrite

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestCodeErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body []byte
		want string
	}{
		"unknown":           {[]byte{0x06, 0x0b}, "function 0: unknown instruction 0x06"},
		"unknown misc":      {[]byte{0xfc, 0x12, 0x0b}, "function 0: unknown instruction 0xfc 0x12"},
		"huge misc":         {[]byte{0xfc, 0xff, 0xff, 0x03, 0x0b}, "function 0: unknown instruction 0xfc 0xffff"},
		"unknown SIMD":      {[]byte{0xfd, 0x9a, 0x0b}, "function 0: unknown instruction 0xfd 0x9a"},
		"unknown atomic":    {[]byte{0xfe, 0x04, 0x0b}, "function 0: unknown instruction 0xfe 0x04"},
		"no end":            {[]byte{0x01}, "ends too early"},
		"a block's end":     {[]byte{0x02, 0x40, 0x0b}, "ends too early"},
		"after its end":     {[]byte{0x0b, 0x01}, "1 bytes after its end"},
		"branch too far":    {[]byte{0x0c, 1, 0x0b}, "a branch out of 1 blocks, where 1 are open"},
		"local":             {[]byte{0x20, 6, 0x0b}, "a use of local 6, where there are 6"},
		"call":              {[]byte{0x10, 9, 0x0b}, "a call of function 9, where there are 1"},
		"call_indirect":     {[]byte{0x11, 9, 0, 0x0b}, "a use of type 9, where there are 1"},
		"block's type":      {[]byte{0x02, 9, 0x0b, 0x0b}, "a use of type 9, where there are 1"},
		"else alone":        {[]byte{0x05, 0x0b}, "an else without its if"},
		"second else":       {[]byte{0x41, 0, 0x04, 0x40, 0x05, 0x05, 0x0b, 0x0b}, "an else without its if"},
		"catch":             {[]byte{0x1f, 0x40, 1, 4, 0, 0x0b, 0x0b}, "a catch of the unknown kind 4"},
		"select":            {[]byte{0x1c, 2, 0x7f, 0x7f, 0x0b}, "a select with 2 types"},
		"br_table cut":      {[]byte{0x0e, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x0b}, "a branch out of 11 blocks"},
		"constant too long": {[]byte{0x41, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0x0b}, "too many bytes"},
		"blocks":            {append(bytes.Repeat([]byte{0x02, 0x40}, maxNodes+1), bytes.Repeat([]byte{0x0b}, maxNodes+2)...), "100001 blocks and branches; the bound is 100000"},
		"blocks, dead":      {append([]byte{0}, bytes.Repeat([]byte{0x02, 0x40}, maxNodes+1)...), "100001 blocks and branches; the bound is 100000"},
	} {
		_, err := Parse(one(tc.body...))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want …%s…", name, err, tc.want)
		}
	}
}

// functions builds a module with those bodies, locals and all.
func functions(bodies ...string) []byte {
	declared, code := appendLEB([]byte{3}, uint64(len(bodies))), appendLEB([]byte{10}, uint64(len(bodies)))
	for _, b := range bodies {
		declared = append(declared, 0)
		code = appendName(code, b)
	}
	return module(types, declared, code)
}

func TestBounds(t *testing.T) {
	t.Parallel()
	section := func(id byte, count int, each string) []byte {
		return append(appendLEB([]byte{id}, uint64(count)), strings.Repeat(each, count)...)
	}
	fifty := string(append(appendLEB([]byte{1}, maxLocals), 0x7f, 0x0b)) // 50,000 locals
	for name, tc := range map[string]struct {
		ok, over []byte
		want     string
	}{
		"types": {
			module(section(1, maxTypes, "\x60\x00\x00")), module(section(1, maxTypes+1, "\x60\x00\x00")),
			"the module has 10001 types; the bound is 10000",
		},
		"types in a group": {
			module(append([]byte{1, 1}, section(0x4e, maxTypes, "\x60\x00\x00")...)),
			module(append([]byte{1, 1}, section(0x4e, maxTypes+1, "\x60\x00\x00")...)),
			"the module has 10001 types; the bound is 10000",
		},
		"parameters": {
			module(section(1, 1000, "\x60\x64"+strings.Repeat("\x7f", 100)+"\x00")),
			module(section(1, 1001, "\x60\x64"+strings.Repeat("\x7f", 100)+"\x00")),
			"the module has 100100 parameters and results in its types; the bound is 100000",
		},
		"functions": {
			module(section(3, maxFunctions, "\x00")), module(section(3, maxFunctions+1, "\x00")),
			"the module has 100001 functions; the bound is 100000",
		},
		"imports": {
			module(types, section(2, maxImports, "\x00\x00\x00\x00")), module(types, section(2, maxImports+1, "\x00\x00\x00\x00")),
			"the module has 1001 imports; the bound is 1000",
		},
		"exports": {
			module(section(7, maxExports, "\x00\x00\x00")), module(section(7, maxExports+1, "\x00\x00\x00")),
			"the module has 10001 exports; the bound is 10000",
		},
		"globals": {
			module(section(6, maxGlobals, "\x7f\x00\x41\x00\x0b")), module(section(6, maxGlobals+1, "\x7f\x00\x41\x00\x0b")),
			"the module has 10001 globals; the bound is 10000",
		},
		"tables": {
			module(section(4, maxTables, "\x70\x00\x01")), module(section(4, maxTables+1, "\x70\x00\x01")),
			"the module has 101 tables; the bound is 100",
		},
		"table entries": {
			module(section(4, 4, "\x70\x00\x90\xa1\x0f")), module(section(4, 4, "\x70\x00\x91\xa1\x0f")), // 250,000 and one more
			"the module has 1000004 entries in its tables and passive element segments; the bound is 1000000",
		},
		"data segments": {
			module(section(11, maxData, "\x01\x00")), module(section(11, maxData+1, "\x01\x00")),
			"the module has 100001 data segments; the bound is 100000",
		},
		"element segments": {
			module(section(9, maxElements, "\x01\x00\x00")), module(section(9, maxElements+1, "\x01\x00\x00")),
			"the module has 10001 element segments; the bound is 10000",
		},
		"elements": {
			module(section(9, 1000, "\x03\x00\xe8\x07"+strings.Repeat("\x00", 1000))),
			module(section(9, 1001, "\x03\x00\xe8\x07"+strings.Repeat("\x00", 1000))),
			"the module has 1001000 entries in its element segments; the bound is 1000000",
		},
		"locals": {
			functions(fifty), functions(string(append(appendLEB([]byte{1}, maxLocals+1), 0x7f, 0x0b))),
			"function 0: 50001 locals; the bound is 50000",
		},
		"all locals": {
			functions(strings.Split(strings.Repeat(fifty+" ", 19)+fifty, " ")...),
			functions(strings.Split(strings.Repeat(fifty+" ", 20)+fifty, " ")...),
			"the functions up to 20 have 1050000 locals; the bound is 1000000",
		},
		"a function's steps": {
			functions("\x00" + strings.Repeat("\x01", 1_800_000) + "\x0b"), functions("\x00" + strings.Repeat("\x01", 1_900_000) + "\x0b"),
			"function 0 takes an estimated 760002920 steps to compile, most of them for its instructions; the bound is 750000000",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Parse(tc.ok); err != nil {
				t.Errorf("at the bound: %v", err)
			}
			_, err := Parse(tc.over)
			if err == nil || !strings.HasSuffix(err.Error(), tc.want) {
				t.Errorf("over the bound: got %v, want …%s", err, tc.want)
			}
		})
	}
}

// TestAllSteps checks the bounds on the module with functions that are each under theirs.
func TestAllSteps(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		bound int
		count func(*Module) int
	}{
		"nested loop with locals": {maxTangledSteps, func(m *Module) int { return m.tangled }},
		"memory.copy":             {maxSteps, func(m *Module) int { return m.steps }},
	} {
		for _, x := range bombs {
			if x.name != name {
				continue
			}
			n := x.some()
			m, err := Parse(x.module(n, 1))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Parse(x.module(n, tc.bound/tc.count(m)-1)); err != nil {
				t.Errorf("%s, under the bound: %v", name, err)
			}
			_, err = Parse(x.module(n, tc.bound/tc.count(m)+1))
			if want := fmt.Sprintf("; the bound is %d", tc.bound); err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%s, over the bound: got %v, want …%s", name, err, want)
			}
		}
	}
}
