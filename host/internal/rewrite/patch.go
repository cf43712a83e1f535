package rewrite

// patcher puts fuel into functions and moves the indices they name.
type patcher struct {
	m      *Module
	global []byte // the counter's index, encoded
	refuel []byte // that of the function which fills it up
	charge []byte // that of the function which takes fuel for as much as its parameter says
	ready  []byte // that of the function which puts a table's entry in; nil: they are all there

	referred   map[uint64]uint64 // by function, the global that refers to it
	references []byte            // those globals
	typed      bool              // whether references are of the functions' types

	path
	out []byte
}

// code rewrites the code section. Parse has read it without an error.
func (p *patcher) code(body []byte) []byte {
	r := &reader{data: body}
	n := r.u32()
	out := appendLEB(make([]byte, 0, len(body)+len(body)/4), n)
	for i := range p.m.leaves {
		out = appendName(out, p.function(r.bytes(r.u32()), i))
	}
	return out
}

// function returns the body of a function that the module defines, with fuel in it; the slice is used again for the next.
func (p *patcher) function(code []byte, index int) []byte {
	r := &reader{data: code}
	groups, locals := uint64(0), uint64(p.m.types[p.m.functions[p.m.importedFunctions+index]].params)
	r.vector(func(int) { groups++; locals += r.u32(); r.valueType() })
	start := r.pos
	p.find(p.m, r, locals)
	out := p.out[:0]
	if p.bulk { // which needs a local of its own
		declared := &reader{data: code}
		declared.u32()
		out = append(appendLEB(out, groups+1), code[declared.pos:start]...)
		out = append(out, 1, typeI32)
	} else {
		out = append(out, code[:start]...)
	}
	if !p.leads && p.m.leaves[index] == 0 {
		out = p.check(out, min(p.total, stretch), locals)
	}
	done := start
	for _, at := range p.points {
		out = append(out, code[done:at.at]...)
		done = at.at
		switch at.kind {
		case pointCall:
			out = appendLEB(append(out, code[at.at]), at.index)
			done = at.after
		case pointLoop:
			out = append(out, code[at.at:at.after]...)
			out = p.check(out, at.cost, 0)
			done = at.after
		case pointLong:
			out = p.check(out, at.cost, 0)
		case pointBulk:
			out = p.pay(out, locals)
		case pointRefer:
			out = appendLEB(append(out, opGlobalGet), p.reference(at.index))
			done = at.after
		case pointTable:
			if p.ready != nil {
				out = append(append(out, opCall), p.ready...)
			}
		}
	}
	p.out = append(out, code[done:]...)
	return p.out
}

// reference is the global that refers to a function. wazero makes an object each time ref.func is executed, and keeps it as long as the instance: in a
// global's beginning that is once.
func (p *patcher) reference(function uint64) (global uint64) {
	at, ok := p.referred[function]
	if !ok {
		if p.referred == nil {
			p.referred = make(map[uint64]uint64)
		}
		at = uint64(p.m.globals) + 1 + uint64(len(p.referred)) // behind the counter
		p.referred[function] = at
		if p.typed {
			before := function
			if before > uint64(p.m.importedFunctions) {
				before--
			}
			p.references = appendSigned(append(p.references, typeRef), int64(p.m.functions[before]))
		} else {
			p.references = append(p.references, typeFuncRef)
		}
		p.references = append(appendLEB(append(p.references, 0, opRefFunc), function), opEnd)
	}
	return at
}

// check appends code that takes fuel for what it is followed by, and has it filled up where it has run out.
func (p *patcher) check(out []byte, cost int, locals uint64) []byte {
	units := 1 + int64(cost/unit) + int64(locals/32)
	out = append(append(out, opGlobalGet), p.global...)
	out = appendSigned(append(out, opI64Const), units)
	return p.refuelled(append(out, opI64Sub))
}

// refuelled appends code that sets the counter to the operand, and has it filled up where that is less than zero.
func (p *patcher) refuelled(out []byte) []byte {
	out = append(append(out, opGlobalSet), p.global...)
	out = append(append(out, opGlobalGet), p.global...) // wazero still has it in a register
	out = append(out, opI64Const, 0, opI64LtS, opIf, blockEmpty, opCall)
	return append(append(out, p.refuel...), opEnd)
}

// pay appends code that takes fuel for a bulk instruction, whose length is the last operand.
func (p *patcher) pay(out []byte, local uint64) []byte {
	out = appendLEB(append(out, opLocalTee), local)
	out = appendLEB(append(out, opLocalGet), local)
	out = appendSigned(append(out, opI32Const), bulkFree)
	out = appendLEB(append(out, opI32GtU, opIf, blockEmpty, opLocalGet), local)
	return append(append(append(out, opCall), p.charge...), opEnd)
}
