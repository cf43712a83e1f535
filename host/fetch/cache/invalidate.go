package cache

import (
	"hash/maphash"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Invalidate forgets what a successful request with an unsafe method may have changed (RFC 9111, section 4.4): its URL, whatever the
// credentials it was stored for, and the URLs that the response names in Location and Content-Location if they are of the same origin.
// Answers to requests that are under way to these URLs won't be stored. Safe methods, and statuses from 400 on, change nothing.
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
		value := header.Get(name)
		if value == "" {
			continue
		}
		if to, err := base.Parse(value); err == nil && origin(to) == origin(base) {
			to.Scheme, to.Host, to.User, to.Fragment, to.RawFragment = base.Scheme, base.Host, base.User, "", ""
			if to.Path == "" {
				to.Path = "/"
			}
			c.forget(r, to.String())
		}
	}
}

// origin is scheme, host and port of a URL, to be compared.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		switch u.Scheme {
		case "http":
			port = "80"
		case "https":
			port = "443"
		}
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

func (c *Cache) forget(r *Request, url string) {
	same := Request{URL: url, Header: r.Header, Credentials: r.Credentials}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.invalid.mark(url, c.now())
	c.store.Invalidate(c.key(&same))
}

// invalidations remember when URLs were last invalidated. Several share a place, which makes a few entries useless that needn't be: with
// this many places hardly any, and what is remembered is bounded without ever forgetting. Which share one can't be known from outside.
type invalidations struct {
	seed   maphash.Seed
	start  time.Time
	places atomic.Pointer[[1024]atomic.Int64] // nanoseconds after start; nil: there was none yet
}

func (i *invalidations) init(now time.Time) { i.seed, i.start = maphash.MakeSeed(), now }

func (i *invalidations) mark(url string, now time.Time) {
	places := i.places.Load()
	if places == nil {
		places = new([1024]atomic.Int64) // marks are made under the cache's lock, so there is no other
		for n := range places {
			places[n].Store(-1 << 63)
		}
	}
	places[maphash.String(i.seed, url)%1024].Store(int64(now.Sub(i.start)))
	i.places.Store(places)
}

// since tells whether a URL was invalidated at a time or later.
func (i *invalidations) since(url string, at time.Time) bool {
	places := i.places.Load()
	return places != nil && places[maphash.String(i.seed, url)%1024].Load() >= int64(at.Sub(i.start))
}
