package main

import (
	"maps"
	"slices"

	"github.com/sortie-run/sortie/plugins/internal/settings"
)

// structure is JSON with references in its strings. A string that is one reference becomes that value, with its type; in others
// the values are filled in as text. Member names are literal, but for `*`, which stands for the members of the object (or of the
// list of objects) that its value refers to: later ones win, and those written beside it win over all.
type structure interface {
	// build fills in the structure. It tells false where there is no value.
	build(s *scope, missing missing) (any, bool)
	refs() []*reference
}

// missing says what becomes of a member without a value. In a list it is null in any case, so that places don't shift.
type missing uint8

const (
	asNull  missing = iota // an answer keeps its shape
	leftOut                // a request says nothing of what it doesn't have
)

func newStructure(v settings.Value) structure {
	switch raw := v.Raw().(type) {
	case string:
		t, err := parseTemplate(raw)
		if err != nil {
			v.Fail("%s", err)
		}
		return leaf(t)
	case []any:
		var list listOf
		for _, item := range v.List() {
			list = append(list, newStructure(item))
		}
		return list
	case map[string]any:
		object := objectOf{members: map[string]structure{}}
		for _, entry := range v.Entries() {
			if entry.Name == "*" {
				object.spread = newSpread(entry.Value)
				continue
			}
			object.members[entry.Name] = newStructure(entry.Value)
		}
		return object
	default:
		return constant{raw}
	}
}

func newSpread(v settings.Value) []*reference {
	items := []settings.Value{v}
	if _, ok := v.Raw().([]any); ok {
		items = v.List()
	}
	var spread []*reference
	for _, item := range items {
		t, err := parseTemplate(item.Text(""))
		if err != nil {
			item.Fail("%s", err)
			continue
		}
		if t.sole() == nil {
			item.Fail("must be one reference to an object, such as {calls.user}")
			continue
		}
		spread = append(spread, t.sole())
	}
	return spread
}

type constant struct{ value any }

func (c constant) build(*scope, missing) (any, bool) { return c.value, true }
func (c constant) refs() []*reference                { return nil }

type leaf template

func (l leaf) build(s *scope, _ missing) (any, bool) {
	t := template(l)
	if ref := t.sole(); ref != nil {
		return s.value(ref)
	}
	text, err := t.text(s, verbatim)
	return text, err == nil
}

func (l leaf) refs() []*reference { return template(l).refs() }

type listOf []structure

func (l listOf) build(s *scope, m missing) (any, bool) {
	list := make([]any, len(l))
	for i, item := range l {
		list[i], _ = item.build(s, m)
	}
	return list, true
}

func (l listOf) refs() []*reference {
	var refs []*reference
	for _, item := range l {
		refs = append(refs, item.refs()...)
	}
	return refs
}

type objectOf struct {
	spread  []*reference
	members map[string]structure
}

func (o objectOf) build(s *scope, m missing) (any, bool) {
	object := map[string]any{}
	for _, ref := range o.spread {
		value, _ := s.value(ref)
		mergeInto(object, value)
	}
	for name, member := range o.members {
		value, ok := member.build(s, m)
		if ok || m == asNull {
			object[name] = value
		}
	}
	return object, true
}

// mergeInto adds an object's members to another; of a list, those of all objects in it. Other values have none.
func mergeInto(object map[string]any, value any) {
	switch v := plain(value).(type) {
	case map[string]any:
		maps.Copy(object, v)
	case []any:
		for _, item := range v {
			if members, ok := item.(map[string]any); ok {
				maps.Copy(object, members)
			}
		}
	}
}

func (o objectOf) refs() []*reference {
	refs := slices.Clone(o.spread)
	for _, name := range slices.Sorted(maps.Keys(o.members)) {
		refs = append(refs, o.members[name].refs()...)
	}
	return refs
}
