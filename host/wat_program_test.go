package host_test

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/sortie-run/sortie/host/internal/guest"
)

// program is what the guest executes; the operations are those of hostile.wat.
type program []byte

func (p program) call(name string, args ...int) program {
	i := slices.IndexFunc(functions, func(f guest.Func) bool { return f.Name == name })
	p = append(p, byte(i))
	for n, kind := range functions[i].Params {
		if kind == guest.I64 {
			p = binary.LittleEndian.AppendUint64(p, uint64(args[n]))
		} else {
			p = binary.LittleEndian.AppendUint32(p, uint32(args[n]))
		}
	}
	return p
}

// fill puts bytes at an address.
func (p program) fill(to int, data []byte) program {
	p = binary.LittleEndian.AppendUint32(append(p, 0xf0), uint32(to))
	return append(binary.LittleEndian.AppendUint16(p, uint16(len(data))), data...)
}

// keep stores the last result.
func (p program) keep(to int) program {
	return binary.LittleEndian.AppendUint32(append(p, 0xf1), uint32(to))
}

// repeat executes what was added since length from again, so many times.
func (p program) repeat(from, times int) program { return p.jump(0xf2, from, times) }

// retry does it while the last result is EAGAIN.
func (p program) retry(from, times int) program { return p.jump(0xf3, from, times) }

func (p program) jump(op byte, from, times int) program {
	back := len(p) - from + 4 // the whole operation
	return append(binary.LittleEndian.AppendUint16(append(p, op), uint16(back)), byte(times))
}

// use gives the next call the last result as its parameter i.
func (p program) use(i int) program { return append(p, 0xf4, byte(i)) }

func (p program) end(result byte) program { return append(p, 0xf5, result) }

// place stands for the upstream's port, so that a program found by the fuzzer means the same in the next process.
const place = "PORT5"

// to is a fetch of a path of the upstream; with flags, one for open. Its body, if it has a length, is at address 0x1000.
func to(flags int, method, path string, size int) (b []byte) {
	if flags >= 0 {
		b = append(b, byte(flags))
	}
	address := "http://127.0.0.1:" + place + path
	b = append(append(b, byte(len(method))), method...)
	b = append(append(b, byte(len(address))), address...)
	b = append(b, 0)       // fields
	b = append(b, 0, 0, 0) // timeout, attempt timeout, hedge
	b = append(b, 0, 0, 0) // redirect, expect, retry
	if size == 0 {
		return append(b, 0, 0)
	}
	return append(append(b, 0x50, 0x00), varint(size)...)
}

// varint encodes in four bytes, or one if that does.
func varint(n int) []byte {
	if n < 64 {
		return []byte{byte(n)}
	}
	return binary.BigEndian.AppendUint32(nil, uint32(n)|2<<30)
}

func groupOf(mode, count byte, members ...[]byte) []byte {
	b := []byte{mode, count, 0, 0, byte(len(members))}
	for _, m := range members {
		b = append(append(b, varint(len(m))...), m...)
	}
	return b
}

// handle is an array of one handle, as wait takes it.
func handle(id uint32) []byte { return binary.LittleEndian.AppendUint32(nil, id) }

const forever = -1

// await waits for one handle.
func (p program) await(id uint32) program {
	return p.fill(0x800, handle(id)).call("wait", 0x800, 1, 0, forever, 0x900)
}

// canary fetches, and answers "ok", which is the upstream's.
func canary() program {
	one := to(-1, "", "/ok", 0)
	return program{}.fill(0, one).call("send", 0, len(one)).await(1).call("head", 1, 0x4000, 0x1000).call("body", 1, 0x2000, 64).
		fill(0, []byte{0, 0, 0x60, 0x00, 2}).call("respond", 0, 5).end(0)
}

