package rewrite

import (
	"cmp"
	"errors"
	"slices"
)

// opI32Const begins a constant offset.
const opI32Const = 0x41

// maxGap is how many bytes between two data segments are filled with zeros to make them one. It is what a segment costs: wazero keeps some
// 100 bytes for each, and evaluates its offset for each instance.
const maxGap = 64

// dataSegment is an active data segment of memory 0.
type dataSegment struct {
	at   uint64
	data []byte
}

// merged joins the data segments that lie close together: Go's linker leaves every run of zeros out and so makes tens of thousands, whose
// offsets are most of what an instance costs to make. See host/RATIONALE.md, "Why are data segments joined?". It returns nil where
// that could change anything: a segment that isn't at a constant place of memory 0, is empty, or overlaps another. Modules that may name
// their segments have a data count section, and aren't given to it.
func merged(body []byte) []byte {
	r := &reader{data: body}
	var all []dataSegment
	plain := true
	r.vector(func(int) {
		plain = plain && r.u32() == 0 && r.byte() == opI32Const
		at := uint64(uint32(r.signed(32)))
		plain = plain && r.byte() == opEnd
		if data := r.bytes(r.u32()); plain && len(data) > 0 {
			all = append(all, dataSegment{at, data})
		} else {
			r.fail(errApart)
		}
	})
	if r.err != nil {
		return nil
	}
	slices.SortStableFunc(all, func(a, b dataSegment) int { return cmp.Compare(a.at, b.at) })
	var out, run []byte
	count := uint64(0)
	for i, s := range all {
		run = append(run, s.data...)
		end := s.at + uint64(len(s.data))
		if i+1 < len(all) {
			next := all[i+1].at
			if next < end {
				return nil
			}
			if next-end <= maxGap {
				run = append(run, make([]byte, next-end)...)
				continue
			}
		}
		out = append(out, 0, opI32Const)
		out = appendSigned(out, int64(int32(uint32(end-uint64(len(run))))))
		out = appendName(append(out, opEnd), run)
		run = run[:0]
		count++
	}
	return append(appendLEB(nil, count), out...)
}

// errApart ends the reading of segments that must stay as they are.
var errApart = errors.New("not a plain data segment")

// appendSigned appends a signed LEB128 (WebAssembly Core 2.0, section 5.2.2).
func appendSigned(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
