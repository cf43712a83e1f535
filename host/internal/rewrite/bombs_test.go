package rewrite

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
)

// body writes a function's instructions.
type body struct{ bytes.Buffer }

func (b *body) op(x ...byte) *body { b.Write(x); return b }

func (b *body) index(v int) *body { b.Write(appendLEB(nil, uint64(v))); return b }

func (b *body) times(n int, f func(i int)) *body {
	for i := range n {
		f(i)
	}
	return b
}

// get, set and the rest: what the bombs are made of.
func (b *body) get(local int) *body { return b.op(0x20).index(local) }
func (b *body) set(local int) *body { return b.op(0x21).index(local) }
func (b *body) global() *body       { return b.op(0x24, 0) } // takes a value, so that it is needed
func (b *body) end() *body          { return b.op(0x0b) }
func (b *body) add() *body          { return b.op(0x41, 1, 0x6a) }

// define gives locals 1 to n a value each.
func (b *body) define(n int) *body {
	return b.times(n, func(i int) { b.get(0).op(0x41, byte(i&63), 0x6a).set(i + 1) })
}

// use reads locals 1 to n.
func (b *body) use(n int) *body { return b.times(n, func(i int) { b.get(i + 1).global() }) }

// bomb is a construct that takes the compiler more than its share of time. n is how many of it, width how many values it carries.
type bomb struct {
	name  string
	width int
	write func(b *body, n, width int)
}

var bombs = []bomb{
	{"add", 0, func(b *body, n, _ int) { b.times(n, func(int) { b.get(0).add().set(0) }) }},
	{"operands", 0, func(b *body, n, _ int) {
		b.times(n, func(i int) { b.get(0).op(0x41, byte(i&63), 0x6c) }).times(n-1, func(int) { b.op(0x6a) }).set(0)
	}},
	{"load", 0, func(b *body, n, _ int) { b.times(n, func(int) { b.get(0).op(0x28, 2, 0).set(0) }) }},
	{"div", 0, func(b *body, n, _ int) { b.times(n, func(int) { b.get(0).get(0).op(0x6d).set(0) }) }},
	{"trunc", 0, func(b *body, n, _ int) { b.times(n, func(int) { b.get(0).op(0xb7, 0xaa).set(0) }) }},
	{"call", 0, func(b *body, n, _ int) { b.times(n, func(int) { b.get(0).op(0x10, 0) }) }},
	{"call_indirect", 0, func(b *body, n, _ int) { b.times(n, func(int) { b.get(0).get(0).op(0x11, 0, 0) }) }},
	{"memory.copy", 0, func(b *body, n, _ int) { b.times(n, func(int) { b.get(0).get(0).get(0).op(0xfc, 10, 0, 0) }) }},
	{"memory.fill", 0, func(b *body, n, _ int) { b.times(n, func(int) { b.get(0).get(0).get(0).op(0xfc, 11, 0) }) }},
	{"table.copy", 0, func(b *body, n, _ int) { b.times(n, func(int) { b.get(0).get(0).get(0).op(0xfc, 14, 0, 0) }) }},
	{"table.fill", 0, func(b *body, n, _ int) { b.times(n, func(int) { b.get(0).op(0xd0, 0x70).get(0).op(0xfc, 17, 0) }) }},
	{"loop", 0, func(b *body, n, _ int) { b.times(n, func(int) { b.op(0x03, 0x40).get(0).op(0x0d, 0).end() }) }},
	{"loop past locals", 500, func(b *body, n, width int) {
		b.define(width).times(n, func(int) { b.op(0x03, 0x40).get(0).op(0x0d, 0).end() }).use(width)
	}},
	{"loop with a local", 100, func(b *body, n, width int) {
		b.define(width)
		b.times(n, func(i int) { b.op(0x03, 0x40).get(i%width+1).add().op(0x22).index(i%width+1).op(0x0d, 0).end() })
		b.use(width)
	}},
	{"nested loop", 0, func(b *body, n, _ int) {
		b.times(n, func(int) { b.op(0x03, 0x40) }).times(n, func(int) { b.get(0).op(0x0d, 0).end() })
	}},
	{"nested loop with locals", 50, nestedLoops},
	{"nested loop with many locals", 250, nestedLoops},
	{"block", 0, func(b *body, n, _ int) { b.times(n, func(int) { b.op(0x02, 0x40).get(0).op(0x0d, 0).end() }) }},
	{"nested block", 0, func(b *body, n, _ int) {
		b.times(n, func(int) { b.op(0x02, 0x40) }).times(n, func(i int) { b.get(0).op(0x0d).index(n - i - 1).end() })
	}},
	{"if", 0, func(b *body, n, _ int) {
		b.times(n, func(int) { b.get(0).op(0x04, 0x40, 0x41, 1).set(0).op(0x05, 0x41, 2).set(0).end() })
	}},
	{"if past locals", 500, func(b *body, n, width int) {
		b.define(width).times(n, func(int) { b.get(0).op(0x04, 0x40, 0x41, 1).global().end() }).use(width)
	}},
	{"if with a local", 100, func(b *body, n, width int) {
		b.define(width).times(n, func(i int) { b.get(0).op(0x04, 0x40, 0x41, 1).set(i%width + 1).end() }).use(width)
	}},
	{"if past operands", 500, func(b *body, n, width int) {
		b.times(width, func(i int) { b.get(0).op(0x41, byte(i&63), 0x6a) })
		b.times(n, func(int) { b.get(0).op(0x04, 0x40, 0x41, 1).global().end() }).times(width, func(int) { b.global() })
	}},
	{"if, then reads", 1500, func(b *body, n, width int) {
		b.define(1).times(width, func(int) { b.get(0).op(0x04, 0x40, 0x41, 1).global().end() }).times(n, func(int) { b.use(1) })
	}},
	{"br_if with locals", 100, func(b *body, n, width int) {
		b.op(0x02, 0x40).times(n, func(i int) { b.get(0).op(0x22).index(i%width+1).op(0x0d, 0) }).end().use(width)
	}},
	{"br_if with values", 500, func(b *body, n, width int) {
		b.op(0x02, 2).times(width, func(int) { b.get(0) }).times(n, func(int) { b.get(0).op(0x0d, 0) }).end()
		b.times(width, func(int) { b.op(0x1a) })
	}},
	{"br_table", 20, func(b *body, n, width int) {
		b.times(n, func(int) { b.op(0x02, 0x40) })
		b.times(width, func(int) {
			b.op(0x02, 0x40).get(0).op(0x0e).index(n).times(n, func(i int) { b.index(i + 1) }).index(0).end()
		})
		b.times(n, func(int) { b.get(0).add().set(0).end() })
	}},
	{"br_table with values", 1000, func(b *body, n, width int) {
		b.op(0x02, 2).times(width, func(int) { b.get(0) }).get(0).op(0x0e).index(n).times(n+1, func(int) { b.index(0) }).end()
		b.times(width, func(int) { b.op(0x1a) })
	}},
	{"block with values", 500, func(b *body, n, width int) {
		b.times(width, func(int) { b.get(0) }).times(n, func(int) { b.op(0x02, 3).get(0).op(0x0d, 0).end() })
		b.times(width, func(int) { b.op(0x1a) })
	}},
	{"call with values", 1000, func(b *body, n, width int) {
		b.times(width, func(int) { b.get(0) }).times(n, func(int) { b.op(0x10, 1) }).times(width, func(int) { b.op(0x1a) })
	}},
}

