package policy

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sortie-run/sortie/host/manifest"
)

// hostSet is the operator's hosts.allow or hosts.deny.
type hostSet struct {
	names    []hostPattern
	prefixes []prefixPattern
}

// hostPattern is `*`, `example.com` or `*.example.com`.
type hostPattern struct {
	text     string
	host     string // "" for `*`
	wildcard bool
}

type prefixPattern struct {
	text   string
	prefix netip.Prefix
}

// dots says how the root's dot at the end of a name is taken.
type dots bool

const (
	exactDot dots = false // example.com. is not example.com
	anyDot   dots = true  // it is
)

func compileHosts(patterns []string) (hostSet, error) {
	var set hostSet
	for _, text := range patterns {
		if prefix, ok := parsePrefix(text); ok {
			set.prefixes = append(set.prefixes, prefixPattern{text, prefix})
			continue
		}
		pattern := hostPattern{text: text}
		if text == "*" {
			set.names = append(set.names, pattern)
			continue
		}
		pattern.host, pattern.wildcard = strings.CutPrefix(text, "*.")
		// The browser's own host parser, so that MÜNCHEN.example is what URLs hold.
		u, fail := ParseURL("http://" + pattern.host + "/")
		if fail != nil || strings.ContainsAny(pattern.host, ":/\\?#@[]") {
			return hostSet{}, fmt.Errorf(`%q is not a host pattern; write "example.com", "*.example.com", "*" or a CIDR`, text)
		}
		if u.addr.IsValid() {
			return hostSet{}, fmt.Errorf("%q: write the address as %s", text, u.addr)
		}
		pattern.host = u.host
		set.names = append(set.names, pattern)
	}
	return set, nil
}

// match returns the pattern that covers u's host. An address literal is covered
// by `*` and by prefixes only.
func (s *hostSet) match(u *URL, dot dots) (string, bool) {
	for i := range s.names {
		if s.names[i].covers(u, dot) {
			return s.names[i].text, true
		}
	}
	if u.addr.IsValid() {
		return s.matchAddr(u.addr)
	}
	return "", false
}

// matchAddr returns the prefix that covers addr or an IPv4 address it carries.
func (s *hostSet) matchAddr(addr netip.Addr) (string, bool) {
	if len(s.prefixes) == 0 {
		return "", false
	}
	bare := addr.WithZone("")
	inner, _ := embedded(bare)
	for _, p := range s.prefixes {
		if p.prefix.Contains(bare) || inner.IsValid() && p.prefix.Contains(inner) {
			return p.text, true
		}
	}
	return "", false
}

func (h *hostPattern) covers(u *URL, dot dots) bool {
	if h.host == "" {
		return true
	}
	if u.addr.IsValid() {
		return false
	}
	name, host := u.host, h.host
	if dot == anyDot {
		name, host = strings.TrimSuffix(name, "."), strings.TrimSuffix(host, ".")
	}
	if h.wildcard {
		return isBelow(name, host)
	}
	return name == host
}

// privateSet is the operator's `private` list.
type privateSet struct {
	origins  []origin
	prefixes []netip.Prefix
}

func compilePrivate(list []string) (privateSet, error) {
	var set privateSet
	for _, text := range list {
		if prefix, ok := parsePrefix(text); ok {
			set.prefixes = append(set.prefixes, prefix)
			continue
		}
		pattern, err := manifest.ParsePattern(text)
		if err != nil {
			return privateSet{}, fmt.Errorf(`%q is neither an origin such as "http://127.0.0.1:*" nor a CIDR such as "10.0.0.0/8": %w`, text, err)
		}
		if pattern.Path != "" && pattern.Path != "/" {
			return privateSet{}, fmt.Errorf("%q: an origin has no path", text)
		}
		o, err := compileOrigin(pattern)
		if err != nil {
			return privateSet{}, fmt.Errorf("%q: %w", text, err)
		}
		set.origins = append(set.origins, o)
	}
	return set, nil
}

// covers tells whether the operator permits addr for u: by u's origin, whatever
// it resolves to, or by the address, whatever its name. An IPv4-mapped address
// is the IPv4 address; the other embedded forms go through a gateway and count
// as what they are.
func (s *privateSet) covers(u *URL, addr netip.Addr) bool {
	for i := range s.origins {
		if s.origins[i].covers(u) {
			return true
		}
	}
	if addr.Zone() != "" {
		return false
	}
	for _, p := range s.prefixes {
		if p.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// parsePrefix reads a CIDR or a single address, IPv4-mapped ones as IPv4.
func parsePrefix(text string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, false
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), true
}
