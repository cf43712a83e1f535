package abi

import (
	"bytes"
	"testing"
)

// The examples of RFC 9000, appendix A.1.
func TestVarint(t *testing.T) {
	t.Parallel()
	for v, want := range map[uint64]string{
		151288809941952652: "\xc2\x19\x7c\x5e\xff\x14\xe8\x8c",
		494878333:          "\x9d\x7f\x3e\x7d",
		15293:              "\x7b\xbd",
		37:                 "\x25",
	} {
		if got := appendVarint(nil, v); string(got) != want || sizeVarint(v) != len(want) {
			t.Errorf("%d is %x, want %x", v, got, want)
		}
		d := decoder{b: []byte(want)}
		if got := d.varint(); got != v || !d.end() {
			t.Errorf("%x is %d, want %d", want, got, v)
		}
	}
	d := decoder{b: []byte("\x40\x25")} // a longer form than needed
	if d.varint() != 37 {
		t.Error("a long form isn't accepted")
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte(encoded("http://a/", 0, 0)))
	f.Add([]byte("\x05\x01a\x02bc"))
	f.Fuzz(func(t *testing.T, in []byte) {
		d := decoder{b: in}
		fields := d.fields()
		if d.bad {
			return
		}
		used := in[:len(in)-len(d.b)]
		again := decoder{b: appendFields(nil, fields)}
		if got := again.fields(); !again.end() || len(got) != len(fields) {
			t.Fatalf("%x doesn't survive a round trip", used)
		}
		for i := range fields {
			if !bytes.Contains(used, []byte(fields[i].Name)) {
				t.Fatal("a name from nowhere")
			}
		}
	})
}
