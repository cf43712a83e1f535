package host_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/abi"
	"github.com/sortie-run/sortie/host/manifest"
)

// Attacks on bodies as streams, by guests with nothing between them and the ABI. What begins with "Once" did succeed before it was mended.

// greedy is a module that streams its request, and opens as many handles as there are before it reads it.
func greedy(data, head []byte) []byte {
	leb := func(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }
	sleb := func(n int) (b []byte) { // of i32.const
		for {
			c := byte(n & 0x7f)
			n >>= 7
			if n == 0 && c&0x40 == 0 {
				return append(b, c)
			}
			b = append(b, c|0x80)
		}
	}
	vec := func(items ...[]byte) []byte { return append(leb(len(items)), bytes.Join(items, nil)...) }
	name := func(s string) []byte { return append(leb(len(s)), s...) }
	section := func(id byte, b []byte) []byte { return append(append([]byte{id}, leb(len(b))...), b...) }
	imported := func(f string, kind byte) []byte { return append(append(name(abi.Namespace), name(f)...), 0, kind) }
	export := func(f string, kind byte, i int) []byte { return append(append(name(f), kind), leb(i)...) }
	body := func(code ...[]byte) []byte {
		b := append(append([]byte{0}, bytes.Join(code, nil)...), 0x0b)
		return append(leb(len(b)), b...)
	}
	constant := func(n int) []byte { return append([]byte{0x41}, sleb(n)...) }
	call := func(i int) []byte { return append([]byte{0x10}, leb(i)...) }
	drop := []byte{0x1a}
	all := append(append([]byte{}, data...), head...)
	module := []byte("\x00asm\x01\x00\x00\x00")
	module = append(module, section(1, vec([]byte{0x60, 2, 0x7f, 0x7f, 1, 0x7f}, []byte{0x60, 0, 1, 0x7f}, []byte{0x60, 0, 0}))...)
	module = append(module, section(2, vec(imported("group", 0), imported("read_request", 0), imported("respond", 0), imported("stream_request", 1)))...)
	module = append(module, section(3, vec(leb(1), leb(2)))...)
	module = append(module, section(5, vec(append([]byte{0}, leb(len(all)>>16+1)...)))...)
	module = append(module, section(7, vec(export("memory", 2, 0), export("handle", 0, 4), export("_initialize", 0, 5)))...)
	module = append(module, section(10, vec(
		body(constant(0), constant(len(data)), call(0), drop, constant(0), constant(16), call(1), drop, constant(len(data)), constant(len(head)), call(2)),
		body(call(3), drop),
	))...)
	segment := append(append(append([]byte{0}, constant(0)...), 0x0b), leb(len(all))...)
	return append(module, section(11, vec(append(segment, all...)))...)
}

