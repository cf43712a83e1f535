package server

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/server/store"
)

// changing returns the lock under which that plugin is changed, so that snapshots are published in the order in which the
// store was changed.
func (r *registry) changing(name string) *sync.Mutex {
	return &r.changes[maphash.String(r.seed, name)%uint64(len(r.changes))]
}

// deploy loads the module, stores it as the plugin's next version, and lets it take traffic, in this order: what can't be
// loaded is never stored, and what takes traffic is ready. The same module and manifest again make no version.
func (r *registry) deploy(ctx context.Context, req store.PutRequest, t *terms) (store.Version, bool, error) {
	lock := r.changing(req.Name)
	lock.Lock()
	defer lock.Unlock()
	g, number, err := r.prepare(ctx, req, t)
	if err != nil {
		return store.Version{}, false, err
	}
	v, created, stored, err := r.put(ctx, req)
	if g != nil && (err != nil || !created || v.Number != number) {
		r.shut(&version{plugin: req.Name, stored: store.Version{Number: number}}, g)
		g = nil
	}
	if err != nil {
		return store.Version{}, false, err
	}
	p := r.plugin(stored, r.find(req.Name))
	mine := p.versions[v.Number]
	if g != nil {
		mine.guest = g // nobody else has the version yet
	}
	r.publish(req.Name, p)
	if g != nil {
		r.loaded(mine)
	}
	return v, created, nil
}

// put stores the version, and returns the plugin as it then is.
func (r *registry) put(ctx context.Context, req store.PutRequest) (store.Version, bool, store.Plugin, error) {
	v, created, err := r.store.Put(ctx, req)
	if err != nil {
		return v, created, store.Plugin{}, err
	}
	stored, err := r.store.Get(context.WithoutCancel(ctx), req.Name) // it's stored: that the client goes away changes nothing
	return v, created, stored, err
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
func (r *registry) remove(ctx context.Context, name string) error {
	lock := r.changing(name)
	lock.Lock()
	defer lock.Unlock()
	err := r.store.Delete(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return notFound(name)
	}
	if err != nil {
		return err
	}
	r.publish(name, nil)
	if r.removed != nil {
		r.removed(name)
	}
	return nil
}
