package rewrite

import "fmt"

// immediate tells what follows an opcode.
type immediate byte

const (
	immUnknown      immediate = iota
	immNone                   // no immediate
	immIndex                  // one index: a local, a global, a function, a table, …
	immLocal                  // a local's index
	immFill                   // memory.fill, table.fill: an index
	immTwoIndices             // two of them
	immMemarg                 // alignment and offset
	immMemargLane             // the same and a lane
	immI32                    // a signed integer of 32 bits
	immI64                    // of 64
	immByte                   // one byte
	immF32                    // four bytes
	immF64                    // eight
	immV128                   // sixteen
	immBlock                  // opens a block
	immTryTable               // opens a block, with catch clauses
	immLabel                  // a branch
	immLabels                 // br_table
	immCall                   // a function's index
	immCallRef                // a type's index, for call_ref
	immCallIndirect           // a type's and a table's index
	immOneType                // select with its type
	immHeapType               // ref.null
	immMisc                   // 0xfc: an opcode as u32 follows
	immVector                 // 0xfd: one byte follows
	immAtomic                 // 0xfe: one byte follows
)

// instruction is what the pass knows of an opcode.
type instruction struct {
	immediate immediate
	effect    int8   // on the height of the operand stack, but for calls'
	weight    uint16 // steps for wazero's compiler; see work.steps
}

// The instructions that the pass tells apart.
const (
	opUnreachable        = 0x00
	opLoop               = 0x03
	opIf                 = 0x04
	opElse               = 0x05
	opThrow              = 0x08
	opThrowRef           = 0x0a
	opEnd                = 0x0b
	opBr                 = 0x0c
	opBrTable            = 0x0e
	opReturn             = 0x0f
	opReturnCall         = 0x12
	opReturnCallIndirect = 0x13
	opReturnCallRef      = 0x15
	opLocalGet           = 0x20
	opMemoryGrow         = 0x40
)

// usual is the weight of most instructions.
const usual = 400

// opcodes, miscs, vectors and atomics give the immediates of every instruction that wazero 1.12 can decode, whichever feature it
// belongs to (WebAssembly Core 2.0, section 5.4, and the proposals named below). TestOpcodes proves them against wazero.
var opcodes, miscs, vectors, atomics = tables()

func tables() (op, misc, vec, atom [256]instruction) {
	setImmediates(&op, &misc, &vec, &atom)
	setEffects(&op, &misc, &vec, &atom)
	setWeights(&op, &misc, &vec, &atom)
	return op, misc, vec, atom
}

func setImmediates(op, misc, vec, atom *[256]instruction) {
	fill(op, immNone, 0x00, 0x01, opElse, 0x0a /* throw_ref */, opEnd, opReturn, 0x1a, 0x1b)
	fill(op, immBlock, 0x02, opLoop, opIf)
	fill(op, immTryTable, 0x1f) // exception handling
	fill(op, immIndex, 0x08 /* throw */, 0x23, 0x24, 0x25, 0x26, 0x3f, 0x40, 0xd2)
	fill(op, immLocal, opLocalGet, 0x21, 0x22)
	fill(op, immLabel, 0x0c, 0x0d, 0xd5, 0xd6) // the last two: typed function references
	fill(op, immLabels, 0x0e)
	fill(op, immCall, 0x10, 0x12)         // the second of each: tail calls
	fill(op, immCallIndirect, 0x11, 0x13) //
	fill(op, immCallRef, 0x14, 0x15)
	fill(op, immOneType, 0x1c)
	span(op, immMemarg, 0x28, 0x3e)
	fill(op, immI32, 0x41)
	fill(op, immI64, 0x42)
	fill(op, immF32, 0x43)
	fill(op, immF64, 0x44)
	span(op, immNone, 0x45, 0xc4) // numeric, with sign extension
	fill(op, immHeapType, 0xd0)
	fill(op, immNone, 0xd1, 0xd4)
	fill(op, immMisc, 0xfc)
	fill(op, immVector, 0xfd)
	fill(op, immAtomic, 0xfe)

	span(misc, immNone, 0x00, 0x07) // saturating float to int
	fill(misc, immIndex, 0x09, 0x0d, 0x0f, 0x10)
	fill(misc, immFill, 0x0b, 0x11)
	fill(misc, immTwoIndices, 0x08, 0x0a, 0x0c, 0x0e)

	span(vec, immMemarg, 0x00, 0x0b)
	fill(vec, immV128, 0x0c, 0x0d)
	span(vec, immNone, 0x0e, 0x14)
	span(vec, immByte, 0x15, 0x22)
	span(vec, immNone, 0x23, 0x53)
	span(vec, immMemargLane, 0x54, 0x5b)
	span(vec, immMemarg, 0x5c, 0x5d)
	span(vec, immNone, 0x5e, 0xff)
	fill(vec, immUnknown, 0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb, 0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4,
		0xe2, 0xee)

	span(atom, immMemarg, 0x00, 0x02)
	fill(atom, immByte, 0x03) // atomic.fence
	span(atom, immMemarg, 0x10, 0x4e)
}

