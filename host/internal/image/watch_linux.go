package image

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of include/uapi/linux/userfaultfd.h.
const (
	uffdUserModeOnly = 1 // what nobody needs a privilege for

	uffdAPI          = 0xc018aa3f // _IOWR(0xaa, 0x3f, struct uffdio_api)
	uffdRegister     = 0xc020aa00 // _IOWR(0xaa, 0x00, struct uffdio_register)
	uffdUnregister   = 0x8010aa01 // _IOR(0xaa, 0x01, struct uffdio_range)
	uffdWriteProtect = 0xc018aa06 // _IOWR(0xaa, 0x06, struct uffdio_writeprotect)

	uffdVersion       = 0xaa
	registerForWrites = 1 << 1
	protect           = 1 << 0

	// Writes are noted; in files as well; also to pages that aren't there yet; and the writer doesn't wait.
	uffdFeatures = 1<<0 | 1<<12 | 1<<13 | 1<<15
)

// watcher is this process's userfaultfd, if what is needed of it works.
var watcher = sync.OnceValues(func() (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|unix.O_NONBLOCK|uffdUserModeOnly, 0, 0)
	if errno != 0 {
		return -1, fmt.Errorf("userfaultfd: %w", errno)
	}
	err := control(int(fd), uffdAPI, &struct{ api, features, ioctls uint64 }{uffdVersion, uffdFeatures, 0})
	if err == nil {
		err = tryWatch(int(fd))
	}
	if err != nil {
		_ = unix.Close(int(fd))
		return -1, err
	}
	return int(fd), nil
})

func control[T any](fd int, request uintptr, arg *T) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(arg))); errno != 0 {
		return fmt.Errorf("userfaultfd, request %#x: %w", request, errno)
	}
	return nil
}

// watch has the kernel take note of which of the memory's pages are written to from now on.
func watch(memory []byte) error {
	fd, err := watcher()
	if err != nil {
		return err
	}
	return watchBy(fd, memory)
}

func watchBy(fd int, memory []byte) error {
	start, size := address(memory), uint64(len(memory))
	if err := control(fd, uffdRegister, &struct{ start, size, mode, ioctls uint64 }{start, size, registerForWrites, 0}); err != nil {
		return err
	}
	err := control(fd, uffdWriteProtect, &struct{ start, size, mode uint64 }{start, size, protect})
	if err != nil { // what is protected by then would count as swapped out
		err = errors.Join(err, control(fd, uffdUnregister, &struct{ start, size uint64 }{start, size}))
	}
	return err
}

// tryWatch watches a small image, of which some pages were touched before, some are afterwards, and some never, and looks whether the right
// ones are told.
func tryWatch(fd int) error {
	page := os.Getpagesize()
	i := &Image{size: 6 * page}
	defer func() { _ = i.Close() }()
	if err := i.save(make([]byte, i.size)); err != nil {
		return err
	}
	memory, err := unix.Mmap(-1, 0, i.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(memory) }()
	m, err := i.Map(memory)
	if err != nil {
		return err
	}
	touched := memory[0]                // read before
	memory[page], memory[2*page] = 1, 1 // written before; the second again
	if err := watchBy(fd, memory); err != nil {
		return err
	}
	touched += memory[3*page] // read
	memory[2*page], memory[4*page] = 2, touched+1
	var got []uint64
	if _, err := m.each(written, func(from, to uint64) { got = append(got, from/uint64(page), to/uint64(page)) }); err != nil {
		return err
	}
	if want := [...]uint64{2, 3, 4, 5}; len(got) != len(want) || [4]uint64(got) != want {
		return errors.New("userfaultfd tells of other pages than were written to")
	}
	return nil
}
