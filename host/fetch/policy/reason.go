package policy

import (
	"fmt"
	"strconv"
	"strings"
)

// missing is the sentence for a URL that no rule matches: it names the nearest
// rule, where one differs in a single thing, and what to add.
func (p *Policy) missing(u *URL) string {
	add := fmt.Sprintf("to allow it, add %q to fetch.allow", u.Origin())
	if u.addr.IsValid() && special(u.addr) != "" {
		add = fmt.Sprintf("to allow it, add {url: %q, private: true} to fetch.allow", u.Origin())
	}
	if len(p.rules) == 0 {
		return fmt.Sprintf("fetch.allow is empty, so nothing may be fetched; %s", add)
	}
	for i := range p.rules {
		if why := p.rules[i].nearMiss(u); why != "" {
			return fmt.Sprintf("no rule matches %s: %s %s; %s", clip(u.String()), p.rules[i].name(), why, add)
		}
	}
	return fmt.Sprintf("no rule matches %s; %s", clip(u.String()), add)
}

// nearMiss says in what the rule misses u if it does so in one thing only.
func (r *rule) nearMiss(u *URL) string {
	var (
		scheme = r.Scheme == u.scheme
		port   = r.AnyPort || r.Port == u.port
		host   = r.coversHost(u)
	)
	switch {
	case scheme && port && host && u.disguise != "" && r.path != "":
		return "has a path, which a URL with " + u.disguise + " never satisfies"
	case scheme && port && host:
		return "covers only paths at or below " + quote(r.path)
	case host && scheme:
		return "is for port " + r.Port
	case host && u.port == r.Port || host && r.AnyPort || host && u.port == defaultPort(u.scheme) && r.Port == defaultPort(r.Scheme):
		return "is for " + r.Scheme
	case scheme && port && r.Wildcard && r.Host == u.host:
		return "covers the subdomains of " + r.Host + " but not " + r.Host + " itself"
	case scheme && port && strings.TrimSuffix(u.host, ".") == strings.TrimSuffix(r.Host, ".") && !r.Wildcard:
		return "differs by the dot at the end of the host"
	}
	return ""
}

// quote is text of the guest's as messages carry it: bounded, in quotes.
func quote(s string) string { return strconv.Quote(clip(s)) }

// clip bounds what a message repeats.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
