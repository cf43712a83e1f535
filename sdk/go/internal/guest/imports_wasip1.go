package guest

import (
	"strings"
	"unsafe"
)

// The functions of the ABI, see host/ABI.md. Pointers are valid until they return.

//go:wasmimport sortie:host/v1 request
//go:noescape
func hostRequest(ptr unsafe.Pointer, capacity uint32) int32

//go:wasmimport sortie:host/v1 read_request
//go:noescape
func hostReadRequest(ptr unsafe.Pointer, capacity uint32) int32

//go:wasmimport sortie:host/v1 respond
//go:noescape
func hostRespond(ptr unsafe.Pointer, length uint32) int32

//go:wasmimport sortie:host/v1 fail
//go:noescape
func hostFail(ptr unsafe.Pointer, length uint32) int32

//go:wasmimport sortie:host/v1 log
//go:noescape
func hostLog(level int32, ptr unsafe.Pointer, length uint32) int32

//go:wasmimport sortie:host/v1 config
//go:noescape
func hostConfig(key unsafe.Pointer, keyLength uint32, ptr unsafe.Pointer, capacity uint32) int32

//go:wasmimport sortie:host/v1 send
//go:noescape
func hostSend(ptr unsafe.Pointer, length uint32) int32

//go:wasmimport sortie:host/v1 group
//go:noescape
func hostGroup(ptr unsafe.Pointer, length uint32) int32

//go:wasmimport sortie:host/v1 head
//go:noescape
func hostHead(handle uint32, ptr unsafe.Pointer, capacity uint32) int32

//go:wasmimport sortie:host/v1 body
//go:noescape
func hostBody(handle uint32, ptr unsafe.Pointer, capacity uint32) int32

//go:wasmimport sortie:host/v1 quiet
func hostQuiet(group uint32) int32

//go:wasmimport sortie:host/v1 outcomes
//go:noescape
func hostOutcomes(group uint32, ptr unsafe.Pointer, capacity uint32) int32

//go:wasmimport sortie:host/v1 cancel
func hostCancel(handle uint32) int32

//go:wasmimport sortie:host/v1 drop
func hostDrop(handle uint32) int32

//go:wasmimport sortie:host/v1 open
//go:noescape
func hostOpen(ptr unsafe.Pointer, length uint32) int32

//go:wasmimport sortie:host/v1 open_group
//go:noescape
func hostOpenGroup(ptr unsafe.Pointer, length uint32) int32

//go:wasmimport sortie:host/v1 read
//go:noescape
func hostRead(handle uint32, ptr unsafe.Pointer, capacity uint32) int32

//go:wasmimport sortie:host/v1 read_error
//go:noescape
func hostReadError(handle uint32, ptr unsafe.Pointer, capacity uint32) int32

//go:wasmimport sortie:host/v1 write
//go:noescape
func hostWrite(handle uint32, ptr unsafe.Pointer, length uint32) int32

//go:wasmimport sortie:host/v1 finish
func hostFinish(handle uint32) int32

//go:wasmimport sortie:host/v1 stream_request
func hostStreamRequest() int32

//go:wasmimport sortie:host/v1 open_request
func hostOpenRequest() int32

//go:wasmimport sortie:host/v1 begin
//go:noescape
func hostBegin(ptr unsafe.Pointer, length uint32) int32

//go:wasmimport sortie:host/v1 time_left
func hostTimeLeft() int64

// The ABI's errors, as results.
const (
	errInval    = -2
	errAgain    = -4
	errMfile    = -5
	errCanceled = -8
	errTooBig   = -9
	errIO       = -10
	errPipe     = -11
)

func pointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func stringPointer(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }

// address is where a body lies; Go's heap doesn't move, and the caller keeps the body alive until the host has copied it.
func address(b []byte) uint64 { return uint64(uintptr(pointer(b))) }

// sized makes a sized read: read is called again if the answer needs more room than buf has. The answer shares the returned buffer.
//
//go:noinline
func sized(buf []byte, read func(ptr unsafe.Pointer, capacity uint32) int32) (answer []byte, result int32) {
	buf = buf[:cap(buf)]
	n := read(pointer(buf), uint32(len(buf)))
	if n > 0 && int(n) > len(buf) {
		buf = make([]byte, n)
		n = read(pointer(buf), uint32(len(buf)))
	}
	if n < 0 || int(n) > len(buf) {
		return buf[:0], min(n, errInval)
	}
	return buf[:n], n
}

// whole reads a body of a known length, all of which is here. One that ends early is as long as it is.
//
//go:noinline
func whole(length uint64, read func(ptr unsafe.Pointer, capacity uint32) int32) []byte {
	if length == 0 {
		return nil
	}
	var room strings.Builder // the one way to memory that isn't cleared first, to be written to anyway
	room.Grow(int(length))
	_ = room.WriteByte(0)
	body := unsafe.Slice(unsafe.StringData(room.String()), length)
	got := 0
	for got < len(body) {
		n := read(pointer(body[got:]), uint32(len(body)-got))
		if n <= 0 {
			break
		}
		got += int(n)
	}
	return body[:got:got]
}