// setEffects tells what each leaves on the operand stack less what it takes.
func setEffects(op, misc, vec, atom *[256]instruction) {
	effect(op, 1, 0x20, 0x23, 0x3f, 0x41, 0x42, 0x43, 0x44, 0xd0, 0xd2)
	effect(op, -1, 0x04, 0x0a, 0x0d, 0x0e, 0x11, 0x13, 0x14, 0x15, 0x1a, 0x21, 0x24, 0xd6)
	effect(op, -2, 0x1b, 0x1c, 0x26, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e)
	for _, binary := range [][2]int{
		{0x46, 0x4f}, {0x51, 0x66}, {0x6a, 0x78}, {0x7c, 0x8a}, {0x92, 0x98}, {0xa0, 0xa6},
	} {
		for o := binary[0]; o <= binary[1]; o++ {
			effect(op, -1, o)
		}
	}
	effect(misc, 1, 0x10)
	effect(misc, -1, 0x0f)
	effect(misc, -3, 0x08, 0x0a, 0x0b, 0x0c, 0x0e, 0x11)
	for o := 0x0d; o <= 0xff; o++ {
		effect(vec, -1, o)
	}
	effect(vec, 1, 0x0c)
	effect(vec, -2, 0x0b, 0x52, 0x58, 0x59, 0x5a, 0x5b)
	effect(vec, 0, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x18, 0x19, 0x1b, 0x1d, 0x1f, 0x21, 0x4d, 0x53, 0x5c, 0x5d, 0x5e,
		0x5f, 0x60, 0x61, 0x62, 0x63, 0x64, 0x67, 0x68, 0x69, 0x6a, 0x74, 0x75, 0x7a, 0x7c, 0x7d, 0x7e, 0x7f, 0x80, 0x81, 0x83, 0x84,
		0x87, 0x88, 0x89, 0x8a, 0x94, 0xa0, 0xa1, 0xa3, 0xa4, 0xa7, 0xa8, 0xa9, 0xaa, 0xc0, 0xc1, 0xc3, 0xc4, 0xc7, 0xc8, 0xc9, 0xca,
		0xe0, 0xe1, 0xe3, 0xec, 0xed, 0xef, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff)
	effect(atom, -1, 0x00)
	effect(atom, -2, 0x01, 0x02)
	for o := 0x17; o <= 0x4e; o++ {
		effect(atom, -1, o)
		if o < 0x1e || o > 0x47 { // stores and cmpxchg
			effect(atom, -2, o)
		}
	}
}

