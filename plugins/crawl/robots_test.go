package main

import (
	"strings"
	"testing"
	"time"
)

func TestRobots(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text    string
		allowed, kept string // paths, separated by spaces
	}{
		{"nothing", "", "/ /a", ""},
		{"everything", "User-agent: *\nDisallow: /", "/robots.txt", "/ /a"},
		{"an empty rule", "User-agent: *\nDisallow:", "/ /a", ""},
		{"a prefix", "User-agent: *\nDisallow: /a", "/ /b /A", "/a /ab /a/b /a?x"},
		{"the longest wins", "User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /a/b/c", "/a/b /a/bx", "/a /a/x /a/b/c"},
		{"order doesn't matter", "User-agent: *\nAllow: /a/b\nDisallow: /a", "/a/b", "/a"},
		{"of equals the one that allows", "User-agent: *\nDisallow: /a\nAllow: /a", "/a", ""},
		{"own group only", "User-agent: *\nDisallow: /\n\nUser-agent: sortiecrawl\nDisallow: /x", "/ /a", "/x"},
		{"any case, with a version", "User-agent: SORTIECRAWL/2.0\nDisallow: /x", "/a", "/x"},
		{"another's group", "User-agent: otherbot\nDisallow: /", "/a", ""},
		{"a longer name is another's", "User-agent: sortiecrawler\nDisallow: /", "/a", ""},
		{"groups of the same name count together", "User-agent: sortiecrawl\nDisallow: /a\nUser-agent: x\nDisallow: /b\nUser-agent: sortiecrawl\nDisallow: /c",
			"/b", "/a /c"},
		{"several names for a group", "User-agent: x\nUser-agent: sortiecrawl\nUser-agent: y\nDisallow: /a", "/b", "/a"},
		{"an own group without rules", "User-agent: *\nDisallow: /\nUser-agent: sortiecrawl\nAllow:", "/a", ""},
		{"a blank line doesn't end a group", "User-agent: *\n\nDisallow: /a", "/b", "/a"},
		{"an unknown line doesn't end a group", "User-agent: x\nSitemap: /s\nUser-agent: *\nDisallow: /a", "/b", "/a"},
		{"comments", "User-agent: * # all\nDisallow: /a # not this\n#Disallow: /b", "/b", "/a"},
		{"line ends", "User-agent: *\r\nDisallow: /a\rDisallow: /b\n\nDisallow: /c", "/d", "/a /b /c"},
		{"a byte order mark", "\xef\xbb\xbfUser-agent: *\nDisallow: /a", "/b", "/a"},
		{"any case of keys, odd spaces", "USER-AGENT :*\n  dIsAllow  :   /a  ", "/b", "/a"},
		{"rules before any group", "Disallow: /a\nUser-agent: *\nDisallow: /b", "/a", "/b"},
		{"a star", "User-agent: *\nDisallow: /*/private", "/private /a/b", "/a/private /a/b/privatex"},
		{"an end", "User-agent: *\nDisallow: /*.gif$", "/a.gifx /a.gif?x", "/a.gif /b/c.gif"},
		{"an end alone", "User-agent: *\nDisallow: /$", "/a", "/"},
		{"stars in a row", "User-agent: *\nDisallow: /a**b***$", "/a /ax", "/ab /axb /axbc"},
		{"a query", "User-agent: *\nDisallow: /*?sort=", "/a?x=1", "/a?sort=1 /?sort="},
		{"encodings", "User-agent: *\nDisallow: /caf%c3%a9\nDisallow: /%7ejoe\nDisallow: /ü", "/cafe", "/café /caf%C3%A9 /~joe /%7Ejoe /%C3%BC"},
		{"an encoded slash is no slash", "User-agent: *\nDisallow: /a%2Fb", "/a/b", "/a%2fb"},
		{"garbage", "\x00\xff:\n:::\nUser-agent\nUser-agent: *\nDisallow /x\nDisallow: /y\nAllow", "/x", "/y"},
		{"an HTML page", "<!doctype html><title>Not found: 404</title>", "/ /a", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := parseRobots([]byte(test.text), "SortieCrawl")
			for path := range strings.FieldsSeq(test.allowed) {
				if !r.allowed(path) {
					t.Errorf("%s isn't allowed", path)
				}
			}
			for path := range strings.FieldsSeq(test.kept) {
				if r.allowed(path) {
					t.Errorf("%s is allowed", path)
				}
			}
		})
	}
}

