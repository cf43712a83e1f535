// Package host runs plugins: WebAssembly modules whose one power is to fetch.
//
//	engine := fetch.New(fetch.Config{})
//	rt, err := host.New(ctx, host.Config{Engine: engine, CacheDir: "cache"})
//	plugin, err := rt.Load(ctx, host.Source{Name: "prices", Version: 1, Wasm: wasm, Manifest: m})
//	response, report, err := plugin.Invoke(ctx, &host.Request{Method: "GET", Path: "/"})
//
// A [Runtime] is the process: compiled code, the number of invocations at once, the fetch engine. A [Plugin] is one version of one
// plugin, with its policy and a connection pool of its own. An invocation gets a clean instance, as one was that had been
// started and warmed up; it runs under the manifest's limits, which the host enforces, and ends with a [Report] whatever happens.
//
// Two kinds of plugins are told apart by what they import: HTTP plugins speak the ABI of ABI.md, raw plugins that of Extism. What
// fails is an [*Error] with one of the contract's codes; a plugin can't make the host panic, and what it fetches, prints or allocates
// is bounded.
//
// All methods may be called from several goroutines.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"golang.org/x/sync/semaphore"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/image"
	"github.com/sortie-run/sortie/host/internal/rewrite"
	"github.com/sortie-run/sortie/host/manifest"
)

// Config is what a Runtime is made of. Zero values mean the defaults.
type Config struct {
	CacheDir string             // where rewritten modules and compiled code are kept over restarts; "": nowhere
	Engine   *fetch.Engine      // required; it stays the caller's to close, after the Runtime
	Operator *manifest.Operator // nil: manifest.DefaultOperator()
	Secrets  map[string]string  // values by name of the secrets that Operator defines, until Runtime.SetSecrets
	Log      *slog.Logger       // for what concerns the host, never a plugin's own lines; nil: discarded
}

// Runtime loads plugins and runs them.
type Runtime struct {
	cfg    Config
	vault  fetch.Vault // the secrets
	cache  wazero.CompilationCache
	shelf  rewrite.Shelf
	http   *httpEngine
	gate   *gate
	memory *Memory             // process.memory
	ahead  *semaphore.Weighted // instances being made ahead

	stacks  reclaimer
	images  image.Method // how instances are brought back to their snapshots
	janitor sync.WaitGroup
	stop    context.CancelFunc // ends the janitor

	operator atomic.Pointer[manifest.Operator]

	mu      sync.Mutex
	plugins map[*Plugin]struct{}
	closed  bool
}

// New readies a runtime. It fails if the cache folder can't be used.
func New(ctx context.Context, cfg Config) (*Runtime, error) {
	if cfg.Engine == nil {
		return nil, errors.New("host: Config.Engine is required")
	}
	if cfg.Operator == nil {
		cfg.Operator = manifest.DefaultOperator()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cache := wazero.NewCompilationCache()
	var shelf rewrite.Shelf
	if cfg.CacheDir != "" {
		shelf = rewrite.Shelf(filepath.Join(cfg.CacheDir, "rewritten"))
		var err error
		if cache, err = wazero.NewCompilationCacheWithDir(cfg.CacheDir); err != nil {
			return nil, fmt.Errorf("compile cache in %s: %w", cfg.CacheDir, err)
		}
	}
	h, err := newHTTPEngine(ctx, cache)
	if err != nil {
		return nil, errors.Join(err, cache.Close(ctx))
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	r := &Runtime{
		cfg: cfg, cache: cache, shelf: shelf, http: h, gate: newGate(cfg.Operator.Process.Invocations, cfg.Operator.Process.Queue, cfg.Log),
		memory:  NewMemory(int64(cfg.Operator.Process.Memory)),
		ahead:   semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))),
		plugins: make(map[*Plugin]struct{}),
		stop:    stop,
	}
	r.operator.Store(cfg.Operator)
	if err := r.SetSecrets(defined(cfg.Operator, cfg.Secrets)); err != nil {
		return nil, errors.Join(fmt.Errorf("host: %w", err), r.Close(ctx))
	}
	r.janitor.Go(func() { r.trim(ctx) })
	if cfg.CacheDir != "" {
		r.janitor.Go(func() { r.sweep(ctx, cfg.CacheDir) })
	}
	return r, nil
}

// SetOperator has another configuration count for the plugins that are loaded from now on. What the process has at once, and the engine,
// stay as they were.
func (r *Runtime) SetOperator(op *manifest.Operator) { r.operator.Store(op) }

// Secret is a secret that the operator gives out; see Runtime.SetSecrets.
type Secret = fetch.Given

// SetSecrets replaces all secrets, while plugins run: fetches that begin when it has returned send the new ones. A fetch that needs one which
// isn't there any more, or which its plugin may no longer send there, fails with host_denied. What reports and logs show is searched for
// the former values, too, for a day. It fails, and changes nothing, if a value can't be sent or a pattern can't be read.
func (r *Runtime) SetSecrets(all map[string]Secret) error { return r.vault.Set(all) }

// defined are the secrets with these values, where the operator defines that they may go.
func defined(op *manifest.Operator, values map[string]string) map[string]Secret {
	all := make(map[string]Secret, len(values))
	for name, value := range values {
		d := op.Secrets[name]
		all[name] = Secret{Value: value, Allow: d.Allow, Plugins: d.Plugins}
	}
	return all
}

// trim has plugins let go of instances they haven't needed lately, until ctx ends.
func (r *Runtime) trim(ctx context.Context) {
	each := time.NewTicker(trimEach)
	defer each.Stop()
	for {
		select {
		case <-each.C:
		case <-ctx.Done():
			return
		}
		for _, p := range r.open() {
			p.supply.trim()
		}
	}
}

// open are the plugins there are.
func (r *Runtime) open() []*Plugin {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.plugins))
}

// Stats are figures of now.
type Stats struct {
	InUse   int     // invocations running
	Queued  int     // invocations waiting to run
	Places  int     // as many may run: process.invocations, or fewer while the processors are what's short
	Refused Refused // since the start
	Memory  int64   // bytes taken of process.memory
}

// Stats returns figures of now.
func (r *Runtime) Stats() Stats {
	s := r.gate.stats()
	s.Memory = r.memory.Used()
	return s
}

// Close closes all plugins, waiting for their invocations until ctx is done, and frees what was compiled.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	r.janitor.Wait()
	var errs []error
	for _, p := range r.open() {
		errs = append(errs, p.Close(ctx))
	}
	r.stacks.stop()
	r.gate.stop()
	errs = append(errs, r.http.close(ctx), r.cache.Close(ctx))
	return errors.Join(errs...)
}

func (r *Runtime) add(p *Plugin) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.New("host: the runtime is closed")
	}
	r.plugins[p] = struct{}{}
	rules := r.operator.Load().Rules(p.src.Name)
	perSecond, burst := paceOf(rules)
	p.lane, p.pace = r.gate.paced(p.src.Name, rules.Invocations, perSecond, burst)
	return nil
}

func (r *Runtime) remove(p *Plugin) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.plugins[p]; ok {
		delete(r.plugins, p)
		r.gate.forget(p.lane)
	}
}
