package main

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sortie-run/sortie/plugins/internal/settings"
)

// options is how to crawl. The configuration gives the most that a request can ask for.
type options struct {
	start       string
	maxPages    int
	maxDepth    int
	concurrency int
	timeout     time.Duration // of a page
	deadline    time.Duration // of the crawl
	userAgent   string
}

// agent is the product token, which robots.txt goes by.
func (o *options) agent() string { return productToken(o.userAgent) }

// readOptions reads the manifest's `config`. The error is settings.Problems.
func readOptions(raw any) (*options, error) {
	root := settings.New(raw)
	f := root.Object("start", "max_pages", "max_depth", "concurrency", "timeout", "deadline", "user_agent")
	o := &options{
		start:       f["start"].Text(""),
		maxPages:    f["max_pages"].Int(100, 1, 5000),
		maxDepth:    f["max_depth"].Int(5, 0, 1000),
		concurrency: f["concurrency"].Int(4, 1, 64),
		timeout:     f["timeout"].Duration(10*time.Second, time.Hour),
		deadline:    f["deadline"].Duration(25*time.Second, time.Hour),
		userAgent:   f["user_agent"].Text("SortieCrawl/1.0"),
	}
	if o.start != "" {
		if _, err := parseLocation(o.start); err != nil {
			f["start"].Fail("%q %s", o.start, err)
		}
	}
	if o.agent() == "" {
		f["user_agent"].Fail("must begin with a name of letters, - and _, such as SortieCrawl/1.0")
	}
	for _, key := range []string{"timeout", "deadline"} {
		if f[key].Set() && f[key].Duration(1, time.Hour) == 0 {
			f[key].Fail("must be above 0")
		}
	}
	return o, root.Err()
}

// ask applies the query of a request: url, and max_pages, max_depth and concurrency up to what is configured. A configured start
// fixes the site: a url must then be of its origin.
func (o *options) ask(query url.Values) (start location, err error) {
	numbers := map[string]*int{"max_pages": &o.maxPages, "max_depth": &o.maxDepth, "concurrency": &o.concurrency}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		field, ok := numbers[name]
		if !ok && name != "url" {
			return location{}, fmt.Errorf("there is no parameter %q; known are url, max_pages, max_depth, concurrency", name)
		}
		if !ok {
			continue
		}
		least := 1
		if name == "max_depth" {
			least = 0
		}
		n, err := strconv.Atoi(query.Get(name))
		if err != nil || n < least {
			return location{}, fmt.Errorf("%s: %q is not a whole number from %d on", name, query.Get(name), least)
		}
		*field = min(*field, n)
	}
	return o.startOf(query.Get("url"))
}

func (o *options) startOf(asked string) (location, error) {
	if asked == "" {
		if o.start == "" {
			return location{}, fmt.Errorf("where to begin is missing: add ?url=https://…, or configure start")
		}
		return parseLocation(o.start)
	}
	l, err := parseLocation(asked)
	if err != nil {
		return location{}, fmt.Errorf("url: %q %w", asked, err)
	}
	if o.start != "" {
		if own, err := parseLocation(o.start); err != nil || own.origin != l.origin {
			return location{}, fmt.Errorf("url: only %s is crawled here", own.origin)
		}
	}
	return l, nil
}
