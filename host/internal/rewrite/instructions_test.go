package rewrite

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// one builds a module with a single function, of no parameters or results, with a local of each type in operands, and all that an
// instruction may refer to by the index 0: a type, a table, a memory, a tag, a global, a segment of elements and one of data.
func one(body ...byte) []byte {
	f := append([]byte{6, 1, 0x7f, 1, 0x7e, 1, 0x7d, 1, 0x7c, 1, 0x7b, 1, 0x70}, body...)
	return module(
		types, []byte{3, 1, 0}, []byte{4, 1, 0x70, 0, 1}, memory,
		[]byte{13, 1, 0, 0},                  // tag
		[]byte{6, 1, 0x7f, 1, 0x41, 0, 0x0b}, // global
		[]byte{9, 1, 1, 0, 1, 0},             // elements, passive: function 0
		[]byte{12, 1},
		append(append([]byte{10, 1}, appendLEB(nil, uint64(len(f)))...), f...),
		[]byte{11, 1, 1, 0}, // data, passive
	)
}

// immediates are the encodings that TestOpcodes tries for each immediate.
var immediates = map[immediate][][]byte{
	immNone:         {{}},
	immIndex:        {{0}},
	immTwoIndices:   {{0, 0}},
	immLocal:        {{0}, {1}, {2}, {3}, {4}, {5}},
	immFill:         {{0}},
	immMemarg:       {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {0, 0x80, 0}},
	immMemargLane:   {{0, 0, 0}},
	immI32:          {{0xff, 0}},
	immI64:          {{0xff, 0xff, 0xff, 0xff, 0xff, 0}},
	immByte:         {{0}},
	immF32:          {{0, 0, 0, 0}},
	immF64:          {{0, 0, 0, 0, 0, 0, 0, 0}},
	immV128:         {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
	immBlock:        {{0x40}},
	immTryTable:     {{0x40, 0}, {0x40, 1, 0, 0, 0}, {0x40, 1, 2, 0}},
	immLabel:        {{0}},
	immLabels:       {{2, 0, 0, 0}},
	immCall:         {{0}},
	immCallRef:      {{0}},
	immCallIndirect: {{0, 0}},
	immOneType:      {{1, 0x7f}},
	immHeapType:     {{0x70}},
}

// opcodesUnderTest gives the opcode's bytes and what the table says of each, known or not.
func opcodesUnderTest(t *testing.T, do func(name string, op []byte, i instruction)) {
	t.Helper()
	for prefix, table := range map[int]*[256]instruction{-1: &opcodes, 0xfc: &miscs, 0xfd: &vectors, 0xfe: &atomics} {
		for n, i := range table {
			op := []byte{byte(n)}
			switch {
			case prefix < 0 && i.immediate >= immMisc:
				continue
			case prefix == 0xfc:
				op = appendLEB([]byte{0xfc}, uint64(n))
			case prefix > 0:
				op = []byte{byte(prefix), byte(n)}
			}
			do(fmt.Sprintf("% x", op), op, i)
		}
	}
}

// TestOpcodes proves the tables against wazero's validator. After an unreachable, operands of any type are at hand, so an instruction
// is valid if its immediates are; without their last byte they swallow the function's end.
func TestOpcodes(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	valid := func(op, imm []byte) (end string) {
		for _, end := range []string{"\x0b", "\x1a\x0b", "\x0b\x0b"} { // with nothing on the stack, with a result, of a block
			if compiles(ctx, one(slices.Concat([]byte{0}, op, imm, []byte(end))...)) {
				return end
			}
		}
		return ""
	}
	known := 0
	opcodesUnderTest(t, func(name string, op []byte, i instruction) {
		switch {
		case name == "05" || name == "0b" || name == "d6": // else and end are nothing alone; br_on_non_null needs a label with a value
			return
		case i.immediate == immUnknown:
			for imm, encodings := range immediates {
				if valid(op, encodings[0]) != "" {
					t.Errorf("%s: unknown, but wazero takes it, with immediate %d", name, imm)
				}
			}
			return
		}
		known++
		ok := false
		for _, imm := range immediates[i.immediate] {
			end := valid(op, imm)
			if end == "" {
				continue
			}
			ok = true
			if n := len(imm); n > 0 && compiles(ctx, one(slices.Concat([]byte{0}, op, imm[:n-1], []byte(end))...)) {
				t.Errorf("%s: wazero takes % x with a byte less", name, imm)
			}
		}
		if !ok {
			t.Errorf("%s: wazero refuses it with immediate %d", name, i.immediate)
		}
	})
	if known != 511 {
		t.Errorf("%d instructions are known", known)
	}
}

// TestEffects proves what the tables say of the operand stack: for each instruction it looks for operands and results that wazero
// finds valid.
func TestEffects(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("tens of thousands of modules")
	}
	var operands [][]byte
	for length := range 4 {
		for n := range pow(6, length) {
			var push []byte
			for range length {
				push = append(push, opLocalGet, byte(n%6))
				n /= 6
			}
			operands = append(operands, push)
		}
	}
	found := func(op, imm, end []byte) (effect int, ok bool) {
		for _, push := range operands {
			for results := range 2 {
				body := append(append(append([]byte{}, push...), op...), imm...)
				body = append(body, strings.Repeat("\x1a", results)...)
				if compiles(context.Background(), one(append(body, end...)...)) {
					return results - len(push)/2, true
				}
			}
		}
		return 0, false
	}
	opcodesUnderTest(t, func(name string, op []byte, i instruction) {
		switch i.immediate {
		case immUnknown, immBlock, immTryTable:
			return
		case immNone:
			if len(op) == 1 && (op[0] == opElse || op[0] == opEnd) {
				return
			}
		case immCallRef: // needs a typed reference, which no local here has
			return
		}
		if name == "d5" || name == "d6" || name == "0a" { // the same, or exnref
			return
		}
		for _, imm := range immediates[i.immediate] {
			effect, ok := found(op, imm, []byte{0x0b})
			if ok && effect != int(i.effect) {
				t.Errorf("%s: its effect is %d, not %d", name, effect, i.effect)
			}
			if ok {
				return
			}
		}
		t.Errorf("%s: no operands found", name)
	})
}

func pow(x, n int) int {
	p := 1
	for range n {
		p *= x
	}
	return p
}
