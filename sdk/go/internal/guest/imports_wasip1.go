package guest

import "unsafe"

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

//go:wasmimport sortie:host/v1 cancel
func hostCancel(handle uint32) int32

//go:wasmimport sortie:host/v1 drop
func hostDrop(handle uint32) int32

// The ABI's errors, as results.
const (
	errInval    = -2
	errMfile    = -5
	errAlready  = -7
	errCanceled = -8
	errTooBig   = -9
)

func pointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func stringPointer(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }

// address is where a body lies; Go's heap doesn't move, and the caller keeps the body alive until the host has copied it.
func address(b []byte) uint64 { return uint64(uintptr(pointer(b))) }

// sized makes a sized read: read is called again if the answer needs more room than buf has. The answer shares the returned buffer.
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

// stream reads a body of a known length. One that ends early is as long as it is.
func stream(length uint64, read func(ptr unsafe.Pointer, capacity uint32) int32) []byte {
	if length == 0 {
		return nil
	}
	body := make([]byte, length)
	got := 0
	for got < len(body) {
		n := read(pointer(body[got:]), uint32(len(body)-got))
		if n <= 0 {
			break
		}
		got += int(n)
	}
	return body[:got]
}
