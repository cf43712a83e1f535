package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"
	"golang.org/x/net/idna"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// The library follows the standard but for four things, which are made up for
// here: it reads signed numbers as parts of an IPv4 address (1.2.3.-4), it
// strips any number of brackets off an IPv6 address ([[::1]]), it drops an empty
// Punycode label (foo.xn--), and its set of characters to encode in a path
// predates the addition of "^".
var parser = whatwg.NewParser(
	whatwg.WithPreParseHostFunc(refuseMisread),
	whatwg.WithPathPercentEncodeSet(whatwg.PathPercentEncodeSet.Set('^')),
)

var errParser = errors.New("the URL parser failed")

// parseWHATWG parses ref, relative to base if that isn't "". A panic in the
// library is an error here: the text is a guest's, the process is everyone's.
func parseWHATWG(base, ref string) (u *whatwg.Url, err error) {
	defer func() {
		if r := recover(); r != nil {
			u, err = nil, fmt.Errorf("%w: %v", errParser, r)
		}
	}()
	return parser.ParseRef(base, ref)
}

// refuseMisread gives the library a host that it is sure to refuse in place of
// one that it would misread.
func refuseMisread(_ *whatwg.Url, host string) string {
	const refused = "<"
	if strings.HasPrefix(host, "[") {
		inner := strings.TrimSuffix(host[1:], "]")
		if len(inner) != len(host)-2 {
			return refused
		}
		if addr, err := netip.ParseAddr(inner); err != nil || !addr.Is6() || addr.Zone() != "" {
			return refused
		}
		return host
	}
	plain := host
	if strings.Contains(host, "%") {
		decoded, err := url.PathUnescape(host)
		if err != nil {
			return refused
		}
		plain = decoded
	}
	name := plain
	if !isASCII(plain) {
		plain, _ = mapping.ToASCII(plain) // what can't be mapped the library refuses
	}
	if strings.ContainsAny(plain, "+-") && readAsIPv4(plain) || endsInEmptyPunycode(name, plain) {
		return refused
	}
	return host
}

// readAsIPv4 tells whether the library takes a host for an IPv4 address: by the
// URL Standard's "ends in a number checker", but that it takes a sign for part
// of a number. Where there is a sign, that is either no address or, after all, a
// name such as 0-7, which is refused as well: no top-level domain is one.
func readAsIPv4(host string) bool {
	last := lastLabel(host)
	if last != "" && strings.Trim(last, "0123456789") == "" {
		return true
	}
	base := 10
	if digits, ok := strings.CutPrefix(strings.ToLower(last), "0x"); ok {
		last, base = digits, 16
	} else if len(last) > 1 && last[0] == '0' {
		last, base = last[1:], 8
	}
	_, err := strconv.ParseInt(last, base, 64)
	return err == nil || errors.Is(err, strconv.ErrRange) || last == "" && base == 16
}

// endsInEmptyPunycode tells whether a name's last label is xn-- and nothing else,
// of which mapping leaves the dot before it, as if it were the root's. So it does
// of a label that is nothing but what IDNA ignores.
func endsInEmptyPunycode(name, mapped string) bool {
	if isASCII(name) {
		return strings.EqualFold(lastLabel(name), "xn--")
	}
	return strings.HasSuffix(mapped, ".") && strings.TrimRight(name, ".\u3002\uff0e\uff61") == name
}

// lastLabel leaves the root's dot out.
func lastLabel(host string) string {
	host = strings.TrimSuffix(host, ".")
	return host[strings.LastIndexByte(host, '.')+1:]
}

// mapping turns full-width digits, signs and dots into ASCII ones, and drops
// what IDNA ignores, as the library's own profile does.
var mapping = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// setHost takes over the host the library made, once it is a name that can be
// in DNS or an address that netip reads as well.
func (u *URL) setHost(host string) *failure.Error {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner = strings.TrimSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if err != nil || !addr.Is6() {
			return failure.Wrap(failure.InvalidURL, err, "%s is not an IPv6 address", quote(inner))
		}
		u.host, u.addr = inner, addr
		return nil
	}
	if endsInNumber(host) {
		addr, err := netip.ParseAddr(host)
		if err != nil {
			return failure.Wrap(failure.InvalidURL, err, "the host %s ends in a number but is not an IPv4 address", quote(host))
		}
		u.host, u.addr = host, addr
		return nil
	}
	if why := notDNS(host); why != "" {
		return failure.New(failure.InvalidURL, "the host %s %s", quote(host), why)
	}
	if !isStable(host) {
		return failure.New(failure.InvalidURL, "the host %s is in Punycode that IDNA refuses", quote(host))
	}
	u.host = host
	return nil
}

// endsInNumber is the URL Standard's "ends in a number checker", in its first
// half: the library has dealt with 0x.
func endsInNumber(host string) bool {
	last := lastLabel(host)
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// isStable tells whether parsing a name once more gives it again. The library
// maps some to Punycode that it then refuses: it judges text that goes from
// right to left before mapping, and "≠" not at all.
func isStable(host string) bool {
	if !strings.Contains(host, "xn--") {
		return true
	}
	again, err := parseWHATWG("", "http://"+host+"/")
	return err == nil && again.Hostname() == host
}

// notDNS says why host can't be a name in DNS (RFC 1035, section 2.3.4, and the
// underscore of RFC 2782), or returns "". The root's dot may end it.
func notDNS(host string) string {
	name := strings.TrimSuffix(host, ".")
	if len(name) > 253 {
		return "is longer than 253 bytes"
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return "is empty or has an empty label"
		case len(label) > 63:
			return "has a label longer than 63 bytes"
		}
		for _, c := range []byte(label) {
			if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' {
				continue
			}
			return "holds a character that no DNS name has"
		}
	}
	return ""
}

// encodeForGo percent-encodes what the URL Standard leaves as it is in a path
// but net/url does not, so that url.URL.RawPath can carry the path: "%" that
// starts no escape, and the likes of "|".
func encodeForGo(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		switch {
		case c == '%' && (i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2])):
			b.WriteString("%25")
		case c == '%' || isAlphanumeric(c) || strings.IndexByte("-_.~!$&'()*+,;=:@[]/", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
