package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/store"
)

// registry is what the server knows of the store's plugins, in the form that an invocation needs: a snapshot that is read
// without a lock, and swapped whole when something changes.
type registry struct {
	ctx     context.Context // ends when the server closes; loads run under it
	store   store.Store
	load    loader
	log     *slog.Logger
	now     func() time.Time
	removed func(name string) // told of each plugin that was deleted, before another can have its name; nil: nobody is

	pruned func(name string, number int)                   // told of each version that was removed without its plugin
	asked  func(name string, t *terms) error               // told of each smoke request before; an error refuses it
	smoked func(v *version, t *terms, report *host.Report) // told of each smoke request's report, which is nil if there was none

	known func() *manifest.Operator // the configuration with all secrets in it, for what is deployed

	operator   atomic.Pointer[manifest.Operator]
	plugins    atomic.Pointer[map[string]*plugin]
	background gate          // loads and closes under way
	compiling  chan struct{} // a place for each deploy's module that may be compiled at once
	opening    chan struct{} // a place for each stored version that may be loaded at once: deploys can't keep it from serving

	swap    sync.Mutex // held while one snapshot is made from another
	changes turns      // of those who change plugins, by name

	pins   sync.Mutex
	pinned []*version // loaded without having traffic, the oldest first
}

// plugin is a plugin in a snapshot. It's immutable; its versions are shared between snapshots.
type plugin struct {
	stored   store.Plugin
	versions map[int]*version
}

func newRegistry(ctx context.Context, d Deps, load loader) (*registry, error) {
	r := &registry{
		ctx: ctx, store: d.Store, load: load, log: d.Log, now: time.Now,
		compiling: make(chan struct{}, min(runtime.GOMAXPROCS(0), deploys)), opening: make(chan struct{}, runtime.GOMAXPROCS(0)),
		asked: func(string, *terms) error { return nil }, smoked: func(*version, *terms, *host.Report) {}, pruned: func(string, int) {},
	}
	r.operator.Store(d.Operator)
	r.known = r.operator.Load
	all, err := d.Store.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the stored plugins: %w", err)
	}
	plugins := make(map[string]*plugin, len(all))
	for _, stored := range all {
		plugins[stored.Name] = r.plugin(stored, nil)
	}
	r.plugins.Store(&plugins)
	return r, nil
}

// find returns the plugin, or nil.
func (r *registry) find(name string) *plugin { return (*r.plugins.Load())[name] }

// all is the plugin's versions by number; none if p is nil.
func (p *plugin) all() map[int]*version {
	if p == nil {
		return nil
	}
	return p.versions
}

// weight is the version's share of the traffic, in percent.
func (p *plugin) weight(number int) int {
	for _, w := range p.stored.Traffic {
		if w.Version == number {
			return w.Weight
		}
	}
	return 0
}

// pick returns the version that answers: the pinned one, or if pin is 0 one by the traffic table. Callers with the same key get the same
// one, those with none get any. It's nil if there is no such version, or no version has traffic, or p is nil.
func (p *plugin) pick(pin int, key string) *version {
	if p == nil || pin != 0 {
		return p.all()[pin]
	}
	sum := 0
	for _, w := range p.stored.Traffic {
		sum += w.Weight
	}
	if sum <= 0 {
		return nil
	}
	at := 0
	switch {
	case len(p.stored.Traffic) == 1:
	case key != "":
		at = place(p.stored.Name, key, sum)
	default:
		at = rand.IntN(sum)
	}
	for _, w := range p.stored.Traffic {
		if at -= w.Weight; at < 0 {
			return p.versions[w.Version]
		}
	}
	return nil
}

// plugin makes a snapshot's plugin; versions that old has are kept.
func (r *registry) plugin(stored store.Plugin, old *plugin) *plugin {
	p := &plugin{stored: stored, versions: make(map[int]*version, len(stored.Versions))}
	for _, s := range stored.Versions {
		if old != nil {
			if v := old.versions[s.Number]; v != nil && v.stored.Digest == s.Digest && bytes.Equal(v.stored.Manifest, s.Manifest) {
				p.versions[s.Number] = v
				continue
			}
		}
		v := &version{plugin: stored.Name, stored: s, registry: r}
		v.terms = sync.OnceValues(func() (*terms, error) { return readTerms(r.operator.Load(), v.plugin, s.Manifest) })
		p.versions[s.Number] = v
	}
	return p
}

