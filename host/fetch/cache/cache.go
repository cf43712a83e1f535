// Package cache is a private HTTP cache (RFC 9111) that lives in memory, and the collapsing of identical requests. It has no network: the
// caller asks what is stored, sends what has to be sent, and tells what came back.
//
//	c := cache.New(cache.Config{Bytes: 16 << 20})
//	switch l := c.Lookup(&cache.Request{URL: url, Header: header}); l.State {
//	case cache.Fresh: // answer with l.Entry
//	case cache.Stale: // send with l.Entry.Validators, then c.Refresh on a 304 or c.Store
//	case cache.Miss:  // send, then c.Store
//	}
//
// A cache belongs to one client, and within it to credentials: what was fetched with one Authorization, Cookie or secret is never given to a
// request with another. So `private` responses are stored, and s-maxage and proxy-revalidate mean nothing.
//
// Bodies are decoded ones. A response that varies by Accept-Encoding is still stored by it, so requests that ask for another encoding
// go past it.
//
// # What isn't stored
//
// Responses to other methods than GET, to requests with a Range or a condition of their own, partial and redirecting ones, those with a
// Set-Cookie (the next caller isn't the one it was meant for), those that vary by `*`, and those with a Cache-Control that can't be read.
package cache

import (
	"net/http"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// Config is what a Cache is made of.
type Config struct {
	Bytes int64            // the most that entries take: bodies, headers, URLs and what goes with them; no entry takes over a quarter
	Now   func() time.Time // nil: time.Now
}

// Cache is safe for concurrent use. Build it with [New].
type Cache struct {
	max  int64
	now  func() time.Time
	salt [16]byte

	mu    sync.Mutex // over what is read and then written
	store *otter.Cache[string, *variants]

	collapsing collapsing
}

// variants are the responses to one URL and credentials that differ by what they vary by. They aren't changed once stored.
type variants struct{ entries []*Entry }

const (
	maxVariants   = 8
	entryOverhead = 512 // what an entry takes beside its texts, roughly
)

// New returns an empty cache.
func New(cfg Config) *Cache {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Cache{max: max(cfg.Bytes, 0), now: cfg.Now, salt: newSalt()}
	c.store = otter.Must(&otter.Options[string, *variants]{
		MaximumWeight: uint64(max(c.max, 1)),
		Weigher: func(key string, v *variants) uint32 {
			total := int64(len(key))
			for _, e := range v.entries {
				total += e.size
			}
			return uint32(min(total, 1<<31))
		},
		Executor: func(f func()) { f() }, // no goroutines of its own
	})
	c.collapsing.init(c.now)
	return c
}

// Bytes is about what the entries take now.
func (c *Cache) Bytes() int64 {
	c.store.CleanUp()
	return int64(c.store.WeightedSize())
}

// Request is what is asked for, as it goes out. It is only read.
type Request struct {
	Method      string // GET, or nothing is stored
	URL         string // without fragment
	Header      http.Header
	Credentials []string // further fields, canonical, that are credentials; Authorization and Cookie always are

	key string
}

// State is what a cache knows about a request.
type State uint8

// The states.
const (
	Pass        State = iota // the request isn't one for a cache
	Miss                     // nothing that could be used is stored
	Fresh                    // the entry is the answer
	Stale                    // the entry may be the answer once the upstream confirms it
	Usable                   // the entry is stale, and the answer all the same, as the request says (max-stale)
	Revalidate               // likewise, as the response says (stale-while-revalidate), but somebody should now ask the upstream
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
	want, ok := requestDirectives(r.Header)
	if !ok || want.NoStore {
		return Lookup{}
	}
	v, _ := c.store.GetIfPresent(c.key(r))
	e := v.find(r.Header)
	switch {
	case e != nil:
		if state := e.stateFor(want, c.now()); state != Stale || !want.OnlyIfCached {
			return Lookup{state, e}
		}
		return Lookup{State: Unavailable}
	case want.OnlyIfCached:
		return Lookup{State: Unavailable}
	}
	return Lookup{State: Miss}
}

// cacheable tells whether a request is one for a cache at all.
func cacheable(r *Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	for _, name := range [...]string{"Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"} {
		if r.Header[name] != nil {
			return false
		}
	}
	return true
}

// find is the variant that a request selects (RFC 9111, section 4.1). v may be nil.
func (v *variants) find(header http.Header) *Entry {
	if v == nil {
		return nil
	}
	for _, e := range v.entries {
		if e.matches(header) {
			return e
		}
	}
	return nil
}
