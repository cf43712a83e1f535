package server

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// hungUp tells whether the other side has closed a connection, even if there are bytes of it to be read. It doesn't wait.
func hungUp(conn syscall.RawConn) (gone bool) {
	_ = conn.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(poll, 0)
		gone = err == nil && n > 0 && poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone
}

// widen lets the system take so many bytes of a connection that nobody reads from yet. A connection's end comes after what was sent before,
// so it's only seen once there was room for all of that.
func widen(conn syscall.RawConn, bytes int) {
	_ = conn.Control(func(fd uintptr) {
		// To want to be woken for so many bytes makes room for them (tcp(7), socket(7)), which stays. SO_RCVBUF would be bounded by a
		// setting that is lower on most systems.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, bytes)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, 1)
	})
}
