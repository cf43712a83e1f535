package rewrite

// unfit is why an instance's state isn't its memory and its globals alone, or can't be set: half a sentence, or "".
func (m *Module) unfit() string {
	for _, s := range m.sections {
		if s.id != sectionGlobal {
			continue
		}
		for _, g := range globalTypes(s.body) {
			// wazero's Set loses the upper half of a vector, and takes no references.
			if g.mutable && (g.value < 0x7c || g.value > 0x7f) {
				return "it has a mutable global that is a vector or a reference"
			}
		}
	}
	if len(m.Memories) > 1 || m.sharesMemory {
		return "it has several memories, or a shared one"
	}
	if m.imported(Global)+m.imported(Memory)+m.imported(Table) > 0 {
		return "it shares state with another module"
	}
	switch {
	case m.writesTables:
		return "it writes to its tables"
	case m.dropsSegments:
		return "it drops segments"
	}
	return ""
}

// Second bytes of instructions after 0xfc.
const (
	miscMemoryInit = 0x08
	miscDataDrop   = 0x09
	miscMemoryCopy = 0x0a
	miscMemoryFill = 0x0b
	miscTableInit  = 0x0c
	miscElemDrop   = 0x0d
	miscTableCopy  = 0x0e
	miscTableGrow  = 0x0f
	miscTableFill  = 0x11
)

// opTableSet is table.set, and opMisc begins those above.
const (
	opTableSet = 0x26
	opMisc     = 0xfc
)

// state notes an instruction that changes what no image holds, or reads a table other than by calling an entry. sub is the second byte after
// 0xfc.
func (m *Module) state(op, sub byte) {
	switch {
	case op == opTableSet:
		m.writesTables = true
	case op == opTableGet || op == opReturnCallIndirect:
		m.readsTables = true
	case op != opMisc:
	case sub == miscDataDrop || sub == miscElemDrop:
		m.dropsSegments = true
	case sub == miscTableInit || sub == miscTableCopy || sub == miscTableGrow || sub == miscTableFill:
		m.writesTables = true
	}
}
