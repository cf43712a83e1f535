package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/sortie-run/sortie/host/internal/abi"
	"github.com/sortie-run/sortie/host/internal/guest"
	"github.com/sortie-run/sortie/host/internal/memory"
	"github.com/sortie-run/sortie/host/internal/rewrite"
	"github.com/sortie-run/sortie/host/internal/wasi"
)

// httpEngine runs plugins that speak the ABI of ABI.md. One wazero runtime serves them all: its host modules hold no state, what
// belongs to an invocation comes with the context. See RATIONALE.md, "Why two engines?". Another one is for modules into which no fuel could
// be injected.
type httpEngine struct{ fueled, checked wazero.Runtime }

func newHTTPEngine(ctx context.Context, cache wazero.CompilationCache) (*httpEngine, error) {
	e := &httpEngine{
		fueled:  wazero.NewRuntimeWithConfig(ctx, runtimeConfig(cache, true)),
		checked: wazero.NewRuntimeWithConfig(ctx, runtimeConfig(cache, false)),
	}
	for _, rt := range []wazero.Runtime{e.fueled, e.checked} {
		for namespace, functions := range map[string][]guest.Func{
			wasi.Namespace: wasi.Functions(),
			abi.Namespace:  abi.Functions(),
			fuelNamespace:  {tick},
		} {
			builder := rt.NewHostModuleBuilder(namespace)
			for _, f := range functions {
				builder.NewFunctionBuilder().WithGoFunction(hostFunction(f), f.Params, f.Results).Export(f.Name)
			}
			if _, err := builder.Instantiate(ctx); err != nil {
				return nil, fmt.Errorf("host module %s: %w", namespace, err)
			}
		}
	}
	return e, nil
}

// hostFunction is f for wazero. Its time isn't the guest's.
func hostFunction(f guest.Func) api.GoFunc {
	do := f.Do
	return func(ctx context.Context, stack []uint64) {
		c := guest.From(ctx)
		since := c.Meter.Host()
		do(c, stack)
		c.Meter.Guest(since)
	}
}

// runtimeConfig is the same for both engines. Guests are stopped where their fuel runs out, or if they have none, where wazero looks at their
// context; see RATIONALE.md, "What stops a guest?".
func runtimeConfig(cache wazero.CompilationCache, fueled bool) wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().
		WithCompilationCache(cache).
		WithCloseOnContextDone(!fueled).
		WithDebugInfoEnabled(false)
}

// fuelNamespace is the module that the rewrite imports tick from.
const fuelNamespace = "sortie:fuel"

// tick is what a guest calls whenever its fuel has run out.
var tick = guest.Func{Name: "tick", Do: func(c *guest.Call, _ []uint64) { c.Tick() }}

func (e *httpEngine) close(ctx context.Context) error {
	return errors.Join(e.fueled.Close(ctx), e.checked.Close(ctx))
}

func (e *httpEngine) compile(ctx context.Context, w *rewrite.Rewritten, entry string) (module, error) {
	rt := e.fueled
	if w.Unfueled != "" {
		rt = e.checked
	}
	compiled, err := rt.CompileModule(ctx, w.Wasm)
	if err != nil {
		return nil, notCompiled(err)
	}
	m := &httpModule{rt: rt, compiled: compiled, entry: entry, apart: apart{w}}
	f := compiled.ExportedFunctions()[entry]
	if len(f.ParamTypes()) != 0 || len(f.ResultTypes()) != 1 || f.ResultTypes()[0] != api.ValueTypeI32 {
		_ = m.close(ctx)
		return nil, NewError(CodeInvalidWasm, "the entry %q must take nothing and return an i32", entry)
	}
	return m, nil
}

func notCompiled(err error) error {
	e := NewError(CodeInvalidWasm, "%s", brief(err))
	e.Err = err
	return e
}

type httpModule struct {
	apart
	rt       wazero.Runtime
	compiled wazero.CompiledModule
	entry    string
}

func (m *httpModule) kind() string { return "http" }

func (m *httpModule) close(ctx context.Context) error { return m.compiled.Close(ctx) }

var anonymous = wazero.NewModuleConfig().WithName("").WithStartFunctions()

func (m *httpModule) instantiate(ctx context.Context, q *memory.Quota, initialise bool) (instance, error) {
	mod, err := m.rt.InstantiateModule(experimental.WithMemoryAllocator(ctx, q), m.compiled, anonymous)
	if err != nil {
		return nil, err
	}
	i := &httpInstance{mod: mod, entry: m.entry, mutable: globals(mod, m.rewritten.Globals)}
	if initialise {
		err = m.initialise(ctx, mod, "_initialize")
	} else {
		err = grow(mod.Memory(), q.Size(0))
	}
	if err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

type httpInstance struct {
	mod     api.Module
	entry   string
	mutable []api.MutableGlobal
}

func (i *httpInstance) run(ctx context.Context, _ *guest.Call) ending {
	var stack [1]uint64
	// A function object keeps its native stack, however large it has grown: so a new one each time.
	err := i.mod.ExportedFunction(i.entry).CallWithStack(ctx, stack[:])
	return ending{result: uint32(stack[0]), err: err}
}

func (i *httpInstance) enter(ctx context.Context, name string, params ...uint64) ending {
	results, err := i.mod.ExportedFunction(name).Call(ctx, params...)
	if err != nil || len(results) == 0 {
		return ending{err: err}
	}
	return ending{result: uint32(results[0])}
}

func (i *httpInstance) exports(name string) bool { return i.mod.ExportedFunction(name) != nil }

func (i *httpInstance) globals() []api.MutableGlobal { return i.mutable }

func (i *httpInstance) close() { _ = i.mod.Close(context.Background()) }
