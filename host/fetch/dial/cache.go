package dial

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// CacheConfig bounds a [Cache]. Zero values mean the defaults.
type CacheConfig struct {
	TTL         time.Duration // how long addresses are remembered; default 10 s. Resolvers of the system's don't tell DNS's own
	NegativeTTL time.Duration // how long a name that doesn't exist is; default 1 s
	Entries     int           // names remembered; default 4096
	Lookups     int           // lookups under way at a time, the next ones wait for their turn; default 256
	Timeout     time.Duration // of one lookup, the wait for its turn included; default 10 s
}

// Cache is a [Resolver] that remembers another's answers, and asks it once however many want the same name. Failures other than that
// there is no such name aren't remembered. It is bounded: the name that was not asked for longest goes first, and of an answer no more
// addresses are kept than a dial looks at.
type Cache struct {
	resolver Resolver
	cfg      CacheConfig
	turns    chan struct{} // holds as many as lookups are under way

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
	ctx     context.Context // nobody's in particular, so that no asker takes the answer from the others by leaving
	cancel  context.CancelFunc
	host    string
	waiters int           // guarded by the cache's mutex; without any the lookup is cancelled
	settled bool          // guarded likewise
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
	if cfg.Lookups <= 0 {
		cfg.Lookups = 256
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	return &Cache{
		resolver: resolver, cfg: cfg, turns: make(chan struct{}, cfg.Lookups),
		entries: make(map[string]*list.Element), flying: make(map[string]*lookup),
	}
}

// maxName is how long a name in the DNS can be, written with the root's dot (RFC 1035, section 2.3.4).
const maxName = 254

// LookupNetIP answers from memory, else asks. Whoever waits leaves with ctx, with its cause; the lookup goes on while others wait. A
// lookup that takes too long ends in a net.DNSError that is a timeout. The slice isn't the caller's to change.
func (c *Cache) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if len(host) > maxName { // or memory would be bounded in names but not in bytes
		return nil, &net.DNSError{Err: "the name is too long", Name: host[:maxName], IsNotFound: true}
	}
	c.mu.Lock()
	if entry := c.recall(host); entry != nil {
		c.mu.Unlock()
		return entry.addrs, entry.err
	}
	if ctx.Err() != nil {
		c.mu.Unlock()
		return nil, context.Cause(ctx)
	}
	l := c.flying[host]
	if l == nil {
		l = c.begin(network, host)
	}
	l.waiters++
	c.mu.Unlock()
	select {
	case <-l.done:
		return l.addrs, l.err
	case <-ctx.Done():
		c.leave(l)
		return nil, context.Cause(ctx)
	}
}

// begin starts a lookup. Somebody waits for each, so that there are never more than callers, be they at their turn or not.
func (c *Cache) begin(network, host string) *lookup {
	l := &lookup{host: host, done: make(chan struct{})}
	l.ctx, l.cancel = context.WithTimeout(context.Background(), c.cfg.Timeout)
	c.flying[host] = l
	go c.ask(l, network)
	return l
}

// ask waits for the lookup's turn and looks up. A resolver that doesn't heed its context keeps its turn until it returns, so that even
// those are bounded, but nobody waits for it longer than the timeout.
func (c *Cache) ask(l *lookup, network string) {
	defer l.cancel()
	stop := context.AfterFunc(l.ctx, func() { c.settle(l, nil, c.late(l.host)) })
	defer stop()
	select {
	case c.turns <- struct{}{}:
	case <-l.ctx.Done():
		return
	}
	addrs, err := c.resolver.LookupNetIP(l.ctx, network, l.host)
	<-c.turns
	if err != nil && l.ctx.Err() != nil {
		err = c.late(l.host)
	}
	c.settle(l, addrs, err)
}

func (c *Cache) late(host string) error {
	return &net.DNSError{Err: "no answer within " + c.cfg.Timeout.String(), Name: host, IsTimeout: true, IsTemporary: true}
}

// settle ends a lookup, once, and remembers what is worth it.
func (c *Cache) settle(l *lookup, addrs []netip.Addr, err error) {
	if err != nil {
		addrs = nil
	}
	addrs = slices.Clone(addrs[:min(len(addrs), maxAnswers)]) // not in the memory of thousands, nor in the resolver's
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.settled {
		return
	}
	l.settled, l.addrs, l.err = true, slices.Clip(addrs), err
	defer close(l.done)
	if c.flying[l.host] != l {
		return // everybody has left, and maybe others came: theirs is the newer answer
	}
	delete(c.flying, l.host)
	var dns *net.DNSError
	switch {
	case len(addrs) > 0:
		c.remember(&cached{l.host, l.addrs, nil, time.Now().Add(c.cfg.TTL)})
	case err == nil, errors.As(err, &dns) && dns.IsNotFound && !dns.IsTemporary && !dns.IsTimeout:
		c.remember(&cached{l.host, nil, err, time.Now().Add(c.cfg.NegativeTTL)})
	}
}

// leave takes one who waits from a lookup, and ends it with the last.
func (c *Cache) leave(l *lookup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.waiters--; l.waiters > 0 {
		return
	}
	l.cancel()
	if c.flying[l.host] == l { // who comes next must not get an answer that is being cancelled
		delete(c.flying, l.host)
	}
}

// recall returns what is remembered of a name, or nil.
func (c *Cache) recall(host string) *cached {
	e, ok := c.entries[host]
	if !ok {
		return nil
	}
	entry := e.Value.(*cached)
	if !time.Now().Before(entry.expires) {
		c.forget(e)
		return nil
	}
	c.recent.MoveToFront(e)
	return entry
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
