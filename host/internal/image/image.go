// Package image keeps what an instance's memory was like at one moment, and brings memories back to it.
//
// An [Image] is taken once, of an instance that is initialised and warmed up. Every other instance maps it privately, so that it costs
// nothing until it is written to; after an invocation the pages that became the instance's own are found and copied back. See
// host/RATIONALE.md, "How does an invocation get a clean instance?".
package image

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// Method is how a memory is brought back to its image.
type Method int

// The methods, from the cheapest on. Each falls back to the next where the system doesn't have it.
const (
	// Watch is Scan at first, and then has the kernel take note of which pages are written to (userfaultfd, Linux 6.7), which is quicker
	// to look through.
	Watch Method = iota
	// Scan asks the kernel which pages are the instance's own (PAGEMAP_SCAN, Linux 6.7) and copies those. They stay resident, so that
	// the next invocation doesn't fault on them.
	Scan
	// Refault gives all pages back to the kernel (MADV_DONTNEED), which maps the image's anew as they are touched.
	Refault
	// Copy copies the whole image.
	Copy
	// None is no image at all: every instance is started anew.
	None
)

func (m Method) String() string {
	names := [...]string{"watch", "scan", "refault", "copy", "none"}
	if m < 0 || int(m) >= len(names) {
		return fmt.Sprintf("method %d", int(m))
	}
	return names[m]
}

// Image is a memory as it was. It may be used by several goroutines at once.
type Image struct {
	method Method
	size   int
	bytes  []byte // the image, to be read only
	file   *os.File
	mapped bool // whether bytes is a mapping of file

	usual atomic.Pointer[[]span] // what an instance has of its own after an invocation; nil: not known yet
}

// span is a part of a memory: offsets.
type span struct{ from, to uint64 }

// ErrSize is returned for a memory that isn't as large as its image.
var ErrSize = errors.New("image: the memory has another size than its image")

// New takes an image of memory, whose length is a multiple of the system's page size. The method is as asked, or the next that this
// system has.
func New(memory []byte, method Method) (*Image, error) {
	i := &Image{method: max(method, best()), size: len(memory)}
	if i.method >= None {
		return nil, errors.New("image: none is wanted")
	}
	if i.method == Copy || i.size == 0 {
		i.method = Copy
		i.bytes = append([]byte(nil), memory...)
		return i, nil
	}
	if err := i.save(memory); err != nil {
		return nil, errors.Join(fmt.Errorf("image of %d bytes: %w", i.size, err), i.Close())
	}
	return i, nil
}

// Size is the image's, in bytes.
func (i *Image) Size() int { return i.size }

// Method is the one in use.
func (i *Image) Method() Method { return i.method }

// Mapping is a memory that begins as an image. It belongs to the goroutine that runs the instance.
type Mapping struct {
	image    *Image
	memory   []byte // the first Size bytes
	restored int    // how often, up to when it is watched
	watched  bool
	written  int // bytes of pages that were written to since
	own      int // bytes of pages that are the memory's own
}

// Map makes the first Size bytes of memory the image's. They may be anything before: a memory that was mapped afresh, page-aligned.
func (i *Image) Map(memory []byte) (*Mapping, error) {
	if len(memory) < i.size {
		return nil, ErrSize
	}
	m := &Mapping{image: i, memory: memory[:i.size]}
	if i.method == Copy {
		copy(memory, i.bytes)
		return m, nil
	}
	if err := i.overlay(m.memory); err != nil {
		return nil, err
	}
	m.ahead()
	return m, nil
}

// Restore brings a memory, which must be as large as its image, back to that, and tells how many of its bytes are its own: pages that no
// longer are the image's. After an error it must not be used again.
func (m *Mapping) Restore(memory []byte) (own int, err error) {
	i := m.image
	if len(memory) != i.size {
		return 0, ErrSize
	}
	switch {
	case i.size == 0:
		return 0, nil
	case i.method <= Scan:
		return m.scan()
	case i.method == Refault:
		return 0, refault(memory)
	default:
		return copy(memory, i.bytes), nil
	}
}

// Close frees the image. Memories it was mapped into stay as they are, but can't be restored any more.
func (i *Image) Close() error {
	var errs []error
	if i.mapped {
		errs = append(errs, unmap(i.bytes))
		i.mapped = false
	}
	i.bytes = nil
	if i.file != nil {
		errs = append(errs, i.file.Close())
		i.file = nil
	}
	return errors.Join(errs...)
}
