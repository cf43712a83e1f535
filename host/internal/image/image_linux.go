package image

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// best is the cheapest method that the kernel has.
var best = sync.OnceValue(func() Method {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return Refault
	}
	defer func() { _ = unix.Munmap(page) }()
	if _, _, err := own(page, new([scanned]region)); err != nil {
		return Refault
	}
	return Scan
})

// save writes the memory into a file without a name, but for its empty pages, and seals it: nothing can change it any more.
func (i *Image) save(memory []byte) error {
	fd, err := unix.MemfdCreate("sortie-image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if err != nil {
		fd, err = unix.MemfdCreate("sortie-image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING) // before Linux 6.3
	}
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	i.file = os.NewFile(uintptr(fd), "sortie-image")
	if err := i.file.Truncate(int64(i.size)); err != nil {
		return err
	}
	page := os.Getpagesize()
	for at := 0; at < i.size; at += page {
		b := memory[at:min(at+page, i.size)]
		if empty(b) {
			continue
		}
		if _, err := i.file.WriteAt(b, int64(at)); err != nil {
			return err
		}
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(i.file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	i.bytes, err = unix.Mmap(fd, 0, i.size, unix.PROT_READ, unix.MAP_SHARED)
	i.mapped = err == nil
	return err
}

func empty(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if *(*uint64)(unsafe.Pointer(&b[0])) != 0 {
			return false
		}
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// overlay maps the image privately over memory.
func (i *Image) overlay(memory []byte) error {
	_, err := unix.MmapPtr(int(i.file.Fd()), 0, unsafe.Pointer(&memory[0]), uintptr(len(memory)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("map an image: %w", err)
	}
	return nil
}

func unmap(b []byte) error { return unix.Munmap(b) }

func refault(memory []byte) error { return unix.Madvise(memory, unix.MADV_DONTNEED) }

// scan copies back the pages that are the memory's own.
func (i *Image) scan(memory []byte) (restored int, err error) {
	regions := buffers.Get().(*[scanned]region)
	defer buffers.Put(regions)
	base := address(memory)
	for at := 0; at < len(memory); {
		n, walked, err := own(memory[at:], regions)
		if err != nil {
			return restored, err
		}
		for _, r := range regions[:n] {
			restored += copy(memory[r.start-base:r.end-base], i.bytes[r.start-base:])
		}
		at += walked
	}
	return restored, nil
}

func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// region is struct page_region, and scanArg struct pm_scan_arg of include/uapi/linux/fs.h.
type region struct{ start, end, _ uint64 }

type scanArg struct {
	size, flags, start, end, walkEnd, vec, vecLen, maxPages             uint64
	categoryInverted, categoryMask, categoryAnyofMask, returnCategories uint64
}

const (
	pagemapScan = 0xc0606610 // _IOWR('f', 16, struct pm_scan_arg)
	pageFile    = 1 << 2
	pagePresent = 1 << 3
	pageSwapped = 1 << 4

	// scanned is how many regions one call tells. Most invocations have fewer.
	scanned = 256
)

// pagemap is this process's, opened once.
var pagemap = sync.OnceValues(func() (int, error) {
	return unix.Open("/proc/self/pagemap", unix.O_RDONLY|unix.O_CLOEXEC, 0)
})

var buffers = sync.Pool{New: func() any { return new([scanned]region) }}

// own finds the pages of memory that are no longer the file's: those present or swapped out which no file backs. It fills in as many
// regions as fit, and tells how far it came.
func own(memory []byte, regions *[scanned]region) (n, walked int, err error) {
	fd, err := pagemap()
	if err != nil {
		return 0, 0, err
	}
	start := address(memory)
	arg := scanArg{
		start: start, end: start + uint64(len(memory)), vec: uint64(uintptr(unsafe.Pointer(regions))), vecLen: scanned,
		categoryInverted: pageFile, categoryMask: pageFile, categoryAnyofMask: pagePresent | pageSwapped,
	}
	arg.size = uint64(unsafe.Sizeof(arg))
	found, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), pagemapScan, uintptr(unsafe.Pointer(&arg)))
	if errno != 0 {
		return 0, 0, fmt.Errorf("PAGEMAP_SCAN: %w", errno)
	}
	return int(found), int(arg.walkEnd - start), nil
}
