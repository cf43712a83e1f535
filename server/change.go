package server

import (
	"context"
	"errors"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/store"
)

// Changes of one plugin take turns, so that snapshots are published in the order in which the store was changed. What a change will come to
// is worked out first, by the store's own rules: nothing is loaded or asked for a change that will be refused.

// deploy loads the module, stores it as the plugin's next version, and lets it take traffic, in this order: what can't be
// loaded is never stored, and what takes traffic is ready. One whose smoke request isn't answered as it should be is stored without traffic,
// and is an error. The same module and manifest again make no version.
func (r *registry) deploy(ctx context.Context, req store.PutRequest) (store.PutResult, *terms, error) {
	end, err := r.changes.take(ctx, req.Name)
	if err != nil {
		return store.PutResult{}, nil, err
	}
	defer end()
	op := r.operator.Load()
	t, err := newTerms(op, r.known(), req.Name, req.Manifest)
	if err != nil {
		return store.PutResult{}, nil, err
	}
	old, err := r.stored(ctx, req.Name)
	if err != nil {
		return store.PutResult{}, nil, err
	}
	if most := op.Retention.Plugins; old == nil && most > 0 && len(*r.plugins.Load()) >= most {
		return store.PutResult{}, nil, host.NewError(codeConflict, "There are %d plugins, as many as there may be (retention.plugins): remove one first.", most)
	}
	plan, _, err := req.Apply(old, store.Digest(req.Wasm), time.Now())
	if err != nil {
		return store.PutResult{}, nil, err
	}
	put := r.deployAgain
	if plan.Created {
		put = r.deployNew
	}
	done, err := put(ctx, req, plan.Version.Number, t)
	r.keepUp(req.Name, op)
	return done, t, err
}

// stored is the plugin as the store has it; nil if there is none.
func (r *registry) stored(ctx context.Context, name string) (*store.Plugin, error) {
	p, err := r.store.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return &p, err
}

// deployNew is deploy for what will be a new version.
func (r *registry) deployNew(ctx context.Context, req store.PutRequest, number int, t *terms) (store.PutResult, error) {
	g, err := r.compile(ctx, host.Source{Name: req.Name, Version: number, Wasm: req.Wasm, Manifest: t.manifest})
	if err != nil {
		return store.PutResult{}, err
	}
	v := &version{plugin: req.Name, stored: store.Version{Number: number}}
	var report *host.Report
	var failed error
	if req.Traffic {
		report, failed = r.smoke(ctx, v, g, t)
		req.Traffic = failed == nil
	}
	if ctx.Err() != nil { // the client is gone, perhaps while the plugin answered
		r.shut(v, g)
		return store.PutResult{}, context.Cause(ctx)
	}
	done, err := r.put(ctx, req)
	if err != nil || !done.Created || done.Version.Number != number {
		r.shut(v, g)
		return done, err
	}
	r.publish(req.Name, func(now *plugin) *plugin {
		p := r.plugin(done.Plugin, now)
		v = p.versions[number]
		v.guest = g // nobody else has the version yet
		return p
	})
	r.loaded(v)
	r.smoked(v, t, report)
	return done, failed
}

// deployAgain is deploy for what is there already. The module is stored nevertheless: it may have gone bad where it's kept.
func (r *registry) deployAgain(ctx context.Context, req store.PutRequest, number int, _ *terms) (store.PutResult, error) {
	quiet := req
	quiet.Traffic = false
	done, err := r.put(ctx, quiet)
	if err != nil || !req.Traffic {
		return done, err
	}
	release, err := r.warm(ctx, r.find(req.Name), done.Plugin.Name, []store.Weight{{Version: number, Weight: 100}})
	if err != nil {
		return done, err
	}
	defer release()
	if done, err = r.put(ctx, req); err == nil {
		r.publish(req.Name, func(now *plugin) *plugin { return r.plugin(done.Plugin, now) })
	}
	return done, err
}

// put stores a deploy.
func (r *registry) put(ctx context.Context, req store.PutRequest) (store.PutResult, error) {
	done, err := r.store.Put(ctx, req)
	return done, r.noted(req.Name, err)
}

