// Package rewrite reads a WebAssembly module, refuses what would cost the host too much, and changes the rest in one pass, at deploy.
//
// It knows the whole binary format (WebAssembly Core 2.0, chapter 5, and the proposals that wazero knows), so that no count reaches
// wazero that the bytes don't bear out, and it walks the code to estimate what compiling takes. The bounds are in bounds.go. A module
// it can't read is refused with an error that says where; whether the rest of it is valid is wazero's to say.
//
//	m, err := rewrite.Parse(wasm)
//	m.Imports            // what it asks for
//	out := m.Rewrite(rewrite.Options{…})  // the same module with other import module names, bounded tables and short names; with fuel, and
//	                                      // with what the host needs to bring an instance back to where it was
package rewrite

import (
	"errors"
	"fmt"
)

// Section identifiers used here (WebAssembly Core 2.0, section 5.5.2).
const (
	sectionCustom = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
	sectionTag
)

// Kind tells what is imported or exported.
type Kind byte

// The kinds of WebAssembly Core 2.0, section 5.5.5, and of the exception-handling proposal.
const (
	Func Kind = iota
	Table
	Memory
	Global
	Tag
)

func (k Kind) String() string {
	names := [...]string{"function", "table", "memory", "global", "tag"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// Import is one import of the module.
type Import struct {
	Module, Name string
	Kind         Kind
	desc         []byte // the description's bytes, kept as they are
}

// Export is one export of the module.
type Export struct {
	Name            string
	Kind            Kind
	Params, Results uint32 // how many, of a function
}

// TableType is a table that the module defines. Its limits are in entries.
type TableType struct {
	Limits
	element []byte // the element type's bytes
}

// Limits are a memory's, in pages of 64 KiB, or a table's, in entries.
type Limits struct {
	Min uint64
	Max uint64 // 0 where HasMax is false
	// HasMax tells whether the module states a maximum.
	HasMax bool
}

// Outline is what a module asks for and offers.
type Outline struct {
	Imports  []Import
	Exports  []Export
	Memories []Limits // defined ones; imported ones are in Imports
	// TableEntries is how many entries its tables start with, with those of its passive element segments: wazero holds both for each
	// instance.
	TableEntries uint64
	// Refers tells whether code refers to functions (ref.func). wazero keeps an object for each time that is executed, so such a module
	// must only run with fuel: the references are globals then.
	Refers bool
}

// Module is a parsed module. It keeps the bytes it was parsed from; they must not change.
type Module struct {
	Outline
	Tables []TableType // defined ones

	size              int
	sections          []section
	types             []signature
	functions         []uint32 // the type of each, imported ones first
	importedFunctions int
	typeValues        int      // parameters and results of all types
	dataCount         bool     // whether instructions may name data segments
	globals           int      // imported ones first
	leaves            []uint16 // for each defined function, what one without calls and loops costs if that is little; else 0
	elementEntries    int
	locals            int    // of all functions
	steps             int    // the same
	tangled           int    // of these, see work.steps
	declared          []bool // functions that code may refer to
	writesTables      bool
	readsTables       bool // or calls through one in place of returning
	dropsSegments     bool
	sharesMemory      bool
}

type section struct {
	id   byte
	body []byte
}

var magic = [8]byte{0x00, 'a', 's', 'm', 0x01, 0x00, 0x00, 0x00}

// ErrNotWasm is wrapped by the error for bytes that are no core module of version 1 (a component, text, anything else).
var ErrNotWasm = errors.New("not a WebAssembly core module")

// Parse reads a module's sections.
func Parse(wasm []byte) (*Module, error) {
	if len(wasm) < len(magic) || [8]byte(wasm[:8]) != magic {
		return nil, notWasm(wasm)
	}
	m := &Module{size: len(wasm)}
	r := &reader{data: wasm, pos: len(magic)}
	var last byte
	for !r.done() {
		start := r.pos
		id := r.byte()
		body := r.bytes(r.u32())
		if r.err != nil {
			return nil, fmt.Errorf("section at byte %d: %w", start, r.err)
		}
		if id > sectionTag {
			return nil, fmt.Errorf("section at byte %d: unknown section %d", start, id)
		}
		if id != sectionCustom && order(id) <= order(last) {
			return nil, fmt.Errorf("section at byte %d: section %d is out of order or stands twice", start, id)
		}
		if id != sectionCustom {
			last = id
		}
		if err := m.read(id, body); err != nil {
			return nil, fmt.Errorf("section %d at byte %d: %w", id, start, err)
		}
		m.sections = append(m.sections, section{id: id, body: body})
	}
	return m, nil
}

func notWasm(b []byte) error {
	switch {
	case len(b) >= 8 && string(b[:4]) == "\x00asm" && b[4] == 0x0d:
		return fmt.Errorf("%w: it is a component; build a core module (for example with GOOS=wasip1, or wasm32-wasip1)", ErrNotWasm)
	case len(b) >= 8 && string(b[:4]) == "\x00asm":
		return fmt.Errorf("%w: its version is not 1", ErrNotWasm)
	default:
		return fmt.Errorf("%w: it doesn't begin with \\0asm", ErrNotWasm)
	}
}

// order gives the place of a section in a module: the data count section (12) stands before code (10), tags (13) before
// globals (6).
func order(id byte) int {
	switch id {
	case sectionDataCount:
		return 10*sectionCode - 5
	case sectionTag:
		return 10*sectionGlobal - 5
	default:
		return int(id) * 10
	}
}

// Exported tells whether the module exports that name as that kind.
func (m *Outline) Exported(name string, kind Kind) bool {
	_, ok := m.Export(name, kind)
	return ok
}

// Export returns the export of that name and kind.
func (m *Outline) Export(name string, kind Kind) (Export, bool) {
	for _, e := range m.Exports {
		if e.Name == name && e.Kind == kind {
			return e, true
		}
	}
	return Export{}, false
}
