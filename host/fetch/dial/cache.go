package dial

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// CacheConfig bounds a [Cache]. Zero values mean the defaults.
type CacheConfig struct {
	TTL         time.Duration // how long addresses are remembered; default 10 s. Resolvers of the system's don't tell DNS's own
	NegativeTTL time.Duration // how long a name that doesn't exist is; default 1 s
	Entries     int           // names remembered, and lookups under way; default 4096
	Timeout     time.Duration // of one lookup; default 10 s
}

// Cache is a [Resolver] that remembers another's answers, and asks it once however many want the same name. Failures other than that
// there is no such name aren't remembered. It is bounded: the name that was not asked for longest goes first.
type Cache struct {
	resolver Resolver
	cfg      CacheConfig

	mu      sync.Mutex
	entries map[string]*list.Element // of *cached
	recent  list.List                // in front what was asked for last
	flying  map[string]*lookup
}

// cached is a remembered answer.
type cached struct {
	host    string
	addrs   []netip.Addr
	err     error
	expires time.Time
}

// lookup is a question under way.
type lookup struct {
	cancel  context.CancelFunc
	waiters int           // guarded by the cache's mutex; without any it is cancelled
	done    chan struct{} // closed when the rest is there
	addrs   []netip.Addr
	err     error
}

// NewCache returns a cache in front of resolver; nil is net.DefaultResolver.
func NewCache(resolver Resolver, cfg CacheConfig) *Cache {
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	if cfg.TTL <= 0 {
		cfg.TTL = 10 * time.Second
	}
	if cfg.NegativeTTL <= 0 {
		cfg.NegativeTTL = time.Second
	}
	if cfg.Entries <= 0 {
		cfg.Entries = 4096
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	return &Cache{resolver: resolver, cfg: cfg, entries: make(map[string]*list.Element), flying: make(map[string]*lookup)}
}

// errBusy is the answer while as many lookups are under way as the cache has entries.
var errBusy = errors.New("too many lookups are under way")

// LookupNetIP answers from memory, else asks. Whoever waits leaves with ctx; the lookup goes on while others wait. The slice isn't the
// caller's to change.
func (c *Cache) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	c.mu.Lock()
	if e, ok := c.entries[host]; ok {
		if entry := e.Value.(*cached); time.Now().Before(entry.expires) {
			c.recent.MoveToFront(e)
			c.mu.Unlock()
			return entry.addrs, entry.err
		}
		c.forget(e)
	}
	l, ok := c.flying[host]
	if !ok {
		if len(c.flying) >= c.cfg.Entries {
			c.mu.Unlock()
			return nil, errBusy
		}
		l = &lookup{done: make(chan struct{})}
		var asking context.Context
		asking, l.cancel = context.WithTimeout(context.Background(), c.cfg.Timeout)
		c.flying[host] = l
		go c.ask(asking, l, network, host)
	}
	l.waiters++
	c.mu.Unlock()
	select {
	case <-l.done:
		return l.addrs, l.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.waiters--; l.waiters == 0 {
		l.cancel()
		if c.flying[host] == l { // who comes next must not get an answer that is being cancelled
			delete(c.flying, host)
		}
	}
	return nil, context.Cause(ctx)
}

// ask looks a name up on behalf of everybody who waits, so that it ends with the last of them only.
func (c *Cache) ask(ctx context.Context, l *lookup, network, host string) {
	defer l.cancel()
	l.addrs, l.err = c.resolver.LookupNetIP(ctx, network, host)
	if len(l.addrs) > maxAnswers {
		l.addrs = append([]netip.Addr(nil), l.addrs[:maxAnswers]...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flying[host] == l {
		delete(c.flying, host)
	}
	ttl := c.cfg.TTL
	if l.err != nil {
		ttl = c.cfg.NegativeTTL
	}
	var dns *net.DNSError
	if l.err == nil || errors.As(l.err, &dns) && dns.IsNotFound && !dns.IsTemporary {
		c.remember(&cached{host, l.addrs, l.err, time.Now().Add(ttl)})
	}
	close(l.done)
}

func (c *Cache) remember(entry *cached) {
	if e, ok := c.entries[entry.host]; ok {
		c.forget(e)
	}
	for c.recent.Len() >= c.cfg.Entries {
		c.forget(c.recent.Back())
	}
	c.entries[entry.host] = c.recent.PushFront(entry)
}

func (c *Cache) forget(e *list.Element) {
	c.recent.Remove(e)
	delete(c.entries, e.Value.(*cached).host)
}