// noted takes the plugin over as the store has it after an error that doesn't say that nothing has changed.
func (r *registry) noted(name string, err error) error {
	switch {
	case err == nil, errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrTraffic),
		errors.Is(err, store.ErrInvalidName):
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), closeTime)
	defer cancel()
	switch p, unread := r.stored(ctx, name); {
	case unread != nil:
		r.log.Error("a change failed, and what it left can't be read", "plugin", name, "err", unread)
	case p != nil:
		r.publish(name, func(now *plugin) *plugin { return r.plugin(*p, now) })
	case r.find(name) != nil:
		r.forget(name)
	}
	return err
}

// keepUp loads the plugin again if the operator's configuration has changed since it was op: a reload may have come before the change was
// published, and have seen nothing of it.
func (r *registry) keepUp(name string, op *manifest.Operator) {
	if r.operator.Load() != op {
		r.renew(name)
	}
}

// movement is a change of a plugin's traffic.
type movement struct {
	change store.Change
	plan   func(*store.Plugin) (store.Plugin, *store.Event, error) // what it will come to
	apply  func(ctx context.Context, st store.Store) (store.Plugin, error)
}

// move loads the versions that get traffic, has them answer their smoke requests, and then lets them take it. It returns the plugin as it then is.
func (r *registry) move(ctx context.Context, m movement) (*plugin, error) {
	name := m.change.Name
	end, err := r.changes.take(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	op, old := r.operator.Load(), r.find(name)
	if old == nil {
		return nil, notFound(name)
	}
	planned, _, err := m.plan(&old.stored)
	if err != nil {
		return nil, err
	}
	release, err := r.warm(ctx, old, name, planned.Traffic)
	if err != nil {
		return nil, err
	}
	defer release() // not before they have the traffic: they would be closed again
	stored, err := m.apply(ctx, r.store)
	if err := r.noted(name, err); err != nil {
		return nil, err
	}
	p := r.publish(name, func(now *plugin) *plugin { return r.plugin(stored, now) })
	r.keepUp(name, op)
	return p, nil
}

// warm makes the versions ready that are to have traffic, and keeps them so until they're released. Those that have none now answer their
// smoke requests first.
func (r *registry) warm(ctx context.Context, p *plugin, name string, table []store.Weight) (release func(), err error) {
	var held []*version
	release = func() {
		for _, v := range held {
			v.release()
		}
	}
	for _, w := range table {
		v := p.all()[w.Version]
		if v == nil || !v.hold(true) {
			release()
			return nil, notFound(name)
		}
		held = append(held, v)
		if err := r.warmOne(ctx, v, p.weight(w.Version) == 0); err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}

func (r *registry) warmOne(ctx context.Context, v *version, asked bool) error {
	t, err := v.terms()
	if err != nil {
		return r.unloadable(v, err)
	}
	g, err := v.ready(ctx)
	if err != nil || !asked {
		return err
	}
	report, err := r.smoke(ctx, v, g, t)
	r.smoked(v, t, report)
	return err
}

// remove deletes the plugin. Invocations that run go on to their end.
func (r *registry) remove(ctx context.Context, req store.DeleteRequest) error {
	end, err := r.changes.take(ctx, req.Name)
	if err != nil {
		return err
	}
	defer end()
	if err := r.noted(req.Name, r.store.Delete(ctx, req)); err != nil {
		return err
	}
	r.forget(req.Name)
	return nil
}

// forget takes a plugin away that the store has no more.
func (r *registry) forget(name string) {
	r.publish(name, func(*plugin) *plugin { return nil })
	if r.removed != nil {
		r.removed(name)
	}
}

// reload has every version run under the operator's new terms: those that run go on under the old ones to their end, and what has traffic is
// loaded again when it's called next. It waits for no change that is under way: that looks for itself when it's done.
func (r *registry) reload(op *manifest.Operator) {
	r.operator.Store(op)
	for name := range *r.plugins.Load() {
		r.renew(name)
	}
}

// renew replaces a plugin's versions by themselves, under the terms of now.
func (r *registry) renew(name string) {
	r.publish(name, func(now *plugin) *plugin {
		if now == nil {
			return nil
		}
		return r.plugin(now.stored, nil)
	})
}
