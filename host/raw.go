package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/abi"
	"github.com/sortie-run/sortie/host/internal/guest"
	"github.com/sortie-run/sortie/host/internal/memory"
	"github.com/sortie-run/sortie/host/internal/rewrite"
	"github.com/sortie-run/sortie/host/internal/wasi"
)

// Raw plugins are loaded, linked and served by the Extism SDK. It is granted no hosts, no paths and not its WASI: its HTTP and
// log functions are redirected to ours by the rewrite, and WASI is ours under its own name.

// compileRaw compiles an Extism plugin. Each has a compile cache object of its own, so that closing it frees its code; the folder
// behind it is the same.
func (r *Runtime) compileRaw(ctx context.Context, w *rewrite.Rewritten, entry string) (module, error) {
	cache := wazero.NewCompilationCache()
	if r.cfg.CacheDir != "" {
		var err error
		if cache, err = wazero.NewCompilationCacheWithDir(r.cfg.CacheDir); err != nil {
			return nil, fmt.Errorf("compile cache: %w", err)
		}
	}
	m := extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: w.Wasm}}}
	config := extism.PluginConfig{RuntimeConfig: runtimeConfig(cache, w.Unfueled == "")}
	compiled, err := extism.NewCompiledPlugin(withHook(ctx, w.Hook), m, config, hostFunctions())
	if err != nil {
		_ = cache.Close(ctx)
		return nil, notCompiled(err)
	}
	return &rawModule{compiled: compiled, cache: cache, entry: entry, apart: apart{w}}, nil
}

func hostFunctions() []extism.HostFunction {
	var out []extism.HostFunction
	add := func(namespace, name string, params, results []byte, do extism.HostFunctionStackCallback) {
		f := extism.NewHostFunctionWithStack(name, do, params, results)
		f.SetNamespace(namespace)
		out = append(out, f)
	}
	for namespace, functions := range map[string][]guest.Func{wasi.Namespace: wasi.Functions(), fuelNamespace: {tick}} {
		for _, f := range functions {
			do := hostFunction(f)
			add(namespace, f.Name, f.Params, f.Results, func(ctx context.Context, _ *extism.CurrentPlugin, stack []uint64) {
				do(ctx, stack)
			})
		}
	}
	for namespace, functions := range map[string][]abi.ExtismFunc{
		abi.ExtismUser: abi.UserFunctions(),
		abi.ExtismOurs: abi.Replaced(),
	} {
		for _, f := range functions {
			do := f.Do
			add(namespace, f.Name, f.Params, f.Results, func(ctx context.Context, p *extism.CurrentPlugin, stack []uint64) {
				c := guest.From(ctx)
				since := c.Meter.Host()
				do(c, blocks{ctx, p}, stack)
				c.Meter.Guest(since)
			})
		}
	}
	return out
}

type rawModule struct {
	apart
	compiled *extism.CompiledPlugin
	cache    wazero.CompilationCache
	entry    string
}

func (m *rawModule) kind() string { return "raw" }

func (m *rawModule) close(ctx context.Context) error {
	err := m.compiled.Close(ctx)
	if e := m.cache.Close(ctx); err == nil {
		err = e
	}
	return err
}

