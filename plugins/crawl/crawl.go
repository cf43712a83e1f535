package main

import (
	"context"
	"errors"
	"sync"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

// Why a crawl stopped, besides the codes limit_requests and limit_bytes of the host's budget, and those by which the policy denies the
// start.
const (
	stopComplete = "complete"
	stopPages    = "max_pages"
	stopDepth    = "max_depth"
	stopDeadline = "deadline"
	stopOutput   = "output_full"
	stopRobots   = "robots"
)

// The error codes of pages that aren't the host's.
const (
	codeRobotsDenied      = "robots_denied"      // robots.txt excludes the page
	codeRobotsUnreachable = "robots_unreachable" // robots.txt can't be had, which excludes all (RFC 9309, section 2.3.1.4)
)

// batchRounds is how many times its concurrency a batch holds: a batch ends with its slowest page, so it is made of several.
const batchRounds = 8

// entry is a page to be fetched.
type entry struct {
	at    location
	depth int
	hops  int // redirects that led here
}

// crawler goes through one site, breadth first: the start, then all pages that it links to, then all that those link to. A page
// is fetched once, whatever leads to it.
type crawler struct {
	options  *options
	start    location
	emit     func(line any) error
	robots   *robots
	seen     map[string]bool
	excluded map[string]bool
	level    []entry // what is left of the current depth
	next     []entry // the depth after it
	summary  summaryLine
	beyond   int // pages that only the depth keeps from being visited
	deadline time.Time
}

// crawl writes a line for each page and a summary, and returns an error only if the summary can't be written.
func crawl(ctx context.Context, o *options, start location, emit func(line any) error) error {
	began := time.Now()
	c := &crawler{options: o, start: start, emit: emit, seen: map[string]bool{}, excluded: map[string]bool{}}
	c.summary = summaryLine{Type: "summary", Start: start.String()}
	c.deadline = began.Add(o.deadline)
	if wall, ok := ctx.Deadline(); ok && wall.Add(-summaryMargin).Before(c.deadline) {
		c.deadline = wall.Add(-summaryMargin)
	}
	ctx, cancel := context.WithDeadline(ctx, c.deadline)
	defer cancel()
	c.run(ctx)
	c.summary.NotVisited += len(c.level) + len(c.next) + c.beyond
	c.summary.Excluded = len(c.excluded)
	c.summary.ElapsedMS = milliseconds(time.Since(began))
	if c.summary.Stopped == "" {
		c.summary.Stopped = stopComplete
		if c.beyond > 0 {
			c.summary.Stopped = stopDepth
		}
	}
	return c.emit(&c.summary)
}

// summaryMargin is kept free before the invocation's own deadline, so that there is time for the summary.
const summaryMargin = 500 * time.Millisecond

func (c *crawler) run(ctx context.Context) {
	if code := c.readRobots(ctx); code != "" {
		c.refuse(code)
		return
	}
	if !c.robots.allowed(c.start.target) {
		c.excluded[c.start.target] = true
		c.refuse(codeRobotsDenied)
		return
	}
	c.seen[c.start.target] = true
	c.level = []entry{{at: c.start}}
	for len(c.level) > 0 {
		for len(c.level) > 0 && c.summary.Stopped == "" {
			c.visitSome(ctx)
		}
		if c.summary.Stopped != "" {
			return
		}
		c.level, c.next = c.next, nil
	}
}

// refuse ends a crawl that can't begin, with a line for its start.
func (c *crawler) refuse(code string) {
	c.summary.Stopped = code
	if code == codeRobotsDenied || code == codeRobotsUnreachable {
		c.summary.Stopped = stopRobots
	}
	if code == stopDeadline || code == "limit_requests" || code == "limit_bytes" {
		c.summary.NotVisited++
		return
	}
	c.write(&pageLine{URL: c.start.String(), Error: code})
}

// readRobots fetches the site's robots.txt (RFC 9309, section 2.3.1), redirects included. It returns why nothing may be crawled, or "".
func (c *crawler) readRobots(ctx context.Context) string {
	resp, err := sortie.Fetch(ctx, c.request(location{c.start.origin, "/robots.txt"}).With(sortie.WithRedirect(sortie.RedirectFollow)))
	c.summary.Robots = "unreachable"
	switch {
	case err != nil && c.exhausted(ctx, codeOf(err)) != "":
		return c.exhausted(ctx, codeOf(err))
	case errors.Is(err, sortie.ErrDenied) || errors.Is(err, sortie.ErrInvalid):
		return codeOf(err)
	case err != nil || resp.Status >= 500 || resp.Status == 429:
		sortie.Log.Warn("robots.txt can't be had, so nothing may be crawled", "site", c.start.origin, "error", err)
		return codeRobotsUnreachable
	case resp.Status >= 200 && resp.Status < 300:
		c.robots, c.summary.Robots = parseRobots(resp.Body, c.options.agent()), "found"
	default: // 4xx, or a redirect without end: there is none, and everything is allowed
		c.robots, c.summary.Robots = &robots{}, "none"
	}
	return ""
}

func (c *crawler) request(at location) *sortie.Request {
	return (&sortie.Request{Method: "GET", URL: at.String()}).With(
		sortie.WithHeader("user-agent", c.options.userAgent),
		sortie.WithHeader("accept", "text/html,application/xhtml+xml,*/*;q=0.1"),
		sortie.WithRedirect(sortie.RedirectManual),
		sortie.WithTimeout(c.options.timeout))
}

// late tells whether the crawl's time is over, as opposed to a page's. The host's clock may be a little ahead of ours.
func (c *crawler) late(ctx context.Context) bool {
	return ctx.Err() != nil || time.Until(c.deadline) < 20*time.Millisecond
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*sortie.Error](err); ok {
		return e.Code
	}
	return "read_error"
}

