package wasi

import (
	"encoding/binary"

	"github.com/sortie-run/sortie/host/internal/guest"
)

// File types and flags used.
const (
	typeCharacterDevice = 2
	typeSocketStream    = 6
	flagNonblock        = 4
)

// maxVectors bounds the buffers of one read or write.
const maxVectors = 1024

// vectors calls each for the buffers of an array of n (address, length) pairs, until it returns false.
func vectors(c *guest.Call, ptr, n uint32, each func([]byte) bool) uint64 {
	if n > maxVectors {
		return eInval
	}
	array, ok := c.View(ptr, n*8)
	if !ok {
		return eFault
	}
	for ; n > 0; n-- {
		buf, ok := c.View(binary.LittleEndian.Uint32(array), binary.LittleEndian.Uint32(array[4:]))
		if !ok {
			return eFault
		}
		if !each(buf) {
			break
		}
		array = array[8:]
	}
	return success
}

// fdWrite: stack [fd, iovs*, n, written*] -> errno. Descriptors 1 and 2 are the invocation's log.
func fdWrite(c *guest.Call, stack []uint64) {
	fd := uint32(stack[0])
	if fd != 1 && fd != 2 {
		stack[0] = eBadf
		return
	}
	var written uint32
	e := vectors(c, uint32(stack[1]), uint32(stack[2]), func(b []byte) bool {
		c.Log.Write(int(fd), b)
		written += uint32(len(b))
		return true
	})
	if e == success {
		e = faultUnless(put32(c, uint32(stack[3]), written))
	}
	stack[0] = e
}

// fdRead: stack [fd, iovs*, n, read*] -> errno. 0 is at its end; eventsFD yields settled handles as whole u32.
func fdRead(c *guest.Call, stack []uint64) {
	fd := uint32(stack[0])
	if fd != 0 && fd != eventsFD {
		stack[0] = eBadf
		return
	}
	var read uint32
	e := uint64(success)
	if fd == eventsFD {
		e = vectors(c, uint32(stack[1]), uint32(stack[2]), func(b []byte) bool {
			var ids [64]uint32
			n := c.Handles.Events(ids[:min(len(ids), len(b)/4)])
			for i, id := range ids[:n] {
				binary.LittleEndian.PutUint32(b[i*4:], id)
			}
			read += uint32(n) * 4
			return n > 0
		})
		if e == success && read == 0 {
			e = eAgain
		}
	}
	if e == success {
		e = faultUnless(put32(c, uint32(stack[3]), read))
	}
	stack[0] = e
}

// fdFdstatGet: stack [fd, result*] -> errno. The result is 24 bytes: type u8, flags u16 at 2, rights u64 at 8 and 16.
func fdFdstatGet(c *guest.Call, stack []uint64) {
	fd := uint32(stack[0])
	if fd > eventsFD {
		stack[0] = eBadf
		return
	}
	to, ok := c.View(uint32(stack[1]), 24)
	if ok {
		clear(to)
		to[0] = fileType(fd)
		if fd == eventsFD {
			to[2] = flagNonblock
		}
	}
	stack[0] = faultUnless(ok)
}

// fdFilestatGet: stack [fd, result*] -> errno. The result is 64 bytes; only the type, at 16, tells anything.
func fdFilestatGet(c *guest.Call, stack []uint64) {
	fd := uint32(stack[0])
	if fd > eventsFD {
		stack[0] = eBadf
		return
	}
	to, ok := c.View(uint32(stack[1]), 64)
	if ok {
		clear(to)
		to[16] = fileType(fd)
	}
	stack[0] = faultUnless(ok)
}

func fileType(fd uint32) byte {
	if fd == eventsFD {
		return typeSocketStream
	}
	return typeCharacterDevice
}
