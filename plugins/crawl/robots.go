package main

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxRobots is how much of a robots.txt is read. RFC 9309, section 2.5, asks for at least 500 KiB.
const maxRobots = 500 << 10

// maxRulePath bounds one rule's path: a longer one is no rule that a person wrote.
const maxRulePath = 2048

// robots is what a site's robots.txt says to one crawler (RFC 9309). The zero value allows everything.
type robots struct {
	rules []rule
	// delay is asked for between two fetches; 0 if none is. Crawl-delay is no part of the RFC, but widely written.
	delay time.Duration
}

type rule struct {
	path  string // normalised as by normalisePath
	allow bool
}

// parseRobots reads the rules for the crawler whose product token is agent. Those of all groups that name it count together (section
// 2.2.1); if none does, those for `*`. Lines that aren't understood are passed over.
func parseRobots(text []byte, agent string) *robots {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if len(text) > maxRobots {
		text = text[:maxRobots]
		if i := bytes.LastIndexAny(text, "\r\n"); i >= 0 {
			text = text[:i] // not half a rule
		}
	}
	own, all := &robots{}, &robots{}
	foundOwn, inOwn, inAll, naming := false, false, false, false
	for line := range lines(text) {
		key, value, ok := robotsLine(line)
		if !ok {
			continue
		}
		if key == "user-agent" {
			if !naming { // the first line of a new group
				inOwn, inAll = false, false
			}
			naming = true
			inOwn = inOwn || strings.EqualFold(productToken(value), agent)
			inAll = inAll || value == "*"
			foundOwn = foundOwn || inOwn
			continue
		}
		if !isRule(key) {
			continue
		}
		naming = false
		if inOwn {
			own.add(key, value)
		}
		if inAll {
			all.add(key, value)
		}
	}
	if foundOwn {
		return own.sorted()
	}
	return all.sorted()
}

// sorted brings the rules into the order in which they decide: the longest first, and of those as long the ones that allow (section
// 2.2.2).
func (r *robots) sorted() *robots {
	slices.SortStableFunc(r.rules, func(a, b rule) int {
		if order := cmp.Compare(len(b.path), len(a.path)); order != 0 || a.allow == b.allow {
			return order
		}
		if a.allow {
			return -1
		}
		return 1
	})
	return r
}

// lines yields the lines of a text that ends them with CR, LF or both (section 2.2).
func lines(text []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			i := bytes.IndexAny(text, "\r\n")
			if i < 0 {
				i = len(text)
			}
			if !yield(string(text[:i])) {
				return
			}
			text = text[min(i+1, len(text)):]
		}
	}
}

// robotsLine splits `key: value # comment`; keys are lower-cased.
func robotsLine(line string) (key, value string, ok bool) {
	line, _, _ = strings.Cut(line, "#")
	key, value, ok = strings.Cut(line, ":")
	return strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value), ok
}

// productToken is the part of a User-agent line that counts: letters, underscores and hyphens (section 2.2.1), so that
// `SortieCrawl/1.0` means the same as `SortieCrawl`.
func productToken(value string) string {
	for i, c := range []byte(value) {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if c != '_' && c != '-' {
				return value[:i]
			}
		}
	}
	return value
}

func isRule(key string) bool { return key == "allow" || key == "disallow" || key == "crawl-delay" }

// add takes one rule of a group.
func (r *robots) add(key, value string) {
	switch {
	case key == "crawl-delay":
		seconds, err := strconv.ParseFloat(value, 64)
		if err == nil && seconds > 0 && seconds < 24*60*60 {
			r.delay = max(r.delay, time.Duration(seconds*float64(time.Second)))
		}
	case value != "" && len(value) <= maxRulePath: // an empty path matches nothing
		r.rules = append(r.rules, rule{normalisePath(value), key == "allow"})
	}
}

// allowed tells whether the crawler may fetch the path, given with its query as it would be sent. /robots.txt itself is always
// allowed, as is what no rule matches.
func (r *robots) allowed(path string) bool {
	if path == "/robots.txt" {
		return true
	}
	path = normalisePath(path)
	for _, rule := range r.rules {
		if matchRule(rule.path, path) {
			return rule.allow
		}
	}
	return true
}

// matchRule matches a rule's path as a prefix; `*` is any characters, `$` at the end the end (section 2.2.3).
//
// Of several stars only the last one tried can be at fault, since an earlier one that took more would leave less to match: so there
// is one point to come back to, and the time is at most the product of the lengths.
func matchRule(pattern, path string) bool {
	pattern, anchored := strings.CutSuffix(pattern, "$")
	if !anchored {
		pattern += "*"
	}
	p, star, resume := 0, -1, 0
	for i := 0; i < len(path); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, i
			p++
			if p == len(pattern) {
				return true
			}
		case p < len(pattern) && pattern[p] == path[i]:
			p++
			i++
		case star >= 0:
			resume++
			p, i = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
