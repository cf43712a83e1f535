// Package policy decides what may be fetched. It has no network: it parses a
// URL once, matches it against the manifest's rules and the operator's, and
// judges the addresses that others resolved.
//
//	p, err := policy.New(policy.Config{Rules: m.Fetch.Allow, HostsDeny: op.Hosts.Deny})
//	u, fail := policy.ParseURL("https://api.example.com/v1/prices")
//	d := p.Decide("GET", u)          // d.Reason says why, in one sentence
//	req.URL = u.Request()            // goes out byte for byte as it was matched
//	err = p.AddressAllowed(d, u, ap) // for every address before it is dialled
//
// # Matching
//
// The first rule, in order, that matches both the URL and the method decides,
// its `private` included. Rules that match the URL but not the method make it
// method_denied; no rule for the URL makes it host_denied. A rule without
// methods allows all of them. Methods are case-sensitive (RFC 9110, section
// 9.1), as they are sent.
//
//   - A host is compared in the form a browser would use: lower-case ASCII,
//     IDNA mapped, IPv4 in dotted decimals. `*.x` is one label or more in front
//     of x and never x itself, nor an address; `*` is any host.
//   - example.com. (with the root's dot) is another spelling of example.com.
//     Rules and hosts.allow match it only if they have the dot as well (or are
//     `*`); hosts.deny matches both spellings whichever of them it has.
//   - A path is a prefix that ends at a segment boundary: /v1 covers /v1 and
//     /v1/a but not /v1x; /v1/ covers what is below it but not /v1 itself.
//   - A URL whose path a server may read as another path never satisfies a rule
//     with a path: with an encoded slash, backslash or dot (%2f, %5c, %2e in
//     either case), be it encoded twice (%252e) or as %u002e, a dot segment with
//     parameters (..;x), an encoded NUL, or percent-encoded bytes that aren't
//     UTF-8.
//
// The operator's hosts.deny and hosts.allow come before the rules.
//
// # Addresses
//
// An address that is private, loopback, link-local, multicast or otherwise
// special (the IANA special-purpose registries, and what embeds or maps an IPv4
// address) is denied, be it a literal in the URL or the answer of a resolver.
// The one way there: the deciding rule says `private: true` and the operator's
// `private` list covers the URL's origin or the address.
//
// [ParseURL], [Policy] and [URL] are safe for concurrent use.
package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// Config is what a Policy is made of.
type Config struct {
	// Rules are the manifest's fetch.allow. None: nothing may be fetched.
	Rules []manifest.Rule
	// Private is the operator's list of where a rule with `private: true` may
	// reach special addresses: origins (`http://127.0.0.1:*`), CIDRs
	// (`10.0.0.0/8`) or single addresses. None: nowhere.
	Private []string
	// HostsAllow holds the operator's host patterns over all manifests: `*`,
	// `example.com`, `*.example.com`, and CIDRs or addresses, which match
	// address literals in URLs. Nil means `*`; empty but not nil, no host.
	HostsAllow []string
	// HostsDeny has the same patterns and beats HostsAllow. Its CIDRs and
	// addresses deny what a name resolves to as well.
	HostsDeny []string
}

// Policy is a compiled Config.
type Policy struct {
	rules     []rule
	allow     hostSet
	deny      hostSet
	private   privateSet
	allowsAll bool
}

// Decision is what a Policy says of a method and a URL.
type Decision struct {
	Allowed bool
	// Code is "" if allowed, else host_denied or method_denied (from Explain
	// also what ParseURL fails with).
	Code failure.Code
	// Rule is the text of the rule that decided, as in the manifest; "" if no
	// rule did. For method_denied it is the first rule that matches the URL.
	Rule string
	// Number is that rule's place in fetch.allow, from 1; 0 if no rule did.
	Number int
	// Private tells whether the deciding rule says `private: true`.
	Private bool
	// Reason is one sentence that names the rule, or the missing one and what
	// to add.
	Reason string
}

// Err returns nil if d allows, else an error with its code and reason.
func (d Decision) Err() *failure.Error {
	if d.Allowed {
		return nil
	}
	return failure.New(d.Code, "%s", d.Reason)
}

