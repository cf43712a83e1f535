//go:build unix

package memory

import "golang.org/x/sys/unix"

// reserve maps n bytes that cost nothing until they are touched, and read as zero. Where the system refuses so large a
// reservation the Go heap serves.
func reserve(n uint64) (b []byte, mapped bool) {
	b, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|noReserve)
	if err != nil {
		return make([]byte, n), false
	}
	return b, true
}

// release gives a reservation back; a slice of the Go heap is unknown to Munmap, which then says so and does nothing.
func release(b []byte) {
	if b != nil {
		_ = unix.Munmap(b)
	}
}