// visitSome fetches the next pages of the level, as many at once as configured; one after the other if the site asks for a delay.
func (c *crawler) visitSome(ctx context.Context) {
	n, concurrency := min(len(c.level), c.options.maxPages-c.summary.Pages), c.options.concurrency
	if n <= 0 {
		c.summary.Stopped = stopPages
		return
	}
	if c.robots.delay > 0 {
		n, concurrency = 1, 1
		if !sleep(ctx, c.robots.delay) {
			c.summary.Stopped = stopDeadline
			return
		}
	}
	batch := c.level[:min(n, concurrency*batchRounds)]
	c.level = c.level[len(batch):]
	for page := range c.fetchAll(ctx, batch, concurrency) {
		c.settled(ctx, page)
	}
}

// fetched is what became of a page.
type fetched struct {
	entry
	response *sortie.Response
	body     []byte
	size     int64
	elapsed  time.Duration // from the call to the last byte
	err      error
}

// fetchAll fetches pages, so many at once with their bodies, and gives them in the order in which they have arrived.
func (c *crawler) fetchAll(ctx context.Context, pages []entry, concurrency int) <-chan fetched {
	todo, done := make(chan entry, len(pages)), make(chan fetched, len(pages))
	for _, e := range pages {
		todo <- e
	}
	close(todo)
	var workers sync.WaitGroup
	for range min(concurrency, len(pages)) {
		workers.Go(func() {
			for e := range todo {
				done <- c.fetch(ctx, e)
			}
		})
	}
	go func() { workers.Wait(); close(done) }()
	return done
}

// fetch gets one page. The body is a stream so that no more of it is held than is looked at.
func (c *crawler) fetch(ctx context.Context, e entry) (page fetched) {
	began := time.Now()
	page.entry = e
	page.response, page.err = sortie.Fetch(ctx, c.request(e.at), sortie.WithStream())
	if page.err == nil {
		page.body, page.size, page.err = readBody(page.response.BodyReader)
	}
	page.elapsed = time.Since(began)
	return page
}

// sleep waits, and tells false if the time is over before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// settled takes what became of a page. One that never was, because the budget or the time is used up, is left unvisited and ends the
// crawl with this batch.
func (c *crawler) settled(ctx context.Context, p fetched) {
	line := &pageLine{URL: p.at.String(), Depth: p.depth}
	if p.err != nil {
		line.Error = codeOf(p.err)
		if why := c.exhausted(ctx, line.Error); why != "" {
			c.summary.Stopped = why
			c.summary.NotVisited++
			return
		}
		c.write(line)
		return
	}
	resp := p.response
	line.Status, line.Bytes, line.ElapsedMS = resp.Status, p.size, milliseconds(p.elapsed)
	var found *page
	switch {
	case isRedirect(resp):
		c.redirect(p.entry, resp, line)
	case resp.Status >= 200 && resp.Status < 300:
		found = readPage(p.at, resp.Header, p.body, c.options.agent())
		line.Title, line.Links = found.title, len(found.links)
	}
	if c.write(line) && found != nil {
		for _, link := range found.links {
			c.follow(link, p.depth+1, 0)
		}
	}
}

// exhausted says whether an error ends the whole crawl.
func (c *crawler) exhausted(ctx context.Context, code string) string {
	switch code {
	case "limit_requests", "limit_bytes":
		return code
	case "timeout", "cancelled":
		if c.late(ctx) {
			return stopDeadline
		}
	}
	return ""
}

// write emits a page's line and counts it.
func (c *crawler) write(line *pageLine) bool {
	line.Type = "page"
	if err := c.emit(line); err != nil {
		c.summary.Stopped = stopOutput
		c.summary.NotVisited++
		return false
	}
	c.summary.Pages++
	c.summary.Bytes += line.Bytes
	c.summary.Depth = max(c.summary.Depth, line.Depth)
	if line.Error != "" || line.Status >= 400 {
		c.summary.Errors++
	}
	return true
}
