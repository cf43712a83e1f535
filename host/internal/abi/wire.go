package abi

import (
	"encoding/binary"

	"github.com/sortie-run/sortie/host/fetch"
)

// decoder reads the ABI's encodings from a guest's memory. The first error sticks. Strings are copied: the guest goes on writing
// to what they were read from.
type decoder struct {
	b   []byte
	bad bool
}

// varint reads a variable-length integer (RFC 9000, section 16).
func (d *decoder) varint() uint64 {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	n := 1 << (d.b[0] >> 6)
	if len(d.b) < n {
		d.bad = true
		return 0
	}
	v := uint64(d.b[0] & 0x3f)
	for _, x := range d.b[1:n] {
		v = v<<8 | uint64(x)
	}
	d.b = d.b[n:]
	return v
}

// number reads a varint of at most limit.
func (d *decoder) number(limit uint64) uint64 {
	v := d.varint()
	if v > limit {
		d.bad = true
		return 0
	}
	return v
}

func (d *decoder) bool() bool { return d.number(1) == 1 }

// view reads a string without copying it.
func (d *decoder) view() []byte {
	n := d.varint()
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string { return string(d.view()) }

// fields reads a field section (RFC 9292, section 3.6).
func (d *decoder) fields() []fetch.Field {
	section := decoder{b: d.view(), bad: d.bad}
	var out []fetch.Field
	for len(section.b) > 0 && !section.bad {
		if len(out) == maxFields {
			section.bad = true
			break
		}
		name := section.string()
		out = append(out, fetch.Field{Name: name, Value: section.string()})
	}
	d.bad = d.bad || section.bad
	return out
}

// end tells whether all was read, and rightly.
func (d *decoder) end() bool { return !d.bad && len(d.b) == 0 }

// appendVarint appends a variable-length integer in its shortest form. v is below 2^62.
func appendVarint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return binary.BigEndian.AppendUint16(b, uint16(v)|1<<14)
	case v < 1<<30:
		return binary.BigEndian.AppendUint32(b, uint32(v)|2<<30)
	default:
		return binary.BigEndian.AppendUint64(b, v&(1<<62-1)|3<<62)
	}
}

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(appendVarint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendFields(b []byte, fields []fetch.Field) []byte {
	n := 0
	for _, f := range fields {
		n += sizeString(f.Name) + sizeString(f.Value)
	}
	b = appendVarint(b, uint64(n))
	for _, f := range fields {
		b = appendString(appendString(b, f.Name), f.Value)
	}
	return b
}

func sizeString[T string | []byte](s T) int { return sizeVarint(uint64(len(s))) + len(s) }

func sizeVarint(v uint64) int {
	switch {
	case v < 1<<6:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<30:
		return 4
	default:
		return 8
	}
}