// programs are those that do what guests do, and what they shouldn't.
func programs() map[string]program {
	all := map[string]program{"canary": canary()}
	upload := to(3, "POST", "/echo", 0)
	p := program{}.fill(0, upload).call("open", 0, len(upload))
	from := len(p)
	p = p.await(1).call("write", 1, 0, 0x8000).retry(from, 3).repeat(from, 3).call("finish", 1).await(1).call("head", 1, 0x4000, 0x1000)
	p = p.fill(0x400, []byte{0, 0}).call("begin", 0x400, 2).keep(0x500)
	from = len(p)
	p = p.await(1).call("read", 1, 0x1000, 0x4000)
	all["through streams"] = p.retry(from, 9).use(2).call("write", 2, 0x1000, 1).await(2).repeat(from, 9).call("finish", 2).end(0)

	members := groupOf(1, 0, to(3, "PUT", "/echo", 0), to(1, "", "/big", 0), to(0, "POST", "/echo", 99), to(1, "", "/stall", 0))
	all["a group of streams"] = program{}.fill(0, members).call("open_group", 0, len(members)).call("write", 2, 0x1000, 0x4000).
		call("finish", 2).await(2).call("read", 2, 0x1000, 0x4000).await(3).call("read", 3, 0x1000, 0x4000).call("cancel", 3).call("read", 3, 0x1000, 1).
		call("read_error", 3, 0x4000, 0x1000).await(5).call("read", 5, 0x1000, 9).call("read", 5, 0x1000, 9).await(5).call("drop", 1).
		call("read", 5, 0, 1).end(1)
	for mode := range byte(5) {
		members := groupOf(mode, 1, to(-1, "", "/ok", 0), to(-1, "", "/hold", 0), to(-1, "", "/reset", 0))
		all[fmt.Sprint("group of mode ", mode)] = program{}.fill(0, members).call("group", 0, len(members)).await(2).call("cancel", 3).
			call("drop", 1).await(1).end(0)
	}

	one := to(1, "", "/big", 0)
	subscriptions := make([]byte, 96)
	subscriptions[8], subscriptions[16], subscriptions[24] = 1, 3, 0    // the descriptor
	subscriptions[56], subscriptions[64], subscriptions[72+3] = 0, 1, 1 // a clock, 16 ms
	vector := append(binary.LittleEndian.AppendUint32(nil, 0x2000), 64, 0, 0, 0)
	p = program{}.fill(0, one).call("open", 0, len(one)).fill(0x100, subscriptions).fill(0x200, vector)
	from = len(p)
	all["descriptor 3"] = p.call("poll_oneoff", 0x100, 0x300, 2, 0x400).call("fd_read", 3, 0x200, 1, 0x210).call("read", 1, 0x1000, 0x8000).
		repeat(from, 20).end(0)

	p = program{}.call("open_request").call("open_request").keep(0x800)
	from = len(p)
	all["its own request"] = p.call("read", 1, 0x1000, 100).retry(len(p), 0).call("read_request", 0x1000, 100).repeat(from, 5).
		call("cancel", 1).call("read", 1, 0, 1).call("read_error", 1, 0x1000, 0x1000).call("drop", 1).call("read", 1, 0, 1).
		call("stream_request").call("time_left").end(0)

	hold := to(3, "POST", "/hold", 0)
	p = program{}.fill(0, hold).fill(0x400, []byte{0, 0})
	from = len(p)
	all["more than it may"] = p.call("open", 0, len(hold)).repeat(from, 250).call("begin", 0x400, 2).call("write", 200, 0, 0x8000).end(0)

	p = program{}.fill(0x400, []byte{0, 0}).call("begin", 0x400, 2).call("begin", 0x400, 2).call("respond", 0x400, 2).call("cancel", 1)
	from = len(p)
	all["a longer answer than it may"] = p.await(1).call("write", 1, 0, 0x9000).repeat(from, 20).call("drop", 1).end(0)
	all["an answer cut off"] = program{}.fill(0x400, []byte{0, 0}).call("begin", 0x400, 2).call("write", 1, 0, 0x9000).call("proc_exit", 7)
	all["a deadlock"] = program{}.fill(0x100, subscriptions).call("poll_oneoff", 0x100, 0x300, 1, 0x400)
	all["nothing"] = program{}

	p = program{}
	for _, f := range functions {
		for _, at := range []int{0xffff, 0x10000, 0x10001, -1} {
			args := make([]int, len(f.Params))
			for i := range args {
				args[i] = at
			}
			if f.Name != "proc_exit" {
				p = p.call(f.Name, args...)
			}
		}
	}
	all["outside"] = p
	return all
}
