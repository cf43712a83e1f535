package rewrite

// Options are what Rewrite changes.
type Options struct {
	// Redirect is asked for each import and returns the name of the module to import it from, or "" to leave it.
	Redirect func(Import) string
	// TableEntries is how many entries all tables together may grow to. It must cover what they start with.
	TableEntries uint64
}

// Rewrite returns the module with its imports taken from other modules, a maximum on each table, names that are cut to what a
// trap's text needs, data segments joined, and no other custom section. All else stays as it is, byte for byte, but for the length of length fields.
func (m *Module) Rewrite(o Options) []byte {
	out := append(make([]byte, 0, m.size), magic[:]...)
	named := false
	for _, s := range m.sections {
		body := s.body
		switch s.id {
		case sectionImport:
			body = m.redirected(o.Redirect)
		case sectionTable:
			body = m.capped(o.TableEntries)
		case sectionData:
			if joined := merged(body); joined != nil && !m.dataCount {
				body = joined
			}
		case sectionCustom:
			if body = m.names(body); body == nil || named {
				continue
			}
			named = true
		}
		out = append(out, s.id)
		out = appendLEB(out, uint64(len(body)))
		out = append(out, body...)
	}
	return out
}

func (m *Module) redirected(to func(Import) string) []byte {
	body := appendLEB(nil, uint64(len(m.Imports)))
	for _, i := range m.Imports {
		module := i.Module
		if other := to(i); other != "" {
			module = other
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
	if start := m.TableEntries(); entries > start {
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

// TableEntries is how many entries the module's tables start with, with those of its passive element segments: wazero holds both for
// each instance.
func (m *Module) TableEntries() uint64 {
	n := uint64(m.passiveEntries)
	for _, t := range m.Tables {
		n += t.Min
	}
	return n
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
