// Package cache is a private HTTP cache (RFC 9111) that lives in memory, and the collapsing of identical requests. It has no network: the
// caller asks what is stored, sends what has to be sent, and tells what came back.
//
//	c := cache.New(cache.Config{Bytes: 16 << 20})
//	defer c.Close()
//	r := &cache.Request{Method: "GET", URL: url, Header: header}
//	switch l := c.Lookup(r); l.State {
//	case cache.Fresh, cache.Usable: // answer with l.Entry
//	case cache.Revalidate:          // likewise, and do in the background what Stale asks for
//	case cache.Stale:               // send with l.Entry.Validators; then c.Refresh on a 304, else c.Store
//	case cache.Miss:                // c.Join if identical requests are to be collapsed; send; c.Store
//	case cache.Unavailable:         // answer 504
//	case cache.Pass:                // send, then c.Invalidate
//	}
//
// A cache belongs to one client, and within it to credentials: what was fetched with one Authorization, Cookie or secret is never given to a
// request with another, nor to one without. So `private` responses and those to requests with credentials are stored, and s-maxage and
// proxy-revalidate, which are for shared caches, mean nothing. Credentials are kept as keyed hashes only.
//
// Names in all headers are canonical, as net/http makes them. Headers and bodies that are given or got are shared, and nobody changes them.
//
// # What is stored
//
// Responses to GETs that say for how long they are fresh, or whose status may be stored without that (RFC 9110, section 15.1), if there
// is a way to use them again: freshness, a validator, or stale-while-revalidate or stale-if-error (RFC 5861). A response that gives
// Last-Modified and no lifetime is fresh for a tenth of the time since, and for a day at most.
//
// # What isn't
//
// Responses with no-store; to requests with no-store, a Range or a condition of their own; partial ones; those that vary by `*`; those with
// must-understand and an unknown status. Also, though the RFC allows it: those with a Set-Cookie, since the next caller isn't the one it
// was meant for; redirects, since each hop is judged anew; and those over a quarter of the bound. A must-understand doesn't lift a no-store.
//
// # What is doubtful
//
// The most restrictive reading counts: of a directive given twice the smaller lifetime; of a lifetime that is no number, none; of
// an Expires that is no date or given twice, the past; no-cache with field names is no-cache. immutable (RFC 8246) changes nothing, since
// nothing fresh is revalidated here unless the request says so.
//
// # Bodies
//
// Bodies are decoded ones. A response that varies by Accept-Encoding is still told apart by it, so a request that asks for other codings
// goes past the one stored, though its body would do. A 304 never changes Content-Encoding or Content-Length.
package cache

import (
	"net/http"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// Config is what a Cache is made of.
type Config struct {
	Bytes int64            // the most that entries take: bodies, headers, URLs and what goes with them; 0: nothing is stored
	Now   func() time.Time // nil: time.Now
}

// Cache is safe for concurrent use. Build it with [New].
type Cache struct {
	max  int64 // the most one key's entries may take
	now  func() time.Time
	salt [32]byte

	store *otter.Cache[digest, *variants]

	mu     sync.Mutex // over what is read and then written
	closed bool

	invalid    invalidations
	collapsing collapsing
}

// New returns an empty cache.
func New(cfg Config) *Cache {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Cache{now: cfg.Now, salt: newSalt(), max: min(max(cfg.Bytes, 0)/4, maxWeight)}
	c.invalid.init(c.now())
	c.collapsing.init(c.now)
	c.store = otter.Must(&otter.Options[digest, *variants]{
		MaximumWeight: uint64(max(cfg.Bytes, 1)),
		Weigher:       func(_ digest, v *variants) uint32 { return uint32(v.size()) },
		// Without one, otter evicts in a goroutine, and what is stored meanwhile is over the bound. It has no other goroutines as long as
		// nothing expires in it.
		Executor: func(f func()) { f() },
	})
	return c
}

// Close forgets everything. Those who wait for others' answers go out by themselves; from now on nothing is stored and no one waits.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.store.InvalidateAll()
	c.mu.Unlock()
	c.collapsing.close()
}

// Bytes is about what the entries take now.
func (c *Cache) Bytes() int64 { return int64(c.store.WeightedSize()) }

// Request is what is asked for, as it goes out. It is only read.
type Request struct {
	Method      string // other than GET nothing is stored
	URL         string // without fragment
	Header      http.Header
	Credentials []string // further fields that are credentials; Authorization and Cookie always are
}

// State is what a cache knows about a request.
type State uint8

// The states.
const (
	Pass        State = iota // the request isn't one for a cache
	Miss                     // nothing that could be used is stored
	Fresh                    // the entry is the answer
	Stale                    // the entry may be the answer once the upstream confirms it
	Usable                   // the entry is stale, and the answer all the same (max-stale, or as Revalidate to another caller)
	Revalidate               // likewise (stale-while-revalidate), and it is this caller's to ask the upstream in the background
	Unavailable              // only a stored response would do (only-if-cached) and there is none: the answer is a 504
)

// Lookup is what a cache has for a request.
type Lookup struct {
	State State
	Entry *Entry // nil with Pass, Miss and Unavailable
}

// Lookup tells what is stored for a request (RFC 9111, section 4).
func (c *Cache) Lookup(r *Request) Lookup {
	if !cacheable(r) {
		return Lookup{}
	}
	want := requestDirectives(r.Header)
	if want.noStore {
		return Lookup{}
	}
	now := c.now()
	e := c.find(r)
	switch {
	case e != nil:
		state := e.stateFor(&want, now)
		if state == Stale && want.onlyIfCached {
			return Lookup{State: Unavailable}
		}
		if state == Revalidate && !e.claim(now) {
			state = Usable
		}
		return Lookup{state, e}
	case want.onlyIfCached:
		return Lookup{State: Unavailable}
	}
	return Lookup{State: Miss}
}

// find is the entry that a request selects. Since the key is a hash of the whole URL, no other URL's can be found.
func (c *Cache) find(r *Request) *Entry {
	v, ok := c.store.GetIfPresent(c.key(r))
	if !ok {
		return nil
	}
	e := c.selected(v.entries, r.Header)
	if e == nil || c.invalid.since(r.URL, e.sent) {
		return nil
	}
	return e
}

// cacheable tells whether a request is one for a cache at all.
func cacheable(r *Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	for _, name := range [...]string{"Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"} {
		if _, ok := r.Header[name]; ok {
			return false
		}
	}
	return true
}
