package rewrite

import (
	"errors"
	"fmt"
	"math"
)

// read reads one section. Each is read to its end, element by element: wazero allocates what a count asks for before it looks for
// the elements, so a count that the bytes don't bear out must never reach it.
func (m *Module) read(id byte, body []byte) error {
	r := &reader{data: body}
	switch id {
	case sectionType:
		r.most(maxTypes, "types", func(int) { m.typeGroup(r) })
	case sectionImport:
		r.most(maxImports, "imports", func(int) { m.readImport(r) })
	case sectionFunction:
		r.most(maxFunctions, "functions", func(int) { m.functions = append(m.functions, r.typeIndex()) })
	case sectionTable:
		r.most(maxTables, "tables", func(int) { m.readTable(r) })
	case sectionMemory:
		r.most(maxMemories, "memories", func(int) { m.readMemory(r) })
	case sectionTag:
		r.most(maxTypes, "tags", func(int) { m.tag(r) })
	case sectionGlobal:
		r.most(maxGlobals, "globals", func(int) { r.valueType(); r.byte(); r.constantOf(m.declare); m.globals++ })
	case sectionExport:
		r.most(maxExports, "exports", func(int) { m.Exports = append(m.Exports, m.export(r)) })
	case sectionStart:
		r.u32()
	case sectionDataCount:
		r.u32()
		m.dataCount = true
	case sectionElement:
		r.most(maxElements, "element segments", func(i int) { m.element(r, i) })
	case sectionCode:
		m.code(r, m.checkFunction)
	case sectionData:
		r.most(maxData, "data segments", func(int) { r.segment() })
	default:
		return nil
	}
	if r.err == nil && !r.done() {
		return fmt.Errorf("%d bytes left over", len(body)-r.pos)
	}
	if n := m.TableEntries; r.err == nil && n > MaxTableEntries {
		return tooMany(n, "entries in its tables and passive element segments", MaxTableEntries)
	}
	return r.err
}

// signature is what the pass needs to know of a function type.
type signature struct{ params, results uint32 }

// typeGroup reads a type, or a recursive group of them (0x4e, which wazero reads too).
func (m *Module) typeGroup(r *reader) {
	form := r.byte()
	if form == 0x4e {
		r.vector(func(int) { m.signature(r, r.byte()) })
		return
	}
	m.signature(r, form)
}

func (m *Module) signature(r *reader, form byte) {
	if form != 0x60 {
		r.fail(fmt.Errorf("type %d is no function type", len(m.types)))
	}
	var s signature
	r.vector(func(int) { s.params++; r.valueType() })
	r.vector(func(int) { s.results++; r.valueType() })
	m.types = append(m.types, s)
	m.typeValues += int(s.params) + int(s.results)
	if len(m.types) > maxTypes { // of groups
		r.fail(tooMany(uint64(len(m.types)), "types", maxTypes))
	}
	if m.typeValues > maxTypeValues {
		r.fail(tooMany(uint64(m.typeValues), "parameters and results in its types", maxTypeValues))
	}
}

func (m *Module) readTable(r *reader) {
	t := r.table()
	m.Tables = append(m.Tables, t)
	m.TableEntries += t.Min
}

func (m *Module) readMemory(r *reader) {
	if r.pos < len(r.data) && r.data[r.pos]&2 != 0 {
		m.sharesMemory = true
	}
	m.Memories = append(m.Memories, r.limits())
}

// tag refuses a type that the module doesn't have: once it has been rewritten, it would be one that the rewrite adds.
func (m *Module) tag(r *reader) {
	r.byte()
	if n := r.u32(); n >= uint64(len(m.types)) {
		r.fail(fmt.Errorf("a tag of type %d, where there are %d", n, len(m.types)))
	}
}

func (r *reader) typeIndex() uint32 { return uint32(r.u32()) }

func (m *Module) readImport(r *reader) {
	i := Import{Module: r.name(), Name: r.name()}
	start := r.pos
	i.Kind = Kind(r.byte())
	switch i.Kind {
	case Func:
		t := r.typeIndex()
		m.functions = append(m.functions, t)
		m.importedFunctions++
		if int(t) >= len(m.types) {
			r.fail(fmt.Errorf("import %d is of type %d, where there are %d", len(m.Imports), t, len(m.types)))
		}
	case Table:
		r.table()
	case Memory:
		r.limits()
	case Global:
		r.valueType()
		r.byte()
		m.globals++
	case Tag:
		m.tag(r)
	default:
		r.fail(fmt.Errorf("import %d is of the unknown kind %d", len(m.Imports), i.Kind))
	}
	if r.err == nil {
		i.desc = r.data[start:r.pos]
		m.Imports = append(m.Imports, i)
	}
}

// table reads a table's type and limits. The form that gives a table's first value (0x40 0x00) is refused.
func (r *reader) table() TableType {
	start := r.pos
	if r.pos < len(r.data) && r.data[r.pos] == 0x40 {
		r.fail(errors.New("a table with an initial value"))
	}
	r.valueType()
	t := TableType{element: r.data[start:r.pos]}
	if r.pos < len(r.data) && r.data[r.pos] > 1 {
		r.fail(fmt.Errorf("a table with limits of the unknown form %#x", r.data[r.pos]))
	}
	if t.Limits = r.limits(); t.Min > math.MaxUint32 {
		r.fail(errInteger)
	}
	return t
}

func (m *Module) export(r *reader) Export {
	e := Export{Name: r.name(), Kind: Kind(r.byte())}
	index := r.u32()
	if e.Kind != Func {
		return e
	}
	m.declare(index)
	// Whether there is such a function, and such a type, is for whoever compiles the module to say.
	if int(index) < len(m.functions) && int(m.functions[index]) < len(m.types) {
		t := m.types[m.functions[index]]
		e.Params, e.Results = t.params, t.results
	}
	return e
}

// declare notes a function that code may refer to, since something outside of code does (WebAssembly Core 2.0, section 3.4.10).
func (m *Module) declare(function uint64) {
	if m.declared == nil {
		m.declared = make([]bool, len(m.functions)) // all are known where the first can be declared
	}
	if function < uint64(len(m.declared)) {
		m.declared[function] = true
	}
}

// element reads an element segment (section 5.5.12): its flags tell whether it is passive or declarative (1), names a table, or is
// declarative (2), and holds expressions in place of function indices (4).
func (m *Module) element(r *reader, i int) {
	flags := r.u32()
	if flags > 7 {
		r.fail(fmt.Errorf("element segment %d with unknown flags %#x", i, flags))
		return
	}
	active := flags&1 == 0
	if active && flags&2 != 0 {
		r.u32()
	}
	if active {
		r.constant()
	}
	if flags&3 != 0 && flags&4 == 0 {
		r.byte()
	} else if flags&3 != 0 {
		r.valueType()
	}
	n := 0
	r.vector(func(int) {
		n++
		if flags&4 == 0 {
			m.declare(r.u32())
		} else {
			r.constantOf(m.declare)
		}
	})
	if m.elementEntries += n; m.elementEntries > maxElementEntries {
		r.fail(tooMany(uint64(m.elementEntries), "entries in its element segments", maxElementEntries))
	}
	if flags&3 == 1 {
		m.TableEntries += uint64(n)
	}
}

// segment reads a data segment (section 5.5.14).
func (r *reader) segment() {
	switch flags := r.u32(); flags {
	case 2:
		r.u32()
		r.constant()
	case 0:
		r.constant()
	case 1:
	default:
		r.fail(fmt.Errorf("data segment with unknown flags %#x", flags))
	}
	r.bytes(r.u32())
}
