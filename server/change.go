package server

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/store"
)

// changing returns the lock under which that plugin is changed, so that snapshots are published in the order in which the
// store was changed.
func (r *registry) changing(name string) *sync.Mutex {
	return &r.changes[maphash.String(r.seed, name)%uint64(len(r.changes))]
}

// deploy loads the module, stores it as the plugin's next version, and lets it take traffic, in this order: what can't be
// loaded is never stored, and what takes traffic is ready. One whose smoke request isn't answered as it should be is stored without traffic,
// and is an error. The same module and manifest again make no version.
func (r *registry) deploy(ctx context.Context, req store.PutRequest) (store.PutResult, *terms, error) {
	lock := r.changing(req.Name)
	lock.Lock()
	defer lock.Unlock()
	t, err := newTerms(r.operator.Load(), r.known(), req.Name, req.Manifest) // under the lock: a reload comes before it or replaces what it made
	if err != nil {
		return store.PutResult{}, nil, err
	}
	g, number, err := r.prepare(ctx, req, t)
	if err != nil {
		return store.PutResult{}, nil, err
	}
	report, failed := r.smokeNew(ctx, &req, g, number, t)
	if failed != nil {
		req.Traffic = false
	}
	done, err := r.store.Put(ctx, req)
	if g != nil && (err != nil || !done.Created || done.Version.Number != number) {
		r.shut(&version{plugin: req.Name, stored: store.Version{Number: number}}, g)
		g = nil
	}
	if err != nil {
		return store.PutResult{}, nil, err
	}
	p := r.plugin(done.Plugin, r.find(req.Name))
	mine := p.versions[done.Version.Number]
	if g != nil {
		mine.guest = g // nobody else has the version yet
	}
	r.publish(req.Name, p)
	if g != nil {
		r.loaded(mine)
	}
	r.smoked(mine, report)
	return done, t, failed
}

// smokeNew has a version that is to take all traffic answer its smoke request. g is nil if the version isn't new.
func (r *registry) smokeNew(ctx context.Context, req *store.PutRequest, g guest, number int, t *terms) (*host.Report, error) {
	if !req.Traffic || t.manifest.Smoke == nil {
		return nil, nil
	}
	if g != nil {
		return smoke(ctx, req.Name, number, g, t)
	}
	old := r.find(req.Name)
	if v := old.all()[number]; v != nil && old.weight(number) == 0 {
		release, err := r.warm(ctx, v)
		if release != nil {
			release()
		}
		return nil, err
	}
	return nil, nil
}

// warm makes a version ready that is to get traffic, and keeps it so until it's released.
func (r *registry) warm(ctx context.Context, v *version) (release func(), err error) {
	if !v.hold(true) {
		return nil, notFound(v.plugin)
	}
	t, err := v.terms()
	if err != nil {
		v.release()
		return nil, r.unloadable(v, err)
	}
	g, err := v.ready(ctx)
	if err == nil {
		var report *host.Report
		report, err = smoke(ctx, v.plugin, v.stored.Number, g, t)
		r.smoked(v, report)
	}
	if err != nil {
		v.release()
		return nil, err
	}
	return v.release, nil
}

// movement is a change of a plugin's traffic.
type movement struct {
	change store.Change
	table  func(store.Plugin) []store.Weight // what it will be; the store has the last word
	apply  func(ctx context.Context, st store.Store) (store.Plugin, error)
}

// move loads the versions that get traffic, has them answer their smoke requests, and then lets them take it. It returns the plugin as it then is.
func (r *registry) move(ctx context.Context, m movement) (*plugin, error) {
	name := m.change.Name
	lock := r.changing(name)
	lock.Lock()
	defer lock.Unlock()
	old := r.find(name)
	if old == nil {
		return nil, notFound(name)
	}
	for _, w := range m.table(old.stored) {
		v := old.versions[w.Version]
		if v == nil || w.Weight <= 0 || old.weight(w.Version) > 0 {
			continue // the store knows what to say of those, and the last are loaded when they're called
		}
		release, err := r.warm(ctx, v)
		if err != nil {
			return nil, err
		}
		defer release() // not before it has the traffic: it would be closed again
	}
	stored, err := m.apply(ctx, r.store)
	if err != nil {
		return nil, err
	}
	p := r.plugin(stored, old)
	r.publish(name, p)
	return p, nil
}

// prepare loads the module as the version it will probably be. The guest is nil if the deploy will make no version, because
// one is the same.
func (r *registry) prepare(ctx context.Context, req store.PutRequest, t *terms) (guest, int, error) {
	number := 1
	switch old, err := r.store.Get(ctx, req.Name); {
	case err == nil:
		if same, ok := old.Same(store.Digest(req.Wasm), req.Manifest); ok {
			return nil, same.Number, nil
		}
		number = old.Newest().Number + 1
	case !errors.Is(err, store.ErrNotFound):
		return nil, 0, err
	}
	g, err := r.compile(ctx, host.Source{Name: req.Name, Version: number, Wasm: req.Wasm, Manifest: t.manifest})
	return g, number, err
}

// remove deletes the plugin. Invocations that run go on to their end.
func (r *registry) remove(ctx context.Context, req store.DeleteRequest) error {
	name := req.Name
	lock := r.changing(name)
	lock.Lock()
	defer lock.Unlock()
	if err := r.store.Delete(ctx, req); err != nil {
		return err
	}
	r.publish(name, nil)
	if r.removed != nil {
		r.removed(name)
	}
	return nil
}

// reload has every version run under the operator's new terms: those that run go on under the old ones to their end, and what has traffic is
// loaded again when it's called next.
func (r *registry) reload(op *manifest.Operator) {
	r.operator.Store(op)
	for name := range *r.plugins.Load() {
		func() {
			lock := r.changing(name)
			lock.Lock()
			defer lock.Unlock()
			if p := r.find(name); p != nil {
				r.publish(name, r.plugin(p.stored, nil))
			}
		}()
	}
}
