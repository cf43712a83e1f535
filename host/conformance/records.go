package conformance

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// What the guest script answers: records, each a kind u8, a length u32, and so many bytes. They become JSON values, for vectors to match.

var errRecord = errors.New("this isn't what the guest script answers")

func readRecords(b []byte) (all []any, err error) {
	all = []any{}
	for len(b) > 0 {
		if len(b) < 5 {
			return nil, errRecord
		}
		k, n := kind(b[0]), binary.LittleEndian.Uint32(b[1:])
		if b = b[5:]; uint64(n) > uint64(len(b)) {
			return nil, errRecord
		}
		d := &decoder{b: b[:n]}
		b = b[n:]
		v := d.record(k)
		if d.bad || len(d.b) > 0 {
			return nil, errRecord
		}
		all = append(all, v)
	}
	return all, nil
}

// decoder reads the encodings of host/ABI.md. The first error sticks.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) record(k kind) any {
	switch k {
	case kindNumber:
		return d.word()
	case kindHead:
		return d.head()
	case kindError:
		return d.failure()
	case kindOutcomes:
		out := []any{}
		for len(d.b) > 0 && !d.bad {
			index := d.varint()
			head := &decoder{b: d.take()}
			out = append(out, map[string]any{"index": index, "head": head.head(), "body": text(d.take())})
			d.bad = d.bad || head.bad || len(head.b) > 0
		}
		return out
	case kindRequest:
		return map[string]any{
			"method": d.string(), "path": d.string(), "query": d.string(), "host": d.string(), "address": d.string(), "headers": d.fields(),
			"body_length": d.varint(), "time_left_ns": d.varint(),
		}
	case kindHandles:
		out := []any{}
		for len(d.b) > 0 && !d.bad {
			out = append(out, d.word())
		}
		return out
	}
	v := text(d.b)
	d.b = nil
	return v
}

func (d *decoder) word() any {
	if len(d.b) < 4 {
		d.bad = true
		return nil
	}
	v := int32(binary.LittleEndian.Uint32(d.b))
	d.b = d.b[4:]
	return json.Number(strconv.Itoa(int(v)))
}

// states are those of a head.
var states = []string{"pending", "running", "fulfilled", "rejected", "cancelled"}

func (d *decoder) head() any {
	state := d.uint()
	if state >= uint64(len(states)) {
		d.bad = true
		return nil
	}
	if states[state] == "fulfilled" {
		r := d.response()
		r["state"] = "fulfilled"
		return r
	}
	e := d.failure()
	e["state"] = states[state]
	if d.uint() == 1 {
		e["response"] = d.response()
	}
	return e
}

func (d *decoder) failure() map[string]any {
	return map[string]any{"code": d.string(), "message": d.string(), "url": d.string(), "attempts": d.varint(), "retryable": d.uint() == 1}
}

func (d *decoder) response() map[string]any {
	return map[string]any{
		"status": d.varint(), "url": d.string(), "redirected": d.uint() == 1, "attempts": d.varint(), "elapsed_ns": d.varint(),
		"headers": d.fields(), "body_length": d.varint(),
	}
}

// varint reads a variable-length integer (RFC 9000, section 16), as a JSON number; -1 is 2^62-1, a length that isn't known.
func (d *decoder) varint() any {
	v := int64(d.uint())
	if v == 1<<62-1 {
		v = -1
	}
	return json.Number(strconv.FormatInt(v, 10))
}

func (d *decoder) uint() uint64 {
	if len(d.b) == 0 || len(d.b) < 1<<(d.b[0]>>6) {
		d.bad = true
		return 0
	}
	n := 1 << (d.b[0] >> 6)
	v := uint64(d.b[0] & 0x3f)
	for _, x := range d.b[1:n] {
		v = v<<8 | uint64(x)
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) take() []byte {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string { return string(d.take()) }

func (d *decoder) fields() []any {
	section := &decoder{b: d.take()}
	out := []any{}
	for len(section.b) > 0 && !section.bad {
		name := section.string()
		out = append(out, []any{name, section.string()})
	}
	d.bad = d.bad || section.bad
	return out
}

// text is bytes as a JSON value.
func text(b []byte) any {
	if utf8.Valid(b) {
		return string(b)
	}
	return map[string]any{"base64": base64.StdEncoding.EncodeToString(b)}
}
