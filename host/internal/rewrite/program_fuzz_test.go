package rewrite

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"

	"github.com/tetratelabs/wazero"
)

// FuzzPrograms runs generated programs as they are and rewritten: they give the same results, traps, calls of the host, memories and globals,
// however often fuel runs out.
func FuzzPrograms(f *testing.F) {
	r := rand.New(rand.NewPCG(19, 7))
	for n := range 400 {
		seed := make([]byte, 20+n*2)
		for i := range seed {
			seed[i] = byte(r.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4000 {
			return
		}
		wasm := (&generator{bytes: data}).program()
		m, err := Parse(wasm)
		if err != nil {
			t.Fatal(err)
		}
		want := outcome(t, &Rewritten{Wasm: wasm})
		for _, interval := range []int{1, 50, 1 << 40} {
			o := full
			o.TableEntries, o.Fuel.Interval, o.TypedReferences = MaxTableEntries, interval, interval == 50
			out := m.Rewrite(o)
			if out.Unfueled != "" {
				t.Fatal(out.Unfueled)
			}
			got := outcome(t, out)
			if interval == 1 && got.ticks == 0 && got.calls > 0 {
				t.Error("no tick")
			}
			got.ticks = 0
			if d := want.differs(got); d != "" {
				t.Fatalf("with an interval of %d: %s\n%x", interval, d, wasm)
			}
		}
	})
}

// observed is what can be seen of a run.
type observed struct {
	start   string
	results []uint64
	errors  []string
	calls   int // of the host
	ticks   int
	globals []uint64
	memory  []byte
}

func (o observed) differs(p observed) string {
	switch {
	case o.start != p.start:
		return "starts with " + o.start + ", rewritten " + p.start
	case len(o.results) != len(p.results) || len(o.errors) != len(p.errors):
		return fmt.Sprintf("ends with %v %v, rewritten %v %v", o.results, o.errors, p.results, p.errors)
	}
	for i := range o.errors {
		if o.errors[i] != p.errors[i] {
			return "traps with " + o.errors[i] + ", rewritten " + p.errors[i]
		}
	}
	switch {
	case !equal(o.results, p.results):
		return "other results"
	case !equal(o.globals, p.globals):
		return "other globals"
	case o.calls != p.calls:
		return "other calls of the host"
	case !bytes.Equal(o.memory, p.memory):
		return "another memory"
	}
	return ""
}

func equal(a, b []uint64) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// outcome instantiates a module, applies what was detached, and calls its functions.
func outcome(t *testing.T, w *Rewritten) (o observed) {
	ctx := context.Background()
	rt := compiler(ctx)
	defer func() { _ = rt.Close(ctx) }()
	env := rt.NewHostModuleBuilder("env")
	env.NewFunctionBuilder().WithFunc(func(v int64) int64 { o.calls++; return v*31 + int64(o.calls) }).Export("a")
	env.NewFunctionBuilder().WithFunc(func() { o.calls++ }).Export("b")
	tick := rt.NewHostModuleBuilder(full.Fuel.Module).NewFunctionBuilder().WithFunc(func() { o.ticks++ }).Export(full.Fuel.Name)
	for _, b := range []wazero.HostModuleBuilder{env, tick} {
		if _, err := b.Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	compiled, err := rt.CompileModule(ctx, w.Wasm)
	if err != nil {
		t.Fatalf("%v\n%x", err, w.Wasm)
	}
	mod, err := rt.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithStartFunctions())
	if err == nil {
		err = apply(ctx, mod, w)
	}
	if err != nil {
		o.start = trap(err)
		return o
	}
	for i := range 3 {
		for _, name := range []string{"f", "g"} {
			got, err := mod.ExportedFunction(name).Call(ctx, uint64(i*1000-1))
			o.results = append(o.results, got...)
			o.errors = append(o.errors, reason(err))
		}
	}
	for _, name := range []string{"g0", "g1", "g2"} {
		o.globals = append(o.globals, mod.ExportedGlobal(name).Get())
	}
	all, _ := mod.Memory().Read(0, mod.Memory().Size())
	o.memory = bytes.Clone(all)
	return o
}

// numbered is what differs in why a module doesn't start: which function, and which of the segments, once they have been joined.
var numbered = regexp.MustCompile(`^(start function\[\d+\] failed: |data\[\d+\])`)

func trap(err error) string { return numbered.ReplaceAllString(reason(err), "") }
