package rewrite

// generator makes valid modules from bytes: six functions over memory, globals and a table, that end in bounded time. Once the bytes are
// used up, they read as zeros, which give the simplest code.
type generator struct {
	bytes []byte
	b     *body
	self  int  // the function that is being written
	depth int  // of expressions and blocks
	loops int  // that are open
	steps int  // statements that are left to the function
	calls int  // of later functions, so far
	open  int  // blocks that can be branched out of
	still bool // whether the table may be called only
}

// What a generated module has. Functions 0 and 1 are imported, 2 to 5 take and return i64, 6 and 7 are in the table: 6 takes and returns i64 too,
// 7 takes and returns nothing, so that a call through the table may trap.
const (
	firstOwn, lastCaller, leafOne, leafTwo = 2, 5, 6, 7

	localI64, localI32, localF64, localLoop = 0, 1, 2, 3 // and 4: one for each loop in a loop
	globalI64, globalI32, globalF64         = 0, 1, 2
)

const (
	i32 = typeI32
	i64 = typeI64
	f64 = 0x7c
)

func (g *generator) pick(n int) int {
	if len(g.bytes) == 0 {
		return 0
	}
	c := g.bytes[0]
	g.bytes = g.bytes[1:]
	return int(c) % n
}

// program is the module.
func (g *generator) program() []byte {
	flavour := g.pick(16) // 1: a data count, so that there can be memory.init; 2: a start function; 4: a segment that doesn't fit; 8: a table that is only called
	still := flavour&8 != 0
	counted, start, over := flavour&1 != 0, flavour&2 != 0, flavour&4 != 0 && g.pick(8) == 7
	passive := counted && flavour&4 != 0
	code := &body{}
	code.op(10, lastCaller-firstOwn+3)
	for i := firstOwn; i <= leafTwo; i++ {
		g.b = &body{}
		*g = generator{bytes: g.bytes, b: g.b, self: i, steps: 12, still: still}
		g.b.op(3, 1, i32, 1, f64, 2, i32)
		if i == leafTwo { // which has no parameter; its local 0 is an i64 too
			g.b.Reset()
			g.b.op(4, 1, i64, 1, i32, 1, f64, 2, i32)
		}
		for range 1 + g.pick(6) {
			g.statement(passive)
		}
		if i != leafTwo {
			g.expression(i64)
		}
		code.Write(appendName(nil, g.b.end().Bytes()))
	}
	at := byte(0)
	if over {
		at = 0x7f // -1: the segment lies past the memory's end
	}
	sections := [][]byte{
		{1, 2, 0x60, 1, i64, 1, i64, 0x60, 0, 0},
		append(append(append(append([]byte{2, 2}, "\x03env\x01a"...), 0, 0), "\x03env\x01b"...), 0, 1),
		{3, 6, 0, 0, 0, 0, 0, 1}, {4, 1, 0x70, 0, 8}, {5, 1, 1, 1, 3},
		{6, 3, i64, 1, 0x42, 5, 0x0b, i32, 1, 0x41, 7, 0x0b, f64, 1, 0x44, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x0b},
		append([]byte{7, 6}, "\x01m\x02\x00\x01f\x00\x02\x01g\x00\x06\x02g0\x03\x00\x02g1\x03\x01\x02g2\x03\x02"...),
	}
	if start {
		sections = append(sections, []byte{8, leafTwo})
	}
	if still {
		sections = append(sections, []byte{9, 2, 0, 0x41, 1, 0x0b, 3, leafOne, leafTwo, leafOne, 0, 0x41, 3, 0x0b, 2, leafTwo, 0})
	} else {
		sections = append(sections, []byte{9, 2, 0, 0x41, 1, 0x0b, 3, leafOne, leafTwo, leafOne, 1, 0, 2, leafOne, leafTwo})
	}
	if counted {
		sections = append(sections, []byte{12, 2})
	}
	second := []byte{0, 0x41, 6, 0x0b, 3, 'd', 'e', 'f'} // over the first
	if passive {
		second = []byte{1, 3, 'd', 'e', 'f'}
	}
	return module(append(sections, code.Bytes(), append([]byte{11, 2, 0, 0x41, at, 0x0b, 8, 'a', 'b', 'c', 1, 2, 3, 4, 5}, second...))...)
}

