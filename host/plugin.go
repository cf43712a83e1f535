package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/guest"
	"github.com/sortie-run/sortie/host/internal/memory"
	"github.com/sortie-run/sortie/host/manifest"
)

// Source is what a plugin is loaded from.
type Source struct {
	Name     string
	Version  int
	Wasm     []byte
	Manifest *manifest.Manifest // validated and clamped: the host takes its limits as they are
}

// Plugin is one loaded version of a plugin.
type Plugin struct {
	rt     *Runtime
	src    Source // without the Wasm
	module module
	client *fetch.Client
	config *guest.Config
	ready  *ready

	streamsRequest bool // what its first instance said

	places *semaphore.Weighted // invocations of this plugin at once; nil: only the process's limit
	pace   *rate.Limiter       // invocations started; nil: no limit

	mu      sync.Mutex
	running sync.WaitGroup
	closed  bool

	alive context.Context // ends when running invocations are to be cut off
	cut   context.CancelFunc
}

// module is a compiled plugin of either kind.
type module interface {
	kind() string
	// instantiate makes an instance and initialises it, under ctx.
	instantiate(ctx context.Context, q *memory.Quota) (instance, error)
	close(ctx context.Context) error
}

// instance runs one invocation; then it is closed.
type instance interface {
	// run enters the guest on behalf of call. The guest's own failure is in the ending, never a Go error of the host's.
	run(ctx context.Context, call *guest.Call) ending
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
	if m.Isolation == manifest.IsolationPooled {
		return nil, NewError(CodeInvalidManifest, "isolation: pooled isn't available yet; use fresh, a clean state for every invocation")
	}
	what, redirected, err := inspect(src.Wasm, m)
	if err != nil {
		return nil, err
	}
	config, err := guest.NewConfig(m.Config)
	if err != nil {
		return nil, NewError(CodeInvalidManifest, "config can't be given to a plugin as JSON: %v", err)
	}
	client, err := r.client(src.Name, m)
	if err != nil {
		return nil, err
	}
	p := &Plugin{rt: r, src: src, client: client, config: config}
	p.src.Wasm = nil
	p.alive, p.cut = context.WithCancel(context.Background())
	p.limit(r.cfg.Operator.Rules(src.Name))
	if what.raw {
		p.module, err = r.compileRaw(ctx, redirected, m.Entry)
	} else {
		p.module, err = r.http.compile(ctx, redirected, m.Entry)
	}
	if err != nil {
		p.cut()
		client.Close()
		return nil, err
	}
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// open makes the first instance and enlists the plugin.
func (p *Plugin) open(ctx context.Context) error {
	first, err := p.instantiate(ctx)
	if err == nil {
		p.streamsRequest = first.streamsRequest
		p.ready = newReady(p, first)
		err = p.rt.add(p)
	}
	if err != nil {
		return errors.Join(err, p.Close(context.WithoutCancel(ctx)))
	}
	return nil
}

func (r *Runtime) client(name string, m *manifest.Manifest) (*fetch.Client, error) {
	policy, err := fetch.PolicyOf(m, r.cfg.Operator, r.cfg.Secrets)
	if err != nil {
		return nil, NewError(CodeInvalidManifest, "%v", err)
	}
	client, err := r.cfg.Engine.Client(policy)
	if err != nil {
		return nil, NewError(CodeInvalidManifest, "%s: %v", name, err)
	}
	return client, nil
}

func (p *Plugin) limit(rules manifest.PluginRules) {
	if rules.Invocations > 0 {
		p.places = semaphore.NewWeighted(int64(rules.Invocations))
	}
	if n, per, err := manifest.ParseRate(rules.Rate); err == nil {
		p.pace = rate.NewLimiter(rate.Limit(float64(n)/per.Seconds()), max(n, 1))
	}
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

// instantiate makes an instance that is ready for an invocation.
func (p *Plugin) instantiate(ctx context.Context) (*prepared, error) {
	limits := p.src.Manifest.Limits
	ctx, cancel := context.WithTimeout(ctx, min(initLimit, time.Duration(limits.Wall)))
	defer cancel()
	q := memory.NewQuota(int64(limits.Memory))
	init := &guest.Call{Config: p.config, Log: guest.NewLog(int64(limits.Log)), Memory: q.Last}
	init.Start(ctx)
	watch := watchCPU(time.Duration(limits.CPU), cancel)
	inst, err := p.module.instantiate(guest.Bind(ctx, init), q)
	watch.stop()
	if err != nil {
		e := NewError(CodeInvalidWasm, "the plugin doesn't start: %s", why(err, init, q))
		e.Err = err
		q.Release()
		return nil, e
	}
	return &prepared{inst, q, init.Log, init.StreamsRequest}, nil
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
	if p.ready != nil {
		p.ready.close()
	}
	p.client.Close()
	return errors.Join(err, p.module.close(context.WithoutCancel(ctx)))
}
