package cache

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Store keeps a response if it may be and is worth it, and gives the entry. The body and the header are the cache's from now on, to read.
func (c *Cache) Store(r *Request, status int, header http.Header, body []byte, note any, sent, received time.Time) (*Entry, bool) {
	if want, ok := requestDirectives(r.Header); !cacheable(r) || !ok || want.NoStore {
		return nil, false
	}
	e, ok := newEntry(r, status, header, body, sent, received)
	if !ok || e.lifetime <= e.age && len(e.Validators()) == 0 && e.directives.StaleWhileRevalidate <= 0 && e.directives.StaleIfError <= 0 {
		c.drop(r) // whatever was stored has been replaced at the upstream
		return nil, false
	}
	e.Note = note
	if e.size > c.max/4 {
		c.drop(r)
		return nil, false
	}
	c.put(r, e)
	return e, true
}

// put adds an entry in place of the one that the same requests select. The oldest goes when there are too many.
func (c *Cache) put(r *Request, e *Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := c.key(r)
	next := &variants{entries: []*Entry{e}}
	if old, ok := c.store.GetIfPresent(key); ok {
		for _, o := range old.entries {
			if !o.matches(r.Header) && len(next.entries) < maxVariants {
				next.entries = append(next.entries, o)
			}
		}
	}
	c.store.Set(key, next)
}

// drop forgets the entry that a request selects.
func (c *Cache) drop(r *Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := c.key(r)
	old, ok := c.store.GetIfPresent(key)
	if !ok || old.find(r.Header) == nil {
		return
	}
	rest := slices.DeleteFunc(slices.Clone(old.entries), func(e *Entry) bool { return e.matches(r.Header) })
	if len(rest) == 0 {
		c.store.Invalidate(key)
		return
	}
	c.store.Set(key, &variants{rest})
}

// unchanged are fields that a 304 says nothing about, since they describe a body that it doesn't have (RFC 9111, section 3.2).
var unchanged = []string{"Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Transfer-Encoding"}

// Refresh takes over what a 304 says of an entry (RFC 9111, section 4.3.4), stores and returns the result.
func (c *Cache) Refresh(r *Request, e *Entry, header http.Header, sent, received time.Time) *Entry {
	merged := maps.Clone(e.Header)
	for name, values := range header {
		if !slices.Contains(unchanged, name) {
			merged[name] = values
		}
	}
	// The age is that of the confirmation, unless it has one of its own.
	if header["Age"] == nil {
		delete(merged, "Age")
	}
	fresh, ok := c.Store(r, e.Status, merged, e.Body, e.Note, sent, received)
	if !ok { // it mustn't be kept any more, but it is the answer
		kept := *e
		kept.Header, kept.received, kept.age = merged, received, 0
		return &kept
	}
	return fresh
}

// Invalidate forgets what a successful request with an unsafe method may have changed (RFC 9111, section 4.4): its URL, and those that the
// response names in Location and Content-Location if they are of the same origin, under the request's own credentials.
func (c *Cache) Invalidate(r *Request, status int, header http.Header) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return
	}
	if status < 200 || status >= 400 {
		return
	}
	c.forget(r, r.URL)
	base, err := url.Parse(r.URL)
	if err != nil {
		return
	}
	for _, name := range [...]string{"Location", "Content-Location"} {
		if to, err := base.Parse(header.Get(name)); err == nil && header.Get(name) != "" && to.Scheme == base.Scheme && to.Host == base.Host {
			to.Fragment = ""
			c.forget(r, to.String())
		}
	}
}

func (c *Cache) forget(r *Request, url string) {
	other := Request{Method: r.Method, URL: url, Header: r.Header, Credentials: r.Credentials}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store.Invalidate(c.key(&other))
}
