package rewrite

// A table of functions is filled when the module is instantiated, and wazero makes three objects for each entry, in each instance: of some 3,000
// for Go's smallest plugin, few of which an invocation calls through the table. So a large table begins empty, and each
// call through it first has a function look whether the entry is there, and put it there if it isn't. That is done only where nobody can
// tell: nothing else reads the table or writes to it. See host/RATIONALE.md, "Why do tables begin empty?".

// Opcodes of what is put in, and what rules it out.
const (
	opTableGet  = 0x25
	opRefIsNull = 0xd1
	opShrU      = 0x76
	opI32Sub    = 0x6b
	opBlock     = 0x02
)

const (
	// lazyGroup is how many entries one function puts in, as a shift: each is a block in the others.
	lazyGroup = 6
	// lazyMost is how many entries a table has at most that begins empty. Go's largest modules have half of it.
	lazyMost = 1 << 15
)

// lazyTable returns the function of each entry of the module's table, plus one, if the table can begin empty; else nil.
func (m *Module) lazyTable(elements []byte) []uint64 {
	if elements == nil || len(m.Tables) != 1 || m.imported(Table) > 0 || m.writesTables || m.readsTables || m.dropsSegments {
		return nil
	}
	t := m.Tables[0]
	if string(t.element) != "\x70" || t.Min > lazyMost {
		return nil
	}
	for _, e := range m.Exports {
		if e.Kind == Table {
			return nil
		}
	}
	table := make([]uint64, t.Min)
	r := &reader{data: elements}
	r.vector(func(int) {
		flags := r.u32()
		if flags == 2 && r.u32() != 0 || flags != 0 && flags != 2 || r.byte() != opI32Const {
			r.fail(errApart)
			return
		}
		at := uint64(uint32(r.signed(32)))
		if r.byte() != opEnd || flags == 2 && r.byte() != 0 {
			r.fail(errApart)
			return
		}
		r.vector(func(int) {
			index := r.u32()
			if at >= t.Min || index >= uint64(len(m.functions)) {
				r.fail(errApart)
				return
			}
			table[at] = index + 1
			at++
		})
	})
	if r.err != nil {
		return nil
	}
	return table
}

// lazy takes the entries out and adds the functions that put them in: ready, whose index is the first, takes an entry's number and
// returns it when it is there. unary is the type (i32) -> (), same (i32) -> (i32); both encoded.
func (w *writer) lazy(table []uint64, first uint64, unary, same []byte) {
	fill, group := appendLEB(nil, first+1), first+2
	var named []byte // what ref.func names has to stand in a segment
	n := uint64(0)
	var groups []added
	outer := make([][]byte, (len(table)+1<<lazyGroup-1)>>lazyGroup)
	for g := range outer {
		from := g << lazyGroup
		cases := make([][]byte, min(1<<lazyGroup, len(table)-from))
		used := false
		for i := range cases {
			if f := table[from+i]; f > 0 {
				index := appendLEB(nil, w.m.shifted(f-1))
				cases[i] = append(append([]byte{opLocalGet, 0, opRefFunc}, index...), opTableSet, 0)
				named, used = append(named, index...), true
				n++
			}
		}
		if used {
			outer[g] = appendLEB([]byte{opLocalGet, 0, opCall}, group+uint64(len(groups)))
			groups = append(groups, added{unary, choice(cases, appendSigned([]byte{opI32Const}, int64(from)), opI32Sub)})
		}
	}
	ready := append([]byte{opLocalGet, 0, opTableGet, 0, opRefIsNull, opIf, blockEmpty, opLocalGet, 0, opCall}, fill...)
	w.functions(append([]added{
		{same, append(ready, opEnd, opLocalGet, 0, opEnd)},
		{unary, choice(outer, []byte{opI32Const, lazyGroup}, opShrU)},
	}, groups...))
	const declarative = 3
	w.bodies[sectionElement] = append(appendLEB([]byte{1, declarative, 0}, n), named...)
}

// choice is the body of a function that does one of several things: that whose number the parameter is, once op has been done with
// it and the operand. nil is nothing.
func choice(cases [][]byte, operand []byte, op byte) []byte {
	var labels, bodies []byte
	n := uint64(0)
	for _, c := range cases {
		if c != nil {
			n++
		}
	}
	at := uint64(0)
	for _, c := range cases {
		if c == nil {
			labels = appendLEB(labels, n)
			continue
		}
		labels = appendLEB(labels, at)
		bodies = append(append(append(bodies, opEnd), c...), opReturn)
		at++
	}
	var code []byte
	for range n + 1 {
		code = append(code, opBlock, blockEmpty)
	}
	code = append(append(append(code, opLocalGet, 0), operand...), op, opBrTable)
	code = append(appendLEB(code, uint64(len(cases))), labels...)
	code = append(appendLEB(code, n), bodies...)
	return append(code, opEnd, opEnd)
}