// Once: A guest that has all its 65,536 handles open and then reads its request, which comes in pieces, keeps its invocation for ever: the
// stream has no handle, so Handles.Close doesn't stop it, and waits for it. Neither limits.wall nor the client's going nor Plugin.Close end it;
// its place (process.invocations) never comes back. With a body of more than 64 KiB, not even the client's bytes do.
func TestAttackFullTable(t *testing.T) {
	t.Parallel()
	const n = 1<<16 - 1
	data := append([]byte{1, 0, 0, 0}, varint(n)...) // all_settled
	for range n {
		data = append(data, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // a fetch of nothing, refused at once
	}
	m, err := manifest.Parse([]byte(allowLoopback + "limits: {wall: 20s, cpu: 20s, memory: 4MiB}\n"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := newRuntime(t, fetch.Config{}).Load(context.Background(),
		host.Source{Name: "guest", Version: 1, Wasm: greedy(data, []byte{0, 0, 0, 0}), Manifest: m})
	if err != nil {
		t.Fatal(err)
	}
	from, to := io.Pipe()
	defer to.Close() // lets the invocation go at last
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, _, err := p.Invoke(ctx, &host.Request{BodyReader: from, BodyLength: -1})
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
		return
	case <-time.After(10 * time.Second): // on a slow machine the answer takes a while
		cancel() // the client goes
	}
	select {
	case err := <-done:
		t.Logf("it took the client's going: %v", err)
	case <-time.After(30 * time.Second):
		t.Error("the invocation has answered, and doesn't end though its client has gone")
	}
}

// --- who takes an answer, as an attacker would like it

// scribe takes a streamed answer.
type scribe struct {
	mu     sync.Mutex
	got    bytes.Buffer
	begun  *host.Response
	linger time.Duration // in Begin, reading the head
	refuse error         // by Begin
}

func (r *scribe) Begin(head *host.Response) error {
	for until := time.Now().Add(r.linger); ; {
		for _, f := range head.Header {
			if f.Name == "" {
				return errors.New("no name")
			}
		}
		if time.Now().After(until) {
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = head
	return r.refuse
}

func (r *scribe) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.Write(p)
}

func (*scribe) Abort() {}

// --- driving hostile.wat

type strike struct {
	*testing.T
	engine *fetch.Engine
	plugin *host.Plugin
	port   string
}

// newStrike loads hostile.wat beside an upstream.
func newStrike(t *testing.T, yaml string, h http.HandlerFunc) *strike {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		return ctx
	}
	srv.Start()
	t.Cleanup(srv.Close)
	address, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	op := manifest.DefaultOperator()
	op.Private = []string{"http://127.0.0.1:*"}
	rt, engine := start(t, fetch.Config{Fetches: 1000, PerOrigin: 1000}, op)
	return &strike{t, engine, loadWat(t, rt, "hostile", yaml), fmt.Sprintf("%05s", address.Port())}
}

func (s *strike) invoke(ctx context.Context, p program, w host.Writer) (*host.Response, *host.Report, error) {
	code := bytes.ReplaceAll(p, []byte(place), []byte(s.port))
	body := append(binary.LittleEndian.AppendUint16(nil, uint16(len(code))), code...)
	return s.plugin.Invoke(ctx, &host.Request{Method: "POST", Body: body, Header: http.Header{}, Writer: w})
}

// timed is to with a timeout.
func timed(flags int, method, path string, timeout time.Duration) []byte {
	b := to(flags, method, path, 0)
	at := len(b) - 8 // timeout, attempt timeout, hedge, redirect, expect, retry, body's address and length
	long := binary.BigEndian.AppendUint64(nil, uint64(timeout)|3<<62)
	return append(append(append([]byte{}, b[:at]...), long...), b[at+1:]...)
}

// redo executes what was added since length from again, so many times. (program.repeat and retry land one byte behind it: hostile.wat has read
// the four bytes of the operation when it goes back, jump counts three.)
func (p program) redo(from, times int) program {
	return append(binary.LittleEndian.AppendUint16(append(p, 0xf2), uint16(len(p)-from+4)), byte(times))
}

const begun = 0x400 // where programs have the head of an answer

// answering begins an answer, whose handle is at 0x500 and in the last result.
func answering(fields ...string) program {
	var section []byte
	for _, f := range fields {
		section = append(append(section, byte(len(f))), f...)
	}
	head := append(append([]byte{0}, varint(len(section))...), section...)
	return program{}.fill(begun, head).call("begin", begun, len(head)).keep(0x500)
}

// Once: run.outcome filters the header of a streamed answer a second time, in place (sendable works on fields[:0]),
// while the Writer may still be reading it.
func TestAttackHeaderWhileItIsFiltered(t *testing.T) {
	t.Parallel()
	s := newStrike(t, allowLoopback, func(http.ResponseWriter, *http.Request) {})
	w := &scribe{linger: 200 * time.Millisecond}
	resp, _, err := s.invoke(t.Context(), answering("connection", "close", "x-a", "1", "sortie-x", "2", "x-b", "3").end(0), w)
	if err != nil || len(resp.Header) != 2 || resp.Header[1].Value != "3" {
		t.Errorf("%+v, %v", resp, err)
	}
}

// Once: A guest that waits with wait isn't told that a fetch has settled, if its upload is full: who answers before it has read all, and
// waits for its answer to be taken, and a guest that does as ABI.md says, wait for each other until the fetch's time is over.
func TestAttackSettledBehindAFullUpload(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	defer close(over)
	s := newStrike(t, "fetch: {allow: [{url: 'http://127.0.0.1:*', private: true}], limits: {timeout: 6s, request_bytes: 64MiB}}\nlimits: {wall: 10s, cpu: 5s}\n",
		func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			fmt.Fprint(w, "take this first")
			_ = http.NewResponseController(w).Flush()
			select { // a server that doesn't read doesn't see its client go
			case <-over:
			case <-time.After(8 * time.Second):
			}
		})
	began := time.Now()
	resp, report, err := s.invoke(t.Context(), settledProgram(), nil)
	if err != nil {
		t.Fatal(err, report.Detail)
	}
	told := int32(binary.LittleEndian.Uint32(resp.Body))
	head := int32(binary.LittleEndian.Uint32(resp.Body[4:]))
	last := int32(binary.LittleEndian.Uint32(resp.Body[8:]))
	t.Logf("wait %d, head %d, last write %d, after %s", told, head, last, time.Since(began))
	if last == -abi.EAGAIN && told == 0 && head > 0 {
		t.Errorf("the fetch has settled, its head has %d bytes, and wait told nothing for 700 ms", head)
	}
}

// settledProgram opens a fetch, writes until EAGAIN for a while, waits for the handle, and answers with what wait, head and the last write gave.
func settledProgram() program {
	one := to(3, "POST", "/", 0)
	p := program{}.fill(0, one).call("open", 0, len(one)).fill(0x800, handle(1))
	from := len(p)
	p = p.call("write", 1, 0, 0xffff).call("wait", 0x800, 1, 0, int(10*time.Millisecond), 0x900).redo(from, 85)
	p = p.call("write", 1, 0, 0xffff).keep(0xa08)
	p = p.call("wait", 0x800, 1, 0, int(700*time.Millisecond), 0x900).keep(0xa00).call("head", 1, 0x4000, 0x1000).keep(0xa04)
	return p.fill(0, []byte{0, 0, 0x4a, 0x00, 12}).call("respond", 0, 5).end(0)
}

// Nothing that ends badly after the head is ever a response: not after finish, not with all of it taken by the client, not gathered.
func TestAttackNoCleanEndAfterFailure(t *testing.T) {
	t.Parallel()
	s := newStrike(t, allowLoopback+"limits: {output: 64KiB, stream: 400ms, wall: 300ms, cpu: 1s}\n", func(http.ResponseWriter, *http.Request) {})
	patient := newStrike(t, allowLoopback+"limits: {output: 64KiB, stream: 1m, wall: 30s, cpu: 1s}\n", func(http.ResponseWriter, *http.Request) {})
	some := func() program { return answering().use(0).call("write", 0, 0x1000, 100) }
	finished := func() program { return some().call("finish", 1) }
	settle := int(30 * time.Millisecond)
	pause := func(p program) program { // until the client has all of it
		clock := make([]byte, 48)
		binary.LittleEndian.PutUint32(clock[16:], 1)
		binary.LittleEndian.PutUint64(clock[24:], uint64(settle))
		return p.fill(0x100, clock).call("poll_oneoff", 0x100, 0x300, 1, 0x400)
	}
	long := make([]byte, 48)
	binary.LittleEndian.PutUint32(long[16:], 1)
	binary.LittleEndian.PutUint64(long[24:], uint64(time.Minute))
	deadlock := make([]byte, 48)
	deadlock[8], deadlock[16] = 1, 3
	for name, p := range map[string]program{
		"finish, then 1":             pause(finished()).end(1),
		"finish, then exit 0":        pause(finished()).call("proc_exit", 0),
		"finish, then exit 1":        pause(finished()).call("proc_exit", 1),
		"finish, then the limit":     finished().fill(0x100, long).call("poll_oneoff", 0x100, 0x300, 1, 0x400),
		"finish, then a deadlock":    pause(finished()).fill(0x100, deadlock).call("poll_oneoff", 0x100, 0x300, 1, 0x400),
		"exit 0":                     some().call("proc_exit", 0),
		"1":                          some().end(1),
		"over the limit, then 0":     some().call("write", 1, 0, 0xffff).call("write", 1, 0, 1).call("finish", 1).end(0),
		"an end with stopped's code": pause(finished()).call("proc_exit", 0xffffffff),
		"another of those":           pause(finished()).call("proc_exit", 0xefffffff),
	} {
		for _, w := range []host.Writer{&scribe{}, nil, &scribe{refuse: errAway}} {
			resp, report, err := s.invoke(t.Context(), p, w)
			if err == nil || resp != nil || report.Code == "" || report.Status < 400 {
				t.Errorf("%s, %T: %+v, %v, %+v", name, w, resp, err, report.Code)
			}
		}
	}
	// Refused heads, and those refused late.
	w := &scribe{refuse: errAway, linger: 20 * time.Millisecond}
	if _, report, err := patient.invoke(t.Context(), finished().end(0), w); err == nil || report.Code != host.CodeCancelled {
		t.Errorf("a refused head: %v", err)
	}
	for _, good := range []program{finished().end(0), answering().end(0), finished().call("finish", 1).call("write", 1, 0, 1).call("begin", begun, 2).call("respond", begun, 2).end(0)} {
		if resp, _, err := patient.invoke(t.Context(), good, &scribe{}); err != nil || !resp.Streamed {
			t.Errorf("%+v, %v", resp, err)
		}
	}
}

// Streams that nobody reads give their slots back when their fetches' time is over, however long the guest stays, and keep what was
// received and charged, not a ring each. The heap that 200 of them cost is measured.
func TestAttackStreamsNobodyReads(t *testing.T) {
	const n = 100
	var heads atomic.Int64
	s := newStrike(t, `
fetch:
  allow: [{url: 'http://127.0.0.1:*', private: true}]
  limits: {requests: 1000, concurrency: 500, timeout: 3s}
limits: {wall: 2m, stream: 2m, cpu: 5s, memory: 128MiB}`,
		func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			fmt.Fprint(w, "x")
			_ = http.NewResponseController(w).Flush()
			heads.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
		})
	one := timed(3, "POST", "/x", 3*time.Second)
	p := program{}.fill(0, one)
	from := len(p)
	p = p.call("open", 0, len(one)).redo(from, n-1)
	clock := make([]byte, 48)
	binary.LittleEndian.PutUint32(clock[16:], 1)
	binary.LittleEndian.PutUint64(clock[24:], uint64(time.Minute)) // it stays until it's looked at
	p = p.fill(0x100, clock).call("poll_oneoff", 0x100, 0x300, 1, 0x380).end(1)
	heap := func() int64 {
		var m runtime.MemStats
		for range 3 {
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _, _, err := s.invoke(ctx, p, nil); done <- err }()
	eventually(t, "all heads are here", func() bool { return heads.Load() == n })
	time.Sleep(50 * time.Millisecond)
	live := heap() - before
	eventually(t, "the slots are back", func() bool { return s.engine.SlotsInUse() == 0 })
	select {
	case err := <-done:
		t.Fatalf("it's over already: %v", err)
	default:
	}
	after := heap() - before
	cancel()
	<-done
	t.Logf("%d streams: %d KiB while they live, %d KiB when they're over", n, live>>10, after>>10)
	if after > n*32<<10 {
		t.Errorf("%d KiB are kept for %d streams of one byte", after>>10, n)
	}
}

// An upload that is opened and never written is over with its fetch's timeout, and no more of them are taken than the memory limit has
// room for; the slots come back.
func TestAttackUploadsNobodyWrites(t *testing.T) {
	t.Parallel()
	var g gauge
	s := newStrike(t, "fetch: {allow: [{url: 'http://127.0.0.1:*', private: true}], limits: {requests: 1000, timeout: 1500ms}}\nlimits: {memory: 1MiB, wall: 30s}\n",
		func(_ http.ResponseWriter, r *http.Request) {
			g.enter()
			defer g.leave()
			_, _ = io.Copy(io.Discard, r.Body)
		})
	one := to(2, "POST", "/x", 0)
	p := program{}.fill(0, one)
	from := len(p)
	p = p.call("open", 0, len(one)).redo(from, 15).call("open", 0, len(one)).keep(0xa00).await(1).call("write", 1, 0x1000, 1).keep(0xa04)
	p = p.fill(0, []byte{0, 0, 0x4a, 0x00, 8}).call("respond", 0, 5).end(0)
	resp, report, err := s.invoke(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := int32(binary.LittleEndian.Uint32(resp.Body)); got != -abi.E2BIG {
		t.Errorf("the 17th upload of 64 KiB in 1 MiB: %d", got)
	}
	if got := int32(binary.LittleEndian.Uint32(resp.Body[4:])); got != -abi.EPIPE {
		t.Errorf("writing to what is over: %d", got)
	}
	if f := report.Fetches[0]; f.Code != "timeout" || f.Elapsed > 10*time.Second {
		t.Errorf("%+v", f)
	}
	eventually(t, "nothing is in flight", func() bool { return g.now.Load() == 0 && s.engine.SlotsInUse() == 0 })
}

// The request's own stream, in every order of cancelling, dropping and reading by either name.
func TestAttackRequestStream(t *testing.T) {
	t.Parallel()
	var lines []string
	rt := newRuntime(t, fetch.Config{})
	p := loadWat(t, rt, "hostile", allowLoopback+"config: {stream: true}\nlimits: {wall: 30s}\n")
	for _, end := range []string{"cancel", "drop"} {
		code := program{}.call("open_request").keep(0xa00). // EALREADY: the guest has got its program through it
									call(end, 1).call("read_request", 0x1000, 10).keep(0xa04).call("read", 1, 0x1000, 10).keep(0xa08).
									call("read_error", 1, 0x4000, 0x1000).keep(0xa0c).call(end, 1).keep(0xa10).
									fill(0, []byte{0, 0, 0x4a, 0x00, 20}).call("respond", 0, 5).end(0)
		from, to := io.Pipe()
		go func() {
			_, _ = to.Write(append(binary.LittleEndian.AppendUint16(nil, uint16(len(code))), code...))
			_, _ = to.Write([]byte("more"))
		}()
		resp, report, err := p.Invoke(t.Context(), &host.Request{BodyReader: from, BodyLength: -1})
		_ = to.Close()
		if err != nil {
			t.Errorf("%s: %v %v", end, err, report.Logs)
			continue
		}
		var got []int32
		for i := 0; i < len(resp.Body); i += 4 {
			got = append(got, int32(binary.LittleEndian.Uint32(resp.Body[i:])))
		}
		lines = append(lines, fmt.Sprint(end, got))
		if got[1] != -abi.EIO {
			t.Errorf("%s: read_request after it gives %d", end, got[1])
		}
		if want := map[string]int32{"cancel": -abi.EIO, "drop": -abi.EBADF}[end]; got[2] != want {
			t.Errorf("%s: read after it gives %d", end, got[2])
		}
	}
	t.Log(strings.Join(lines, "; "))
}

// Once: limits.input isn't kept by the host for a body in pieces: it trusts the BodyReader, without saying so, and Request.BodyLength.
func TestAttackInputLimitInPieces(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), streamsDir, allowLoopback+"limits: {input: 1KiB}\n")
	for _, length := range []int64{-1, 10} {
		resp, _, err := p.Invoke(t.Context(), &host.Request{
			Path: "/count", BodyReader: io.NopCloser(io.LimitReader(nought{}, 1<<20)), BodyLength: length,
		})
		if err == nil {
			t.Errorf("limits.input is 1 KiB, announced were %d, and the plugin read %s bytes", length, resp.Body)
		}
	}
}

