package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// jsonReader turns valid JSON into nodes.
type jsonReader struct {
	dec  *json.Decoder
	data []byte

	// Where the last place was asked for: places are asked for in order, so
	// each byte is counted once.
	offset, line, column int
}

func readJSON(data []byte) (*node, *Error) {
	r := &jsonReader{dec: json.NewDecoder(bytes.NewReader(data)), data: data, line: 1, column: 1}
	r.dec.UseNumber()
	return r.value(0)
}

// here is the place of the next token.
func (r *jsonReader) here() place {
	start := int(r.dec.InputOffset())
	for start < len(r.data) && bytes.IndexByte([]byte(" \t\r\n,:"), r.data[start]) >= 0 {
		start++
	}
	for r.offset < start {
		c, size := utf8.DecodeRune(r.data[r.offset:])
		r.offset += size
		r.column++
		if c == '\n' {
			r.line, r.column = r.line+1, 1
		}
	}
	return place{line: r.line, column: r.column}
}

func (r *jsonReader) value(depth int) (*node, *Error) {
	n := &node{place: r.here()}
	tok, err := r.dec.Token()
	if err != nil {
		return nil, &Error{Line: n.place.line, Column: n.place.column, Message: "not valid JSON"}
	}
	switch tok := tok.(type) {
	case bool:
		n.kind, n.truth, n.text = kindBool, tok, strconv.FormatBool(tok)
	case string:
		n.kind, n.text = kindText, tok
	case json.Number:
		return n, setNumber(n, tok.String())
	case json.Delim:
		if depth >= maxDepth {
			return nil, tooDeep(n.place)
		}
		return n, r.fill(n, tok, depth+1)
	}
	return n, nil
}

// fill reads the rest of a list or mapping.
func (r *jsonReader) fill(n *node, open json.Delim, depth int) *Error {
	n.kind = kindList
	if open == '{' {
		n.kind = kindMapping
	}
	for r.dec.More() {
		var e entry
		if n.kind == kindMapping {
			e.place = r.here()
			key, err := r.dec.Token()
			if err != nil {
				return &Error{Message: "not valid JSON"}
			}
			e.key, _ = key.(string)
		}
		v, err := r.value(depth)
		if err != nil {
			return err
		}
		if n.kind == kindMapping {
			e.value = v
			n.entries = append(n.entries, e)
		} else {
			n.items = append(n.items, v)
		}
	}
	if _, err := r.dec.Token(); err != nil {
		return &Error{Message: "not valid JSON"}
	}
	return nil
}

func tooDeep(at place) *Error {
	return &Error{Line: at.line, Column: at.column, Message: fmt.Sprintf("more than %d mappings and lists inside each other", maxDepth)}
}

// setNumber makes n the number that text says, by JSON's data model: whole
// numbers within int64 are integers however they are written, so that a number
// survives being written as JSON and read back.
func setNumber(n *node, text string) *Error {
	n.text = text
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		n.kind, n.integer = kindInteger, i
		return nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return &Error{Line: n.place.line, Column: n.place.column, Message: fmt.Sprintf("%s is not a number that JSON has", quote(text))}
	}
	if f == math.Trunc(f) && f >= math.MinInt64 && f < math.MaxInt64 {
		n.kind, n.integer = kindInteger, int64(f)
		return nil
	}
	n.kind, n.number = kindNumber, f
	return nil
}
