// Package settings reads a plugin's `config` strictly: every value is asked for by name and type, and everything wrong with
// them is collected under the key where it stands, so that one answer tells a person all there is to correct.
//
//	root := settings.New(config)                       // the decoded JSON of the manifest's config
//	fields := root.Object("start", "max_pages")        // any other key is a problem, with the nearest of these named
//	start := fields["start"].Text("")
//	pages := fields["max_pages"].Int(50, 1, 1000)
//	if err := root.Err(); err != nil { … }             // Problems
//
// A value that is absent or null takes the default. A value is read by one goroutine.
package settings

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	Key     string `json:"key"` // as in "config.calls.user.url"
	Message string `json:"message"`
}

func (p Problem) Error() string { return p.Key + ": " + p.Message }

// Problems is all that is wrong with a configuration, in the order it was read. It is never empty when returned as an error.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "; ")
}

// Value is one place in a configuration, whether something stands there or not.
type Value struct {
	key   string
	raw   any
	found *Problems
}

// New begins the reading of a configuration: a map[string]any as encoding/json decodes it, with or without json.Number.
func New(config any) Value {
	return Value{key: "config", raw: config, found: new(Problems)}
}

// Err returns the Problems found so far anywhere in the configuration, or nil.
func (v Value) Err() error {
	if len(*v.found) == 0 {
		return nil
	}
	return *v.found
}

// Key is where the value stands, as in "config.calls.user".
func (v Value) Key() string { return v.key }

// Raw is the value as it was decoded; nil if absent.
func (v Value) Raw() any { return v.raw }

// Set tells whether there is a value.
func (v Value) Set() bool { return v.raw != nil }

// Fail records a problem with the value.
func (v Value) Fail(format string, args ...any) {
	*v.found = append(*v.found, Problem{v.key, fmt.Sprintf(format, args...)})
}

func (v Value) child(key string, raw any) Value {
	return Value{key: v.key + key, raw: raw, found: v.found}
}

// Object reads an object with these keys and no other. The result has all of them, absent ones unset.
func (v Value) Object(keys ...string) map[string]Value {
	fields := make(map[string]Value, len(keys))
	entries, _ := v.raw.(map[string]any)
	if v.raw != nil && entries == nil {
		v.Fail("must be an object, not %s", kind(v.raw))
	}
	for _, key := range keys {
		fields[key] = v.child("."+key, entries[key])
	}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		if _, known := fields[key]; known {
			continue
		}
		unknown := v.child("."+key, nil)
		if near := nearest(key, keys); near != "" {
			unknown.Fail("unknown key; did you mean %q?", near)
		} else {
			unknown.Fail("unknown key; known are %s", strings.Join(keys, ", "))
		}
	}
	return fields
}

// Entry is one member of an object whose keys are free.
type Entry struct {
	Name string
	Value
}

// Entries reads an object with any keys, sorted by them.
func (v Value) Entries() []Entry {
	if v.raw == nil {
		return nil
	}
	object, ok := v.raw.(map[string]any)
	if !ok {
		v.Fail("must be an object, not %s", kind(v.raw))
		return nil
	}
	entries := make([]Entry, 0, len(object))
	for _, key := range slices.Sorted(maps.Keys(object)) {
		entries = append(entries, Entry{key, v.child("."+key, object[key])})
	}
	return entries
}

// List reads a list.
func (v Value) List() []Value {
	if v.raw == nil {
		return nil
	}
	list, ok := v.raw.([]any)
	if !ok {
		v.Fail("must be a list, not %s", kind(v.raw))
		return nil
	}
	values := make([]Value, len(list))
	for i, raw := range list {
		values[i] = v.child(fmt.Sprintf("[%d]", i), raw)
	}
	return values
}

// Text reads a string.
func (v Value) Text(absent string) string {
	if v.raw == nil {
		return absent
	}
	text, ok := v.raw.(string)
	if !ok {
		v.Fail("must be a string, not %s", kind(v.raw))
		return absent
	}
	return text
}

// Bool reads true or false.
func (v Value) Bool(absent bool) bool {
	if v.raw == nil {
		return absent
	}
	b, ok := v.raw.(bool)
	if !ok {
		v.Fail("must be true or false, not %s", kind(v.raw))
		return absent
	}
	return b
}

// Int reads a whole number from least to most.
func (v Value) Int(absent, least, most int) int {
	if v.raw == nil {
		return absent
	}
	n, ok := whole(v.raw)
	if !ok {
		v.Fail("must be a whole number, not %s", kind(v.raw))
		return absent
	}
	if n < int64(least) || n > int64(most) {
		v.Fail("%d is not between %d and %d", n, least, most)
		return absent
	}
	return int(n)
}

func whole(raw any) (int64, bool) {
	switch number := raw.(type) {
	case json.Number:
		n, err := number.Int64()
		return n, err == nil
	case float64:
		return int64(number), number == float64(int64(number))
	case int:
		return int64(number), true
	}
	return 0, false
}

// Duration reads a duration such as "500ms" or "1m30s", from 0 to most. The number 0 is taken too.
func (v Value) Duration(absent, most time.Duration) time.Duration {
	if v.raw == nil {
		return absent
	}
	if n, ok := whole(v.raw); ok && n == 0 {
		return 0
	}
	text, ok := v.raw.(string)
	if !ok {
		v.Fail("must be a duration such as \"500ms\", not %s", kind(v.raw))
		return absent
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		v.Fail("%q is not a duration such as \"500ms\" or \"10s\"", text)
		return absent
	}
	if d < 0 || d > most {
		v.Fail("%s is not between 0 and %s", text, most)
		return absent
	}
	return d
}

func kind(raw any) string {
	switch raw.(type) {
	case nil:
		return "null"
	case bool:
		return "true or false"
	case string:
		return "a string"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "a number"
}
