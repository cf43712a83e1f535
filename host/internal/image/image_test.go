//go:build linux

package image_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sortie-run/sortie/host/internal/image"
)

var methods = []image.Method{image.Scan, image.Refault, image.Copy}

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
			if img.Method() != method || img.Size() != size {
				t.Errorf("method %s, size %d", img.Method(), img.Size())
			}
			want := bytes.Clone(origin)
			clear(origin) // the image is a copy
			mem, other := memory(t, 2*size), memory(t, size)
			if err := img.Map(mem); err != nil {
				t.Fatal(err)
			}
			if err := img.Map(other); err != nil {
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
				if _, err := img.Restore(mem[:size]); err != nil {
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
	if err := img.Map(mem); err != nil {
		t.Fatal(err)
	}
	for _, b := range mem { // reading makes no page the memory's own
		_ = b
	}
	for want, at := range []int{-1, 5 * page, 5*page + 9, 63 * page} {
		if at >= 0 {
			mem[at] = 1
		}
		n, err := img.Restore(mem)
		if err != nil {
			t.Fatal(err)
		}
		if most := max(want, 0) * page; n > most || at >= 0 && n < page {
			t.Errorf("%d bytes were copied", n)
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	img, err := image.New(nil, image.Scan)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := img.Restore(nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	img, err = image.New(memory(t, 1<<16), image.Scan)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if img.Map(make([]byte, 1<<15)) == nil {
		t.Error("mapped into too little")
	}
	if _, err := img.Restore(memory(t, 1<<17)); err == nil {
		t.Error("restored a memory of another size")
	}
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
				if err := img.Map(mem); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					for i := range n {
						mem[i*(1024/n)*page]++
					}
					if _, err := img.Restore(mem); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
