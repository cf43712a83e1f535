package main

import (
	"errors"
	"fmt"
	"strings"
)

// template is text with references in braces, like `Bearer {header.x-token}`; {{ and }} stand for the braces themselves.
type template []part

// part is literal text, or a reference.
type part struct {
	literal string
	ref     *reference
}

// reference names a value of the invocation:
//
//	{path.id}            a parameter of the route
//	{query.q}            a parameter of the query, its first value; the rest of the reference is its name, dots and all
//	{header.x-user}      a field of the request's header, its first value
//	{vars.region}        a constant of the configuration, with a path into it
//	{body} {body.a[0]}   the request's body; with a path: in its JSON
//	{calls.user.name}    the answer of another call, which is then waited for; with a path into it
//
// and after a bar what stands in for a missing value: {query.page|1}.
type reference struct {
	text        string // as written, without the braces
	source      source
	name        string // of the parameter, field or call
	path        path
	fallback    string
	hasFallback bool
}

type source string

const (
	fromPath   source = "path"
	fromQuery  source = "query"
	fromHeader source = "header"
	fromVars   source = "vars"
	fromBody   source = "body"
	fromCalls  source = "calls"
)

func parseTemplate(text string) (template, error) {
	var t template
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			t = append(t, part{literal: literal.String()})
			literal.Reset()
		}
	}
	for text != "" {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			literal.WriteString(text)
			break
		}
		literal.WriteString(text[:i])
		brace := text[i]
		text = text[i+1:]
		if text != "" && text[0] == brace {
			literal.WriteByte(brace)
			text = text[1:]
			continue
		}
		if brace == '}' {
			return nil, errors.New("a } without its {; to write a brace, double it")
		}
		inside, after, err := cutReference(text)
		if err != nil {
			return nil, err
		}
		ref, err := parseReference(inside)
		if err != nil {
			return nil, fmt.Errorf("{%s}: %w", inside, err)
		}
		flush()
		t = append(t, part{ref: ref})
		text = after
	}
	flush()
	return t, nil
}

// cutReference finds the brace that closes a reference: not one inside quotes, nor one of a pair, as in {calls.a|{}}.
func cutReference(text string) (inside, after string, err error) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == '}':
			return text[:i], text[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("{%s: the closing brace is missing; to write a brace, double it", text)
}

func parseReference(text string) (*reference, error) {
	ref := &reference{text: text}
	rest, fallback, found := strings.Cut(text, "|")
	ref.fallback, ref.hasFallback = fallback, found
	end := strings.IndexAny(rest, ".[")
	if end < 0 {
		end = len(rest)
	}
	ref.source = source(rest[:end])
	rest = rest[end:]
	name := strings.TrimPrefix(rest, ".")
	var err error
	switch ref.source {
	case fromQuery, fromHeader:
		ref.name = name
		if name == "" || rest[0] != '.' {
			return nil, errors.New("a name is missing after the dot")
		}
	case fromPath:
		ref.name = name
		if !isName(name) {
			return nil, fmt.Errorf("%q isn't a parameter's name", name)
		}
	case fromBody:
		ref.path, err = parsePath(name)
	case fromVars, fromCalls:
		end := strings.IndexAny(name, ".[")
		if end < 0 {
			end = len(name)
		}
		if ref.name = name[:end]; !isName(ref.name) {
			return nil, fmt.Errorf("%q isn't a name", ref.name)
		}
		ref.path, err = parsePath(strings.TrimPrefix(name[end:], "."))
	default:
		return nil, fmt.Errorf("%q is none of path, query, header, vars, body, calls", ref.source)
	}
	return ref, err
}

// refs lists the template's references.
func (t template) refs() []*reference {
	var refs []*reference
	for _, p := range t {
		if p.ref != nil {
			refs = append(refs, p.ref)
		}
	}
	return refs
}

// sole is the reference that is all there is of the template, or nil.
func (t template) sole() *reference {
	if len(t) == 1 {
		return t[0].ref
	}
	return nil
}

// text fills in the template; encode is applied to each value, not to what is literal.
func (t template) text(s *scope, encode func(string) string) (string, error) {
	var b strings.Builder
	for _, p := range t {
		if p.ref == nil {
			b.WriteString(p.literal)
			continue
		}
		value, err := s.text(p.ref)
		if err != nil {
			return "", err
		}
		b.WriteString(encode(value))
	}
	return b.String(), nil
}

func verbatim(s string) string { return s }
