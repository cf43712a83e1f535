package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tetratelabs/wazero/api"
	"golang.org/x/time/rate"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/guest"
	"github.com/sortie-run/sortie/host/internal/image"
	"github.com/sortie-run/sortie/host/internal/memory"
	"github.com/sortie-run/sortie/host/manifest"
)

// Source is what a plugin is loaded from.
type Source struct {
	Name     string
	Version  int
	Wasm     []byte
	Manifest *manifest.Manifest // validated and clamped: the host takes its limits as they are
	Deployed bool               // it was loaded before: a secret that isn't there any more fails the fetches that need it, not the load
}

// Plugin is one loaded version of a plugin.
type Plugin struct {
	rt     *Runtime
	src    Source // without the Wasm
	module module
	client *fetch.Client
	config *guest.Config
	supply supply
	what   inspected

	streamsRequest bool // what its first instance said

	lane *lane         // where its invocations wait for their places
	pace *rate.Limiter // invocations started; nil: no limit

	mu      sync.Mutex
	running sync.WaitGroup
	closed  bool

	alive context.Context // ends when running invocations are to be cut off
	cut   context.CancelFunc
}

// module is a compiled plugin of either kind.
type module interface {
	kind() string
	// instantiate makes an instance under ctx. If initialise is set it is initialised; else its memories are images of one that was.
	instantiate(ctx context.Context, q *memory.Quota, initialise bool) (instance, error)
	close(ctx context.Context) error
}

// instance is a plugin's code with memory and globals of its own. The guest's own failures are in the ending, never a Go error of the
// host's.
type instance interface {
	// run enters the guest at the manifest's entry on behalf of call, which its context carries.
	run(ctx context.Context, call *guest.Call) ending
	// enter calls another export.
	enter(ctx context.Context, name string, params ...uint64) ending
	exports(name string) bool
	// globals are the mutable ones, always in the same order.
	globals() []api.MutableGlobal
	close()
}

// ending is how a guest's entry came back.
type ending struct {
	result uint32 // what the entry returned
	err    error  // a trap or an exit; nil if it returned
	said   string // what a raw plugin gave error_set
}

