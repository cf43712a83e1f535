package rewrite

import (
	"strconv"
	"strings"
)

// exportsPrefix tells whether a name of the module's own could be taken for one that the rewrite gives.
func (m *Module) exportsPrefix(prefix string) bool {
	if prefix == "" {
		return false
	}
	for _, e := range m.Exports {
		if strings.HasPrefix(e.Name, prefix) {
			return true
		}
	}
	return false
}

// expose exports the mutable globals, what was the start function, and a function that does nothing.
func (w *writer) expose() {
	if w.o.Expose == "" {
		return
	}
	var exports []byte
	count := 0
	export := func(name string, kind Kind, index uint64) string {
		name = w.o.Expose + name
		exports = appendLEB(append(appendName(exports, name), byte(kind)), index)
		count++
		return name
	}
	first := uint64(w.m.imported(Global))
	for i, g := range globalTypes(w.bodies[sectionGlobal]) {
		if g.mutable {
			w.out.Globals = append(w.out.Globals, export("global"+strconv.Itoa(i), Global, first+uint64(i)))
		}
	}
	if start := w.bodies[sectionStart]; start != nil && w.out.Detached {
		w.out.Start = export("start", Func, (&reader{data: start}).u32())
		delete(w.bodies, sectionStart)
	}
	w.out.Hook = export("hook", Func, w.function(w.nothing(), []byte{opEnd}))
	w.add(sectionExport, count, exports)
}

// added is a function without locals: the index of its type, encoded, and its code.
type added struct{ typ, code []byte }

// functions adds them behind all others.
func (w *writer) functions(all []added) {
	var types, codes []byte
	for _, f := range all {
		types = append(types, f.typ...)
		codes = append(append(appendLEB(codes, uint64(len(f.code)+1)), 0), f.code...)
	}
	w.add(sectionFunction, len(all), types)
	w.add(sectionCode, len(all), codes)
}

// function adds one, and returns its index.
func (w *writer) function(typ, code []byte) (index uint64) {
	w.functions([]added{{typ, code}})
	r := &reader{data: w.bodies[sectionFunction]}
	return uint64(w.imports()) + r.u32() - 1
}

// nothing is the index of the type () -> (), encoded. It is added at the first use, whether or not there is one: types aren't kept that far.
func (w *writer) nothing() []byte {
	if w.empty == nil {
		w.add(sectionType, 1, []byte{typeFunc, 0, 0})
		w.empty = appendLEB(nil, uint64(len(w.m.types)))
	}
	return w.empty
}

// imports counts the imported functions as they are now.
func (w *writer) imports() int {
	if w.o.Fuel.Name != "" {
		return w.m.importedFunctions + 1
	}
	return w.m.importedFunctions
}

func (m *Module) imported(kind Kind) int {
	n := 0
	for _, i := range m.Imports {
		if i.Kind == kind {
			n++
		}
	}
	return n
}

type globalType struct {
	value   byte
	mutable bool
}

func globalTypes(body []byte) (all []globalType) {
	if body == nil {
		return nil
	}
	r := &reader{data: body}
	r.vector(func(int) {
		g := globalType{}
		if r.pos < len(r.data) {
			g.value = r.data[r.pos]
		}
		r.valueType()
		g.mutable = r.byte() == 1
		r.constant()
		all = append(all, g)
	})
	return all
}