// New compiles cfg. It fails on a rule or pattern that can't be read or that
// could never match.
func New(cfg Config) (*Policy, error) {
	p := &Policy{allowsAll: cfg.HostsAllow == nil}
	var err error
	if p.rules, err = compileRules(cfg.Rules); err != nil {
		return nil, err
	}
	if p.allow, err = compileHosts(cfg.HostsAllow); err != nil {
		return nil, fmt.Errorf("hosts.allow: %w", err)
	}
	if p.deny, err = compileHosts(cfg.HostsDeny); err != nil {
		return nil, fmt.Errorf("hosts.deny: %w", err)
	}
	if p.private, err = compilePrivate(cfg.Private); err != nil {
		return nil, fmt.Errorf("private: %w", err)
	}
	return p, nil
}

// Decide tells whether u may be fetched with method ("" is GET). It looks at
// names only: addresses are for [Policy.AddressAllowed].
func (p *Policy) Decide(method string, u *URL) Decision {
	if method == "" {
		method = "GET"
	}
	if pattern, denied := p.deny.match(u, anyDot); denied {
		return Decision{Code: failure.HostDenied, Reason: fmt.Sprintf(
			"the operator's hosts.deny has %q, which covers %s", pattern, u.host)}
	}
	if !p.allowsAll {
		if _, allowed := p.allow.match(u, exactDot); !allowed {
			return Decision{Code: failure.HostDenied, Reason: fmt.Sprintf(
				"the operator's hosts.allow has no pattern for %s; the operator has to add %q to it", u.host, u.host)}
		}
	}
	first := -1
	for i := range p.rules {
		r := &p.rules[i]
		if !r.matches(u) {
			continue
		}
		if r.allowsMethod(method) {
			return Decision{Allowed: true, Rule: r.text, Number: r.number, Private: r.private, Reason: r.allowed}
		}
		if first < 0 {
			first = i
		}
	}
	if first >= 0 {
		return p.methodDenied(method, u, first)
	}
	return Decision{Code: failure.HostDenied, Reason: p.missing(u)}
}

// methodDenied explains that rules for the URL exist, the first of them at
// index first, but none for the method.
func (p *Policy) methodDenied(method string, u *URL, first int) Decision {
	r := &p.rules[first]
	var methods []string
	for i := first; i < len(p.rules); i++ {
		if p.rules[i].matches(u) {
			methods = append(methods, p.rules[i].methods...)
		}
	}
	slices.Sort(methods)
	return Decision{
		Code: failure.MethodDenied, Rule: r.text, Number: r.number, Private: r.private,
		Reason: fmt.Sprintf("%s matches, but %s is not among the methods allowed there (%s); add it to the rule's methods",
			r.name(), quote(method), strings.Join(slices.Compact(methods), ", ")),
	}
}

// Explain is Decide for text that a person typed: what can't be parsed is a
// decision as well, and the methods that browsers normalise may be written in
// lower case. Where the host is an address, or localhost, the verdict on the
// address is part of the decision; any other name isn't looked up.
func (p *Policy) Explain(method, rawURL string) Decision {
	u, fail := ParseURL(rawURL)
	if fail != nil {
		return Decision{Code: fail.Code, Reason: fail.Message}
	}
	d := p.Decide(normalizeMethod(method), u)
	if !d.Allowed {
		return d
	}
	addr, known := u.Addr()
	if !known && isLocalhost(u.host) {
		addr, known = netip.AddrFrom4([4]byte{127, 0, 0, 1}), true
	}
	if !known {
		return d
	}
	if fail := p.address(d, u, addr); fail != nil {
		d.Allowed, d.Code, d.Reason = false, fail.Code, d.Reason+", but "+fail.Message
	}
	return d
}

// isLocalhost tells whether name is one that needs no resolver to be known as a
// loopback address (RFC 6761, section 6.3).
func isLocalhost(name string) bool {
	name = strings.TrimSuffix(name, ".")
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// normalizeMethod is the Fetch standard's "normalize a method".
func normalizeMethod(method string) string {
	switch upper := strings.ToUpper(method); upper {
	case "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT":
		return upper
	}
	return method
}
