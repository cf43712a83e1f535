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
	if _, _, err := pages(page, theirs, new([scanned]region)); err != nil {
		return Refault
	}
	if _, err := watcher(); err != nil {
		return Scan
	}
	return Watch
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

const (
	// watchAfter is how often a memory is scanned before it is watched. The kernel maps no pages ahead in a memory that is watched, so that an
	// instance should have touched what it usually does; and one that is soon thrown away needn't pay for it.
	watchAfter = 8
	// watchFrom is from how many pages on that are present a watched memory is quicker to look through than one that is scanned; and they must be
	// one of watchPart, since what is watched is looked through wholly.
	watchFrom, watchPart = 64, 16
)

// scan copies back the pages that are the memory's own, or that were written to since it is watched.
func (m *Mapping) scan() (own int, err error) {
	if m.watched {
		n, err := m.each(written, m.back)
		if err == nil && n > m.written { // a page that wasn't among them yet may be its own now
			m.written = n
			m.own, err = m.each(resident, nil)
		}
		return m.own, err
	}
	var usual []span
	const first = 1 // number 0 comes before there was an invocation
	m.own, err = m.each(theirs, func(from, to uint64) {
		m.back(from, to)
		if m.restored == first {
			usual = append(usual, span{from, to})
		}
	})
	if err != nil {
		return m.own, err
	}
	if m.restored == first && m.own <= aheadMost {
		m.image.usual.Store(&usual)
	}
	if m.restored++; m.restored == watchAfter && m.image.method == Watch {
		m.watch()
	}
	return m.own, nil
}

// aheadMost is how many bytes an instance is given ahead at most.
const aheadMost = 1 << 20

// ahead gives a memory the pages that others had of their own after their first invocation, all at once: that takes a fraction of what as many faults do,
// most of which would find a page that was read before, and interrupt the other processors to have it replaced. Whatever fails is done by faults.
func (m *Mapping) ahead() {
	usual := m.image.usual.Load()
	if usual == nil {
		return
	}
	for _, s := range *usual {
		_ = unix.Madvise(m.memory[s.from:s.to], unix.MADV_POPULATE_WRITE) // Linux 5.14
	}
}

// watch has the kernel take note of writes from now on, if that is worth while. Where it fails, nothing changes.
func (m *Mapping) watch() {
	if n, err := m.each(present, nil); err == nil && n >= max(watchFrom*os.Getpagesize(), len(m.memory)/watchPart) {
		m.watched = watch(m.memory) == nil
	}
}

// back copies a part of the image into its place. To compare first, and leave alone what is equal, takes longer.
func (m *Mapping) back(from, to uint64) { copy(m.memory[from:to], m.image.bytes[from:]) }

// each calls f, if there is one, with the memory's pages of a kind, by regions, and tells how many bytes those are.
func (m *Mapping) each(kind categories, f func(from, to uint64)) (total int, err error) {
	regions := buffers.Get().(*[scanned]region)
	defer buffers.Put(regions)
	base := address(m.memory)
	for at := 0; at < len(m.memory); {
		n, walked, err := pages(m.memory[at:], kind, regions)
		if err != nil {
			return total, err
		}
		for _, r := range regions[:n] {
			if total += int(r.end - r.start); f != nil {
				f(r.start-base, r.end-base)
			}
		}
		at += walked
	}
	return total, nil
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
	pageWritten = 1 << 1
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

// categories are a kind of pages: those that aren't in not, are in all, and in one of some, if there are some.
type categories struct{ not, all, some uint64 }

var (
	// theirs are an instance's own, no longer the file's: present or swapped out, and no file backs them.
	theirs = categories{not: pageFile, some: pagePresent | pageSwapped}
	// resident are the same without those swapped out, as which the kernel also counts what is watched and was never touched.
	resident = categories{not: pageFile, all: pagePresent}
	present  = categories{all: pagePresent}
	// written were written to since they are watched. The kernel looks at a bit for that, and at no page.
	written = categories{all: pageWritten}
)

// pages finds the pages of memory that are of a kind. It fills in as many regions as fit, and tells how far it came.
func pages(memory []byte, kind categories, regions *[scanned]region) (n, walked int, err error) {
	fd, err := pagemap()
	if err != nil {
		return 0, 0, err
	}
	start := address(memory)
	arg := scanArg{
		start: start, end: start + uint64(len(memory)), vec: uint64(uintptr(unsafe.Pointer(regions))), vecLen: scanned,
		categoryInverted: kind.not, categoryMask: kind.not | kind.all, categoryAnyofMask: kind.some, returnCategories: kind.all,
	}
	arg.size = uint64(unsafe.Sizeof(arg))
	found, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), pagemapScan, uintptr(unsafe.Pointer(&arg)))
	if errno != 0 {
		return 0, 0, fmt.Errorf("PAGEMAP_SCAN: %w", errno)
	}
	return int(found), int(arg.walkEnd - start), nil
}
