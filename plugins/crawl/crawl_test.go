package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

const site = "https://docs.example.com"

// newSite is a fake host with a site: bodies by path and query, HTML all of them but robots.txt. What isn't there is 404.
func newSite(t *testing.T, config map[string]any, pages map[string]string) *sortietest.Host {
	t.Helper()
	h := sortietest.New(t)
	h.Config(config)
	h.Limit(sortietest.Limits{Requests: 10000})
	h.Func(site+"/*", func(r *sortie.Request) (*sortie.Response, error) {
		path := strings.TrimPrefix(r.URL, site)
		body, ok := pages[path]
		resp := &sortie.Response{Status: 200, Header: sortie.Header{"content-type": {"text/html"}}, Body: []byte(body)}
		if target, moved := strings.CutPrefix(body, "→ "); moved {
			resp.Status, resp.Body = 301, nil
			resp.Header.Set("location", target)
		}
		if !ok {
			resp.Status, resp.Body = 404, []byte(`<title>Not found</title><a href="/from-404">`)
		}
		return resp, nil
	})
	return h
}

// links makes a page that links there.
func links(paths ...string) string {
	var b strings.Builder
	for _, path := range paths {
		fmt.Fprintf(&b, "<a href=%q>x</a>", path)
	}
	return b.String()
}

// crawled runs a crawl and reads its lines.
func crawled(t *testing.T, h *sortietest.Host, query string) ([]pageLine, summaryLine) {
	t.Helper()
	resp, err := h.Invoke("GET", "/?url="+site+"/"+query)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Status != 200 || resp.Header.Get("content-type") != "application/x-ndjson" {
		t.Fatalf("got %d %v %s", resp.Status, resp.Header, resp.Body)
	}
	var pages []pageLine
	var summary summaryLine
	all := bytes.Split(bytes.TrimSuffix(resp.Body, []byte("\n")), []byte("\n"))
	for i, text := range all {
		var line pageLine
		if err := json.Unmarshal(text, &line); err != nil {
			t.Fatalf("line %d: %v: %s", i, err, text)
		}
		if i == len(all)-1 {
			if err := json.Unmarshal(text, &summary); err != nil || summary.Type != "summary" {
				t.Fatalf("the last line: %v: %s", err, text)
			}
			break
		}
		if line.Type != "page" {
			t.Fatalf("line %d: %s", i, text)
		}
		pages = append(pages, line)
	}
	if summary.Pages != len(pages) {
		t.Errorf("the summary counts %d pages, there are %d", summary.Pages, len(pages))
	}
	return pages, summary
}

// paths are the pages as `depth path`, in order of the lines within a depth, sorted by path.
func paths(pages []pageLine) []string {
	var list []string
	for _, p := range pages {
		list = append(list, fmt.Sprintf("%d %s", p.Depth, strings.TrimPrefix(p.URL, site)))
	}
	slices.Sort(list)
	return list
}