// setWeights tells what each costs the compiler: some are written out as checks, spills and calls of the host.
func setWeights(op, misc, vec, atom *[256]instruction) {
	for o := range 256 {
		op[o].weight, vec[o].weight, misc[o].weight, atom[o].weight = usual, usual, 40*usual, 40*usual
		for _, t := range []*instruction{&op[o], &vec[o]} {
			if t.immediate == immMemarg || t.immediate == immMemargLane {
				t.weight = 15 * usual
			}
		}
	}
	weigh(op, 10*usual, 0x0c, 0x0d, 0x10, 0x12, 0x40)
	weigh(op, 15*usual, 0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82)
	weigh(op, 20*usual, 0xa8, 0xa9, 0xaa, 0xab, 0xae, 0xaf, 0xb0, 0xb1)
	weigh(op, 75*usual, 0x11, 0x13, 0x14, 0x15, 0x25, 0x26)
	weigh(misc, 100*usual, 0x08, 0x0a, 0x0b, 0x0c, 0x0e, 0x11)
	for o := range 8 {
		weigh(misc, 20*usual, o) // saturating float to int
	}
}

func effect(t *[256]instruction, n int8, ops ...int) {
	for _, op := range ops {
		t[op].effect = n
	}
}

func fill(t *[256]instruction, as immediate, ops ...int) {
	for _, op := range ops {
		t[op].immediate = as
	}
}

func span(t *[256]instruction, as immediate, from, to int) {
	for op := from; op <= to; op++ {
		t[op].immediate = as
	}
}

// opcode reads an instruction's opcode. After 0xfd and 0xfe it reads one byte, as wazero does: it takes the second byte of a SIMD
// opcode over 0x7f, always 0x01, for a nop.
func (r *reader) opcode() (byte, instruction) {
	op := r.byte()
	i := opcodes[op]
	if i.immediate < immMisc && i.immediate != immUnknown {
		return op, i
	}
	var sub uint64
	switch i.immediate {
	case immMisc:
		if sub = r.u32(); sub < uint64(len(miscs)) {
			i = miscs[sub]
		} else {
			i = instruction{}
		}
	case immVector:
		sub = uint64(r.byte())
		i = vectors[sub]
	case immAtomic:
		sub = uint64(r.byte())
		i = atomics[sub]
	default:
		r.fail(fmt.Errorf("unknown instruction %#02x", op))
		return op, i
	}
	if i.immediate == immUnknown {
		r.fail(fmt.Errorf("unknown instruction %#02x %#02x", op, sub))
	}
	r.sub = byte(sub)
	return op, i
}

// skip passes an immediate that isn't a control instruction's.
func (r *reader) skip(imm immediate) {
	switch imm {
	case immIndex:
		r.u32()
	case immTwoIndices:
		r.u32()
		r.u32()
	case immMemarg:
		r.u32()
		r.u32()
	case immMemargLane:
		r.u32()
		r.u32()
		r.byte()
	case immI32:
		r.signed(32)
	case immI64:
		r.signed(64)
	case immByte:
		r.byte()
	case immF32:
		r.bytes(4)
	case immF64:
		r.bytes(8)
	case immV128:
		r.bytes(16)
	case immOneType:
		if n := r.byte(); n != 1 {
			r.fail(fmt.Errorf("a select with %d types", n))
		}
		r.valueType()
	case immHeapType:
		r.signed(33)
	}
}

// constant skips a constant expression (section 3.3.10), with the arithmetic of the extended-const proposal.
func (r *reader) constant() { r.constantOf(func(uint64) {}) }

// constantOf is the same, and names the functions that it refers to.
func (r *reader) constantOf(declare func(function uint64)) {
	for r.err == nil {
		op, i := r.opcode()
		imm := i.immediate
		switch op {
		case opEnd:
			return
		case opRefFunc:
			declare(r.u32())
			continue
		case 0x23, 0x41, 0x42, 0x43, 0x44, 0xd0, 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e:
		case 0xfd:
			if imm != immV128 {
				imm = immUnknown
			}
		default:
			imm = immUnknown
		}
		if imm == immUnknown {
			r.fail(fmt.Errorf("instruction %#02x in a constant expression", op))
		}
		r.skip(imm)
	}
}

func weigh(t *[256]instruction, steps uint16, ops ...int) {
	for _, op := range ops {
		t[op].weight = steps
	}
}
