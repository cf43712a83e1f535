package main

import (
	"errors"
	"maps"

	"github.com/sortie-run/sortie/plugins/internal/settings"
)

// shape is what is done to a call's body before anything else sees it, in this order. Lists are gone through: what is said of
// an object holds for each object in a list.
type shape struct {
	target path // only what stands there is kept
	allow  *fieldSet
	deny   *fieldSet
	rename map[string]string // members of the outermost objects, old name to new
}

// fieldSet is a set of fields, nested ones included: {"id":nil,"owner":{"name":nil}}. A nil set is a whole field.
type fieldSet struct{ fields map[string]*fieldSet }

func newFieldSet(paths []settings.Value) *fieldSet {
	if len(paths) == 0 {
		return nil
	}
	root := &fieldSet{fields: map[string]*fieldSet{}}
	for _, v := range paths {
		p, err := parsePath(v.Text(""))
		if err == nil && len(p) == 0 {
			err = errors.New("must be a field such as owner.name")
		}
		for _, s := range p {
			if s.kind != member {
				err = errors.New("takes names only; lists are gone through anyway")
			}
		}
		if err != nil {
			v.Fail("%s", err)
			continue
		}
		root.add(p)
	}
	return root
}

func (f *fieldSet) add(p path) {
	next, known := f.fields[p[0].name]
	switch {
	case len(p) == 1:
		f.fields[p[0].name] = nil
	case known && next == nil: // the whole field is in the set already
	default:
		if next == nil {
			next = &fieldSet{fields: map[string]*fieldSet{}}
			f.fields[p[0].name] = next
		}
		next.add(p[1:])
	}
}

func (sh *shape) empty() bool {
	return len(sh.target) == 0 && sh.allow == nil && sh.deny == nil && len(sh.rename) == 0
}

// apply shapes a value, which it changes. It tells false if there is nothing at the target, or nothing that has fields to allow.
func (sh *shape) apply(v any) (any, bool) {
	v, ok := sh.target.get(v)
	if !ok {
		return nil, false
	}
	if sh.allow != nil {
		if v, ok = keep(v, sh.allow); !ok {
			return nil, false
		}
	}
	if sh.deny != nil {
		remove(v, sh.deny)
	}
	if len(sh.rename) > 0 {
		renameMembers(v, sh.rename)
	}
	return v, true
}

// keep drops all but the fields in the set. What is neither object nor list has none of them, and is dropped whole: an allow list
// lets nothing through that isn't on it.
func keep(v any, set *fieldSet) (any, bool) {
	switch v := v.(type) {
	case []any:
		kept := v[:0]
		for _, item := range v {
			if item, ok := keep(item, set); ok {
				kept = append(kept, item)
			}
		}
		return kept, true
	case map[string]any:
		for name, value := range v {
			inner, in := set.fields[name]
			if in && inner != nil {
				v[name], in = keep(value, inner)
			}
			if !in {
				delete(v, name)
			}
		}
		return v, true
	}
	return nil, false
}

func remove(v any, set *fieldSet) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			remove(item, set)
		}
	case map[string]any:
		for name, inner := range set.fields {
			if inner == nil {
				delete(v, name)
			} else {
				remove(v[name], inner)
			}
		}
	}
}

// renameMembers renames all at once, so that two members can change names.
func renameMembers(v any, names map[string]string) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			renameMembers(item, names)
		}
	case map[string]any:
		renamed := map[string]any{}
		for from, to := range names {
			if value, ok := v[from]; ok {
				delete(v, from)
				renamed[to] = value
			}
		}
		maps.Copy(v, renamed)
	}
}