func wantPaths(t *testing.T, pages []pageLine, want ...string) {
	t.Helper()
	if got := paths(pages); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestBreadthFirst(t *testing.T) {
	t.Parallel()
	h := newSite(t, nil, map[string]string{
		"/":     "<title>Start</title>" + links("/a", "/b", "/a#x", "https://other.example/", "/deep/../b", "mailto:x"),
		"/a":    "<title>A</title>" + links("/", "/b", "/a/1", "/missing"),
		"/b":    links("/a", "/a/1?x=1"),
		"/a/1":  links("/a/2"),
		"/a/2":  links("/a/1"),
		"/logo": "never linked",
	})
	pages, summary := crawled(t, h, "")
	wantPaths(t, pages, "0 /", "1 /a", "1 /b", "2 /a/1", "2 /a/1?x=1", "2 /missing", "3 /a/2")
	for i := 1; i < len(pages); i++ {
		if pages[i].Depth < pages[i-1].Depth {
			t.Errorf("%s comes after %s", pages[i].URL, pages[i-1].URL)
		}
	}
	if p := pages[0]; p.Title != "Start" || p.Links != 3 || p.Status != 200 || p.Bytes == 0 || p.Error != "" || p.Redirect != "" {
		t.Errorf("the start: %+v", p)
	}
	if summary.Stopped != "complete" || summary.Errors != 2 || summary.Depth != 3 || summary.NotVisited != 0 || summary.Robots != "none" ||
		summary.Start != site+"/" {
		t.Errorf("summary: %+v", summary)
	}
	fetched := map[string]int{}
	for _, r := range h.Requests() {
		fetched[r.URL]++
		if r.Header.Get("user-agent") != "SortieCrawl/1.0" {
			t.Errorf("user agent %q", r.Header.Get("user-agent"))
		}
	}
	for url, n := range fetched {
		if n != 1 {
			t.Errorf("%s was fetched %d times", url, n)
		}
	}
	if len(fetched) != len(pages)+1 {
		t.Errorf("%d URLs fetched for %d pages and robots.txt", len(fetched), len(pages))
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	pages := map[string]string{"/": links("/1", "/2", "/3", "/4"), "/1": links("/1/1"), "/1/1": links("/1/1/1")}
	for _, test := range []struct {
		name, query string
		config      map[string]any
		pages       int
		stopped     string
		notVisited  int
	}{
		{"none needed", "", nil, 7, "complete", 0},
		{"pages, asked for", "&max_pages=3", nil, 3, "max_pages", 3},
		{"pages, configured", "", map[string]any{"max_pages": 1}, 1, "max_pages", 4},
		{"no more than configured", "&max_pages=99", map[string]any{"max_pages": 2}, 2, "max_pages", 4},
		{"just enough pages", "&max_pages=7", nil, 7, "complete", 0},
		{"depth", "&max_depth=1", nil, 5, "max_depth", 1},
		{"the start alone", "&max_depth=0", nil, 1, "max_depth", 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, summary := crawled(t, newSite(t, test.config, pages), test.query)
			if len(got) != test.pages || summary.Stopped != test.stopped || summary.NotVisited != test.notVisited {
				t.Errorf("%d pages, %+v", len(got), summary)
			}
		})
	}
}

func TestRequestsRunOut(t *testing.T) {
	t.Parallel()
	all := map[string]string{"/": links("/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8")}
	for i := range 8 {
		all[fmt.Sprintf("/%d", i+1)] = links("/x")
	}
	h := newSite(t, nil, all)
	h.Limit(sortietest.Limits{Requests: 5}) // robots.txt, the start, three more
	pages, summary := crawled(t, h, "")
	if len(pages) != 4 || summary.Stopped != "limit_requests" || summary.Errors != 0 {
		t.Errorf("%d pages, %+v", len(pages), summary)
	}
	if summary.NotVisited != 6 { // five of the eight, and /x
		t.Errorf("%d not visited", summary.NotVisited)
	}

	h.Limit(sortietest.Limits{Requests: 1}) // robots.txt alone
	if pages, summary := crawled(t, h, ""); len(pages) != 0 || summary.Stopped != "limit_requests" || summary.NotVisited != 1 {
		t.Errorf("%d pages, %+v", len(pages), summary)
	}
}

func TestBytesRunOut(t *testing.T) {
	t.Parallel()
	big := strings.Repeat(" ", 1000)
	h := newSite(t, map[string]any{"concurrency": 1}, map[string]string{"/": links("/1") + big, "/1": links("/2") + big, "/2": links("/3") + big})
	h.Limit(sortietest.Limits{TotalBytes: 2500})
	pages, summary := crawled(t, h, "")
	if len(pages) != 2 || summary.Stopped != "limit_bytes" || summary.NotVisited != 1 || summary.Bytes < 2000 {
		t.Errorf("%d pages, %+v", len(pages), summary)
	}
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			query string
			most  int
			took  time.Duration // robots.txt, the start, twelve pages
		}{{"", 4, 5 * time.Second}, {"&concurrency=2", 2, 8 * time.Second}, {"&concurrency=99", 4, 5 * time.Second}, {"&concurrency=1", 1, 14 * time.Second}} {
			h := sortietest.New(t)
			h.Reply(site+"/robots.txt", sortietest.Reply{Status: 404, Delay: time.Second})
			var twelve []string
			for i := range 12 {
				twelve = append(twelve, fmt.Sprintf("/%d", i))
			}
			html := map[string]string{"content-type": "text/html"}
			h.Reply(site+"/*", sortietest.Reply{Body: links(twelve...), Header: html, Delay: time.Second})
			began := time.Now()
			pages, _ := crawled(t, h, test.query)
			if took := time.Since(began); len(pages) != 13 || h.MaxInFlight() != test.most || took != test.took {
				t.Errorf("%q: %d pages, %d at once, %s", test.query, len(pages), h.MaxInFlight(), took)
			}
		}
	})
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			name    string
			config  map[string]any
			stream  time.Duration
			took    time.Duration
			pages   int
			stopped string
			errors  int
		}{
			{"of the crawl", map[string]any{"deadline": "2s"}, 0, 2 * time.Second, 3, "deadline", 0},
			{"of the invocation", nil, 2500 * time.Millisecond, 2 * time.Second, 3, "deadline", 0},
			{"of a page", map[string]any{"timeout": "1s"}, 0, 2400 * time.Millisecond, 5, "complete", 1},
		} {
			h := sortietest.New(t)
			h.Config(test.config)
			h.Limit(sortietest.Limits{Stream: test.stream})
			html := map[string]string{"content-type": "text/html"}
			h.Reply(site+"/slow", sortietest.Reply{Delay: time.Minute})
			h.Reply(site+"/late", sortietest.Reply{Delay: 400 * time.Millisecond})
			h.Reply(site+"/2", sortietest.Reply{Body: links("/late"), Header: html, Delay: 400 * time.Millisecond})
			h.Reply(site+"/robots.txt", sortietest.Reply{Delay: 200 * time.Millisecond})
			h.Reply(site+"/", sortietest.Reply{Body: links("/1", "/2", "/slow"), Header: html, Delay: 800 * time.Millisecond})
			h.Reply(site+"/1", sortietest.Reply{Delay: 200 * time.Millisecond})
			began := time.Now()
			pages, summary := crawled(t, h, "")
			if took := time.Since(began); took != test.took || len(pages) != test.pages || summary.Stopped != test.stopped || summary.Errors != test.errors {
				t.Errorf("%s: took %s, %d pages, %+v", test.name, took, len(pages), summary)
			}
			if test.stopped == "deadline" && summary.NotVisited != 2 { // the slow one, and the one after
				t.Errorf("%s: %d not visited", test.name, summary.NotVisited)
			}
		}
	})
}