// publish makes what next returns the plugin of that name, or removes the plugin if that is nil, and retires the versions that thereby lose
// their traffic or disappear. next is given the plugin as it is then.
func (r *registry) publish(name string, next func(now *plugin) *plugin) *plugin {
	r.swap.Lock()
	old := r.find(name)
	p := next(old)
	keep := func() {
		for number, v := range p.all() {
			if p.weight(number) > 0 {
				v.keep()
			}
		}
	}
	keep() // before anyone can choose them
	plugins := maps.Clone(*r.plugins.Load())
	if p == nil {
		delete(plugins, name)
	} else {
		plugins[name] = p
	}
	r.plugins.Store(&plugins)
	r.swap.Unlock()
	keep() // again: an eviction may have looked before the swap, and retired one after it was kept
	for number, v := range old.all() {
		if p.all()[number] == nil {
			v.deleted.Store(true)
			if p != nil {
				r.pruned(name, number)
			}
		}
		gone := p.all()[number] != v
		if gone || old.weight(number) > 0 && p.weight(number) == 0 {
			v.retire(gone)
		}
	}
	return p
}

// loaded is told of each version that was loaded. Those without traffic were pinned by a caller; the oldest of them are
// retired when they become too many.
func (r *registry) loaded(v *version) {
	if r.hasTraffic(v) {
		return
	}
	r.pins.Lock()
	defer r.pins.Unlock()
	if !slices.Contains(r.pinned, v) {
		r.pinned = append(r.pinned, v)
	}
	for len(r.pinned) > pinnedVersions {
		if oldest := r.pinned[0]; !r.hasTraffic(oldest) {
			oldest.retire(false)
			if r.hasTraffic(oldest) { // published meanwhile
				oldest.keep()
			}
		}
		r.pinned = slices.Delete(r.pinned, 0, 1)
	}
}

func (r *registry) hasTraffic(v *version) bool {
	p := r.find(v.plugin)
	return p != nil && p.versions[v.stored.Number] == v && p.weight(v.stored.Number) > 0
}

// open reads and loads a stored version. It's read when there is a place to load it, so that those that wait hold no module.
func (r *registry) open(v *version) (guest, error) {
	g, err := inTurn(r.ctx, r.opening, func() (guest, error) {
		t, err := v.terms()
		if err != nil {
			return nil, err
		}
		wasm, err := r.store.Blob(r.ctx, v.stored.Digest)
		if err != nil {
			return nil, err
		}
		return r.load(r.ctx, host.Source{Name: v.plugin, Version: v.stored.Number, Wasm: wasm, Manifest: t.manifest, Deployed: true})
	})
	if err != nil {
		return nil, r.unloadable(v, err)
	}
	return g, nil
}

// compile loads a module that is being deployed.
func (r *registry) compile(ctx context.Context, src host.Source) (guest, error) {
	return inTurn(ctx, r.compiling, func() (guest, error) { return r.load(ctx, src) })
}

// inTurn runs load when there is a place for it.
func inTurn(ctx context.Context, places chan struct{}, load func() (guest, error)) (guest, error) {
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
		return load()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// unloadable says that a stored version can't be used. That isn't the caller's fault, so it's internal_error whatever the
// cause; the cause is told where it's about the plugin, and left to the log where it's about the storage.
func (r *registry) unloadable(v *version, cause error) error {
	why := "its module can't be read"
	var known *host.Error
	switch {
	case errors.As(cause, &known):
		why = known.Error()
	case errors.Is(cause, store.ErrCorrupt):
		why = "its stored module is corrupt"
	}
	e := host.NewError(host.CodeInternal, "Version %d of plugin %q can't be loaded: %s. Deploy it again, or remove it.",
		v.stored.Number, v.plugin, why)
	e.Err = cause
	return e
}

// shut closes a guest that nobody uses.
func (r *registry) shut(v *version, g guest) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), closeTime)
	defer cancel()
	if err := g.Close(ctx); err != nil {
		r.log.Error("plugin version not closed", "plugin", v.plugin, "version", v.stored.Number, "err", err)
	}
}

// close retires every version, and waits until they have given everything back or ctx ends.
func (r *registry) close(ctx context.Context) error {
	for _, p := range *r.plugins.Load() {
		for _, v := range p.versions {
			v.retire(true)
		}
	}
	return r.background.close(ctx)
}

func notFound(name string) *host.Error {
	return host.NewError(codePluginNotFound, "There is no plugin %q.", name)
}

func draining() *host.Error {
	return host.NewError(host.CodeDraining, "The server is shutting down; another will answer soon.")
}
