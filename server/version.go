package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/server/store"
)

// guest is what the server needs of a loaded plugin version; *host.Plugin is it.
type guest interface {
	// StreamsRequest tells whether it wants its requests' bodies in pieces.
	StreamsRequest() bool
	// Admit tells whether an invocation that arrived then would be refused now; nil promises nothing.
	Admit(arrived time.Time) error
	Invoke(ctx context.Context, r *host.Request) (*host.Response, *host.Report, error)
	Close(ctx context.Context) error
}

// loader makes a guest; (*host.Runtime).Load is it.
type loader func(ctx context.Context, src host.Source) (guest, error)

// version is one stored version of a plugin, with its guest while it's loaded. An invocation holds it from when it was chosen until
// the answer. It's loaded when its first holder asks for the guest, once for all who wait, and closed when it's retired and its
// last holder has let go.
type version struct {
	plugin   string
	stored   store.Version
	registry *registry
	terms    func() (*terms, error) // worked out when first asked for

	deleted atomic.Bool            // its plugin was, or it alone: nothing that it did is to be remembered
	meters  atomic.Pointer[meters] // looked up when it was first invoked

	mu      sync.Mutex
	guest   guest // nil: not loaded
	holders int
	retired bool          // close the guest when its last holder lets go
	gone    bool          // retired for good: deleted, or replaced by itself under other terms
	loading chan struct{} // closed when the load under way has ended; nil: none is
	failed  error         // why the last load failed
	retry   time.Time     // not before then is it tried again
}

// hold keeps the version from being closed until it's released. It reports false, and holds nothing, if the version has lost its
// traffic or was deleted since it was chosen: the snapshot is a new one then. A caller who pinned it doesn't mind the former.
func (v *version) hold(pinned bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.gone || v.retired && !pinned {
		return false
	}
	v.holders++
	return true
}

// release lets go of what hold held.
func (v *version) release() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.holders--
	v.closeIfUnused()
}

// ready returns the guest of a version that the caller holds, loading it if need be. When ctx ends the load goes on, for others.
func (v *version) ready(ctx context.Context) (guest, error) {
	for {
		g, loading, err := v.try()
		if g != nil || err != nil {
			return g, err
		}
		select {
		case <-loading:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// admit tells why an invocation that arrived then needn't be begun: it would be refused. A version that isn't loaded yet refuses nobody.
func (v *version) admit(arrived time.Time) error {
	v.mu.Lock()
	g := v.guest
	v.mu.Unlock()
	if g == nil {
		return nil
	}
	return g.Admit(arrived)
}

// try returns the guest, or the error, or else what to wait for before trying again.
func (v *version) try() (guest, <-chan struct{}, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.guest != nil:
		return v.guest, nil, nil
	case v.loading != nil:
		return nil, v.loading, nil
	case v.failed != nil && v.registry.now().Before(v.retry):
		return nil, nil, v.failed
	}
	loading := make(chan struct{})
	v.loading = loading
	if !v.registry.background.start(v.load) {
		v.loading = nil
		return nil, nil, draining()
	}
	return nil, loading, nil
}

// load runs in a goroutine of its own; v.loading tells that it does.
func (v *version) load() {
	g, err := v.registry.open(v)
	v.mu.Lock()
	close(v.loading)
	v.loading = nil
	if err != nil {
		v.failed, v.retry = err, v.registry.now().Add(loadRetry)
		v.mu.Unlock()
		return
	}
	v.guest, v.failed, v.retired = g, nil, v.gone
	v.closeIfUnused()
	v.mu.Unlock()
	v.registry.loaded(v)
}

// retire closes the guest, once its holders have let go. A version that isn't gone is loaded again when it's used again.
func (v *version) retire(gone bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.retired = true
	v.gone = v.gone || gone
	v.closeIfUnused()
}

// keep takes a retirement back.
func (v *version) keep() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.retired = v.gone
}

// closeIfUnused is called with the lock held.
func (v *version) closeIfUnused() {
	if !v.retired || v.holders > 0 || v.guest == nil {
		return
	}
	g := v.guest
	v.guest = nil
	if !v.registry.background.start(func() { v.registry.shut(v, g) }) {
		v.registry.shut(v, g) // the server is closing and has stopped waiting
	}
}
