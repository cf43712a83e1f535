package host_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/abi"
	"github.com/sortie-run/sortie/host/internal/guest"
	"github.com/sortie-run/sortie/host/internal/wasi"
)

// Whatever calls a guest makes, in any order and with any arguments, the invocation ends with one of the contract's codes, the host never
// fails, and the next invocation works. The guest is testdata/wat/hostile.wat, whose request tells it what to call; it notices by itself
// when the host writes where it may not, or accepts a range outside the memory.

// functions are in the order of the guest's table; TestWatImports sees to that.
var functions = append(abi.Functions(), wasi.Functions()...)

// arena is where hostile guests run, and what they can reach.
type arena struct {
	whole, pieces *host.Plugin // the guest, entered when its request is there, and before
	next          *host.Plugin // the canary: with time enough
	port          string
	inFlight      *gauge
	runs          atomic.Int64
}

const hostileYAML = allowLoopback +
	`limits: {wall: 150ms, stream: 150ms, cpu: 1s, memory: 1MiB, input: 64KiB, output: 256KiB, log: 8KiB}` + "\n"

func newArena(t testing.TB) *arena {
	var g gauge
	srv := httptest.NewServer(upstreamOf(&g))
	t.Cleanup(srv.Close)
	address, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	rt := newRuntime(t, fetch.Config{})
	return &arena{
		whole: loadWat(t, rt, "hostile", hostileYAML), pieces: loadWat(t, rt, "hostile", hostileYAML+"config: {stream: true}"),
		next: loadWat(t, rt, "hostile", allowLoopback), port: fmt.Sprintf("%05s", address.Port()), inFlight: &g,
	}
}

// upstreamOf does by its path what upstreams do.
func upstreamOf(g *gauge) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g.enter()
		defer g.leave()
		switch r.URL.Path {
		case "/echo":
			_ = http.NewResponseController(w).EnableFullDuplex()
			_, _ = io.Copy(w, r.Body)
		case "/big":
			_, _ = w.Write(make([]byte, 1<<20))
		case "/hold", "/stall":
			if r.URL.Path == "/stall" {
				_ = http.NewResponseController(w).EnableFullDuplex()
				fmt.Fprint(w, "be")
				_ = http.NewResponseController(w).Flush()
			}
			// A server sees that its client has gone only when it has read the body, or tries to, and never when the client sends the next
			// request, which it may once it has the answer to a HEAD.
			if _, err := io.Copy(io.Discard, r.Body); err == nil && r.Method != "HEAD" {
				<-r.Context().Done()
			}
		case "/reset":
			panic(http.ErrAbortHandler)
		default:
			fmt.Fprint(w, "ok")
		}
	}
}

// inPieces is the bit of a run's mode that has the guest entered before its request is there. The two above it tell who takes a streamed
// answer: 0 the host gathers it, 1 a client, 2 one who goes away after the first piece, 3 one who is stuck in it.
const inPieces = 1

// run has the guest execute p, and checks all that must hold whatever it does.
func (a *arena) run(t *testing.T, mode byte, p []byte) {
	t.Helper()
	const most = 0x3f00 // what the guest has room for
	p = bytes.ReplaceAll(p[:min(len(p), most)], []byte(place), []byte(a.port))
	plugin, req := a.whole, &host.Request{Method: "POST", Header: http.Header{}}
	req.Body = append(append(binary.LittleEndian.AppendUint16(nil, uint16(len(p))), p...), "what is left for the program"...)
	if mode&inPieces != 0 {
		plugin, req.BodyReader, req.BodyLength, req.Body = a.pieces, io.NopCloser(bytes.NewReader(req.Body)), -1, nil
	}
	if who := mode >> 1 & 3; who != 0 {
		req.Writer = &taker{away: who == 2, stuck: who == 3, aborted: make(chan struct{})}
	}
	done := make(chan struct{})
	var report *host.Report
	var err error
	go func() {
		defer close(done)
		_, report, err = plugin.Invoke(context.Background(), req)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Errorf("mode %d, program %x: it doesn't end", mode, p)
		return
	}
	if problem := broken(report, err); problem != "" {
		t.Errorf("mode %d, program %x: %s", mode, p, problem)
	}
	a.runs.Add(1)
}

// broken says what is wrong about an invocation's end; "" if it may end so.
func broken(report *host.Report, err error) string {
	if said := report.Detail + fmt.Sprint(report.Logs); strings.Contains(said, "guard: ") {
		return "the guest accuses the host: " + said
	}
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*host.Error](err)
	if !ok {
		return err.Error()
	}
	switch e.Code {
	case host.CodePluginError, host.CodeLimitWall, host.CodeLimitCPU, host.CodeLimitOutput, host.CodeLimitInput, host.CodeCancelled:
		return ""
	}
	return fmt.Sprintf("%v; %v", e, e.Err)
}

// check has the next invocation prove that the host still works.
func (a *arena) check(t *testing.T) {
	t.Helper()
	p := bytes.ReplaceAll(canary(), []byte(place), []byte(a.port))
	resp, report, err := a.next.Invoke(context.Background(), request(string(binary.LittleEndian.AppendUint16(nil, uint16(len(p))))+string(p)))
	if err != nil || string(resp.Body) != "ok" {
		t.Fatalf("the next invocation: %+v, %v; %+v", resp, err, report.Fetches)
	}
}