type nought struct{}

func (nought) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Once: A Writer runs in a goroutine of the host's that recovers nothing: its panic ends the process, where one in a handler of net/http's
// ends its connection. (An http.Handler is allowed to panic with http.ErrAbortHandler, and middleware's ResponseWriters do.)
func TestAttackWriterPanics(t *testing.T) {
	const child = "SORTIE_ATTACK_WRITER"
	if os.Getenv(child) != "" {
		s := newStrike(t, allowLoopback, func(http.ResponseWriter, *http.Request) {})
		_, _, err := s.invoke(t.Context(), answering().use(0).call("write", 0, 0x1000, 100).end(0), panics{})
		fmt.Println("survived:", err)
		return
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestAttackWriterPanics$")
	cmd.Env = append(os.Environ(), child+"=1")
	if out, err := cmd.CombinedOutput(); !strings.Contains(string(out), "survived:") {
		text, _, _ := strings.Cut(string(out), "\n\ngoroutine")
		t.Errorf("the process has ended: %v, %s", err, text)
	}
}

type panics struct{}

func (panics) Begin(*host.Response) error { panic(http.ErrAbortHandler) }
func (panics) Write([]byte) (int, error)  { panic(http.ErrAbortHandler) }
func (panics) Abort()                     {}

// Once: Over HTTP/2 much is read ahead: net/http's transport lets a server send 4 MiB on each stream that nobody reads, and keeps it. None of
// that is charged to total_bytes, bounded by response_bytes, or limited by limits.memory. A fetch that is read whole takes what comes at once;
// a stream that its guest doesn't read holds it for as long as its fetch's time lasts. So an invocation has concurrency × 4 MiB, and a
// process up to Fetches × 4 MiB (4 GiB with the defaults).
func TestAttackReadAheadOverHTTP2(t *testing.T) {
	const n = 16
	var heads, sent atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heads.Add(1)
		piece := make([]byte, 64<<10)
		for range 256 { // 16 MiB
			k, err := w.Write(piece)
			if sent.Add(int64(k)); err != nil {
				return
			}
		}
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	op := manifest.DefaultOperator()
	op.Private = []string{"https://127.0.0.1:*"}
	engine := fetch.New(fetch.Config{TLS: srv.Client().Transport.(*http.Transport).TLSClientConfig})
	defer engine.Close()
	rt, err := host.New(context.Background(), host.Config{Engine: engine, Operator: op, CacheDir: cacheDir})
	if err != nil {
		t.Fatal(err)
	}
	rt.Unstrained()
	defer rt.Close(context.Background())
	p := loadWat(t, rt, "hostile", `
fetch:
  allow: [{url: 'https://127.0.0.1:*', private: true}]
  limits: {timeout: 1m, response_bytes: 100KiB, total_bytes: 2MiB}
limits: {wall: 2m, memory: 1MiB}`)
	one := append([]byte{1, 0, byte(len(srv.URL))}, srv.URL...)
	one = append(one, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	clock := make([]byte, 48)
	binary.LittleEndian.PutUint32(clock[16:], 1)
	binary.LittleEndian.PutUint64(clock[24:], uint64(time.Minute)) // it stays until it's looked at
	code := program{}.fill(0, one)
	from := len(code)
	code = code.call("open", 0, len(one)).redo(from, n-1).fill(0x100, clock).call("poll_oneoff", 0x100, 0x300, 1, 0x380).end(1)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	done := make(chan *host.Report, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, report, _ := p.Invoke(ctx, request(string(binary.LittleEndian.AppendUint16(nil, uint16(len(code))))+string(code)))
		done <- report
	}()
	eventually(t, "the streams have begun", func() bool { return heads.Load() == n })
	time.Sleep(700 * time.Millisecond)
	live := heap() - before
	cancel()
	report := <-done
	t.Logf("%d KiB on the heap, %d KiB sent, charged %+v", live>>10, sent.Load()>>10, report.Budget[1])
	if live > 16<<20 {
		t.Errorf("%d unread streams hold %d MiB; limits.memory is 1 MiB, total_bytes 2 MiB, response_bytes 100 KiB", n, live>>20)
	}
}
