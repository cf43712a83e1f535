package rewrite

// expression writes code that leaves one operand.
func (g *generator) expression(typ byte) {
	if g.depth++; g.depth > 4 {
		g.simple(typ)
	} else {
		switch typ {
		case i32:
			g.expressionI32()
		case i64:
			g.expressionI64()
		default:
			g.expressionF64()
		}
	}
	g.depth--
}

func (g *generator) simple(typ byte) {
	global, local := map[byte]byte{i32: globalI32, i64: globalI64, f64: globalF64}[typ], map[byte]int{i32: localI32, i64: localI64, f64: localF64}[typ]
	switch g.pick(3) {
	case 0:
		g.b.get(local)
	case 1:
		g.b.op(0x23, global)
	default:
		switch typ {
		case i32:
			g.b.op(appendSigned([]byte{0x41}, int64(g.pick(256)-100))...)
		case i64:
			g.b.op(appendSigned([]byte{0x42}, int64(g.pick(256)-100)<<g.pick(56))...)
		default:
			g.b.op(0x44, 0, 0, 0, 0, 0, byte(g.pick(256)), byte(g.pick(256)), byte(g.pick(256)))
			g.number()
		}
	}
}

func (g *generator) expressionI32() {
	switch g.pick(8) {
	case 0, 1:
		g.simple(i32)
	case 2:
		g.expression(i32)
		g.expression(i32)
		g.b.op([]byte{0x6a, 0x6b, 0x6c, 0x6d, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x77, 0x46, 0x48, 0x49}[g.pick(14)])
	case 3:
		g.expression(i64)
		g.b.op(0xa7) // wrap
	case 4:
		g.expression(i64)
		g.expression(i64)
		g.b.op(byte(0x51 + g.pick(10)))
	case 5:
		g.address()
		g.b.op([]byte{0x28, 0x2c, 0x2f}[g.pick(3)], 0, 4)
	case 6:
		g.b.op([]byte{0x3f, 0x3f, 0x41}[g.pick(3)], 0) // memory.size
	default:
		g.expression(i32)
		g.b.op(0x41, 1, 0x71, 0x40, 0) // memory.grow by up to a page
	}
}

func (g *generator) expressionI64() {
	switch g.pick(10) {
	case 0, 1:
		g.simple(i64)
	case 2, 3:
		g.expression(i64)
		g.expression(i64)
		g.b.op([]byte{0x7c, 0x7d, 0x7e, 0x7f, 0x82, 0x83, 0x84, 0x85, 0x86, 0x88, 0x89}[g.pick(11)])
	case 4:
		g.expression(i32)
		g.b.op(byte(0xac + g.pick(2)))
	case 5:
		g.address()
		g.b.op(0x29, 0, 3)
	case 6:
		g.expression(f64)
		g.b.op(0xbd) // its bits
	case 7: // a call of a later function, so that it ends
		g.expression(i64)
		if g.self < leafOne && g.loops == 0 && g.calls < 5 {
			g.calls++
			g.b.op(0x10).index(min(g.self+1+g.pick(3), leafOne))
		} else {
			g.b.op(0x10, 0)
		}
	case 8:
		if g.self >= leafOne || g.loops == 2 {
			g.simple(i64)
			return
		}
		g.expression(i64)
		g.b.op(0x41, byte(g.pick(9)), 0x11, 0, 0)
	default: // a block with a value
		g.expression(i32)
		g.b.op(0x04, i64)
		open := g.open
		g.open = 0
		g.expression(i64)
		g.b.op(0x05)
		g.expression(i64)
		g.b.end()
		g.open = open
	}
}

func (g *generator) expressionF64() {
	switch g.pick(4) {
	case 0:
		g.simple(f64)
	case 1:
		g.expression(f64)
		g.expression(f64)
		g.b.op(byte(0xa0 + g.pick(4)))
		g.number()
	case 2:
		g.expression(i64)
		g.b.op(0xb9)
	default:
		g.expression(i64)
		g.b.op(0xbf) // from bits
		g.number()
	}
}

// number makes any NaN zero: which one an instruction gives, depends on how it was compiled.
func (g *generator) number() {
	g.b.op(0x22).index(localF64).op(0x44, 0, 0, 0, 0, 0, 0, 0, 0).get(localF64).get(localF64).op(0x61, 0x1b)
}
