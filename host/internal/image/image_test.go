//go:build linux

package image_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sortie-run/sortie/host/internal/image"
)

var methods = []image.Method{image.Watch, image.Scan, image.Refault, image.Copy}

func memory(t testing.TB, n int) []byte {
	t.Helper()
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	return b
}

// Whatever is written to a memory, it is the image again after Restore; and no other memory sees it.
func TestRestoreBringsBackEveryByte(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for _, method := range methods {
		t.Run(method.String(), func(t *testing.T) {
			t.Parallel()
			origin := memory(t, size)
			r := rand.New(rand.NewPCG(1, uint64(method)))
			for i := range size / 3 {
				origin[i] = byte(r.Uint32()) // the rest is empty
			}
			img, err := image.New(origin, method)
			if err != nil {
				t.Fatal(err)
			}
			if img.Method() != method && method != image.Watch || img.Size() != size {
				t.Errorf("method %s, size %d", img.Method(), img.Size())
			}
			want := bytes.Clone(origin)
			clear(origin) // the image is a copy
			mem, other := memory(t, 2*size), memory(t, size)
			m, err := img.Map(mem)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := img.Map(other); err != nil {
				t.Fatal(err)
			}
			mem[size] = 7
			for round := range 100 {
				switch round {
				case 50: // more regions than one call tells
					for at := 0; at < size; at += 2 * os.Getpagesize() {
						mem[at]++
					}
				case 51:
					for i := range mem[:size] {
						mem[i] = 1
					}
				default:
					for range r.IntN(50) {
						mem[r.IntN(size)] = byte(r.Uint32())
					}
				}
				if _, err := m.Restore(mem[:size]); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(mem[:size], want) {
					t.Fatalf("round %d: not the image", round)
				}
			}
			if mem[size] != 7 || !bytes.Equal(other, want) {
				t.Error("something else was written to")
			}
			if err := img.Close(); err != nil {
				t.Error(err)
			}
			if err := img.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A restored memory keeps its pages: only what an invocation wrote to, once, is copied.
func TestScanCopiesOwnPagesOnly(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	img, err := image.New(memory(t, 64*page), image.Scan)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if img.Method() != image.Scan {
		t.Skip("this kernel has no PAGEMAP_SCAN")
	}
	mem := memory(t, 64*page)
	m, err := img.Map(mem)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range mem { // reading makes no page the memory's own
		_ = b
	}
	for want, at := range []int{-1, 5 * page, 5*page + 9, 63 * page} {
		if at >= 0 {
			mem[at] = 1
		}
		n, err := m.Restore(mem)
		if err != nil {
			t.Fatal(err)
		}
		if most := max(want, 0) * page; n > most || at >= 0 && n < page {
			t.Errorf("%d bytes were copied", n)
		}
	}
}

// A memory that is watched has as many pages of its own as one that isn't: those from before count, and each once.
func TestWatchCountsOwnPages(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	img, err := image.New(memory(t, 64*page), image.Watch)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if img.Method() != image.Watch {
		t.Skip("this system has no userfaultfd that tells of writes")
	}
	mem := memory(t, 64*page)
	m, err := img.Map(mem)
	if err != nil {
		t.Fatal(err)
	}
	restore := func(want int, write ...int) {
		t.Helper()
		for _, at := range write {
			mem[at*page]++
		}
		if n, err := m.Restore(mem); err != nil || n != want*page {
			t.Fatalf("it has %d pages of its own, %v; want %d", n/page, err, want)
		}
		for _, at := range write {
			if mem[at*page] != 0 {
				t.Fatalf("page %d wasn't restored", at)
			}
		}
	}
	touch(mem) // it isn't watched unless much of it is there
	for range 20 {
		restore(3, 1, 2, 3)
	}
	restore(3)
	restore(3, 2)
	restore(4, 2, 5)
	restore(5, 63)
	restore(6, 62, 1)
	restore(6)
}

// A memory begins with the pages that others had of their own after an invocation, unless that is a lot; and they are the image's.
func TestUsualPagesAreGivenAhead(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	origin := memory(t, 512*page)
	for at := range origin {
		origin[at] = byte(at / page)
	}
	img, err := image.New(origin, image.Watch)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if img.Method() > image.Scan {
		t.Skip("this kernel doesn't tell which pages are a memory's own")
	}
	begin := func(want int) (*image.Mapping, []byte) {
		t.Helper()
		mem := memory(t, 512*page)
		m, err := img.Map(mem)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := m.Restore(mem); err != nil || n != want*page {
			t.Errorf("it begins with %d pages of its own, %v; want %d", n/page, err, want)
		}
		if !bytes.Equal(mem, origin) {
			t.Error("it isn't the image")
		}
		return m, mem
	}
	use := func(m *image.Mapping, mem []byte, pages ...int) {
		t.Helper()
		for _, at := range pages {
			mem[at*page]++
		}
		if _, err := m.Restore(mem); err != nil {
			t.Fatal(err)
		}
	}
	first, itsMemory := begin(0)
	use(first, itsMemory, 3, 7, 8)
	second, its := begin(3)
	use(second, its, 3, 500)
	use(second, its, 9) // not what it had after its first
	third, itsOwn := begin(4)
	for at := range 300 { // more than a MiB
		itsOwn[at*page]++
	}
	use(third, itsOwn)
	begin(4)
}

// What was swapped out comes back as the image has it, written to before the memory is watched or since.
func TestSwappedPagesAreRestored(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	for _, method := range []image.Method{image.Watch, image.Scan} {
		img, err := image.New(memory(t, 256*page), method)
		if err != nil {
			t.Fatal(err)
		}
		defer img.Close()
		mem := memory(t, 256*page)
		m, err := img.Map(mem)
		if err != nil {
			t.Fatal(err)
		}
		touch(mem)
		for round := range 20 {
			for at := round; at < len(mem); at += (1 + round%3) * page {
				mem[at] = 1
			}
			if err := unix.Madvise(mem, unix.MADV_PAGEOUT); err != nil {
				t.Skip("this kernel swaps nothing out when asked: ", err)
			}
			if round%4 == 3 && swapped(t, mem) == 0 {
				t.Skip("this system has no swap space, or doesn't use it")
			}
			if _, err := m.Restore(mem); err != nil {
				t.Fatal(err)
			}
			for at, b := range mem {
				if b != 0 {
					t.Fatalf("%s, round %d: byte %d isn't restored", method, round, at)
				}
			}
		}
	}
}

// swapped counts the pages that are swapped out: bit 62 of what /proc/PID/pagemap has of each.
func swapped(t *testing.T, mem []byte) (n int) {
	t.Helper()
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	entries := make([]byte, 8*len(mem)/os.Getpagesize())
	if _, err := f.ReadAt(entries, 8*int64(uintptr(unsafe.Pointer(&mem[0])))/int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	for ; len(entries) > 0; entries = entries[8:] {
		if entries[7]&0x40 != 0 {
			n++
		}
	}
	return n
}

func TestSizes(t *testing.T) {
	t.Parallel()
	img, err := image.New(nil, image.Scan)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := img.Map(nil); err != nil {
		t.Error(err)
	} else if n, err := m.Restore(nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	img, err = image.New(memory(t, 1<<16), image.Scan)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if _, err := img.Map(make([]byte, 1<<15)); err == nil {
		t.Error("mapped into too little")
	}
	if m, err := img.Map(memory(t, 1<<17)); err != nil {
		t.Error(err)
	} else if _, err := m.Restore(memory(t, 1<<17)); err == nil {
		t.Error("restored a memory of another size")
	}
}

// touch reads all of a memory.
//
//go:noinline
func touch(mem []byte) (sum byte) {
	for _, b := range mem {
		sum += b
	}
	return sum
}

// The copy loop beside its alternatives: n pages scattered over 4 MiB are written to, and brought back.
func BenchmarkRestore(b *testing.B) {
	page := os.Getpagesize()
	for _, n := range []int{1, 10, 100} {
		for _, method := range methods {
			b.Run(fmt.Sprintf("%s/%d", method, n), func(b *testing.B) {
				img, err := image.New(memory(b, 4<<20), method)
				if err != nil {
					b.Fatal(err)
				}
				defer img.Close()
				mem := memory(b, 4<<20)
				m, err := img.Map(mem)
				if err != nil {
					b.Fatal(err)
				}
				touch(mem) // as a guest reads much of it
				for range 10 {
					if _, err := m.Restore(mem); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportAllocs()
				for b.Loop() {
					for i := range n {
						mem[i*(1024/n)*page]++
					}
					if _, err := m.Restore(mem); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