func (m *rawModule) instantiate(ctx context.Context, q *memory.Quota, initialise bool) (instance, error) {
	plugin, err := m.compiled.Instance(experimental.WithMemoryAllocator(ctx, q), extism.PluginInstanceConfig{
		ModuleConfig: wazero.NewModuleConfig(),
	})
	if err != nil {
		return nil, err
	}
	plugin.SetLogger(func(level extism.LogLevel, message string) {}) // its own debug lines; a guest's don't come this way
	i := &rawInstance{plugin: plugin, entry: m.entry, quota: q}
	if err := m.ready(ctx, i, initialise); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

// ready gets hold of the instance's main module, and brings it to where it can be called.
func (m *rawModule) ready(ctx context.Context, i *rawInstance, initialise bool) error {
	var main api.Module
	if m.rewritten.Hook != "" {
		if _, _, err := i.plugin.CallWithContext(context.WithValue(ctx, hookKey{}, &main), m.rewritten.Hook, nil); err != nil {
			return err
		}
		if main == nil {
			return errors.New("the Extism SDK didn't show the plugin's module")
		}
		i.mutable = globals(main, m.rewritten.Globals)
	}
	if !initialise {
		return errors.Join(grow(i.plugin.Memory(), i.quota.Size(0)), grow(main.Memory(), i.quota.Size(1)))
	}
	if main != nil {
		if err := m.initialise(ctx, main, ""); err != nil {
			return err
		}
	}
	// Extism initialises Haskell's runtime itself; the others only together with its own WASI.
	if name := initialiser(i.plugin); name != "" {
		guest.From(ctx).Blocks = guest.Blocks{} // a start function's
		_, _, err := i.plugin.CallWithContext(ctx, name, nil)
		return err
	}
	return nil
}

// hookKey is for the place where the hook's listener puts the module that was called.
type hookKey struct{}

// withHook has wazero call a listener for one function of the module that is compiled: the Extism SDK shows nobody the modules it makes, but
// a listener sees the module it is called in.
func withHook(ctx context.Context, hook string) context.Context {
	if hook == "" {
		return ctx
	}
	seen := experimental.FunctionListenerFunc(func(ctx context.Context, mod api.Module, _ api.FunctionDefinition, _ []uint64, _ experimental.StackIterator) {
		if at, ok := ctx.Value(hookKey{}).(*api.Module); ok {
			*at = mod
		}
	})
	return experimental.WithFunctionListenerFactory(ctx, experimental.FunctionListenerFactoryFunc(func(f api.FunctionDefinition) experimental.FunctionListener {
		if slices.Contains(f.ExportNames(), hook) {
			return seen
		}
		return nil
	}))
}

// initialiser names the function that readies a reactor (WASI's application ABI), or a library built without one.
func initialiser(p *extism.Plugin) string {
	if p.FunctionExists("hs_init") {
		return ""
	}
	for _, name := range []string{"_initialize", "__wasm_call_ctors"} {
		if p.FunctionExists(name) {
			return name
		}
	}
	return ""
}

type rawInstance struct {
	plugin  *extism.Plugin
	entry   string
	quota   *memory.Quota
	mutable []api.MutableGlobal
}

// inputRoom is what the Extism kernel needs around an input.
const inputRoom = 64 << 10

func (i *rawInstance) run(ctx context.Context, call *guest.Call) ending {
	input := call.Request.Body
	if i.quota.Free() < int64(len(input))+inputRoom {
		// Extism's kernel would take a failed allocation for offset 0.
		call.OverLimit = CodeLimitMemory
		call.Detail = fmt.Sprintf("the request's %d bytes don't fit what the plugin's start leaves of limits.memory", len(input))
		return ending{}
	}
	rc, output, err := i.plugin.CallWithContext(ctx, i.entry, input)
	end := ending{result: rc, err: err}
	if err != nil && i.said(ctx) == err.Error() {
		// error_set comes back as a Go error with its very text.
		end.err, end.said = nil, err.Error()
		return end
	}
	if err == nil && rc == 0 {
		call.Answer(&guest.Response{
			Status: http.StatusOK, Header: []fetch.Field{{Name: "content-type", Value: contentType(output)}},
		}, output)
	}
	return end
}

// said is what the guest gave error_set, or "".
func (i *rawInstance) said(ctx context.Context) string { return i.plugin.GetErrorWithContext(ctx) }

func (i *rawInstance) enter(ctx context.Context, name string, _ ...uint64) ending {
	rc, _, err := i.plugin.CallWithContext(ctx, name, nil)
	return ending{result: rc, err: err}
}

func (i *rawInstance) exports(name string) bool { return i.plugin.FunctionExists(name) }

func (i *rawInstance) globals() []api.MutableGlobal { return i.mutable }

func (i *rawInstance) close() { _ = i.plugin.Close(context.Background()) }

// contentType guesses from the bytes: JSON if they are, else as browsers sniff (WHATWG MIME Sniffing, section 7).
func contentType(b []byte) string {
	for _, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '{', '[':
			if json.Valid(b) {
				return "application/json"
			}
		}
		break
	}
	return http.DetectContentType(b)
}

// blocks are Extism's memory blocks of one plugin.
type blocks struct {
	ctx context.Context
	p   *extism.CurrentPlugin
}

// Read copies a block. The kernel answers length 0 for what is no block.
func (b blocks) Read(offset uint64) []byte {
	if offset == 0 {
		return nil
	}
	n, err := b.p.LengthWithContext(b.ctx, offset)
	if err != nil || n == 0 {
		return nil
	}
	view, ok := b.p.Memory().Read(uint32(offset), uint32(n))
	if !ok {
		return nil
	}
	return append([]byte(nil), view...)
}

// Write makes a block. The kernel answers offset 0 when its memory can't grow.
func (b blocks) Write(data []byte) (uint64, bool) {
	if len(data) == 0 {
		return 0, true
	}
	offset, err := b.p.AllocWithContext(b.ctx, uint64(len(data)))
	if err != nil || offset == 0 {
		return 0, false
	}
	return offset, b.p.Memory().Write(uint32(offset), data)
}

// Alloc makes a block for the guest. The kernel answers offset 0 when its memory can't grow.
func (b blocks) Alloc(n uint64) (uint64, bool) {
	offset, err := b.p.AllocWithContext(b.ctx, n)
	return offset, err == nil && offset != 0
}

// Store writes into a block.
func (b blocks) Store(offset uint64, data []byte) bool {
	return b.p.Memory().Write(uint32(offset), data)
}

// Free gives a block back.
func (b blocks) Free(offset uint64) {
	if offset != 0 {
		_ = b.p.FreeWithContext(b.ctx, offset)
	}
}
