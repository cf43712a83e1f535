package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"sync"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

// scope holds the values that an invocation's references can name. Calls fill in their outcomes while others read: a call reads
// only those that it has waited for.
type scope struct {
	params map[string]string
	query  url.Values
	header sortie.Header
	vars   map[string]any
	raw    []byte // the request's body
	body   func() *document
	calls  map[string]*outcome
}

func newScope(req *sortie.Request, params map[string]string, vars map[string]any) *scope {
	s := &scope{params: params, query: req.Query(), header: req.Header, vars: vars, raw: req.Body, calls: map[string]*outcome{}}
	s.body = sync.OnceValue(func() *document {
		doc, err := newDocument(decodeJSON, "", req.Body)
		if err != nil {
			return nil
		}
		return doc
	})
	return s
}

// valueError is a reference that can't be filled in.
type valueError struct {
	ref     *reference
	reason  string
	missing bool // there is no value, as opposed to one that doesn't do
}

func (e *valueError) Error() string { return fmt.Sprintf("{%s}: %s", e.ref.text, e.reason) }

// lookup finds the value of a reference as JSON, its fallback aside.
func (s *scope) lookup(ref *reference) (any, bool) {
	switch ref.source {
	case fromPath:
		value, ok := s.params[ref.name]
		return value, ok
	case fromQuery:
		return first(s.query[ref.name])
	case fromHeader:
		return first(s.header.Values(ref.name))
	case fromVars:
		value, ok := s.vars[ref.name]
		if !ok {
			return nil, false
		}
		return ref.path.get(value)
	case fromBody:
		return s.lookupBody(ref)
	case fromCalls:
		if o := s.calls[ref.name]; o != nil && o.doc != nil {
			return o.doc.get(ref.path)
		}
	}
	return nil, false
}

func (s *scope) lookupBody(ref *reference) (any, bool) {
	if doc := s.body(); doc != nil {
		return doc.get(ref.path)
	}
	if len(ref.path) > 0 || len(s.raw) == 0 {
		return nil, false
	}
	return textDocument(s.raw).whole(), true
}

func first(values []string) (any, bool) {
	if len(values) == 0 {
		return nil, false
	}
	return values[0], true
}

// value is what a reference stands for in a JSON structure: its own type is kept, and a fallback that is JSON counts as that.
func (s *scope) value(ref *reference) (any, bool) {
	if value, ok := s.lookup(ref); ok {
		return value, true
	}
	if !ref.hasFallback {
		return nil, false
	}
	if json.Valid([]byte(ref.fallback)) {
		return json.RawMessage(ref.fallback), true
	}
	return ref.fallback, true
}

// text is what a reference stands for in text. Null and what isn't there is missing; objects and lists don't do.
func (s *scope) text(ref *reference) (string, error) {
	value, _ := s.lookup(ref)
	switch v := plain(value).(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return fmt.Sprint(v), nil
	case nil:
		if ref.hasFallback {
			return ref.fallback, nil
		}
		return "", &valueError{ref, s.whyMissing(ref), true}
	}
	return "", &valueError{ref, "is an object or a list, and only a single value fits here", false}
}

func (s *scope) whyMissing(ref *reference) string {
	if ref.source == fromCalls {
		if o := s.calls[ref.name]; o == nil || o.doc == nil {
			return "call " + ref.name + " failed"
		}
	}
	return "there is no such value"
}

// fromRequest tells whether it is the caller who gives this value.
func (r *reference) fromRequest() bool { return r.source != fromCalls && r.source != fromVars }
