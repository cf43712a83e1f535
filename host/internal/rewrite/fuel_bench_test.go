package rewrite

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/sortie-run/sortie/host/hosttest"
)

// kernels are the exports of testdata/bench, with a number of times that takes about a millisecond.
var kernels = []struct {
	name  string
	times uint64
}{{"json", 40}, {"any", 100}, {"sort", 10}, {"copies", 300}, {"strings", 100}, {"add", 1000}, {"tight", 1_000_000}, {"tight i64", 1_000_000}}

// BenchmarkFuel compares guests with fuel to the same without, and to wazero's own check, in one run, turn by turn, by their medians:
//
//	go test ./host/internal/rewrite -run - -bench Fuel -benchtime 101x
//
// A round is every form of a guest once.
func BenchmarkFuel(b *testing.B) {
	ctx := context.Background()
	guest := hosttest.Build(b, "testdata/bench")
	var forms [3]map[string]api.Function
	for i := range forms {
		forms[i] = map[string]api.Function{}
		for j, wasm := range [][]byte{guest, tight()} {
			mod := benched(b, wasm, i == 1, i == 2)
			for name := range mod.ExportedFunctionDefinitions() {
				if j == 0 || name == "tight" || name == "tight i64" {
					forms[i][name] = mod.ExportedFunction(name)
				}
			}
		}
	}
	for _, k := range kernels {
		b.Run(k.name, func(b *testing.B) {
			var took [len(forms)][]time.Duration
			for range b.N {
				for i, f := range forms {
					start := time.Now()
					if _, err := f[k.name].Call(ctx, k.times); err != nil {
						b.Fatal(err)
					}
					took[i] = append(took[i], time.Since(start))
				}
			}
			for i := range took {
				slices.Sort(took[i])
			}
			base := took[0][b.N/2]
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(base.Microseconds()), "µs")
			b.ReportMetric(float64(took[1][b.N/2])/float64(base), "×/fuel")
			b.ReportMetric(float64(took[2][b.N/2])/float64(base), "×/context")
		})
	}
}

// benched instantiates a guest, with fuel or with wazero's check or with neither.
func benched(b *testing.B, wasm []byte, fueled, closes bool) api.Module {
	b.Helper()
	m, err := Parse(wasm)
	if err != nil {
		b.Fatal(err)
	}
	o := Options{TableEntries: MaxTableEntries, Expose: "sortie:"}
	if fueled {
		o.Fuel = Fuel{Module: "sortie:fuel", Name: "tick", Interval: 20_000}
	}
	out := m.Rewrite(o)
	if fueled && out.Unfueled != "" {
		b.Fatal(out.Unfueled)
	}
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCloseOnContextDone(closes))
	b.Cleanup(func() { _ = rt.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, rt)
	ticks := new(int)
	_, err = rt.NewHostModuleBuilder("sortie:fuel").NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(context.Context, []uint64) { *ticks++ }), nil, nil).Export("tick").Instantiate(ctx)
	if err != nil {
		b.Fatal(err)
	}
	mod, err := rt.InstantiateWithConfig(ctx, out.Wasm, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		b.Fatal(err)
	}
	return mod
}

// tight is the worst case: loops of one addition.
func tight() []byte {
	loop := func(get, one, sub byte) *body {
		b := &body{}
		b.op(1, 1, 0x7f, 0x03, 0x40) // the sum
		b.get(1).get(0).op(0x6a).set(1).get(0).op(one, 1, sub).op(0x22).index(0).op(0x0d, 0).end().get(1).end()
		return b
	}
	wide := &body{}
	wide.op(1, 1, 0x7e, 0x03, 0x40)
	wide.get(1).get(0).op(0xad, 0x85).set(1).get(0).op(0x41, 1, 0x6b).op(0x22).index(0).op(0x0d, 0).end().get(1).op(0xa7).end()
	code := appendName(appendName([]byte{10, 2}, loop(0x20, 0x41, 0x6b).Bytes()), wide.Bytes())
	return module([]byte{1, 1, 0x60, 1, 0x7f, 1, 0x7f}, []byte{3, 2, 0, 0},
		append([]byte{7, 2, 5}, "tight\x00\x00\x09tight i64\x00\x01"...), code)
}

// BenchmarkFuelCompile compares compile times and the sizes of the machine code.
func BenchmarkFuelCompile(b *testing.B) {
	guest := hosttest.Build(b, "testdata/bench")
	m, err := Parse(guest)
	if err != nil {
		b.Fatal(err)
	}
	o := full
	o.TableEntries = MaxTableEntries
	start := time.Now()
	fueled := m.Rewrite(o).Wasm
	b.Logf("rewriting took %v; %d bytes became %d", time.Since(start), len(guest), len(fueled))
	var took [2][]time.Duration
	var size [2]int64
	for range b.N {
		for i, wasm := range [][]byte{guest, fueled} {
			ctx := context.Background()
			rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
			start := time.Now()
			if _, err := rt.CompileModule(ctx, wasm); err != nil {
				b.Fatal(err)
			}
			took[i] = append(took[i], time.Since(start))
			_ = rt.Close(ctx)
		}
	}
	for i, wasm := range [][]byte{guest, fueled} {
		size[i] = cached(b, wasm)
	}
	for i := range took {
		slices.Sort(took[i])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took[0][b.N/2].Seconds(), "s")
	b.ReportMetric(took[1][b.N/2].Seconds()/took[0][b.N/2].Seconds(), "×/time")
	b.ReportMetric(float64(size[1])/float64(size[0]), "×/code")
}

// cached is the size of the file that wazero writes for a module, nearly all of it machine code.
func cached(b *testing.B, wasm []byte) (size int64) {
	b.Helper()
	ctx, dir := context.Background(), b.TempDir()
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCompilationCache(cache))
	if _, err := rt.CompileModule(ctx, wasm); err != nil {
		b.Fatal(err)
	}
	_ = rt.Close(ctx)
	_ = cache.Close(ctx)
	err = filepath.WalkDir(dir, func(_ string, f fs.DirEntry, err error) error {
		if err == nil && !f.IsDir() {
			info, err := f.Info()
			if err != nil {
				return err
			}
			size += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return size
}
