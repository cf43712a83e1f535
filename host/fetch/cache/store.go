package cache

import (
	"net/http"
	"time"
)

// Store keeps the response to a request that was sent and answered at these times, if it may be kept and is worth it, and tells whether it
// is; the entry is nil if it mustn't be. What was stored for the request before is forgotten if the new response can't take its place,
// unless that is no more than a passing failure.
func (c *Cache) Store(r *Request, status int, header http.Header, body []byte, note any, sent, received time.Time) (*Entry, bool) {
	if want := requestDirectives(r.Header); !cacheable(r) || want.noStore {
		return nil, false
	}
	e, ok := c.newEntry(r, status, header, body, sent, received)
	if !ok || !e.worthwhile() || e.size > c.max {
		if !passing(status) {
			c.drop(r, sent)
		}
		return nil, false
	}
	e.Note = note
	return e, c.put(r, e)
}

// passing tells whether a status says more about now than about the resource.
func passing(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// put adds an entry in place of the one that the same requests select, unless that was asked for later. An answer to what was asked before
// the URL was invalidated may be older than what invalidated it, and isn't kept either.
func (c *Cache) put(r *Request, e *Entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.invalid.since(r.URL, e.sent) {
		return false
	}
	key := c.key(r)
	now, _ := c.store.GetIfPresent(key)
	var old *Entry
	if now != nil {
		if old = c.selected(now.entries, r.Header); old != nil && old.sent.After(e.sent) {
			return false
		}
	}
	c.store.Set(key, now.with(e, old, c.max))
	c.store.CleanUp() // a reader may be at it, and have left the eviction for later
	return true
}

// drop forgets the entry that a request selects, unless it was asked for later than what has shown it to be outdated.
func (c *Cache) drop(r *Request, sent time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := c.key(r)
	v, ok := c.store.GetIfPresent(key)
	if !ok {
		return
	}
	e := c.selected(v.entries, r.Header)
	if e == nil || e.sent.After(sent) {
		return
	}
	if v = v.without(e); v == nil {
		c.store.Invalidate(key)
	} else {
		c.store.Set(key, v)
	}
}