// taker takes a streamed answer, maybe not for long.
type taker struct {
	away, stuck bool
	taken       int
	once        sync.Once
	aborted     chan struct{}
}

var errAway = errors.New("the client has gone")

func (k *taker) Begin(*host.Response) error { return nil }

func (k *taker) Write(p []byte) (int, error) {
	if k.stuck {
		<-k.aborted
	}
	if k.stuck || k.away && k.taken > 0 {
		return 0, errAway
	}
	k.taken += len(p)
	return len(p), nil
}

func (k *taker) Abort() { k.once.Do(func() { close(k.aborted) }) }

// random makes programs of calls that are not all nonsense: about a third of them have arguments that fit.
func random(r *rand.Rand) (p program) {
	pick := func(of ...int) int { return of[r.IntN(len(of))] }
	addresses := []int{0, 8, 0x100, 0x800, 0x1000, 0x2000, 0xbfff, 0xc000, 0xc010, 0xfff0, 0xfff8, 0xffff, 0x10000, 1 << 31, -1, -16}
	argument := func(kind byte) int {
		switch {
		case kind == guest.I64:
			return pick(0, 1, -1, int(time.Millisecond), int(time.Second), r.Int())
		case r.IntN(3) == 0:
			return r.IntN(8)
		case r.IntN(8) == 0:
			return int(r.Uint32())
		default:
			return pick(append(addresses, 1, 4, 16, 64, 1024, 4096, 0x8000, 0xffff)...)
		}
	}
	path := func() string { return []string{"/ok", "/echo", "/big", "/hold", "/stall", "/reset"}[r.IntN(6)] }
	method := func() string { return []string{"", "POST", "PUT", "HEAD"}[r.IntN(4)] }
	for range 1 + r.IntN(40) {
		switch n := r.IntN(20); n {
		case 0, 1:
			b := to(r.IntN(4), method(), path(), 0)
			p = p.fill(0, mutated(r, b)).call("open", 0, len(b))
		case 2:
			b := to(-1, method(), path(), pick(0, 1, 100, 0x4000))
			p = p.fill(0, mutated(r, b)).call("send", 0, len(b))
		case 3:
			b := groupOf(byte(r.IntN(5)), byte(r.IntN(3)), to(-1, method(), path(), 9), to(-1, method(), path(), 0))
			p = p.fill(0, mutated(r, b)).call("group", 0, len(b))
		case 4:
			b := groupOf(byte(r.IntN(5)), byte(r.IntN(3)), to(r.IntN(4), method(), path(), 0), to(r.IntN(4), method(), path(), 0))
			p = p.fill(0, mutated(r, b)).call("open_group", 0, len(b))
		case 5:
			p = p.fill(0, mutated(r, []byte{0, 0})).call("begin", 0, 2)
		case 6, 7, 8:
			p = p.fill(0x800, handle(uint32(r.IntN(8)))).call("wait", 0x800, 1, 0, int(time.Duration(r.IntN(20))*time.Millisecond), 0x900)
		case 9, 10:
			p = p.call([]string{"read", "write"}[n-9], r.IntN(8), pick(0x1000, 0x2000), pick(0, 1, 100, 0x4000))
		case 11:
			p = p.call([]string{"finish", "cancel", "drop"}[r.IntN(3)], r.IntN(8))
		case 12:
			p = p.keep(pick(addresses...))
		case 13:
			p = p.jump(byte(0xf2+r.IntN(2)), r.IntN(len(p)+1), r.IntN(12))
		case 14:
			p = p.use(r.IntN(4))
		case 15:
			b := make([]byte, r.IntN(64))
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			p = p.fill(pick(addresses...), b)
		default:
			f := functions[r.IntN(len(functions))]
			if f.Name == "proc_exit" && r.IntN(10) > 0 {
				continue
			}
			args := make([]int, len(f.Params))
			for i, kind := range f.Params {
				args[i] = argument(kind)
			}
			p = p.call(f.Name, args...)
		}
	}
	return p
}

// mutated changes a byte, now and then.
func mutated(r *rand.Rand, b []byte) []byte {
	if r.IntN(4) == 0 {
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	}
	return b
}

// The programs above, and others by chance, the same ones each time; many at once.
func TestHostileCalls(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	each := 40
	if testing.Short() {
		each = 6
	}
	var wg sync.WaitGroup
	for _, p := range programs() {
		wg.Go(func() {
			for mode := range byte(8) {
				a.run(t, mode, p)
			}
		})
	}
	wg.Wait()
	a.check(t)
	for seed := range uint64(50) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 0))
			for i := range each {
				p := []byte(random(r))
				if i%5 == 4 { // and nonsense
					for j := range p {
						p[j] = byte(r.Uint32())
					}
				}
				a.run(t, byte(r.IntN(8)), p)
			}
		})
	}
	wg.Wait()
	a.check(t)
	eventually(t, "nothing is in flight", func() bool { return a.inFlight.now.Load() == 0 })
	t.Logf("%d programs", a.runs.Load())
}

// FuzzABI has the fuzzer write the programs.
func FuzzABI(f *testing.F) {
	for _, p := range programs() {
		for mode := range byte(8) {
			f.Add(mode, []byte(p))
		}
	}
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		f.Add(byte(seed), []byte(random(r)))
	}
	a := newArena(f)
	f.Fuzz(func(t *testing.T, mode byte, p []byte) {
		a.run(t, mode, p)
		a.check(t)
	})
}