// Load compiles a module and makes a first instance of it, which proves that it starts. The error is an *Error with
// invalid_wasm or invalid_manifest. Compiling takes a while: about a second for each 3 MB, once for each content and cache.
func (r *Runtime) Load(ctx context.Context, src Source) (*Plugin, error) {
	m := src.Manifest
	what, rewritten, err := inspect(src.Wasm, m, r.shelf)
	if err != nil {
		return nil, err
	}
	config, err := guest.NewConfig(m.Config)
	if err != nil {
		return nil, NewError(CodeInvalidManifest, "config can't be given to a plugin as JSON: %v", err)
	}
	client, err := r.client(src)
	if err != nil {
		return nil, err
	}
	p := &Plugin{rt: r, src: src, client: client, config: config, what: what}
	p.src.Wasm = nil
	p.alive, p.cut = context.WithCancel(context.Background())
	if what.raw {
		p.module, err = r.compileRaw(ctx, &rewritten.Rewritten, m.Entry)
	} else {
		p.module, err = r.http.compile(ctx, &rewritten.Rewritten, m.Entry)
	}
	if err != nil {
		p.cut()
		client.Close()
		return nil, err
	}
	if err := r.shelf.Put(src.Wasm, rewritten); err != nil {
		r.cfg.Log.Warn("the rewritten module can't be kept; the next start takes longer", "plugin", src.Name, "err", err)
	}
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// open makes the first instance, which proves that the plugin starts, and enlists the plugin.
func (p *Plugin) open(ctx context.Context) error {
	err := p.stock(ctx)
	if err == nil {
		err = p.rt.add(p)
	}
	if err != nil {
		return errors.Join(err, p.Close(context.WithoutCancel(ctx)))
	}
	return nil
}

// stock decides where instances come from.
func (p *Plugin) stock(ctx context.Context) error {
	if p.src.Manifest.Isolation == manifest.IsolationPooled {
		first, err := p.warmed(ctx, usualRoom)
		if _, alive := errors.AsType[*unfit](err); alive { // as it will be after the first invocation
			first, err = p.instantiate(ctx, nil)
		}
		if err != nil {
			return err
		}
		p.streamsRequest = first.streamsRequest
		p.supply = newPool(p, nil, first)
		return nil
	}
	if p.rt.images == image.None {
		p.what.unfit = "images are turned off"
	}
	if p.what.unfit == "" {
		from, first, err := p.snapshot(ctx, usualRoom)
		if err == nil {
			p.streamsRequest = from.streamsRequest
			p.supply = newPool(p, from, first)
			return nil
		}
		reason, ok := errors.AsType[*unfit](err)
		if !ok {
			return err
		}
		p.what.unfit = reason.why
	}
	p.rt.cfg.Log.Info("each invocation of the plugin is started anew", "plugin", p.src.Name, "version", p.src.Version, "why", p.what.unfit)
	first, err := p.instantiate(ctx, nil)
	if err != nil {
		return err
	}
	p.streamsRequest = first.streamsRequest
	p.supply = newReady(p, first)
	return nil
}

func (r *Runtime) client(src Source) (*fetch.Client, error) {
	for _, s := range src.Manifest.Secrets {
		if !src.Deployed && !r.vault.Has(s.Name) {
			return nil, NewError(CodeInvalidManifest, "the operator has no value for the secret %q", s.Name)
		}
	}
	policy, err := fetch.PolicyWith(src.Manifest, r.operator.Load(), &r.vault)
	if err != nil {
		return nil, NewError(CodeInvalidManifest, "%v", err)
	}
	policy.Plugin = src.Name
	client, err := r.cfg.Engine.Client(policy)
	if err != nil {
		return nil, NewError(CodeInvalidManifest, "%s: %v", src.Name, err)
	}
	return client, nil
}

// paceOf is how many invocations may be started in a second, and how many at once; 0: as many as come.
func paceOf(rules manifest.PluginRules) (perSecond rate.Limit, burst int) {
	n, per, err := manifest.ParseRate(rules.Rate)
	if err != nil {
		return 0, 0
	}
	return rate.Limit(float64(n) / per.Seconds()), max(n, 1)
}

// StreamsRequest tells whether the plugin wants to begin before its request's body is here, which it then reads from
// [Request].BodyReader.
func (p *Plugin) StreamsRequest() bool { return p.streamsRequest }

// Kind tells how the plugin speaks with the host: "http" or "raw".
func (p *Plugin) Kind() string { return p.module.kind() }

// Manifest is the manifest in force.
func (p *Plugin) Manifest() *manifest.Manifest { return p.src.Manifest }

// initLimit bounds how long an instance may take to start, within the plugin's wall limit.
const initLimit = 10 * time.Second

// instantiate makes an instance: from a snapshot, which must be held for it, or if there is none from the start.
func (p *Plugin) instantiate(ctx context.Context, from *snapshot) (*prepared, error) {
	limits := p.src.Manifest.Limits
	if from != nil {
		return p.copied(ctx, from)
	}
	q := memory.NewQuota(int64(limits.Memory))
	q.Draw(p.rt.memory, 0)
	made := &prepared{quota: q, log: guest.NewLog(int64(limits.Log))}
	ctx, init, done := p.startCall(ctx, made)
	inst, err := p.module.instantiate(guest.Bind(ctx, init), q, true)
	done()
	if err != nil {
		e := NewError(CodeInvalidWasm, "the plugin doesn't start: %s", why(err, init, q))
		e.Err = err
		q.Release()
		return nil, e
	}
	made.instance, made.streamsRequest = inst, init.StreamsRequest
	return made, nil
}

// copied makes an instance that is as a snapshot's was. None of the guest's code runs.
func (p *Plugin) copied(ctx context.Context, from *snapshot) (*prepared, error) {
	usual := from.usual.Load()
	if full := p.rt.claim(usual); full != nil {
		from.release()
		return nil, full
	}
	q := memory.NewQuota(int64(p.src.Manifest.Limits.Memory), from.images...)
	q.Draw(p.rt.memory, usual)
	inst, err := p.module.instantiate(ctx, q, false)
	made := &prepared{instance: inst, quota: q, log: from.log, from: from, streamsRequest: from.streamsRequest}
	if err == nil {
		_, err = made.restore()
	}
	if err != nil {
		if inst != nil {
			inst.close()
		}
		q.Release()
		from.release()
		return nil, fmt.Errorf("an instance from an image: %w", err)
	}
	return made, nil
}

// startCall readies a call for what runs while there is no invocation: its init, and its warm-up. It can't fetch.
func (p *Plugin) startCall(ctx context.Context, made *prepared) (context.Context, *guest.Call, func()) {
	limits := p.src.Manifest.Limits
	ctx, cancel := context.WithTimeout(ctx, min(initLimit, time.Duration(limits.Wall)))
	c := &guest.Call{
		Config: p.config, Log: made.log, Memory: made.quota.Last, Describe: describe,
		Limits: guest.Limits{Output: int64(limits.Output), RequestBytes: int64(p.src.Manifest.Fetch.Limits.RequestBytes), Held: int64(limits.Memory)},
	}
	var begun *streamed
	c.OnBegin = func(g *guest.Response) { begun = stream(g, nil, cancel) } // to nobody
	c.Start(ctx)
	stop := p.meter(c, cancel)
	return ctx, c, func() {
		stop()
		cancel()
		if begun != nil {
			begun.abort()
		}
	}
}

// meter begins to measure a guest's CPU time and calls over when its limit is passed. The returned function ends that, and tells the time used.
func (p *Plugin) meter(c *guest.Call, over func()) (stop func() time.Duration) {
	limit := time.Duration(p.src.Manifest.Limits.CPU)
	c.Meter, c.OnOver = guest.NewMeter(limit), over
	if p.what.unfueled != "" {
		watch := watchCPU(limit, over)
		return func() time.Duration { c.Stop(); return watch.stop() }
	}
	c.Meter.Resume()
	return func() time.Duration { c.Stop(); return c.Meter.Used() }
}

// why says in a sentence what kept a plugin from starting.
func why(err error, init *guest.Call, q *memory.Quota) string {
	asked, refused := q.Refused()
	switch {
	case init.Context().Err() != nil:
		return "its initialisation takes longer than limits.cpu or limits.wall"
	case refused:
		return fmt.Sprintf("it needs %d bytes of memory, limits.memory allows less", asked)
	default:
		return brief(err) + lastPrinted(init.Log)
	}
}

// cutLimit is how long a guest that was cut off may take to stop. Only a bulk operation on much memory takes any time.
const cutLimit = 10 * time.Second

// Close stops taking invocations, waits for those running until ctx is done, and frees the plugin. What still runs then is
// cut off. Further calls do nothing.
func (p *Plugin) Close(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	done := make(chan struct{})
	go func() { p.running.Wait(); close(done) }()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("plugin %s: invocations were cut off: %w", p.src.Name, ctx.Err())
		p.cut()
		select {
		case <-done: // a guest stops at its next loop, call or host function
		case <-time.After(cutLimit):
			p.rt.remove(p)
			return errors.Join(err, errors.New("an invocation can't be stopped; its memory stays in use"))
		}
	}
	p.cut()
	p.rt.remove(p)
	if p.supply != nil {
		p.supply.close()
	}
	p.client.Close()
	return errors.Join(err, p.module.close(context.WithoutCancel(ctx)))
}
