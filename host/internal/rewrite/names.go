package rewrite

import (
	"errors"
	"unicode/utf8"
)

// The subsections of the name section (section 7.4.1) that are kept: the module's and the functions' names, which traps show.
const (
	namesModule    = 0
	namesFunctions = 1
)

var errNames = errors.New("names that can't be read")

// names returns a custom section as it is kept: the name section with the module's and the functions' names, cut to maxName bytes.
// It returns nil for any other section and for names that are too long or can't be read; the module runs as well without.
//
// It is written anew, since wazero takes a count in it for true and reads on past a subsection's end.
func (m *Module) names(section []byte) []byte {
	r := &reader{data: section}
	if string(r.bytes(r.u32())) != "name" || len(section) > maxNames {
		return nil
	}
	out := appendName(nil, "name")
	for last := -1; !r.done(); {
		id := int(r.byte())
		body := &reader{data: r.bytes(r.u32())}
		if r.err != nil || id <= last {
			return nil
		}
		var kept []byte
		switch last = id; id {
		case namesModule:
			kept = appendName(nil, body.shortName())
		case namesFunctions:
			kept = m.functionNames(body)
		default:
			continue
		}
		if body.err != nil || !body.done() {
			return nil
		}
		out = appendName(append(out, byte(id)), kept)
	}
	return out
}

// functionNames reads a name map, whose indices ascend, and returns it with its names cut. On an error the reader has it.
func (m *Module) functionNames(r *reader) []byte {
	var kept []byte
	n, next := 0, uint64(0)
	r.vector(func(int) {
		index := r.u32()
		name := r.shortName()
		if index < next || index >= uint64(len(m.functions)) {
			r.fail(errNames)
		}
		next = index + 1
		n++
		kept = appendName(appendLEB(kept, index), name)
	})
	return append(appendLEB(nil, uint64(n)), kept...)
}

// shortName reads a name and returns up to maxName bytes of it, to a character's end.
func (r *reader) shortName() []byte {
	name := r.bytes(r.u32())
	if !utf8.Valid(name) {
		r.fail(errNames)
	}
	if len(name) <= maxName {
		return name
	}
	end := maxName
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end]
}
