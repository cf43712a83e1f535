package host

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/sortie-run/sortie/host/internal/abi"
	"github.com/sortie-run/sortie/host/internal/guest"
	"github.com/sortie-run/sortie/host/internal/memory"
	"github.com/sortie-run/sortie/host/internal/wasi"
)

// httpEngine runs plugins that speak the ABI of ABI.md. One wazero runtime serves them all: its host modules hold no state, what
// belongs to an invocation comes with the context. See RATIONALE.md, "Why two engines?".
type httpEngine struct{ rt wazero.Runtime }

func newHTTPEngine(ctx context.Context, cache wazero.CompilationCache) (*httpEngine, error) {
	e := &httpEngine{rt: wazero.NewRuntimeWithConfig(ctx, runtimeConfig(cache))}
	for namespace, functions := range map[string][]guest.Func{
		wasi.Namespace: wasi.Functions(),
		abi.Namespace:  abi.Functions(),
	} {
		builder := e.rt.NewHostModuleBuilder(namespace)
		for _, f := range functions {
			do := f.Do
			builder.NewFunctionBuilder().
				WithGoFunction(api.GoFunc(func(ctx context.Context, stack []uint64) { do(guest.From(ctx), stack) }), f.Params, f.Results).
				Export(f.Name)
		}
		if _, err := builder.Instantiate(ctx); err != nil {
			return nil, fmt.Errorf("host module %s: %w", namespace, err)
		}
	}
	return e, nil
}

// runtimeConfig is the same for both engines. Guests are stopped by their context's end; fuel comes with a later issue.
func runtimeConfig(cache wazero.CompilationCache) wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().
		WithCompilationCache(cache).
		WithCloseOnContextDone(true).
		WithDebugInfoEnabled(false)
}

func (e *httpEngine) close(ctx context.Context) error { return e.rt.Close(ctx) }

func (e *httpEngine) compile(ctx context.Context, wasm []byte, entry string) (module, error) {
	compiled, err := e.rt.CompileModule(ctx, wasm)
	if err != nil {
		return nil, notCompiled(err)
	}
	m := &httpModule{rt: e.rt, compiled: compiled, entry: entry}
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
	rt       wazero.Runtime
	compiled wazero.CompiledModule
	entry    string
}

func (m *httpModule) kind() string { return "http" }

func (m *httpModule) close(ctx context.Context) error { return m.compiled.Close(ctx) }

func (m *httpModule) instantiate(ctx context.Context, q *memory.Quota) (instance, error) {
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	mod, err := m.rt.InstantiateModule(experimental.WithMemoryAllocator(ctx, q), m.compiled, config)
	if err != nil {
		return nil, err
	}
	if start := mod.ExportedFunction("_initialize"); start != nil {
		if _, err := start.Call(ctx); err != nil {
			_ = mod.Close(ctx)
			return nil, err
		}
	}
	return &httpInstance{mod: mod, entry: mod.ExportedFunction(m.entry)}, nil
}

type httpInstance struct {
	mod   api.Module
	entry api.Function
}

func (i *httpInstance) run(ctx context.Context, call *guest.Call) ending {
	var stack [1]uint64
	err := i.entry.CallWithStack(guest.Bind(ctx, call), stack[:])
	return ending{result: uint32(stack[0]), err: err}
}

func (i *httpInstance) close() { _ = i.mod.Close(context.Background()) }
