//go:build unix && !aix

package http1

import (
	"net"
	"syscall"
)

// Able tells whether connections can be kept here: whether the system tells what has come over one without taking it.
const Able = true

// peeker looks at what has come over a connection.
type peeker struct {
	raw  syscall.RawConn // nil: it can't
	look func(fd uintptr) bool
	err  error
}

func (p *peeker) of(nc net.Conn) {
	s, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return
	}
	p.raw, p.look = raw, func(fd uintptr) bool {
		var b [1]byte
		_, _, p.err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	}
}

func (p *peeker) able() bool { return p.raw != nil }

// quiet tells whether nothing has come, not even the end.
func (p *peeker) quiet() bool {
	return p.raw.Read(p.look) == nil && (p.err == syscall.EAGAIN || p.err == syscall.EWOULDBLOCK)
}
