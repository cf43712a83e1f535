package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// decoder fills Go values from nodes, strictly: it reports every unknown and
// repeated key and every value of the wrong kind, and goes on. What the nodes
// don't name keeps its value, so decoding over defaults fills them in.
type decoder struct {
	file      string
	errs      Errors
	failed    map[string]bool   // keys with an error
	places    map[string]place  // keys named, and where their values stand
	emptyList map[string]bool   // keys given as a list without items
	elsewhere map[string]string // for a key's last part, or all parts run together, a full key

	aliases       bool // the source has some, so its size doesn't bound what follows
	values, bytes int
	spent         bool
}

func newDecoder(file string, target any) *decoder {
	d := &decoder{
		file:      file,
		failed:    map[string]bool{},
		places:    map[string]place{},
		emptyList: map[string]bool{},
		elsewhere: map[string]string{},
	}
	d.learn(reflect.TypeOf(target).Elem(), "")
	return d
}

// learn notes the full keys of a type, for hints about misplaced keys. The
// first one found stands, so outer keys go before inner ones.
func (d *decoder) learn(t reflect.Type, key string) {
	if t.Kind() != reflect.Struct || isManifest(t) && key != "" {
		return
	}
	for _, f := range fields(t) {
		full := child(key, f.name)
		d.elsewhere[plain(strings.ReplaceAll(full, ".", ""))] = full
		if d.elsewhere[f.name] == "" {
			d.elsewhere[f.name] = full
		}
	}
	for _, f := range fields(t) {
		d.learn(t.Field(f.index).Type, child(key, f.name))
	}
}

// decode reads data over target, a pointer to a struct.
func (d *decoder) decode(data []byte, target any) {
	root, aliases, err := readSource(data)
	if err != nil {
		d.report(err)
		return
	}
	d.aliases = aliases
	d.overlay(root, target)
}

func (d *decoder) overlay(root *node, target any) {
	d.value(root, reflect.ValueOf(target).Elem(), "", 0)
}

// report adds an error, unless one with the same key was reported before.
func (d *decoder) report(e *Error) {
	if e.Key != "" && d.failed[e.Key] || len(d.errs) >= maxErrors {
		return
	}
	d.failed[e.Key] = true
	if e.File == "" {
		e.File = d.file
	}
	e.Key, e.Message = withoutCredentials(e.Key), withoutCredentials(e.Message)
	d.errs = append(d.errs, e)
}

func (d *decoder) fail(key string, at place, format string, args ...any) {
	d.report(&Error{File: at.file, Key: key, Line: at.line, Column: at.column, Message: fmt.Sprintf(format, args...)})
}

