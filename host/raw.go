package host

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/abi"
	"github.com/sortie-run/sortie/host/internal/guest"
	"github.com/sortie-run/sortie/host/internal/memory"
	"github.com/sortie-run/sortie/host/internal/wasi"
)

// Raw plugins are loaded, linked and served by the Extism SDK. It is granted no hosts, no paths and not its WASI: its HTTP and
// log functions are redirected to ours by the rewrite, and WASI is ours under its own name.

// compileRaw compiles an Extism plugin. Each has a compile cache object of its own, so that closing it frees its code; the folder
// behind it is the same.
func (r *Runtime) compileRaw(ctx context.Context, wasm []byte, entry string) (module, error) {
	cache := wazero.NewCompilationCache()
	if r.cfg.CacheDir != "" {
		var err error
		if cache, err = wazero.NewCompilationCacheWithDir(r.cfg.CacheDir); err != nil {
			return nil, fmt.Errorf("compile cache: %w", err)
		}
	}
	m := extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: wasm}}}
	compiled, err := extism.NewCompiledPlugin(ctx, m, extism.PluginConfig{RuntimeConfig: runtimeConfig(cache)}, hostFunctions())
	if err != nil {
		_ = cache.Close(ctx)
		return nil, notCompiled(err)
	}
	return &rawModule{compiled: compiled, cache: cache, entry: entry}, nil
}

func hostFunctions() []extism.HostFunction {
	var out []extism.HostFunction
	add := func(namespace, name string, params, results []byte, do extism.HostFunctionStackCallback) {
		f := extism.NewHostFunctionWithStack(name, do, params, results)
		f.SetNamespace(namespace)
		out = append(out, f)
	}
	for _, f := range wasi.Functions() {
		do := f.Do
		add(wasi.Namespace, f.Name, f.Params, f.Results, func(ctx context.Context, _ *extism.CurrentPlugin, stack []uint64) {
			do(guest.From(ctx), stack)
		})
	}
	for namespace, functions := range map[string][]abi.ExtismFunc{
		abi.ExtismUser: abi.UserFunctions(),
		abi.ExtismOurs: abi.Replaced(),
	} {
		for _, f := range functions {
			do := f.Do
			add(namespace, f.Name, f.Params, f.Results, func(ctx context.Context, p *extism.CurrentPlugin, stack []uint64) {
				do(guest.From(ctx), blocks{ctx, p}, stack)
			})
		}
	}
	return out
}

type rawModule struct {
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

func (m *rawModule) instantiate(ctx context.Context, q *memory.Quota) (instance, error) {
	plugin, err := m.compiled.Instance(experimental.WithMemoryAllocator(ctx, q), extism.PluginInstanceConfig{
		ModuleConfig: wazero.NewModuleConfig(),
	})
	if err != nil {
		return nil, err
	}
	plugin.SetLogger(func(level extism.LogLevel, message string) {}) // its own debug lines; a guest's don't come this way
	i := &rawInstance{plugin: plugin, entry: m.entry, quota: q}
	// Extism initialises Haskell's runtime itself; the others only together with its own WASI.
	if name := initialiser(plugin); name != "" {
		if _, _, err := plugin.CallWithContext(ctx, name, nil); err != nil {
			i.close()
			return nil, err
		}
	}
	return i, nil
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
	plugin *extism.Plugin
	entry  string
	quota  *memory.Quota
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
	rc, output, err := i.plugin.CallWithContext(guest.Bind(ctx, call), i.entry, input)
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

// Free gives a block back.
func (b blocks) Free(offset uint64) {
	if offset != 0 {
		_ = b.p.FreeWithContext(b.ctx, offset)
	}
}
