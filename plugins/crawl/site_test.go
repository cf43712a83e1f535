package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

func TestRobotsObeyed(t *testing.T) {
	t.Parallel()
	h := newSite(t, nil, map[string]string{
		"/robots.txt": "User-agent: *\nDisallow: /\n\nUser-agent: SortieCrawl\nDisallow: /private\nAllow: /private/open\nDisallow: /*.pdf$\n",
		"/":           links("/private", "/private/x", "/private/open", "/%70rivate/y", "/a.pdf", "/a.pdf?x", "/moved", "/private/x"),
		"/moved":      "→ /private/z",
	})
	pages, summary := crawled(t, h, "")
	wantPaths(t, pages, "0 /", "1 /a.pdf?x", "1 /moved", "1 /private/open")
	if summary.Robots != "found" || summary.Excluded != 5 || summary.Stopped != "complete" {
		t.Errorf("summary: %+v", summary)
	}
	for _, r := range h.Requests() {
		if strings.Contains(r.URL, "/private") && !strings.Contains(r.URL, "/open") {
			t.Errorf("%s was fetched", r.URL)
		}
	}
}

func TestRobotsAnswers(t *testing.T) {
	t.Parallel()
	const forbid = "User-agent: *\nDisallow: /"
	for _, test := range []struct {
		name          string
		reply         sortietest.Reply
		robots, state string
		code          string // of the start's line
	}{
		{"allows", sortietest.Reply{Body: "User-agent: *\nDisallow: /x"}, "found", "complete", ""},
		{"forbids", sortietest.Reply{Body: forbid}, "found", "robots", "robots_denied"},
		{"isn't there", sortietest.Reply{Status: 404, Body: forbid}, "none", "complete", ""},
		{"is gone", sortietest.Reply{Status: 410}, "none", "complete", ""},
		{"is for others", sortietest.Reply{Status: 403}, "none", "complete", ""},
		{"fails", sortietest.Reply{Status: 500}, "unreachable", "robots", "robots_unreachable"},
		{"is busy", sortietest.Reply{Status: 429}, "unreachable", "robots", "robots_unreachable"},
		{"can't be reached", sortietest.Reply{Code: "connect_timeout"}, "unreachable", "robots", "robots_unreachable"},
		{"is too large for the host", sortietest.Reply{Code: "response_too_large"}, "unreachable", "robots", "robots_unreachable"},
		{"redirects", sortietest.Reply{Status: 302, Header: map[string]string{"location": "/robots2.txt"}}, "found", "robots", "robots_denied"},
		{"isn't allowed by the policy", sortietest.Reply{Code: "host_denied"}, "unreachable", "host_denied", "host_denied"},
		{"has a private address", sortietest.Reply{Code: "address_denied"}, "unreachable", "address_denied", "address_denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := sortietest.New(t)
			h.Reply(site+"/robots.txt", test.reply)
			h.Reply(site+"/robots2.txt", sortietest.Reply{Body: forbid})
			h.Reply(site+"/", sortietest.Reply{Body: "x"})
			pages, summary := crawled(t, h, "")
			if len(pages) != 1 || pages[0].Error != test.code || (pages[0].Status == 200) != (test.code == "") ||
				summary.Robots != test.robots || summary.Stopped != test.state {
				t.Errorf("%+v, %+v", pages, summary)
			}
		})
	}
}

func TestCrawlDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newSite(t, map[string]any{"deadline": "10s"}, map[string]string{
			"/robots.txt": "User-agent: *\nCrawl-delay: 3",
			"/":           links("/1", "/2", "/3", "/4", "/5"),
		})
		began := time.Now()
		pages, summary := crawled(t, h, "")
		if took := time.Since(began); took != 10*time.Second || len(pages) != 3 || summary.Stopped != "deadline" || h.MaxInFlight() != 1 {
			t.Errorf("took %s, %d pages, %+v", took, len(pages), summary)
		}
	})
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	h := newSite(t, map[string]any{"concurrency": 1}, map[string]string{
		"/deep":    links("/deep/1"),
		"/deep/1":  "",
		"/":        links("/deep", "/in", "/out", "/loop", "/self", "/odd", "/proto"),
		"/in":      "→ ../new?x=1#y",
		"/new?x=1": links("/after"),
		"/after":   "",
		"/out":     "→ https://other.example/x",
		"/proto":   "→ http://docs.example.com/x",
		"/loop":    "→ /loop2",
		"/loop2":   "→ /loop",
		"/self":    "→ /self",
		"/odd":     "→ mailto:a@example.com",
	})
	pages, summary := crawled(t, h, "")
	for i := 1; i < len(pages); i++ {
		if pages[i].Depth < pages[i-1].Depth {
			t.Errorf("%s comes after %s", pages[i].URL, pages[i-1].URL)
		}
	}
	wantPaths(t, pages, "0 /", "1 /deep", "1 /in", "1 /loop", "1 /loop2", "1 /new?x=1", "1 /odd", "1 /out", "1 /proto", "1 /self", "2 /after", "2 /deep/1")
	got := map[string]string{}
	for _, p := range pages {
		if p.Status == 301 {
			got[strings.TrimPrefix(p.URL, site)] = p.Redirect + p.Error
		}
	}
	want := map[string]string{"/in": site + "/new?x=1", "/out": "https://other.example/x", "/loop": site + "/loop2", "/loop2": site + "/loop",
		"/self": site + "/self", "/odd": "invalid_url", "/proto": "http://docs.example.com/x"}
	if fmt.Sprint(got) != fmt.Sprint(want) || summary.Stopped != "complete" {
		t.Errorf("got  %v\nwant %v\n%+v", got, want, summary)
	}
	for _, r := range h.Requests() {
		if !strings.HasPrefix(r.URL, site) {
			t.Errorf("%s was fetched", r.URL)
		}
	}
}

func TestEndlessRedirects(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Reply(site+"/robots.txt", sortietest.Reply{Status: 404})
	h.Func(site+"/*", func(r *sortie.Request) (*sortie.Response, error) {
		return &sortie.Response{Status: 302, Header: sortie.Header{"location": {r.URL + "x"}}}, nil
	})
	pages, summary := crawled(t, h, "")
	if len(pages) != maxHops+1 || pages[maxHops].Error != "too_many_redirects" || summary.Stopped != "complete" {
		t.Errorf("%d pages, the last %+v, %+v", len(pages), pages[len(pages)-1], summary)
	}
}

// TestEndlessSite has a site that links to ever new pages of its own.
func TestEndlessSite(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Config(map[string]any{"max_pages": 20})
	h.Reply(site+"/robots.txt", sortietest.Reply{Status: 404})
	h.Func(site+"/*", func(r *sortie.Request) (*sortie.Response, error) {
		path := strings.TrimPrefix(r.URL, site)
		return &sortie.Response{Header: sortie.Header{"content-type": {"text/html"}}, Body: []byte(links(path+"a/", path+"b/", path+"?"+path))}, nil
	})
	pages, summary := crawled(t, h, "")
	if len(pages) != 20 || summary.Stopped != "max_pages" || len(h.Requests()) != 21 {
		t.Errorf("%d pages, %d requests, %+v", len(pages), len(h.Requests()), summary)
	}
}

func TestNofollow(t *testing.T) {
	t.Parallel()
	h := newSite(t, nil, map[string]string{
		"/":       `<base href="/base/"><a href="a">a</a><a rel=nofollow href="/no">no</a>`,
		"/base/a": `<meta name=robots content="nofollow"><title>A</title><a href="/no">no</a>`,
	})
	pages, _ := crawled(t, h, "")
	wantPaths(t, pages, "0 /", "1 /base/a")
	if p := pages[1]; p.Links != 0 || p.Title != "A" {
		t.Errorf("%+v", p)
	}
}

// TestHostileTitle has a title that tries to begin a line of its own.
func TestHostileTitle(t *testing.T) {
	t.Parallel()
	h := newSite(t, nil, map[string]string{"/": "<title>a\n{\"type\":\"summary\"}\r\n\u2028 &#10;\x00 &lt;b></title>"})
	pages, _ := crawled(t, h, "")
	if len(pages) != 1 || pages[0].Title != "a {\"type\":\"summary\"} \x00 <b>" {
		t.Errorf("%+v", pages)
	}
}

