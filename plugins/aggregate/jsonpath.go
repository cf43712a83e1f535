package main

import (
	"fmt"
	"strconv"
	"strings"
)

// path is a place in a JSON value, written like `a.b[0].c`:
//
//	a.b        member b of member a
//	["a.b"]    the member whose name holds what the syntax would read otherwise; inside the quotes, as in a JSON string
//	a[0]       the first element
//	a[*].id    a list of the id of each element; elements without one are left out
//
// The empty path is the value itself. Names are matched exactly.
type path []step

type step struct {
	name  string
	index int // of an element, where each and member are false
	kind  stepKind
}

type stepKind uint8

const (
	member stepKind = iota
	element
	each
)

// maxSteps bounds the depth of a path, and so the recursion over one.
const maxSteps = 64

func parsePath(text string) (path, error) {
	var p path
	rest := text
	for rest != "" {
		if len(p) == maxSteps {
			return nil, fmt.Errorf("path %q: more than %d steps", text, maxSteps)
		}
		next, after, err := parseStep(rest, len(p) == 0)
		if err != nil {
			return nil, fmt.Errorf("path %q: %w", text, err)
		}
		p, rest = append(p, next), after
	}
	return p, nil
}

func parseStep(text string, first bool) (step, string, error) {
	if strings.HasPrefix(text, "[") {
		return parseBracket(text)
	}
	if !first {
		if text[0] != '.' {
			return step{}, "", fmt.Errorf("a dot or a bracket is missing before %q", text)
		}
		text = text[1:]
	}
	end := strings.IndexAny(text, `.[]"`)
	if end < 0 {
		end = len(text)
	}
	if end == 0 {
		return step{}, "", fmt.Errorf("a name is missing before %q", text)
	}
	return step{name: text[:end]}, text[end:], nil
}

func parseBracket(text string) (step, string, error) {
	if strings.HasPrefix(text, `["`) {
		quoted, err := strconv.QuotedPrefix(text[1:])
		if err != nil {
			return step{}, "", fmt.Errorf("%q isn't a quoted name", text)
		}
		name, err := strconv.Unquote(quoted)
		after, closed := strings.CutPrefix(text[1+len(quoted):], "]")
		if err != nil || !closed {
			return step{}, "", fmt.Errorf("%q isn't a quoted name in brackets", text)
		}
		return step{name: name}, after, nil
	}
	inside, after, closed := strings.Cut(text[1:], "]")
	if !closed {
		return step{}, "", fmt.Errorf("%q has no closing bracket", text)
	}
	if inside == "*" {
		return step{kind: each}, after, nil
	}
	index, err := strconv.ParseUint(inside, 10, 31)
	if err != nil {
		return step{}, "", fmt.Errorf("[%s] is neither an index, nor *, nor a quoted name", inside)
	}
	return step{kind: element, index: int(index)}, after, nil
}

// get returns what stands at the path in v, a value as encoding/json decodes it, and whether anything does; null counts as
// something.
func (p path) get(v any) (any, bool) {
	for i, s := range p {
		switch s.kind {
		case member:
			object, ok := v.(map[string]any)
			if !ok {
				return nil, false
			}
			if v, ok = object[s.name]; !ok {
				return nil, false
			}
		case element:
			list, ok := v.([]any)
			if !ok || s.index >= len(list) {
				return nil, false
			}
			v = list[s.index]
		case each:
			return p[i+1:].getEach(v)
		}
	}
	return v, true
}

func (p path) getEach(v any) (any, bool) {
	list, ok := v.([]any)
	if !ok {
		return nil, false
	}
	found := make([]any, 0, len(list))
	for _, item := range list {
		if value, ok := p.get(item); ok {
			found = append(found, value)
		}
	}
	return found, true
}
