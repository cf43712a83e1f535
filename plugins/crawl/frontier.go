package main

import (
	"net/url"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

const (
	// maxHops bounds a chain of redirects; each hop is a page of its own.
	maxHops = 10
	// maxSeen bounds the URLs that are remembered; those beyond it aren't followed.
	maxSeen = 50000
)

func isRedirect(resp *sortie.Response) bool {
	switch resp.Status {
	case 301, 302, 303, 307, 308:
		return resp.Header.Get("location") != ""
	}
	return false
}

// redirect records where a page redirects to, and follows within the site. The target is a page of the same depth.
func (c *crawler) redirect(e entry, resp *sortie.Response, line *pageLine) {
	base, err := url.Parse(e.at.String())
	if err != nil {
		return
	}
	target, err := resolve(base, resp.Header.Get("location"))
	switch {
	case err != nil:
		line.Error = "invalid_url"
	case e.hops == maxHops:
		line.Redirect, line.Error = target.String(), "too_many_redirects"
	default:
		line.Redirect = target.String()
		c.follow(target, e.depth, e.hops+1)
	}
}

// follow puts a page on the list unless it is on another site, known already, or excluded.
func (c *crawler) follow(at location, depth, hops int) {
	if at.origin != c.start.origin || c.seen[at.target] || c.excluded[at.target] {
		return
	}
	if len(c.seen)+len(c.excluded) >= maxSeen {
		return
	}
	if !c.robots.allowed(at.target) {
		c.excluded[at.target] = true
		return
	}
	c.seen[at.target] = true
	e := entry{at, depth, hops}
	switch {
	case depth > c.options.maxDepth:
		c.beyond++
	case hops > 0:
		c.level = append(c.level, e)
	default:
		c.next = append(c.next, e)
	}
}