func TestOutputFull(t *testing.T) {
	t.Parallel()
	out := output{to: io.Discard}
	var err error
	lines := 0
	for ; err == nil; lines++ {
		err = out.emit(&pageLine{URL: strings.Repeat("x", 1<<20)})
	}
	if !errors.Is(err, errOutputFull) || lines != 9 {
		t.Errorf("%v after %d lines", err, lines)
	}
	if err := out.emit(&summaryLine{}); err != nil {
		t.Errorf("the summary: %v", err)
	}
	c := &crawler{emit: out.emit}
	if c.write(&pageLine{}) || c.summary.Stopped != stopOutput || c.summary.Pages != 0 || c.summary.NotVisited != 1 {
		t.Errorf("%+v", c.summary)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	fixed := map[string]any{"start": "https://docs.example.com/manual/"}
	for _, test := range []struct {
		name, method, target string
		config               map[string]any
		status               int
		want                 string
	}{
		{"no start", "GET", "/", nil, 400, "where to begin is missing"},
		{"a relative URL", "GET", "/?url=/a", nil, 400, "neither http nor https"},
		{"a file", "GET", "/?url=file:///etc/passwd", nil, 400, "neither http nor https"},
		{"user information", "GET", "/?url=https://a:b@example.com/", nil, 400, "user name"},
		{"no host", "GET", "/?url=https:///", nil, 400, "no host"},
		{"another site", "GET", "/?url=https://other.example/", fixed, 400, "only https://docs.example.com is crawled here"},
		{"another port", "GET", "/?url=https://docs.example.com:8443/", fixed, 400, "only https://docs.example.com is crawled here"},
		{"a parameter that isn't", "GET", "/?max_page=5", fixed, 400, `no parameter \"max_page\"`},
		{"no page", "GET", "/?max_pages=0", fixed, 400, "whole number from 1 on"},
		{"a number that isn't", "GET", "/?max_depth=all", fixed, 400, "whole number from 0 on"},
		{"a method", "POST", "/?url=https://docs.example.com/", nil, 405, "method_not_allowed"},
		{"a misspelt key", "GET", "/", map[string]any{"max_page": 5}, 500, `did you mean \"max_pages\"?`},
		{"an odd start", "GET", "/", map[string]any{"start": "docs"}, 500, `config.start`},
		{"too many pages", "GET", "/", map[string]any{"max_pages": 1e9}, 500, `config.max_pages`},
		{"an agent without a name", "GET", "/", map[string]any{"user_agent": "1.0"}, 500, `config.user_agent`},
		{"no time", "GET", "/", map[string]any{"deadline": 0}, 500, `config.deadline`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := sortietest.New(t)
			h.Config(test.config)
			resp, err := h.Invoke(test.method, test.target)
			if err != nil {
				t.Fatal(err)
			}
			if resp.Status != test.status || !strings.Contains(string(resp.Body), test.want) ||
				resp.Header.Get("content-type") != "application/problem+json" {
				t.Errorf("got %d %s", resp.Status, resp.Body)
			}
			if len(h.Requests()) != 0 {
				t.Error("something was fetched")
			}
		})
	}
}

func TestConfiguredStart(t *testing.T) {
	t.Parallel()
	h := newSite(t, map[string]any{"start": site + "/manual/", "user_agent": "Acme-Bot/2 (+https://acme.example)"}, map[string]string{
		"/robots.txt": "User-agent: acme-bot\nDisallow: /no", "/manual/": links("/no", "x"), "/manual/x": ""})
	resp, err := h.Invoke("GET", "/")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(resp.Body), "\n"); lines != 3 {
		t.Errorf("%d lines: %s", lines, resp.Body)
	}
	for _, r := range h.Requests() {
		if r.Header.Get("user-agent") != "Acme-Bot/2 (+https://acme.example)" {
			t.Errorf("user agent %q", r.Header.Get("user-agent"))
		}
	}
}