func nestedLoops(b *body, n, width int) {
	b.times(n, func(int) { b.op(0x03, 0x40) })
	b.times(width, func(i int) { b.get(i + 1).add().set(i + 1) })
	b.times(n, func(int) { b.get(0).op(0x0d, 0).end() })
}

// module builds a module with that many functions like the bomb, n times each.
func (x bomb) module(n, copies int) []byte {
	values := string(append(appendLEB(nil, uint64(x.width)), strings.Repeat("\x7f", x.width)...))
	typeSection := "\x01\x04\x60\x01\x7f\x00\x60\x00\x00\x60\x00" + values + "\x60" + values + values
	b := &body{}
	b.op(1).index(x.width + 1).op(0x7f) // the locals
	x.write(b, n, x.width)
	b.end()
	functions := appendLEB([]byte{3}, uint64(copies+2))
	code := appendLEB([]byte{10}, uint64(copies+2))
	for _, f := range []struct {
		copies int
		typ    byte
		code   []byte
	}{{1, 0, []byte{0, 0x0b}}, {1, 3, []byte{0, 0, 0x0b}}, {copies, 0, b.Bytes()}} {
		for range f.copies {
			functions = append(functions, f.typ)
			code = appendName(code, f.code)
		}
	}
	return module([]byte(typeSection), functions, []byte{4, 1, 0x70, 0, 10}, []byte{5, 1, 0, 1}, []byte{6, 1, 0x7f, 1, 0x41, 0, 0x0b}, code)
}

// some returns a power of four that passes, where four times as much doesn't.
func (x bomb) some() int {
	n := 1
	for x.passes(4 * n) {
		n *= 4
	}
	return n
}

// most returns about the largest n that the bounds let pass.
func (x bomb) most() int {
	low := x.some()
	high := 4 * low
	for high-low > max(low/10, 1) {
		if mid := (low + high) / 2; x.passes(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

func (x bomb) passes(n int) bool {
	_, err := Parse(x.module(n, 1))
	return err == nil
}

// TestBombs checks that each construct is refused in some number, and that what a security review compiled for minutes is.
func TestBombs(t *testing.T) {
	t.Parallel()
	for _, x := range bombs {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			if !compiles(context.Background(), x.module(3, 2)) {
				t.Error("wazero refuses the module")
			}
			n := x.some()
			_, err := Parse(x.module(4*n, 1))
			if err == nil || !strings.Contains(err.Error(), "function 2") || !strings.Contains(err.Error(), "the bound is") {
				t.Errorf("%d pass, for %d the error is %v", n, 4*n, err)
			}
		})
	}
}

// BenchmarkBombs compiles the worst functions that pass, and modules of a tenth of the steps that pass, or of all that are tangled: go test -run - -bench Bombs -benchtime 1x
func BenchmarkBombs(b *testing.B) {
	for _, x := range bombs {
		n := x.most()
		b.Run(fmt.Sprintf("%s/function", x.name), func(b *testing.B) { benchmark(b, x.module(n, 1)) })
		some := max(n/20, 1)
		b.Run(fmt.Sprintf("%s/module", x.name), func(b *testing.B) {
			wasm := x.module(some, 1)
			m, err := Parse(wasm)
			if err != nil {
				b.Fatal(err)
			}
			benchmark(b, x.module(some, min(maxSteps/m.steps/10, maxTangledSteps/(m.tangled+1), (64<<20)/len(wasm)/10)))
		})
	}
}

func benchmark(b *testing.B, wasm []byte) {
	m, err := Parse(wasm)
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	for range b.N {
		runtime.GC()
		rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithDebugInfoEnabled(false).WithCloseOnContextDone(true))
		start := time.Now()
		if _, err := rt.CompileModule(ctx, wasm); err != nil {
			b.Fatal(err)
		}
		took := time.Since(start)
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(float64(took.Nanoseconds())/float64(m.steps), "ns/step")
		b.ReportMetric(float64(len(wasm))/1024, "KiB")
		_ = rt.Close(ctx)
	}
}
