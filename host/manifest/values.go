package manifest

import (
	"reflect"
	"strconv"
	"strings"
)

// mapping decodes a mapping whose keys are the user's.
func (d *decoder) mapping(n *node, v reflect.Value, key string, depth int) {
	switch n.kind {
	case kindNull:
		v.SetZero()
		return
	case kindMapping:
	default:
		d.wrongKind(n, key, "a mapping")
		return
	}
	// The environment adds to a mapping; a file's replaces the default's.
	m := reflect.MakeMap(v.Type())
	if n.env {
		for _, k := range v.MapKeys() {
			m.SetMapIndex(k, v.MapIndex(k))
		}
	}
	for _, e := range d.distinct(n, key) {
		value := reflect.New(v.Type().Elem()).Elem()
		if old := m.MapIndex(reflect.ValueOf(e.key)); old.IsValid() && value.Kind() != reflect.Interface {
			value.Set(old)
		}
		d.value(e.value, value, child(key, e.key), depth+1)
		m.SetMapIndex(reflect.ValueOf(e.key), value)
	}
	if m.Len() == 0 {
		v.SetZero()
		return
	}
	v.Set(m)
}

func (d *decoder) list(n *node, v reflect.Value, key string, depth int) {
	items := n.items
	switch {
	case n.kind == kindNull:
	case n.env && n.kind == kindText:
		items = splitList(n)
	case n.kind != kindList:
		d.wrongKind(n, key, "a list")
		return
	case len(items) > maxItems:
		d.fail(key, n.place, "%d items; %d is the most", len(items), maxItems)
		return
	}
	if len(items) == 0 {
		d.emptyList[key] = n.kind == kindList
		v.SetZero()
		return
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, it := range items {
		d.value(it, list.Index(i), item(key, i), depth+1)
	}
	v.Set(list)
}

// splitList takes an environment variable's list apart.
func splitList(n *node) []*node {
	var items []*node
	for part := range strings.SplitSeq(n.text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			items = append(items, &node{kind: kindText, text: part, place: n.place, env: true})
		}
	}
	return items
}

// any decodes a value of the user's own: nil, bool, int64, float64, string,
// []any or map[string]any.
func (d *decoder) any(n *node, key string, depth int) any {
	switch n.kind {
	case kindNull:
		return nil
	case kindBool:
		return n.truth
	case kindInteger:
		return n.integer
	case kindNumber:
		return n.number
	case kindText:
		return n.text
	case kindList:
		list := make([]any, len(n.items))
		for i, it := range n.items {
			if sub := item(key, i); d.spend(it, sub, depth+1) {
				list[i] = d.any(it, sub, depth+1)
			}
		}
		return list
	default:
		m := make(map[string]any, len(n.entries))
		for _, e := range d.distinct(n, key) {
			if sub := child(key, e.key); d.spend(e.value, sub, depth+1) {
				m[e.key] = d.any(e.value, sub, depth+1)
			}
		}
		return m
	}
}

func (d *decoder) scalar(n *node, v reflect.Value, key string) {
	if n.env {
		n = typed(n, v.Kind())
	}
	switch {
	case v.Kind() == reflect.String && n.kind == kindText:
		v.SetString(n.text)
	case v.Kind() == reflect.String && n.kind > kindNull && n.kind < kindText:
		d.fail(key, n.place, "%s is %s, where text is needed; put it in quotes", quote(n.text), n.kind.describe())
	case v.Kind() == reflect.String:
		d.wrongKind(n, key, "text")
	case v.Kind() == reflect.Bool && n.kind == kindBool:
		v.SetBool(n.truth)
	case v.Kind() == reflect.Bool:
		d.wrongKind(n, key, "true or false")
	case v.CanInt() && n.kind == kindInteger && !v.OverflowInt(n.integer):
		v.SetInt(n.integer)
	default:
		d.wrongKind(n, key, "a whole number")
	}
}

// typed reads an environment variable's text as what the key needs.
func typed(n *node, want reflect.Kind) *node {
	out := *n
	switch want {
	case reflect.Bool:
		if n.text == "true" || n.text == "false" {
			out.kind, out.truth = kindBool, n.text == "true"
		}
	case reflect.Int, reflect.Int64:
		if i, err := strconv.ParseInt(n.text, 10, 64); err == nil {
			out.kind, out.integer = kindInteger, i
		}
	}
	return &out
}

func (d *decoder) duration(n *node, target *Duration, key string) {
	const want = "a duration, such as 10s or 100ms,"
	switch n.kind {
	case kindText, kindInteger, kindNumber:
		parsed, err := ParseDuration(n.text)
		if err != nil {
			d.fail(key, n.place, "%s", err)
			return
		}
		*target = parsed
	default:
		d.wrongKind(n, key, want)
	}
}

func (d *decoder) size(n *node, target *Bytes, key string) {
	const want = "a size, such as 1MiB or 64KiB,"
	switch {
	case n.kind == kindInteger && n.integer < 0:
		d.fail(key, n.place, "a size can't be negative")
	case n.kind == kindInteger:
		*target = Bytes(n.integer)
	case n.kind == kindText:
		parsed, err := ParseBytes(n.text)
		if err != nil {
			d.fail(key, n.place, "%s", err)
			return
		}
		*target = parsed
	default:
		d.wrongKind(n, key, want)
	}
}