func TestFailures(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Limit(sortietest.Limits{ResponseBytes: 2000})
	html := map[string]string{"content-type": "text/html"}
	h.Reply(site+"/", sortietest.Reply{Body: links("/ok", "/reset", "/500", "/big", "/text", "/ok2"), Header: html})
	h.Reply(site+"/robots.txt", sortietest.Reply{Status: 404})
	h.Reply(site+"/reset", sortietest.Reply{Code: "read_error"})
	h.Reply(site+"/500", sortietest.Reply{Status: 500, Body: links("/hidden"), Header: html})
	h.Reply(site+"/big", sortietest.Reply{Body: strings.Repeat("x", 3000), Header: html})
	h.Reply(site+"/text", sortietest.Reply{Body: links("/hidden"), Header: map[string]string{"content-type": "text/plain"}})
	h.Reply(site+"/*", sortietest.Reply{Header: html})
	pages, summary := crawled(t, h, "")
	got := map[string]string{}
	for _, p := range pages {
		got[strings.TrimPrefix(p.URL, site)] = fmt.Sprint(p.Status, p.Error)
	}
	want := map[string]string{"/": "200", "/ok": "200", "/ok2": "200", "/reset": "0read_error", "/500": "500", "/big": "0response_too_large", "/text": "200"}
	if fmt.Sprint(got) != fmt.Sprint(want) || summary.Errors != 3 || summary.Stopped != "complete" {
		t.Errorf("got %v, %+v", got, summary)
	}
}