// at gives the place of a key, or of the nearest key around it that was named.
func (d *decoder) at(key string) place {
	for key != "" {
		if p, ok := d.places[key]; ok {
			return p
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	return d.places[""]
}

// named says whether the source gave the key, whatever its value.
func (d *decoder) named(key string) bool {
	_, ok := d.places[key]
	return ok
}

// failedUnder says whether an error was reported for the key, for one that
// holds it or for one that it holds.
func (d *decoder) failedUnder(key string) bool {
	for other := range d.failed {
		if within(other, key) || within(key, other) {
			return true
		}
	}
	return false
}

// within says whether key is outer or stands inside it.
func within(key, outer string) bool {
	rest, ok := strings.CutPrefix(key, outer)
	return ok && outer != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// result gives the errors in the order of their places; nil if there are none.
func (d *decoder) result() error {
	if len(d.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(d.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return d.errs
}

// value decodes one node. Depth is bounded here a second time, since aliases
// put nodes inside each other.
func (d *decoder) value(n *node, v reflect.Value, key string, depth int) {
	if !d.spend(n, key, depth) {
		return
	}
	d.places[key] = n.place
	switch target := v.Addr().Interface().(type) {
	case *Duration:
		d.duration(n, target, key)
		return
	case *Bytes:
		d.size(n, target, key)
		return
	case *Rule:
		if n.kind == kindText {
			*target = Rule{URL: n.text}
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		d.pointer(n, v, key, depth)
	case reflect.Struct:
		d.structure(n, v, key, depth)
	case reflect.Map:
		d.mapping(n, v, key, depth)
	case reflect.Slice:
		d.list(n, v, key, depth)
	case reflect.Interface:
		if value := d.any(n, key, depth); value != nil {
			v.Set(reflect.ValueOf(value))
		}
	default:
		d.scalar(n, v, key)
	}
}

// spend counts a value against the bounds; false ends decoding.
func (d *decoder) spend(n *node, key string, depth int) bool {
	d.values++
	d.bytes += len(n.text)
	switch {
	case d.spent:
		return false
	case depth > maxDepth:
		d.fail(key, n.place, "more than %d mappings and lists inside each other", maxDepth)
	case d.aliases && (d.values > maxValues || d.bytes > maxTextBytes):
		d.fail(key, n.place, "more than %d values or %d bytes of text, aliases followed", maxValues, maxTextBytes)
	default:
		return true
	}
	d.spent = true
	return false
}

func (d *decoder) wrongKind(n *node, key, want string) {
	switch {
	case n.kind == kindNull:
		d.fail(key, n.place, "no value; it needs %s", want)
	case n.kind == kindList, n.kind == kindMapping, strings.HasPrefix(key, "secrets"): // there it may be one
		d.fail(key, n.place, "%s, where %s is needed", n.kind.describe(), want)
	default:
		d.fail(key, n.place, "%s is %s, where %s is needed", quote(n.text), n.kind.describe(), want)
	}
}

// pointer decodes an optional mapping; one with nothing after it is none.
func (d *decoder) pointer(n *node, v reflect.Value, key string, depth int) {
	if n.kind == kindNull {
		v.SetZero()
		return
	}
	target := reflect.New(v.Type().Elem())
	if !v.IsNil() {
		target.Elem().Set(v.Elem())
	} else {
		switch target := target.Interface().(type) {
		case *Warmup:
			*target = Warmup{Method: "GET", Path: "/"}
		case *Smoke:
			*target = Smoke{Method: "GET", Path: "/"}
		case *RetryBudget: // its zeros mean something
			*target = RetryBudget{Percent: 20, Minimum: 100, Window: 10e9}
		}
	}
	d.structure(n, target.Elem(), key, depth)
	v.Set(target)
}

func (d *decoder) structure(n *node, v reflect.Value, key string, depth int) {
	switch n.kind {
	case kindNull:
		return
	case kindMapping:
	default:
		if v.Type() == reflect.TypeFor[Rule]() {
			d.wrongKind(n, key, "a URL or a mapping with `url`")
			return
		}
		d.wrongKind(n, key, "a mapping")
		return
	}
	known := fields(v.Type())
	for _, e := range d.distinct(n, key) {
		i := slices.IndexFunc(known, func(f field) bool { return f.name == e.key })
		if i < 0 {
			d.unknown(e, key, known)
			continue
		}
		d.value(e.value, v.Field(known[i].index), child(key, e.key), depth+1)
	}
}

// distinct gives a mapping's entries, and reports those whose key was there
// before.
func (d *decoder) distinct(n *node, key string) []entry {
	first := make(map[string]place, len(n.entries))
	entries := make([]entry, 0, len(n.entries))
	for _, e := range n.entries {
		if before, ok := first[e.key]; ok {
			full := child(key, e.key)
			if before.line > 0 {
				d.fail(full, e.place, "key repeated; it is given at %d:%d", before.line, before.column)
			} else {
				d.fail(full, e.place, "key repeated")
			}
			continue
		}
		first[e.key] = e.place
		entries = append(entries, e)
	}
	return entries
}

func (d *decoder) unknown(e entry, parent string, known []field) {
	if len(d.errs) >= maxErrors {
		return
	}
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.name
	}
	full := child(parent, e.key)
	err := &Error{File: e.place.file, Key: full, Line: e.place.line, Column: e.place.column, Message: "unknown key", Nearest: nearest(e.key, names)}
	if err.Nearest == "" {
		word := nearest(e.key, slices.Sorted(maps.Keys(d.elsewhere)))
		err.Nearest = d.elsewhere[word]
	}
	if err.Nearest == "" {
		err.Message = "unknown key; the keys here are " + strings.Join(names, ", ")
	}
	d.report(err)
}

// field is a struct's field that has a key.
type field struct {
	name  string
	index int
}

// fields lists a struct's keys in the order of its fields.
func fields(t reflect.Type) []field {
	var list []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.IsExported() && name != "" && name != "-" {
			list = append(list, field{name: name, index: i})
		}
	}
	return list
}

func isManifest(t reflect.Type) bool { return t == reflect.TypeFor[Manifest]() }
