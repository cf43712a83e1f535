package rewrite

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

var (
	errShort   = errors.New("the module ends too early")
	errInteger = errors.New("an integer is written in too many bytes or bits")
)

// reader reads the binary format. The first error sticks, so that callers check once.
type reader struct {
	data []byte
	pos  int
	err  error
	sub  byte // the second part of the opcode that was read last, after 0xfc, 0xfd and 0xfe
}

func (r *reader) done() bool { return r.err != nil || r.pos >= len(r.data) }

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) byte() byte {
	if r.err != nil || r.pos >= len(r.data) {
		r.fail(errShort)
		return 0
	}
	b := r.data[r.pos]
	r.pos++
	return b
}

// bytes returns the next n bytes without copying them.
func (r *reader) bytes(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.data)-r.pos) {
		r.fail(errShort)
		return nil
	}
	b := r.data[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return b
}

// leb reads an unsigned LEB128 of at most that many bits (section 5.2.2).
func (r *reader) leb(bits uint) uint64 {
	var v uint64
	for shift := uint(0); ; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		if shift >= bits || shift+7 > bits && b>>(bits-shift) != 0 {
			r.fail(errInteger)
			return 0
		}
		v |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			return v
		}
	}
}

func (r *reader) u32() uint64 {
	if r.err == nil && r.pos < len(r.data) && r.data[r.pos] < 0x80 { // nearly all are one byte
		r.pos++
		return uint64(r.data[r.pos-1])
	}
	return r.leb(32)
}

// signed reads a signed LEB128 of at most that many bits.
func (r *reader) signed(bits uint) int64 {
	var v int64
	for shift := uint(0); shift < bits; {
		b := r.byte()
		if shift+7 > bits { // the sign, and as many copies of it
			if rest := b & 0x7f >> (bits - shift - 1); rest != 0 && rest != 0x7f>>(bits-shift-1) {
				break
			}
		}
		v |= int64(b&0x7f) << shift
		shift += 7
		if b&0x80 == 0 {
			if b&0x40 != 0 && shift < 64 {
				v |= -1 << shift
			}
			return v
		}
	}
	r.fail(errInteger)
	return 0
}

func (r *reader) name() string {
	b := r.bytes(r.u32())
	if r.err == nil && !utf8.Valid(b) {
		r.fail(errors.New("a name isn't valid UTF-8"))
	}
	return string(b)
}

// vector reads a vector's count and lets element read each. The count is foreign: nothing is allocated for it.
func (r *reader) vector(element func(i int)) {
	n := r.u32()
	for i := 0; uint64(i) < n && r.err == nil; i++ {
		element(i)
	}
}

// most is vector for what the module can have only so many of.
func (r *reader) most(bound int, what string, element func(i int)) {
	start := r.pos
	if n := r.u32(); n > uint64(bound) {
		r.fail(tooMany(n, what, bound))
		return
	}
	r.pos = start
	r.vector(element)
}

// valueType skips a value or reference type; the typed references of later proposals (0x63, 0x64) carry a heap type.
func (r *reader) valueType() {
	if b := r.byte(); b == 0x63 || b == 0x64 {
		r.signed(33)
	}
}

func (r *reader) limits() Limits {
	flags := r.byte()
	if flags > 7 {
		r.fail(fmt.Errorf("limits with unknown flags %#x", flags))
	}
	l := Limits{Min: r.leb(64), HasMax: flags&1 != 0}
	if l.HasMax {
		l.Max = r.leb(64)
	}
	return l
}
