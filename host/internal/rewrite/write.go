package rewrite

// Options are what Rewrite changes.
type Options struct {
	// Redirect names the module to import each import from, in the order of the imports; "" leaves it where it is, as nil does with all.
	Redirect []string
	// TableEntries is how many entries all tables together may grow to. It must cover what they start with.
	TableEntries uint64
	// Expose begins the names of what is exported besides: the mutable globals, the start function, and a function that does nothing.
	// "": nothing is.
	Expose string
	// Detach takes the active data segments and the start function out, for the host to apply. A start function needs Expose for it.
	Detach bool
	// LazyTable is from how many entries on a table begins empty, and has them put in as they are called. It is done together with Fuel only. 0:
	// never.
	LazyTable int
	// TypedReferences tells that whoever compiles the module knows typed function references, a proposal.
	TypedReferences bool
	// Fuel is the function that the module is to call whenever its fuel has run out. Without a name, no fuel is put in.
	Fuel Fuel
}

// Fuel names a function () -> () to be imported, and says how much fuel a guest has between two calls of it. A unit is a round of a small loop, or
// 64 bytes of code: two to four nanoseconds, whatever a guest does. Where the host doesn't return from the function, the guest ends there.
type Fuel struct {
	Module, Name string
	Interval     int
}

// Rewritten is a module as it is to be compiled, and what the host must know of it.
type Rewritten struct {
	Wasm []byte
	// Globals are the export names of all mutable globals, the fuel's among them.
	Globals []string
	// Hook is the export name of a function () -> () that does nothing.
	Hook string
	// Start is the export name of what was the start function; "": there was none, or it still is.
	Start string
	// Data are to be written to the memory before Start is called, in this order.
	Data []Segment
	// Detached tells whether Data and Start were taken out. It isn't done where instantiating the module would fail on them.
	Detached bool
	// Unfit is why no image of an instance can be brought back, as half a sentence; "": it can.
	Unfit string
	// Unfueled is why no fuel was put in; "": it was. A module without needs another means of being stopped.
	Unfueled string
}

// Rewrite returns the module with its imports taken from other modules, a maximum on each table, names that are cut to what a trap's text
// needs, no other custom section, and what the options ask for. Everything else means what it meant before.
func (m *Module) Rewrite(o Options) *Rewritten {
	if m.exportsPrefix(o.Expose) {
		prefix := o.Expose
		o.Expose, o.Detach, o.Fuel = "", false, Fuel{}
		out := m.rewrite(o)
		out.Unfit = "its exports have names like " + prefix
		out.Unfueled = out.Unfit
		return out
	}
	out := m.rewrite(o)
	if o.Fuel.Name == "" {
		out.Unfueled = "it wasn't asked for"
		return out
	}
	// Checks are code too: what was just within the bounds may have passed them.
	_, err := Parse(out.Wasm)
	if err != nil && o.LazyTable > 0 {
		o.LazyTable = 0
		out = m.rewrite(o)
		_, err = Parse(out.Wasm)
	}
	if err != nil {
		o.Fuel = Fuel{}
		out = m.rewrite(o)
		out.Unfueled = "with fuel, " + err.Error()
	}
	return out
}

func (m *Module) rewrite(o Options) *Rewritten {
	w := &writer{m: m, o: o, out: &Rewritten{Unfit: m.unfit()}, bodies: make(map[byte][]byte, len(m.sections))}
	for _, s := range m.sections {
		if s.id != sectionCustom {
			w.bodies[s.id] = s.body
		} else if names := m.names(s.body); names != nil && w.names == nil {
			w.names = names
		}
	}
	w.write()
	return w.out
}

// writer is a module that is being written anew.
type writer struct {
	m      *Module
	o      Options
	out    *Rewritten
	bodies map[byte][]byte // by section; none is empty
	names  []byte
	empty  []byte // the index of the type () -> (), encoded, once it has been added
}

// written are the sections in the order they stand in a module.
var written = [...]byte{
	sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionTag, sectionGlobal, sectionExport, sectionStart,
	sectionElement, sectionDataCount, sectionCode, sectionData,
}

func (w *writer) write() {
	m := w.m
	if w.bodies[sectionImport] != nil {
		w.bodies[sectionImport] = m.redirected(w.o.Redirect)
	}
	if w.bodies[sectionTable] != nil {
		w.bodies[sectionTable] = m.capped(w.o.TableEntries)
	}
	if w.o.Detach && w.starts() {
		w.detach()
	}
	if !w.out.Detached {
		if joined := merged(w.bodies[sectionData]); joined != nil && !m.dataCount {
			w.bodies[sectionData] = joined
		}
	}
	if w.o.Fuel.Name != "" {
		w.fuel()
	}
	w.expose()
	size := 0
	for _, b := range w.bodies {
		size += len(b) + 8
	}
	out := append(make([]byte, 0, size+len(w.names)+8), magic[:]...)
	for _, id := range written {
		if body := w.bodies[id]; body != nil {
			out = appendName(append(out, id), body)
		}
	}
	if w.names != nil {
		out = appendName(append(out, sectionCustom), w.names)
	}
	w.out.Wasm = out
}

// starts tells whether the start function, if there is one, can be called by the host in place of wazero.
func (w *writer) starts() bool {
	start, m := w.bodies[sectionStart], w.m
	if start == nil {
		return true
	}
	index := (&reader{data: start}).u32()
	return w.o.Expose != "" && index < uint64(len(m.functions)) && int(m.functions[index]) < len(m.types) &&
		m.types[m.functions[index]] == signature{}
}

// add adds elements to a section that is a vector.
func (w *writer) add(id byte, count int, elements []byte) {
	body := w.bodies[id]
	r := &reader{data: body}
	n := uint64(0)
	if body != nil {
		n = r.u32()
	}
	next := appendLEB(make([]byte, 0, len(body)+len(elements)+5), n+uint64(count))
	next = append(next, body[r.pos:]...)
	w.bodies[id] = append(next, elements...)
}

func (m *Module) redirected(to []string) []byte {
	body := appendLEB(nil, uint64(len(m.Imports)))
	for at, i := range m.Imports {
		module := i.Module
		if to != nil && to[at] != "" {
			module = to[at]
		}
		body = appendName(body, module)
		body = appendName(body, i.Name)
		body = append(body, i.desc...)
	}
	return body
}

// capped gives each table a maximum: what it starts with and an equal share of the entries that are left, or less where it
// declares less itself. wazero's table.grow answers -1 beyond it.
func (m *Module) capped(entries uint64) []byte {
	share := uint64(0)
	if start := m.TableEntries; entries > start {
		share = (entries - start) / uint64(max(len(m.Tables), 1))
	}
	body := appendLEB(nil, uint64(len(m.Tables)))
	for _, t := range m.Tables {
		most := t.Min + share
		if t.HasMax {
			most = max(t.Min, min(most, t.Max))
		}
		body = append(body, t.element...)
		body = append(body, 1) // has a maximum
		body = appendLEB(body, t.Min)
		body = appendLEB(body, most)
	}
	return body
}

func appendName[S string | []byte](b []byte, s S) []byte {
	return append(appendLEB(b, uint64(len(s))), s...)
}

// appendLEB appends an unsigned LEB128 (WebAssembly Core 2.0, section 5.2.2).
func appendLEB(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}
