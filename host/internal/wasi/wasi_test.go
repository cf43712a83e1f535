package wasi

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
	"go.uber.org/goleak"

	"github.com/sortie-run/sortie/host/internal/guest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine calls functions over a memory of 4 KiB.
type machine struct {
	t    *testing.T
	call *guest.Call
	mem  []byte
	fn   map[string]guest.Func
}

func newMachine(t *testing.T, ctx context.Context) *machine {
	m := &machine{t: t, mem: make([]byte, 4096), fn: map[string]guest.Func{}}
	m.call = &guest.Call{Log: guest.NewLog(1 << 10), Memory: func() []byte { return m.mem }}
	m.call.Handles.Init()
	m.call.Start(ctx)
	for _, f := range Functions() {
		m.fn[f.Name] = f
	}
	return m
}

func (m *machine) do(name string, args ...uint64) uint64 {
	f := m.fn[name]
	if len(args) != len(f.Params) {
		m.t.Fatalf("%s takes %d arguments", name, len(f.Params))
	}
	stack := append(args, 0)
	f.Do(m.call, stack)
	return stack[0]
}

func (m *machine) u32(at int) uint32 { return binary.LittleEndian.Uint32(m.mem[at:]) }

// Every function has the name and signature that wazero's own implementation has.
func TestSignatures(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	theirs, err := wasi_snapshot_preview1.NewBuilder(rt).Compile(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]guest.Func{}
	for _, f := range Functions() {
		ours[f.Name] = f
	}
	for name, def := range theirs.ExportedFunctions() {
		f, ok := ours[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		if !bytes.Equal(f.Params, def.ParamTypes()) || !bytes.Equal(f.Results, def.ResultTypes()) {
			t.Errorf("%s is %x -> %x, want %x -> %x", name, f.Params, f.Results, def.ParamTypes(), def.ResultTypes())
		}
	}
}

func TestClocksAndRandom(t *testing.T) {
	t.Parallel()
	m := newMachine(t, context.Background())
	if m.do("clock_time_get", 0, 0, 8) != success {
		t.Fatal("errno")
	}
	got := time.Unix(0, int64(binary.LittleEndian.Uint64(m.mem[8:])))
	if time.Since(got).Abs() > time.Minute {
		t.Errorf("the time is %s", got)
	}
	m.do("clock_time_get", 1, 0, 8)
	first := binary.LittleEndian.Uint64(m.mem[8:])
	m.do("clock_time_get", 1, 0, 8)
	if binary.LittleEndian.Uint64(m.mem[8:]) < first {
		t.Error("the monotonic clock went back")
	}
	if m.do("clock_time_get", 9, 0, 8) != eInval || m.do("clock_time_get", 0, 0, 4090) != eFault || m.do("clock_res_get", 9, 8) != eInval {
		t.Error("bad arguments are taken")
	}
	if m.do("random_get", 100, 64) != success || bytes.Count(m.mem[100:164], []byte{0}) > 16 || m.mem[164] != 0 {
		t.Errorf("random: %x", m.mem[100:170])
	}
	if m.do("random_get", 4000, 97) != eFault {
		t.Error("random outside the memory")
	}
}

func TestThereAreNoFiles(t *testing.T) {
	t.Parallel()
	m := newMachine(t, context.Background())
	for name, want := range map[string]uint64{"fd_prestat_get": eBadf, "path_open": eBadf, "sock_accept": eNosys, "fd_readdir": eBadf} {
		if got := m.do(name, make([]uint64, len(m.fn[name].Params))...); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	copy(m.mem, bytes.Repeat([]byte{9}, 8))
	if m.do("args_sizes_get", 0, 4) != success || m.u32(0) != 0 || m.u32(4) != 0 || m.do("environ_sizes_get", 4095, 0) != eFault {
		t.Error("arguments")
	}
	if m.do("fd_fdstat_get", 3, 0) != success || m.mem[0] != typeSocketStream || m.mem[2] != flagNonblock || m.do("fd_fdstat_get", 4, 0) != eBadf {
		t.Error("fd_fdstat_get")
	}
	if m.do("fd_seek", 1, 0, 0, 0) != eSpipe || m.do("fd_close", 4) != eBadf {
		t.Error("seek or close")
	}
}

// vector writes one (address, length) pair at 0.
func (m *machine) vector(ptr, n uint32) {
	binary.LittleEndian.PutUint32(m.mem, ptr)
	binary.LittleEndian.PutUint32(m.mem[4:], n)
}

func TestWrite(t *testing.T) {
	t.Parallel()
	m := newMachine(t, context.Background())
	n := copy(m.mem[100:], "one\r\ntwo\nthr")
	m.vector(100, uint32(n))
	if m.do("fd_write", 2, 0, 1, 50) != success || m.u32(50) != uint32(n) {
		t.Error("fd_write")
	}
	if m.do("fd_write", 0, 0, 1, 50) != eBadf || m.do("fd_write", 1, 0, 5000, 50) != eInval || m.do("fd_write", 1, 4092, 1, 50) != eFault {
		t.Error("bad arguments are taken")
	}
	m.vector(4000, 97)
	if m.do("fd_write", 1, 0, 1, 50) != eFault {
		t.Error("a buffer outside the memory is taken")
	}
	var got string
	for _, l := range m.call.Log.Lines() {
		got += l.Level.String() + " " + l.Message + "|"
	}
	if got != "WARN one|WARN two|WARN thr|" {
		t.Error(got)
	}
}

func TestEventDescriptor(t *testing.T) {
	t.Parallel()
	m := newMachine(t, context.Background())
	m.vector(100, 64)
	if m.do("fd_read", 0, 0, 1, 50) != success || m.u32(50) != 0 {
		t.Error("standard input isn't at its end")
	}
	if m.do("fd_read", 3, 0, 1, 50) != eAgain || m.do("fd_read", 1, 0, 1, 50) != eBadf {
		t.Error("an empty event descriptor")
	}
}

// subscribe writes a subscription at an address.
func (m *machine) subscribe(at int, userdata uint64, kind byte, a, b uint64) {
	s := m.mem[at : at+subscriptionSize]
	clear(s)
	binary.LittleEndian.PutUint64(s, userdata)
	s[8] = kind
	binary.LittleEndian.PutUint64(s[16:], a)
	binary.LittleEndian.PutUint64(s[24:], b)
}

func TestPoll(t *testing.T) {
	t.Parallel()
	m := newMachine(t, context.Background())
	m.subscribe(0, 7, eventClock, 1, uint64(300*time.Millisecond))
	m.subscribe(48, 8, eventClock, 0, uint64(time.Hour))
	start := time.Now()
	if m.do("poll_oneoff", 0, 1000, 2, 2000) != success {
		t.Fatal("errno")
	}
	if time.Since(start) < 300*time.Millisecond || m.u32(2000) != 1 || m.mem[1000] != 7 || m.mem[1010] != eventClock {
		t.Errorf("%d events after %s: %x", m.u32(2000), time.Since(start), m.mem[1000:1032])
	}
	if waited := m.call.Waited(); waited < 100*time.Millisecond { // on a busy machine it begins late
		t.Errorf("waiting isn't counted, but for %s", waited)
	}
	m.subscribe(0, 1, eventWrite, 1, 0)
	m.subscribe(48, 2, eventRead, 77, 0)
	m.subscribe(96, 3, 9, 0, 0)
	m.do("poll_oneoff", 0, 1000, 3, 2000)
	if m.u32(2000) != 3 || m.mem[1008] != success || m.mem[1040] != eBadf || m.mem[1072] != eInval {
		t.Errorf("%d events: %x", m.u32(2000), m.mem[1000:1096])
	}
	if m.do("poll_oneoff", 0, 1000, 0, 2000) != eInval || m.do("poll_oneoff", 0, 4090, 1, 2000) != eFault || m.do("poll_oneoff", 0, 0, 1<<20, 0) != eInval {
		t.Error("bad arguments are taken")
	}
}

func TestPollIsCancellable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	m := newMachine(t, ctx)
	m.subscribe(0, 7, eventClock, 1, uint64(time.Hour))
	time.AfterFunc(20*time.Millisecond, cancel)
	if code := exitCode(func() { m.do("poll_oneoff", 0, 1000, 1, 2000) }); code != sys.ExitCodeContextCanceled {
		t.Errorf("exit code %d", code)
	}
}

// A guest that waits for nothing that could come is ended rather than left until its wall limit.
func TestPollForEver(t *testing.T) {
	t.Parallel()
	m := newMachine(t, context.Background())
	m.subscribe(0, 7, eventRead, eventsFD, 0)
	if code := exitCode(func() { m.do("poll_oneoff", 0, 1000, 1, 2000) }); code != deadlock || m.call.Failure == "" {
		t.Errorf("exit code %d, %q", code, m.call.Failure)
	}
}

func TestExit(t *testing.T) {
	t.Parallel()
	m := newMachine(t, context.Background())
	if code := exitCode(func() { m.do("proc_exit", 3) }); code != 3 {
		t.Errorf("exit code %d", code)
	}
}

// exitCode is the code with which f ends the guest, or 0.
func exitCode(f func()) (code uint32) {
	defer func() {
		if err, ok := recover().(error); ok {
			if exit, ok := errors.AsType[*sys.ExitError](err); ok {
				code = exit.ExitCode()
			}
		}
	}()
	f()
	return 0
}
