package policy

import (
	"net/netip"

	"code.dny.dev/ssrf"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// guard knows the IANA special-purpose registries (RFC 6890).
var guard = ssrf.New(ssrf.WithAnyPort(), ssrf.WithAnyNetwork())

// alsoSpecial are addresses that are global by registry but answered by the
// machine's own surroundings.
var alsoSpecial = []netip.Prefix{
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's platform endpoint (WireServer), on every virtual machine
	netip.MustParsePrefix("3ffe::/16"),        // the former 6bone, returned (RFC 3701)
}

// AddressAllowed judges an address that u's host resolved to, or that it is: nil
// if it may be connected to, else an *[failure.Error] of code address_denied.
// d is the Decision for u. Ask for every address, just before it is dialled.
//
// The message doesn't name an address that the guest doesn't know, so that names
// inside the operator's network can't be mapped by failing fetches; the wrapped
// error does.
func (p *Policy) AddressAllowed(d Decision, u *URL, addr netip.AddrPort) error {
	if !d.Allowed {
		return failure.New(d.Code, "%s", d.Reason)
	}
	if fail := p.address(d, u, addr.Addr()); fail != nil {
		return fail
	}
	return nil
}

func (p *Policy) address(d Decision, u *URL, addr netip.Addr) *failure.Error {
	if pattern, denied := p.deny.matchAddr(addr); denied {
		return failure.Wrap(failure.AddressDenied, &addressError{addr, "denied by the operator"},
			"%s an address that the operator's hosts.deny covers with %q", subject(u), pattern)
	}
	kind := special(addr)
	if kind == "" {
		return nil
	}
	if d.Private && p.private.covers(u, addr) {
		return nil
	}
	cause := &addressError{addr, kind}
	if !d.Private {
		return failure.Wrap(failure.AddressDenied, cause,
			"%s %s address; to reach it, rule %d %q needs private: true, and private in sortie.yaml (or SORTIE_PRIVATE) has to cover %q",
			subject(u), kind, d.Number, d.Rule, u.Origin())
	}
	return failure.Wrap(failure.AddressDenied, cause,
		"%s %s address; rule %d %q says private: true, but private in sortie.yaml (or SORTIE_PRIVATE) has to cover it too: add %q there",
		subject(u), kind, d.Number, d.Rule, u.Origin())
}

// subject starts the sentence on u's address.
func subject(u *URL) string {
	if u.addr.IsValid() {
		return u.host + " is"
	}
	return u.host + " resolves to"
}

// addressError is the cause of an address_denied, for the operator's log.
type addressError struct {
	addr netip.Addr
	kind string
}

func (e *addressError) Error() string { return e.addr.String() + ": " + e.kind }

// special returns what makes addr one that a fetch must not reach unasked, with
// its article ("a loopback"), or "" for an ordinary public address.
func special(addr netip.Addr) string {
	if !addr.IsValid() {
		return "no valid"
	}
	if addr.Zone() != "" {
		return "a scoped"
	}
	if inner, form := embedded(addr); form != "" {
		if kind := plainKind(inner); kind != "" {
			return form + " form of " + kind
		}
		return form
	}
	return plainKind(addr)
}

// plainKind names the kind of a special address that embeds nothing, or returns
// "" for a public one.
func plainKind(addr netip.Addr) string {
	for _, p := range alsoSpecial {
		if p.Contains(addr) {
			return "a reserved"
		}
	}
	if guard.SafeAddr(addr) == nil {
		return ""
	}
	switch {
	case addr.IsUnspecified():
		return "the unspecified"
	case addr.IsLoopback():
		return "a loopback"
	case addr.IsPrivate():
		return "a private"
	case addr.IsLinkLocalUnicast():
		return "a link-local"
	case addr.IsMulticast():
		return "a multicast"
	}
	return "a reserved"
}

// embedding is a prefix whose addresses carry an IPv4 address.
type embedding struct {
	prefix netip.Prefix
	form   string
	offset int  // of the four bytes
	invert bool // Teredo obfuscates its client's address (RFC 4380, section 4)
}

var embeddings = []embedding{
	{netip.MustParsePrefix("::ffff:0:0/96"), "an IPv4-mapped", 12, false},       // RFC 4291, section 2.5.5.2
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "an IPv4-translated", 12, false}, // RFC 2765, section 2.1 (SIIT)
	{netip.MustParsePrefix("64:ff9b::/96"), "a NAT64", 12, false},               // RFC 6052, section 2.1
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a local NAT64", 12, false},       // RFC 8215; its /96 form
	{netip.MustParsePrefix("2002::/16"), "a 6to4", 2, false},                    // RFC 3056, section 2
	{netip.MustParsePrefix("2001::/32"), "a Teredo", 12, true},                  // RFC 4380, section 4
	{netip.MustParsePrefix("::/96"), "an IPv4-compatible", 12, false},           // RFC 4291, section 2.5.5.1
}

// embedded returns the IPv4 address that addr carries and what that form is
// called, or "". No such address is public, whatever it carries: it is either
// not for the wire or asks a gateway of the operator's network for another one.
// addr must have no zone.
func embedded(addr netip.Addr) (netip.Addr, string) {
	if !addr.Is6() || addr == netip.IPv6Unspecified() || addr == netip.IPv6Loopback() {
		return netip.Addr{}, ""
	}
	b := addr.As16()
	// ISATAP (RFC 5214, section 6.1) marks the interface identifier, below any
	// prefix; the bits aside are "universal" and "group".
	if b[8]&^0x03 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe {
		return netip.AddrFrom4([4]byte(b[12:16])), "an ISATAP"
	}
	for _, e := range embeddings {
		if !e.prefix.Contains(addr) {
			continue
		}
		v4 := [4]byte(b[e.offset : e.offset+4])
		if e.invert {
			for i := range v4 {
				v4[i] ^= 0xff
			}
		}
		return netip.AddrFrom4(v4), e.form
	}
	return netip.Addr{}, ""
}
