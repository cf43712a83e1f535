package cache

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// kept are fields that a 304 doesn't change: what describes the body as it is stored, which is decoded (RFC 9111, section 3.2).
var kept = [...]string{"Content-Length", "Content-Encoding", "Content-Range"}

// Confirms tells whether a 304 with this header is about the entry (RFC 9111, section 4.3.4). It is unless it names another version. One that
// isn't says nothing about any entry here, since only this one's validators were sent: the request has to be sent again without them.
func (e *Entry) Confirms(header http.Header) bool {
	tag, ours := header.Get("Etag"), e.Header.Get("Etag")
	if tag != "" && (ours != "" || !strings.HasPrefix(tag, "W/")) {
		return opaque(tag) == opaque(ours)
	}
	modified, stored := header.Get("Last-Modified"), e.Header.Get("Last-Modified")
	if modified == "" || stored == "" || ours != "" {
		return true
	}
	a, err := http.ParseTime(modified)
	b, storedErr := http.ParseTime(stored)
	return err == nil && storedErr == nil && a.Equal(b)
}

// opaque is an entity tag for weak comparison (RFC 9110, section 8.8.3.2), which is how If-None-Match compares.
func opaque(tag string) string { return strings.TrimPrefix(tag, "W/") }

// Refresh takes over what a 304 says of an entry (RFC 9111, section 4.3.4), stores the result and returns it: it is the answer, be it stored or
// not. A 304 that doesn't confirm the entry ([Entry.Confirms]) changes nothing but that the entry is forgotten, and is returned as it is.
func (c *Cache) Refresh(r *Request, e *Entry, header http.Header, sent, received time.Time) *Entry {
	if !e.Confirms(header) {
		c.drop(r, sent)
		return e
	}
	merged := maps.Clone(e.Header)
	delete(merged, "Age") // without one the confirmation is as old as it has been under way
	for name, values := range storable(header, received) {
		if !slices.Contains(kept[:], name) {
			merged[name] = values
		}
	}
	fresh, ok := c.Store(r, e.Status, merged, e.Body, e.Note, sent, received)
	if ok || fresh != nil {
		return fresh
	}
	c.drop(r, sent)
	fresh = &Entry{Status: e.Status, Header: merged, Body: e.Body, Note: e.Note, sent: sent, received: received, says: readDirectives(merged["Cache-Control"])}
	fresh.calculate(merged)
	return fresh
}
