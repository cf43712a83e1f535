// Package wasi is the part of WASI preview 1 that a guest gets: real clocks, cryptographic randomness, a cancellable poll, output
// into the invocation's log, and exit. There are no files, sockets, arguments or environment, and no state that a descriptor
// could keep: whatever asks for more gets an errno. host/ABI.md, "WASI", is the promise; host/RATIONALE.md, "Why is WASI ours?",
// the reason.
//
// Signatures and numbers are those of the WASI snapshot_preview1 documentation (legacy/preview1/docs.md).
package wasi

import (
	"encoding/binary"

	"github.com/sortie-run/sortie/host/internal/guest"
)

// Namespace is the module guests import WASI from.
const Namespace = "wasi_snapshot_preview1"

// The errno values used, as WASI numbers them.
const (
	success  = 0
	eAgain   = 6
	eBadf    = 8
	eFault   = 21
	eInval   = 28
	eNosys   = 52
	eSpipe   = 70
	eventsFD = 3 // the virtual descriptor of host/ABI.md
)

// Functions returns every function of snapshot_preview1, so that modules which import more than they call still load.
func Functions() []guest.Func {
	i32, i64 := guest.I32, guest.I64
	type t = []byte
	r := t{i32}
	bad, none := errno(eBadf), errno(eNosys)
	return []guest.Func{
		{Name: "args_get", Params: t{i32, i32}, Results: r, Do: errno(success)},
		{Name: "args_sizes_get", Params: t{i32, i32}, Results: r, Do: sizesZero},
		{Name: "environ_get", Params: t{i32, i32}, Results: r, Do: errno(success)},
		{Name: "environ_sizes_get", Params: t{i32, i32}, Results: r, Do: sizesZero},
		{Name: "clock_res_get", Params: t{i32, i32}, Results: r, Do: clockResGet},
		{Name: "clock_time_get", Params: t{i32, i64, i32}, Results: r, Do: clockTimeGet},
		{Name: "random_get", Params: t{i32, i32}, Results: r, Do: randomGet},
		{Name: "poll_oneoff", Params: t{i32, i32, i32, i32}, Results: r, Do: pollOneoff},
		{Name: "proc_exit", Params: t{i32}, Do: procExit},
		{Name: "proc_raise", Params: t{i32}, Results: r, Do: none},
		{Name: "sched_yield", Results: r, Do: schedYield},

		{Name: "fd_write", Params: t{i32, i32, i32, i32}, Results: r, Do: fdWrite},
		{Name: "fd_read", Params: t{i32, i32, i32, i32}, Results: r, Do: fdRead},
		{Name: "fd_close", Params: t{i32}, Results: r, Do: onStdio(success)},
		{Name: "fd_fdstat_get", Params: t{i32, i32}, Results: r, Do: fdFdstatGet},
		{Name: "fd_fdstat_set_flags", Params: t{i32, i32}, Results: r, Do: onStdio(success)},
		{Name: "fd_filestat_get", Params: t{i32, i32}, Results: r, Do: fdFilestatGet},
		{Name: "fd_seek", Params: t{i32, i64, i32, i32}, Results: r, Do: onStdio(eSpipe)},
		{Name: "fd_tell", Params: t{i32, i32}, Results: r, Do: onStdio(eSpipe)},
		{Name: "fd_sync", Params: t{i32}, Results: r, Do: onStdio(success)},
		{Name: "fd_datasync", Params: t{i32}, Results: r, Do: onStdio(success)},

		{Name: "fd_advise", Params: t{i32, i64, i64, i32}, Results: r, Do: bad},
		{Name: "fd_allocate", Params: t{i32, i64, i64}, Results: r, Do: bad},
		{Name: "fd_fdstat_set_rights", Params: t{i32, i64, i64}, Results: r, Do: bad},
		{Name: "fd_filestat_set_size", Params: t{i32, i64}, Results: r, Do: bad},
		{Name: "fd_filestat_set_times", Params: t{i32, i64, i64, i32}, Results: r, Do: bad},
		{Name: "fd_pread", Params: t{i32, i32, i32, i64, i32}, Results: r, Do: bad},
		{Name: "fd_prestat_get", Params: t{i32, i32}, Results: r, Do: bad},
		{Name: "fd_prestat_dir_name", Params: t{i32, i32, i32}, Results: r, Do: bad},
		{Name: "fd_pwrite", Params: t{i32, i32, i32, i64, i32}, Results: r, Do: bad},
		{Name: "fd_readdir", Params: t{i32, i32, i32, i64, i32}, Results: r, Do: bad},
		{Name: "fd_renumber", Params: t{i32, i32}, Results: r, Do: bad},
		{Name: "path_create_directory", Params: t{i32, i32, i32}, Results: r, Do: bad},
		{Name: "path_filestat_get", Params: t{i32, i32, i32, i32, i32}, Results: r, Do: bad},
		{Name: "path_filestat_set_times", Params: t{i32, i32, i32, i32, i64, i64, i32}, Results: r, Do: bad},
		{Name: "path_link", Params: t{i32, i32, i32, i32, i32, i32, i32}, Results: r, Do: bad},
		{Name: "path_open", Params: t{i32, i32, i32, i32, i32, i64, i64, i32, i32}, Results: r, Do: bad},
		{Name: "path_readlink", Params: t{i32, i32, i32, i32, i32, i32}, Results: r, Do: bad},
		{Name: "path_remove_directory", Params: t{i32, i32, i32}, Results: r, Do: bad},
		{Name: "path_rename", Params: t{i32, i32, i32, i32, i32, i32}, Results: r, Do: bad},
		{Name: "path_symlink", Params: t{i32, i32, i32, i32, i32}, Results: r, Do: bad},
		{Name: "path_unlink_file", Params: t{i32, i32, i32}, Results: r, Do: bad},
		{Name: "sock_accept", Params: t{i32, i32, i32}, Results: r, Do: none},
		{Name: "sock_recv", Params: t{i32, i32, i32, i32, i32, i32}, Results: r, Do: none},
		{Name: "sock_send", Params: t{i32, i32, i32, i32, i32}, Results: r, Do: none},
		{Name: "sock_shutdown", Params: t{i32, i32}, Results: r, Do: none},
	}
}

// errno is a function that answers just that.
func errno(v uint64) func(*guest.Call, []uint64) {
	return func(_ *guest.Call, stack []uint64) { stack[0] = v }
}

// onStdio answers v for the four descriptors there are, and EBADF for others.
func onStdio(v uint64) func(*guest.Call, []uint64) {
	return func(_ *guest.Call, stack []uint64) {
		if uint32(stack[0]) > eventsFD {
			stack[0] = eBadf
			return
		}
		stack[0] = v
	}
}

// sizesZero: stack [count, size] -> errno. There are no arguments and no environment.
func sizesZero(c *guest.Call, stack []uint64) {
	count, ok1 := c.View(uint32(stack[0]), 4)
	size, ok2 := c.View(uint32(stack[1]), 4)
	if !ok1 || !ok2 {
		stack[0] = eFault
		return
	}
	clear(count)
	clear(size)
	stack[0] = success
}

// put32 writes a u32 result; false if ptr is outside the memory.
func put32(c *guest.Call, ptr, v uint32) bool {
	to, ok := c.View(ptr, 4)
	if ok {
		binary.LittleEndian.PutUint32(to, v)
	}
	return ok
}

func put64(c *guest.Call, ptr uint32, v uint64) bool {
	to, ok := c.View(ptr, 8)
	if ok {
		binary.LittleEndian.PutUint64(to, v)
	}
	return ok
}
