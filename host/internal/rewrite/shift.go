package rewrite

import (
	"fmt"
	"math"
)

// nowhere is an index that no module has. It stands for one that the module didn't have before: what wazero would have refused must not
// name what the rewrite adds.
const nowhere = math.MaxUint32

// shifted is a function's index once the fuel's function is imported behind the others.
func (m *Module) shifted(index uint64) uint64 {
	switch {
	case index < uint64(m.importedFunctions):
		return index
	case index < uint64(len(m.functions)):
		return index + 1
	default:
		return nowhere
	}
}

// names refuses a global or function that the module doesn't have: once it has been rewritten, it would be one that the rewrite adds.
func (f *function) names(op byte, index uint64) {
	switch {
	case (op == opGlobalGet || op == opGlobalSet) && index >= uint64(f.m.globals):
		f.r.fail(fmt.Errorf("a use of global %d, where there are %d", index, f.m.globals))
	case op == opRefFunc && index >= uint64(len(f.m.functions)):
		f.r.fail(fmt.Errorf("a use of function %d, where there are %d", index, len(f.m.functions)))
	case op == opRefFunc && (f.m.declared == nil || !f.m.declared[index]):
		f.r.fail(fmt.Errorf("a reference to function %d, which nothing outside of code refers to", index))
	case op == opRefFunc:
		f.m.Refers = true
	}
}

func (w *writer) shiftStart() {
	if body := w.bodies[sectionStart]; body != nil {
		w.bodies[sectionStart] = appendLEB(nil, w.m.shifted((&reader{data: body}).u32()))
	}
}

func (w *writer) shiftExports() {
	body := w.bodies[sectionExport]
	if body == nil {
		return
	}
	r := &reader{data: body}
	out := make([]byte, 0, len(body)+8)
	n := uint64(0)
	r.vector(func(int) {
		out = appendName(out, r.name())
		kind := r.byte()
		index := r.u32()
		switch {
		case Kind(kind) == Func:
			index = w.m.shifted(index)
		case Kind(kind) == Global && index >= uint64(w.m.globals):
			index = nowhere
		}
		out = appendLEB(append(out, kind), index)
		n++
	})
	w.bodies[sectionExport] = append(appendLEB(nil, n), out...)
}

// constantShifted copies a constant expression.
func (m *Module) constantShifted(out []byte, r *reader) []byte {
	for r.err == nil {
		start := r.pos
		op, i := r.opcode()
		if op == opRefFunc {
			out = appendLEB(append(out, op), m.shifted(r.u32()))
			continue
		}
		r.skip(i.immediate)
		out = append(out, r.data[start:r.pos]...)
		if op == opEnd {
			break
		}
	}
	return out
}

func (w *writer) shiftGlobals() {
	body := w.bodies[sectionGlobal]
	if body == nil {
		return
	}
	r := &reader{data: body}
	out := make([]byte, 0, len(body)+8)
	n := uint64(0)
	r.vector(func(int) {
		start := r.pos
		r.valueType()
		r.byte()
		out = w.m.constantShifted(append(out, r.data[start:r.pos]...), r)
		n++
	})
	w.bodies[sectionGlobal] = append(appendLEB(nil, n), out...)
}

// shiftElements goes through the segments as Module.element does.
func (w *writer) shiftElements() {
	body := w.bodies[sectionElement]
	if body == nil {
		return
	}
	r := &reader{data: body}
	out := make([]byte, 0, len(body)+len(body)/8)
	n := uint64(0)
	r.vector(func(int) {
		n++
		start := r.pos
		flags := r.u32()
		active := flags&1 == 0
		if active && flags&2 != 0 {
			r.u32()
		}
		out = append(out, r.data[start:r.pos]...)
		if active {
			out = w.m.constantShifted(out, r)
		}
		start = r.pos
		if flags&3 != 0 && flags&4 == 0 {
			r.byte()
		} else if flags&3 != 0 {
			r.valueType()
		}
		entries := r.u32()
		out = append(out, r.data[start:r.pos]...)
		for ; entries > 0 && r.err == nil; entries-- {
			if flags&4 == 0 {
				out = appendLEB(out, w.m.shifted(r.u32()))
			} else {
				out = w.m.constantShifted(out, r)
			}
		}
	})
	w.bodies[sectionElement] = append(appendLEB(nil, n), out...)
}

// shiftNames moves the functions' names, of a section that names has written.
func (m *Module) shiftNames(section []byte) []byte {
	r := &reader{data: section}
	out := appendName(nil, r.name())
	for !r.done() {
		id := r.byte()
		body := r.bytes(r.u32())
		if id == namesFunctions {
			from := &reader{data: body}
			var moved []byte
			n := uint64(0)
			from.vector(func(int) {
				moved = appendName(appendLEB(moved, m.shifted(from.u32())), from.bytes(from.u32()))
				n++
			})
			body = append(appendLEB(nil, n), moved...)
		}
		out = appendName(append(out, id), body)
	}
	return out
}
