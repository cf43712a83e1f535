package rewrite

// Fuel is a counter of the module's own, a mutable global. Checks at function entries, at loop headers and in long code take from it what the
// code behind them is worth; where it passes zero, the imported function is called and it is filled up again. Every endless run passes checks: a cycle
// is a loop, or calls, and each loop and each function that calls has one. Bulk instructions pay by their length besides.
//
// A guest can't reach the counter: code that names a global the module doesn't have is refused before the counter is one.
//
// See host/RATIONALE.md, "What stops a guest?"; path.go tells where the checks stand.
const (
	// unit is how many bytes of code a unit of fuel is for.
	unit = 64
	// stretch is how many bytes of code can be executed between two checks, at most; a check asks for no more in advance. A loop whose body is
	// larger, an interpreter's, would pay each time for all that it doesn't execute.
	stretch = 512
	// smallLeaf is the size, in bytes of code, up to which a function without calls and loops has no check. Its callers pay for it.
	smallLeaf = 160
	// bulkUnit is how many bytes or table entries a unit of fuel copies or fills, as a shift. Up to bulkFree of them cost nothing: nearly all that
	// Go copies is shorter.
	bulkUnit = 7
	bulkFree = 4096
)

// Opcodes of what is put in.
const (
	opLocalTee  = 0x22
	opGlobalGet = 0x23
	opGlobalSet = 0x24
	opI64Const  = 0x42
	opI32GtU    = 0x4b
	opI64LtS    = 0x53
	opI64Sub    = 0x7d
	opI64ShrU   = 0x88
	opExtend    = 0xad // i64.extend_i32_u
	opCall      = 0x10
	opRefFunc   = 0xd2
	blockEmpty  = 0x40
	typeFunc    = 0x60
	typeI32     = 0x7f
	typeI64     = 0x7e
	typeFuncRef = 0x70
	typeRef     = 0x64 // of a type, and not null
)

// fuel puts it in. Function indices from the imported ones on move up by one.
func (w *writer) fuel() {
	m := w.m
	global := uint64(m.globals)
	refuel := uint64(len(m.functions) + 1) // behind all others
	var table []uint64
	if n := w.o.LazyTable; n > 0 && m.elementEntries >= n {
		table = m.lazyTable(w.bodies[sectionElement])
	}
	w.shiftElements()
	w.shiftGlobals()
	w.shiftExports()
	w.shiftStart()
	if w.names != nil {
		w.names = m.shiftNames(w.names)
	}
	p := patcher{m: m, global: appendLEB(nil, global), refuel: appendLEB(nil, refuel), charge: appendLEB(nil, refuel+1)}
	p.typed = w.o.TypedReferences
	if table != nil {
		p.ready = appendLEB(nil, refuel+2)
	}
	if body := w.bodies[sectionCode]; body != nil {
		w.bodies[sectionCode] = p.code(body)
	}
	tick := append(appendName(appendName(nil, w.o.Fuel.Module), w.o.Fuel.Name), byte(Func))
	w.add(sectionImport, 1, append(tick, w.nothing()...))
	interval := appendSigned([]byte{opI64Const}, int64(w.o.Fuel.Interval))
	w.add(sectionGlobal, 1, append(append([]byte{typeI64, 1}, interval...), opEnd))
	if len(p.referred) > 0 {
		w.add(sectionGlobal, len(p.referred), p.references)
	}

	code := appendLEB([]byte{opCall}, uint64(m.importedFunctions))
	code = append(code, interval...)
	code = appendLEB(append(code, opGlobalSet), global)
	w.function(w.nothing(), append(code, opEnd))

	w.add(sectionType, 1, []byte{typeFunc, 1, typeI32, 0})
	code = append(append([]byte{opGlobalGet}, p.global...), opLocalGet, 0, opExtend, opI64Const, bulkUnit, opI64ShrU, opI64Sub)
	code = p.refuelled(code)
	unary := appendLEB(nil, uint64(len(m.types)+1))
	w.function(unary, append(code, opEnd))
	if table != nil {
		w.add(sectionType, 1, []byte{typeFunc, 1, typeI32, 1, typeI32})
		w.lazy(table, refuel+2, unary, appendLEB(nil, uint64(len(m.types)+2)))
	}
}
