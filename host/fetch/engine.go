package fetch

import (
	"crypto/tls"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/sortie-run/sortie/host/fetch/dial"
	"github.com/sortie-run/sortie/host/fetch/upstream"
)

// errClosed is returned by constructors of a thing whose owner has been closed.
var errClosed = errors.New("fetch: closed")

// Engine is what all clients of a process share. Build it with [New].
type Engine struct {
	working   atomic.Int32 // clients with open sessions
	fetches   *fairSlots
	origins   *origins
	dialer    *dial.Dialer
	upstreams *upstreams
	rates     *upstream.Rates
	tls       *tls.Config
	defaults  http.Header // of requests that don't say
	buffers   buffers
	codecs    *codecs

	mu      sync.Mutex
	closed  bool
	clients map[*Client]struct{}
}

// New returns an engine. [Engine.Close] ends it.
func New(cfg Config) *Engine {
	if cfg.Fetches <= 0 {
		cfg.Fetches = defaultFetches
	}
	if cfg.PerOrigin <= 0 {
		cfg.PerOrigin = defaultPerOrigin
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = defaultUserAgent
	}
	e := &Engine{
		dialer:    dial.New(dial.Config{Resolver: cfg.resolver()}),
		upstreams: newUpstreams(cfg.Upstreams),
		rates:     upstream.NewRates(),
		tls:       baseTLS(cfg.TLS),
		defaults:  defaultHeader(cfg.UserAgent),
		codecs:    newCodecs(),
		clients:   make(map[*Client]struct{}),
	}
	e.fetches, e.origins = newFairSlots(cfg.Fetches, &e.working), newOrigins(cfg.PerOrigin, &e.working)
	return e
}

// SlotsInUse returns how many requests are in flight in the process.
func (e *Engine) SlotsInUse() int { return e.fetches.inUse() }

// Close closes all clients, and with them all sessions. It is idempotent.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	clients := e.clients
	e.clients = nil
	e.mu.Unlock()
	for c := range clients {
		c.Close()
	}
}

func (e *Engine) add(c *Client) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	e.clients[c] = struct{}{}
	return nil
}

func (e *Engine) forget(c *Client) {
	e.mu.Lock()
	delete(e.clients, c)
	e.mu.Unlock()
}
