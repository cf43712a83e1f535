package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sortie-run/sortie/host/manifest"
)

// rule is one line of fetch.allow, ready to be matched.
type rule struct {
	origin
	text    string // as in the manifest
	number  int    // from 1
	path    string // "" for any, else a prefix that starts with "/", as ParseURL would write it
	methods []string
	private bool
	allowed string // the reason of a Decision that allows
}

// origin is a manifest.Pattern without its path.
type origin struct {
	manifest.Pattern
	addr netip.Addr // the host, if it is an address
}

func compileRules(rules []manifest.Rule) ([]rule, error) {
	compiled := make([]rule, 0, len(rules))
	for i, r := range rules {
		c, err := compileRule(i+1, r)
		if err != nil {
			return nil, fmt.Errorf("fetch.allow: rule %d %q: %w", i+1, r.URL, err)
		}
		compiled = append(compiled, c)
	}
	return compiled, nil
}

func compileRule(number int, r manifest.Rule) (rule, error) {
	pattern := r.Pattern
	if pattern == (manifest.Pattern{}) {
		var err error
		if pattern, err = manifest.ParsePattern(r.URL); err != nil {
			return rule{}, err
		}
	}
	o, err := compileOrigin(pattern)
	if err != nil {
		return rule{}, err
	}
	c := rule{origin: o, text: r.URL, number: number, methods: r.Methods, private: r.Private}
	if c.text == "" {
		c.text = pattern.String()
	}
	if c.path, err = compilePath(pattern.Path); err != nil {
		return rule{}, err
	}
	c.allowed = c.name() + " allows it"
	return c, nil
}

// compilePath brings a rule's prefix into the form URLs have after parsing, so
// that matching is a comparison of bytes.
func compilePath(path string) (string, error) {
	if path == "" || path == "/" {
		return "", nil
	}
	u, fail := ParseURL("http://rule.invalid" + path)
	if fail != nil {
		return "", fmt.Errorf("the path %q: %s", path, fail.Message)
	}
	if u.hasQuery || u.fragment != "" || !strings.HasPrefix(path, "/") {
		return "", fmt.Errorf("the path %q is not a plain path prefix", path)
	}
	if u.disguise != "" {
		return "", fmt.Errorf("the path %q can match nothing: it has %s, which never satisfies a path rule", path, u.disguise)
	}
	if u.path == "/" {
		return "", nil
	}
	return u.path, nil
}

func compileOrigin(p manifest.Pattern) (origin, error) {
	switch p.Scheme {
	case "http", "https":
	default:
		return origin{}, fmt.Errorf("the scheme %q is neither http nor https", p.Scheme)
	}
	if p.Port == "" && !p.AnyPort {
		p.Port = defaultPort(p.Scheme)
	}
	o := origin{Pattern: p}
	if p.AnyHost {
		return o, nil
	}
	o.Host = strings.TrimSuffix(strings.TrimPrefix(p.Host, "["), "]")
	if o.Host == "" {
		return origin{}, fmt.Errorf("the host is empty")
	}
	if addr, err := netip.ParseAddr(o.Host); err == nil {
		if p.Wildcard {
			return origin{}, fmt.Errorf("an address has no subdomains")
		}
		o.addr = addr
	}
	return o, nil
}

// covers tells whether u's origin is one of o's.
func (o *origin) covers(u *URL) bool {
	return o.Scheme == u.scheme && (o.AnyPort || o.Port == u.port) && o.coversHost(u)
}

func (o *origin) coversHost(u *URL) bool {
	switch {
	case o.AnyHost:
		return true
	case o.addr.IsValid() || u.addr.IsValid():
		return o.addr == u.addr
	case o.Wildcard:
		return isBelow(u.host, o.Host)
	}
	return o.Host == u.host
}

// isBelow tells whether name is domain with one label or more in front. Names
// that ParseURL gives have no empty labels.
func isBelow(name, domain string) bool {
	rest, ok := strings.CutSuffix(name, domain)
	return ok && len(rest) > 1 && rest[len(rest)-1] == '.'
}

// matches tells whether the rule is for u, whatever the method.
func (r *rule) matches(u *URL) bool {
	return r.covers(u) && r.matchesPath(u)
}

func (r *rule) matchesPath(u *URL) bool {
	if r.path == "" {
		return true
	}
	if u.disguise != "" || !strings.HasPrefix(u.path, r.path) {
		return false
	}
	// A segment boundary: the prefix ends with a slash, or one follows it.
	return len(u.path) == len(r.path) || r.path[len(r.path)-1] == '/' || u.path[len(r.path)] == '/'
}

func (r *rule) allowsMethod(method string) bool {
	return len(r.methods) == 0 || slices.Contains(r.methods, method)
}

// name is how sentences call the rule.
func (r *rule) name() string { return fmt.Sprintf("rule %d %q", r.number, r.text) }
