package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// match compares a JSON value with what is wanted of it, and says where it differs; "": nowhere. Of objects only the keys that are wanted
// count. An object with one key that begins with $ is a condition; see README.md.
func match(want, got any, at string) string {
	switch w := want.(type) {
	case map[string]any:
		if name, value, ok := condition(w); ok {
			return conditions(name, value, got, at)
		}
		g, ok := got.(map[string]any)
		if !ok {
			return differs(at, want, got)
		}
		for _, key := range slices.Sorted(maps.Keys(w)) {
			if why := member(w[key], g, key, at+"."+key); why != "" {
				return why
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return differs(at, want, got)
		}
		for i := range w {
			if why := match(w[i], g[i], fmt.Sprintf("%s[%d]", at, i)); why != "" {
				return why
			}
		}
		return ""
	case json.Number:
		if w, ok := number(want); ok {
			if g, ok := number(got); ok && w == g {
				return ""
			}
		}
		return differs(at, want, got)
	}
	if !reflect.DeepEqual(want, got) {
		return differs(at, want, got)
	}
	return ""
}

// member matches one key of an object; only with $absent it may be missing.
func member(want any, in map[string]any, key, at string) string {
	value, there := in[key]
	name, _, ok := asCondition(want)
	absent := ok && name == "$absent"
	switch {
	case there && absent:
		return fmt.Sprintf("%s is %s, and shouldn't be there", at, short(value))
	case there:
		return match(want, value, at)
	case !absent:
		return fmt.Sprintf("%s isn't there", at)
	}
	return ""
}

func asCondition(v any) (name string, value any, ok bool) {
	m, isMap := v.(map[string]any)
	if !isMap {
		return "", nil, false
	}
	return condition(m)
}

func condition(m map[string]any) (name string, value any, ok bool) {
	if len(m) != 1 {
		return "", nil, false
	}
	for name, value = range m {
	}
	return name, value, strings.HasPrefix(name, "$")
}

// conditions are the ones that README.md lists.
func conditions(name string, value, got any, at string) string {
	switch name {
	case "$any":
		return ""
	case "$contains":
		if g, ok := got.(string); ok && strings.Contains(g, fmt.Sprint(value)) {
			return ""
		}
	case "$between":
		bounds, _ := value.([]any)
		if g, ok := number(got); ok && len(bounds) == 2 {
			low, _ := number(bounds[0])
			high, _ := number(bounds[1])
			if low <= g && g <= high {
				return ""
			}
		}
	case "$length":
		n, _ := number(value)
		switch g := got.(type) {
		case string:
			if float64(len(g)) == n {
				return ""
			}
			return fmt.Sprintf("%s has %d bytes, want %v", at, len(g), value)
		case []any:
			if float64(len(g)) == n {
				return ""
			}
			return fmt.Sprintf("%s has %d entries, want %v", at, len(g), value)
		}
	case "$includes":
		wanted, _ := value.([]any)
		g, _ := got.([]any)
		for _, w := range wanted {
			if !slices.ContainsFunc(g, func(one any) bool { return match(w, one, "") == "" }) {
				return fmt.Sprintf("%s has nothing like %s: %s", at, short(w), short(got))
			}
		}
		return ""
	case "$unordered":
		return unordered(value, got, at)
	case "$not":
		if match(value, got, at) != "" {
			return ""
		}
	case "$oneof":
		choices, _ := value.([]any)
		if slices.ContainsFunc(choices, func(w any) bool { return match(w, got, "") == "" }) {
			return ""
		}
	default:
		return fmt.Sprintf("%s: there is no condition %s", at, name)
	}
	return fmt.Sprintf("%s is %s, want %s %s", at, short(got), name, short(value))
}

// unordered matches an array whose order doesn't count.
func unordered(value, got any, at string) string {
	wanted, _ := value.([]any)
	g, ok := got.([]any)
	if !ok || len(g) != len(wanted) {
		return differs(at, value, got)
	}
	left := slices.Clone(g)
	for _, w := range wanted {
		i := slices.IndexFunc(left, func(one any) bool { return match(w, one, "") == "" })
		if i < 0 {
			return fmt.Sprintf("%s has nothing like %s: %s", at, short(w), short(got))
		}
		left = slices.Delete(left, i, i+1)
	}
	return ""
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	case float64:
		return v, true
	}
	return 0, false
}

func differs(at string, want, got any) string {
	return fmt.Sprintf("%s is %s, want %s", at, short(got), short(want))
}

// short is a value as a message shows it.
func short(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	const most = 600
	if len(text) > most {
		text = append(text[:most], "…"...)
	}
	if !utf8.Valid(text) {
		return fmt.Sprintf("%q", text)
	}
	return string(text)
}
