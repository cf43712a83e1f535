// Package abi holds the functions of the guest ABI (host/ABI.md) over the fetch engine, one file a family: invocation.go for the
// request, the response, log and config; fetches.go for fetches; streams.go for bodies in pieces. Raw Extism plugins have theirs in fetch_all.go and
// extism_http.go.
//
// Nothing a guest passes may panic here or be read or written outside its memory: each function checks its ranges with
// guest.Call.View before it does anything, and answers an errno.
package abi

import (
	"github.com/sortie-run/sortie/host/internal/guest"
)

// Namespace is the module that HTTP plugins import the ABI from; what follows the slash is the version.
const (
	Prefix    = "sortie:host/"
	Namespace = Prefix + "v1"
)

// The errno of host/ABI.md, section "Conventions". Functions return them negated.
const (
	EFAULT int32 = 1 + iota
	EINVAL
	EBADF
	EAGAIN
	EMFILE
	ENOENT
	EALREADY
	ECANCELED
	E2BIG
	EIO
	EPIPE
)

// Bounds on what a guest can make the host read or hold at once. They keep a call's cost proportional to something sane; what
// the guest may do overall is its policy's.
const (
	maxHead     = 128 << 10 // bytes of a response's or a fetch's head
	maxFields   = 1024      // field lines of a head
	maxGroup    = 16 << 20  // bytes of a group's encoding
	maxLog      = 64 << 10  // bytes of one log call
	maxFailure  = 8 << 10   // bytes of a failure's message that are kept
	maxJSON     = 32 << 20  // bytes of fetch_all's input
	maxHTTPJSON = 1 << 20   // bytes of http_request's, without the body
	maxStatuses = 500       // retry statuses of one fetch
)

// Functions returns the ABI's functions.
func Functions() []guest.Func {
	i32, i64 := guest.I32, guest.I64
	type t = []byte // value types
	return []guest.Func{
		{Name: "request", Params: t{i32, i32}, Results: t{i32}, Do: request},
		{Name: "read_request", Params: t{i32, i32}, Results: t{i32}, Do: readRequest},
		{Name: "respond", Params: t{i32, i32}, Results: t{i32}, Do: respond},
		{Name: "fail", Params: t{i32, i32}, Results: t{i32}, Do: fail},
		{Name: "log", Params: t{i32, i32, i32}, Results: t{i32}, Do: log},
		{Name: "config", Params: t{i32, i32, i32, i32}, Results: t{i32}, Do: config},

		{Name: "send", Params: t{i32, i32}, Results: t{i32}, Do: send},
		{Name: "group", Params: t{i32, i32}, Results: t{i32}, Do: group},
		{Name: "wait", Params: t{i32, i32, i32, i64, i32}, Results: t{i32}, Do: wait},
		{Name: "head", Params: t{i32, i32, i32}, Results: t{i32}, Do: head},
		{Name: "body", Params: t{i32, i32, i32}, Results: t{i32}, Do: body},
		{Name: "quiet", Params: t{i32}, Results: t{i32}, Do: quiet},
		{Name: "outcomes", Params: t{i32, i32, i32}, Results: t{i32}, Do: outcomes},
		{Name: "cancel", Params: t{i32}, Results: t{i32}, Do: cancel},
		{Name: "drop", Params: t{i32}, Results: t{i32}, Do: drop},

		{Name: "open", Params: t{i32, i32}, Results: t{i32}, Do: open},
		{Name: "open_group", Params: t{i32, i32}, Results: t{i32}, Do: openGroup},
		{Name: "read", Params: t{i32, i32, i32}, Results: t{i32}, Do: read},
		{Name: "read_error", Params: t{i32, i32, i32}, Results: t{i32}, Do: readError},
		{Name: "write", Params: t{i32, i32, i32}, Results: t{i32}, Do: write},
		{Name: "finish", Params: t{i32}, Results: t{i32}, Do: finish},
		{Name: "stream_request", Results: t{i32}, Do: streamRequest},
		{Name: "open_request", Results: t{i32}, Do: openRequest},
		{Name: "begin", Params: t{i32, i32}, Results: t{i32}, Do: begin},
		{Name: "time_left", Results: t{i64}, Do: timeLeft},
	}
}

// answer puts a result where the engine expects it.
func answer(stack []uint64, v int32) { stack[0] = uint64(uint32(v)) }

// sized answers a sized read: data if it fits into (ptr, capacity), its length either way.
func sized(c *guest.Call, stack []uint64, ptr, capacity uint32, data []byte) {
	to, ok := c.View(ptr, capacity)
	if !ok {
		answer(stack, -EFAULT)
		return
	}
	if len(data) <= len(to) {
		copy(to, data)
	}
	answer(stack, int32(len(data)))
}
