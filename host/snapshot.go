package host

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/sortie-run/sortie/host/internal/guest"
	"github.com/sortie-run/sortie/host/internal/image"
)

// snapshot is the state that every invocation of a plugin begins with: memories and globals of an instance that was initialised and
// warmed up, and never served a request. See RATIONALE.md, "How does an invocation get a clean instance?".
type snapshot struct {
	images         []*image.Image
	globals        []uint64
	room           int        // bytes the guest was asked to make room for
	roomy          bool       // whether it can
	log            *guest.Log // what it printed while it started
	streamsRequest bool       // what it asked for then
	users          atomic.Int64
	usual          atomic.Int64 // bytes of its own that an instance has: what the last one had
}

func (s *snapshot) hold() { s.users.Add(1) }

func (s *snapshot) release() {
	if s.users.Add(-1) == 0 {
		for _, i := range s.images {
			_ = i.Close()
		}
	}
}

// restore brings an instance back to its snapshot, and tells how many bytes of its memories are its own. After an error it must not be used again.
func (p *prepared) restore() (own int64, err error) {
	n, err := p.quota.Restore()
	if err != nil {
		return 0, err
	}
	for i, g := range p.globals() {
		g.Set(p.from.globals[i])
	}
	return int64(n), nil
}

// around is what an instance takes besides its own pages: the engine's part, tables, page tables.
const around = 256 << 10

// unfit is why no image is taken of a plugin's instances.
type unfit struct{ why string }

func (u *unfit) Error() string { return u.why }

// snapshot starts an instance, warms it up and takes its state. The instance comes along, ready for an invocation. The error is an *unfit
// where each invocation needs an instance of its own.
func (p *Plugin) snapshot(ctx context.Context, room int) (*snapshot, *prepared, error) {
	first, err := p.warmed(ctx, room)
	if err != nil {
		return nil, nil, err
	}
	defer first.discard() // its memories aren't mappings of the image
	s := &snapshot{room: room, roomy: first.exports(warmupExport), log: first.log, streamsRequest: first.streamsRequest}
	s.images, err = first.quota.Images(p.rt.images)
	if err != nil {
		return nil, nil, &unfit{"the system can't hold a memory image: " + err.Error()}
	}
	s.usual.Store(around)
	s.hold()
	for _, g := range first.globals() {
		s.globals = append(s.globals, g.Get())
	}
	s.hold() // the next instance
	next, err := p.instantiate(ctx, s)
	if err != nil {
		s.release()
		return nil, nil, err
	}
	return s, next, nil
}

// usualRoom is what a guest is asked to make room for at first. Whose invocations need more as a rule gets more. What isn't used costs next to nothing,
// since what is empty isn't kept in an image.
const usualRoom = 1 << 20

// warmed starts an instance and warms it up. If that leaves something behind which would run in every invocation, it is another one that is only
// started.
func (p *Plugin) warmed(ctx context.Context, room int) (*prepared, error) {
	first, err := p.instantiate(ctx, nil)
	if err != nil {
		return nil, err
	}
	if why := p.warmUp(ctx, first, room); why == "" {
		return first, nil
	} else if ctx.Err() == nil {
		p.rt.cfg.Log.Warn("the plugin's warm-up isn't used", "plugin", p.src.Name, "version", p.src.Version, "why", why)
	}
	first.discard()
	if first, err = p.instantiate(ctx, nil); err != nil {
		return nil, err
	}
	if why := p.settle(ctx, first); why != "" {
		first.discard()
		return nil, &unfit{why}
	}
	return first, nil
}

// warmupExport is the function an SDK may export for this. It is given the bytes to make room for, or settling; see ABI.md, "Warm-up".
const (
	warmupExport = "sortie_warmup"
	settling     = 1<<32 - 1
)

// warmUp runs what there is to be run before the first invocation, with nothing to fetch from. It returns why its result is of no use.
func (p *Plugin) warmUp(ctx context.Context, first *prepared, room int) (why string) {
	if first.exports(warmupExport) {
		room = min(room, int(first.quota.Free()/2))
		end := p.ahead(ctx, first, nil, func(ctx context.Context, _ *guest.Call) ending {
			return first.enter(ctx, warmupExport, uint64(room))
		})
		if end.err != nil || end.result != 0 {
			return "its hook failed: " + failing(first, end)
		}
	}
	if w := p.src.Manifest.Warmup; w != nil {
		if p.what.raw && p.what.sleeps {
			return "a raw plugin with a scheduler of its own can't tell whether anything still runs after it"
		}
		path, query, _ := strings.Cut(w.Path, "?")
		req := &guest.Request{Method: w.Method, Path: path, RawQuery: query, Host: "warmup", Body: []byte(w.Body)}
		end := p.ahead(ctx, first, req, first.run)
		if end.err != nil {
			return "the manifest's warmup request failed: " + failing(first, end)
		}
	}
	return p.settle(ctx, first)
}

// settle waits until nothing runs in the guest any more. It returns what still does.
func (p *Plugin) settle(ctx context.Context, first *prepared) (why string) {
	if !first.exports(warmupExport) {
		return ""
	}
	var idle bool
	end := p.ahead(ctx, first, nil, func(ctx context.Context, c *guest.Call) ending {
		c.Settling = true
		end := first.enter(ctx, warmupExport, settling)
		idle = !c.Busy
		return end
	})
	switch {
	case end.err != nil:
		return "it doesn't come to rest: " + failing(first, end)
	case end.result != 0:
		return fmt.Sprintf("%d goroutines still run after it", end.result)
	case !idle:
		return "a timer still runs after it"
	}
	return ""
}

// ahead enters an instance before there is an invocation.
func (p *Plugin) ahead(ctx context.Context, first *prepared, req *guest.Request, enter func(context.Context, *guest.Call) ending) ending {
	ctx, call, done := p.startCall(ctx, first)
	defer done()
	if req == nil {
		req = &guest.Request{Method: "GET", Path: "/"}
	}
	call.Request = *req
	call.Handles.Init()
	defer call.Handles.Close()
	return enter(guest.Bind(ctx, call), call)
}

func failing(first *prepared, end ending) string {
	switch {
	case end.said != "":
		return end.said
	case end.err != nil:
		return brief(end.err) + lastPrinted(first.log)
	default:
		return fmt.Sprintf("it returned %d", end.result)
	}
}