// statement writes code that leaves the operands as they were.
func (g *generator) statement(passive bool) {
	if g.steps--; g.steps < 0 {
		return
	}
	again := func() {
		for range 1 + g.pick(3) {
			g.statement(passive)
		}
	}
	switch g.pick(20) {
	case 0, 1:
		g.expression(i64)
		g.b.set(localI64)
	case 2:
		g.expression(i32)
		g.b.set(localI32)
	case 3:
		g.expression(f64)
		g.b.set(localF64)
	case 4:
		g.expression(i64)
		g.b.op(0x24, globalI64)
	case 5:
		g.expression(i32)
		g.b.op(0x24, globalI32)
	case 6:
		g.expression(f64)
		g.b.op(0x24, globalF64)
	case 7:
		g.address()
		g.expression(i64)
		g.b.op(0x37, 0, 8)
	case 8, 9: // a loop of up to three rounds, no more than two deep
		if g.loops == 2 {
			return
		}
		local := localLoop + g.loops
		g.b.op(0x41, byte(1+g.pick(3))).set(local)
		g.b.op(0x03, 0x40)
		g.loops, g.open = g.loops+1, 0 // a branch to it might never end
		again()
		g.loops--
		g.open = 0
		g.b.get(local).op(0x41, 1, 0x6b, 0x22).index(local).op(0x0d, 0).end()
	case 10, 11:
		g.b.op(0x02, 0x40)
		g.open++
		again()
		if g.pick(2) == 1 {
			g.expression(i32)
			if g.open == 0 { // a loop has ended inside
				g.b.op(0x1a)
			} else {
				g.b.op(0x0d).index(g.pick(g.open))
			}
			again()
		}
		g.close()
	case 12:
		g.expression(i32)
		g.b.op(0x04, 0x40)
		g.open++
		again()
		if g.pick(2) == 1 {
			g.b.op(0x05)
			again()
		}
		g.close()
	case 13: // a br_table
		g.b.op(0x02, 0x40, 0x02, 0x40)
		g.open += 2
		g.expression(i32)
		g.b.op(0x0e, 2, 0, 1, 0)
		g.close()
		again()
		g.close()
	case 14:
		g.bulk(passive)
	case 15:
		g.table()
	case 16:
		g.b.op(0x10, 1) // imported
	case 17:
		g.expression(i64)
		g.b.op(0x1a)
	case 18: // long enough for a check of its own
		for range 20 + g.pick(60) {
			g.b.get(localI64).op(0x42, byte(g.pick(64)), 0x7c).set(localI64)
		}
	case 19:
		g.expression(i32)
		g.b.op(0x04, 0x40)
		if g.pick(2) == 1 {
			g.b.op(0x00)
		} else if g.self == leafTwo {
			g.b.op(0x0f)
		} else {
			g.expression(i64)
			g.b.op(0x0f)
		}
		g.b.end()
	}
}

// close ends a block. In a loop, no block around the loop counts as open.
func (g *generator) close() {
	g.open = max(g.open-1, 0)
	g.b.end()
}

// bulk writes an instruction over memory, for up to some 60 bytes, or over nearly a page.
func (g *generator) bulk(passive bool) {
	g.address()
	kind := g.pick(5)
	if kind == 1 && passive || kind == 2 {
		g.b.op(0x41, byte(g.pick(10)))
	} else {
		g.expression(i32)
		if kind != 0 {
			g.b.op(0x41, 0xff, 0xff, 3, 0x71) // and 0xffff
		}
	}
	if g.pick(8) == 7 {
		g.b.op(0x41, 0xf0, 0xff, 3)
	} else {
		g.b.op(0x41, byte(g.pick(60)))
	}
	switch {
	case kind == 1 && passive:
		g.b.op(0xfc, 8, 1, 0) // the first segment is active, and wazero forgets to drop it
		if g.pick(4) == 3 {
			g.b.op(0xfc, 9, byte(g.pick(2)))
		}
	case kind == 3:
		g.b.op(0xfc, 10, 0, 0)
	default:
		g.b.op(0xfc, 11, 0)
	}
}

// table writes an instruction over the table. It may go past its end.
func (g *generator) table() {
	at := func(n int) { g.b.op(0x41, byte(g.pick(n))) }
	reference := func() {
		switch g.pick(3) {
		case 0:
			g.b.op(0xd0, 0x70)
		case 1:
			g.b.op(0xd2, leafOne)
		default:
			g.b.op(0xd2, leafTwo)
		}
	}
	if g.still {
		return
	}
	switch g.pick(6) {
	case 0:
		at(9)
		reference()
		g.b.op(0x26, 0)
	case 1:
		reference()
		at(3)
		g.b.op(0xfc, 15, 0, 0x24, globalI32)
	case 2:
		at(9)
		reference()
		at(3)
		g.b.op(0xfc, 17, 0)
	case 3:
		at(9)
		at(9)
		at(3)
		g.b.op(0xfc, 14, 0, 0)
	case 4:
		at(9)
		at(3)
		at(3)
		g.b.op(0xfc, 12, 1, 0)
	case 5:
		g.b.op(0xfc, 13, 1)
	}
}

// address is mostly one that the memory has.
func (g *generator) address() {
	g.expression(i32)
	if g.pick(16) != 15 {
		g.b.op(0x41, 0xff, 0xff, 1, 0x71) // and 0x7fff
	}
}
