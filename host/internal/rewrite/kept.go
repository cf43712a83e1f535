package rewrite

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// Kept is a module that has been rewritten, with what it was and how that was asked for: whoever has it needs neither parse nor rewrite the
// module again.
type Kept struct {
	Outline Outline
	Options Options
	Rewritten
	found bool // on a shelf
}

// Equal tells whether two options ask for the same.
func (o *Options) Equal(p Options) bool {
	return slices.Equal(o.Redirect, p.Redirect) && o.TableEntries == p.TableEntries && o.Expose == p.Expose && o.Detach == p.Detach && o.LazyTable == p.LazyTable &&
		o.TypedReferences == p.TypedReferences && o.Fuel == p.Fuel
}

// keptHead is a Kept without its bytes, which stand behind it: the segments' one after the other, then the module's.
type keptHead struct {
	Outline   Outline
	Options   Options
	Rewritten Rewritten
	Offsets   []uint64
	Lengths   []int
}

// Before the head stand the CRC-32C of all that follows it, and the head's length.
const keptPrefix = 4 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode is k in parts that are to be written one after the other. They alias k's bytes.
func (k *Kept) encode() ([][]byte, error) {
	h := keptHead{Outline: k.Outline, Options: k.Options, Rewritten: k.Rewritten}
	h.Rewritten.Wasm, h.Rewritten.Data = nil, nil
	var head bytes.Buffer
	parts := [][]byte{nil, nil}
	for _, s := range k.Data {
		h.Offsets, h.Lengths = append(h.Offsets, s.Offset), append(h.Lengths, len(s.Bytes))
		parts = append(parts, s.Bytes)
	}
	if err := gob.NewEncoder(&head).Encode(&h); err != nil {
		return nil, err
	}
	parts[1] = head.Bytes()
	parts = append(parts, k.Wasm)
	parts[0] = seal(parts[1:])
	return parts, nil
}

// seal is what stands before a head and the bytes behind it.
func seal(parts [][]byte) []byte {
	length := binary.LittleEndian.AppendUint32(nil, uint32(len(parts[0])))
	sum := crc32.Checksum(length, castagnoli)
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return append(binary.LittleEndian.AppendUint32(nil, sum), length...)
}

// decodeKept reads what encode wrote. The result aliases data.
func decodeKept(data []byte) (*Kept, error) {
	if len(data) < keptPrefix {
		return nil, errors.New("it is cut off")
	}
	sum, n := binary.LittleEndian.Uint32(data), binary.LittleEndian.Uint32(data[4:])
	if uint64(n) > uint64(len(data)-keptPrefix) || crc32.Checksum(data[4:], castagnoli) != sum {
		return nil, errors.New("its checksum is another")
	}
	data = data[keptPrefix:]
	var h keptHead
	if err := gob.NewDecoder(bytes.NewReader(data[:n])).Decode(&h); err != nil {
		return nil, err
	}
	k := &Kept{Outline: h.Outline, Options: h.Options, Rewritten: h.Rewritten}
	data = data[n:]
	for i, n := range h.Lengths {
		if n < 0 || n > len(data) || i >= len(h.Offsets) {
			return nil, fmt.Errorf("data segment %d is cut off", i)
		}
		k.Data = append(k.Data, Segment{Offset: h.Offsets[i], Bytes: data[:n:n]})
		data = data[n:]
	}
	k.Wasm = data
	return k, nil
}