func TestRobotsDelay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"User-agent: *\nCrawl-delay: 2":                                     2 * time.Second,
		"User-agent: *\nCrawl-delay: 0.5":                                   500 * time.Millisecond,
		"User-agent: *\nCrawl-delay: -1":                                    0,
		"User-agent: *\nCrawl-delay: NaN":                                   0,
		"User-agent: *\nCrawl-delay: 1e300":                                 0,
		"User-agent: *\nCrawl-delay: soon":                                  0,
		"User-agent: x\nCrawl-delay: 9\nUser-agent: *\nCrawl-delay: 1":      time.Second,
		"User-agent: sortiecrawl\nDisallow:\nUser-agent: *\nCrawl-delay: 1": 0,
	} {
		if got := parseRobots([]byte(text), "sortiecrawl").delay; got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestRobotsSize(t *testing.T) {
	t.Parallel()
	head := "User-agent: *\nDisallow: /early\n"
	padding := strings.Repeat("# padding\n", (maxRobots-len(head))/10)
	r := parseRobots([]byte(head+padding+"Disallow: /late\n"), "x")
	if r.allowed("/early") {
		t.Error("a rule within the bound is lost")
	}
	if !r.allowed("/late") {
		t.Error("a rule beyond the bound counts")
	}
	// A rule cut in the middle must not become a shorter, wider one.
	cut := head + strings.Repeat("#", maxRobots-len(head)-len("\nDisallow: /")) + "\nDisallow: /private"
	if r := parseRobots([]byte(cut), "x"); !r.allowed("/other") {
		t.Error("half a rule counts")
	}
}

func FuzzRobots(f *testing.F) {
	for _, seed := range []string{"User-agent: *\nDisallow: /a*b$\nAllow: /%41", "Crawl-delay: 1", "User-agent:a\rUser-agent: *\r\nDisallow: ***", "\xef\xbb\xbf:"} {
		f.Add([]byte(seed), "/a/b?c")
	}
	f.Fuzz(func(t *testing.T, text []byte, path string) {
		r := parseRobots(text, "sortiecrawl")
		if r.allowed(path) != r.allowed(normalisePath(path)) {
			t.Fatalf("%q and its normal form differ", path)
		}
		if !r.allowed("/robots.txt") {
			t.Fatal("/robots.txt isn't allowed")
		}
		if r.delay < 0 {
			t.Fatalf("delay %s", r.delay)
		}
		if once := normalisePath(path); normalisePath(once) != once {
			t.Fatalf("%q isn't in normal form", once)
		}
	})
}

// FuzzMatchRule compares with the plainest matcher there is.
func FuzzMatchRule(f *testing.F) {
	for _, seed := range [][2]string{{"/a*b", "/axxb"}, {"/*$", "/"}, {"*a*a*a$", "aaab"}, {"$", ""}, {"a$b", "a$bc"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if len(pattern) > 12 || len(path) > 24 {
			return
		}
		if got, want := matchRule(pattern, path), plainMatch(pattern, path); got != want {
			t.Fatalf("%q on %q: got %v, want %v", pattern, path, got, want)
		}
	})
}

func plainMatch(pattern, path string) bool {
	switch {
	case pattern == "":
		return true
	case pattern == "$":
		return path == ""
	case pattern[0] == '*':
		return plainMatch(pattern[1:], path) || path != "" && plainMatch(pattern, path[1:])
	}
	return path != "" && pattern[0] == path[0] && plainMatch(pattern[1:], path[1:])
}
