package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The bounds on a file. They are far above any real one; each keeps some
// attack on the reader cheap. See RATIONALE.md, "Why is a manifest bounded in
// so many ways?".
const (
	maxFileBytes  = 256 << 10 // also bounds a manifest's canonical JSON form
	maxDepth      = 32        // mappings and lists inside each other
	maxTokens     = 20000     // of YAML
	maxKeyBytes   = 128       // of one mapping key in YAML
	maxBlankLines = 100       // in a row, in YAML
	maxValues     = 50000     // in YAML, aliases followed
	maxTextBytes  = 1 << 20   // all text together, aliases followed
	maxItems      = 1000      // of one list outside `config`
	maxErrors     = 50        // reported for one file
)

// kind is the kind of a node, by YAML's core schema.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindInteger // fits int64
	kindNumber
	kindText
	kindList
	kindMapping
)

// describe names the kind in an error message.
func (k kind) describe() string {
	return [...]string{"nothing", "true or false", "a whole number", "a number", "text", "a list", "a mapping"}[k]
}

// place is where a node stands: in a file, or in an environment variable.
type place struct {
	file         string // the variable's name; "" for the file being read
	line, column int
}

// node is one value of a file, whether it came from YAML, JSON or the
// environment. Nodes that YAML aliases name are shared; there are no cycles.
type node struct {
	kind    kind
	text    string // kindText; for other scalars as written
	truth   bool
	integer int64
	number  float64 // kindNumber, finite
	items   []*node
	entries []entry
	place   place
	env     bool // text of an environment variable: its kind is what the key needs
}

// entry is a key of a mapping and its value. Keys may be repeated.
type entry struct {
	key   string
	place place
	value *node
}

// readSource reads a file into nodes, and says whether it has aliases. The error
// has a place but no file name.
func readSource(data []byte) (root *node, aliases bool, failed *Error) {
	if len(data) > maxFileBytes {
		return nil, false, &Error{Message: fmt.Sprintf("the file has %d bytes; %d is the most", len(data), maxFileBytes)}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) {
		line, column := lineColumn(data, invalidOffset(data))
		return nil, false, &Error{Line: line, Column: column, Message: "not valid UTF-8"}
	}
	// JSON has its own reader: it is all YAML, but YAML's reader is stricter
	// about tabs and looser about escapes.
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(data) {
		root, failed = readJSON(data)
		return root, false, failed
	}
	return readYAML(data)
}

func invalidOffset(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return len(data)
}

// lineColumn gives the place of a byte, counted from 1, columns in characters.
func lineColumn(data []byte, offset int) (line, column int) {
	before := data[:min(offset, len(data))]
	line = 1 + bytes.Count(before, []byte("\n"))
	return line, 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
}

// child gives the dotted key of a mapping's entry.
func child(parent, key string) string {
	plain := key != "" && len(key) <= maxKeyBytes && !strings.ContainsFunc(key, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`."[]:\`, r)
	})
	switch {
	case !plain:
		return parent + "[" + quote(key) + "]"
	case parent == "":
		return key
	default:
		return parent + "." + key
	}
}

// item gives the key of a list's item.
func item(parent string, i int) string { return fmt.Sprintf("%s[%d]", parent, i) }

// quote shows a value in a message: in one line, not at any length, and without
// a password.
func quote(s string) string {
	const most = 60
	s = withoutCredentials(s)
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
