package policy

import (
	"net/netip"
	"net/url"
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"

	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// MaxURL is the longest URL in bytes, as given and as it is sent.
const MaxURL = 8 << 10

// maxSegments bounds the path's segments: the library takes quadratic time over
// them, at the host's expense.
const maxSegments = 512

// URL is a parsed http or https URL. It is immutable. What its methods return
// is what is sent: nothing parses it again.
type URL struct {
	scheme    string
	host      string // ASCII; IPv6 without brackets
	port      string // effective
	authority string // as in the Host field: brackets, and the port unless it is the default
	path      string // starts with "/"
	query     string
	fragment  string
	hasQuery  bool
	request   url.URL    // for net/http
	disguise  string     // what in the path a server may read as another path; "" if nothing
	addr      netip.Addr // if the host is an address
	text      string     // all but the fragment
}

// ParseURL parses raw as a browser does (WHATWG URL Standard, "basic URL
// parser"), and refuses what a browser would put up with but a fetch on behalf
// of others should not:
//
//   - userinfo, control characters, text that isn't UTF-8, more than [MaxURL]
//     bytes or 512 path segments, port 0: invalid_url;
//   - CR, LF or NUL: invalid_request;
//   - a host that no DNS name can be: labels that are empty, longer than 63
//     bytes or with other characters than letters, digits, "-" and "_", names
//     over 253 bytes: invalid_url;
//   - any scheme but http and https: unsupported_protocol.
//
// IPv4 addresses in any of the spellings browsers know (0x7f.1, 017700000001,
// 2130706433) become dotted decimals; names are mapped by IDNA; "\" becomes
// "/"; dot segments, %2e included, are resolved; the default port disappears.
func ParseURL(raw string) (*URL, *failure.Error) {
	if fail := screen(raw); fail != nil {
		return nil, fail
	}
	text := strings.Trim(raw, " ")
	switch scheme, ok := schemeOf(text); {
	case !ok:
		return nil, failure.New(failure.InvalidURL, "%s has no scheme; write https://…", quoteURL(raw))
	case scheme != "http" && scheme != "https":
		return nil, unsupported(scheme)
	}
	if hasUserinfo(text, false) {
		return nil, userinfo()
	}
	parsed, err := parseWHATWG("", text)
	if err != nil {
		return nil, failure.Wrap(failure.InvalidURL, err, "%s is not a valid URL", quoteURL(raw))
	}
	return build(parsed)
}

// Resolve parses ref, such as a Location field's value, relative to u. Without
// a fragment of its own the result inherits u's (Fetch Standard, "location
// URL"). It fails as [ParseURL] does.
func (u *URL) Resolve(ref string) (*URL, *failure.Error) {
	if fail := screen(ref); fail != nil {
		return nil, fail
	}
	text := strings.Trim(ref, " ")
	scheme, absolute := schemeOf(text)
	if absolute && scheme != "http" && scheme != "https" {
		return nil, unsupported(scheme)
	}
	if hasUserinfo(text, !absolute || scheme == u.scheme) {
		return nil, userinfo()
	}
	parsed, err := parseWHATWG(u.String(), text)
	if err != nil {
		return nil, failure.Wrap(failure.InvalidURL, err, "%s is not a valid URL", quoteURL(ref))
	}
	next, fail := build(parsed)
	if fail != nil {
		return nil, fail
	}
	if !strings.Contains(text, "#") {
		next.fragment = u.fragment
	}
	return next, nil
}

// build takes over what the parser understood, and checks it.
func build(parsed *whatwg.Url) (*URL, *failure.Error) {
	if parsed.Username() != "" || parsed.Password() != "" {
		return nil, userinfo()
	}
	u := &URL{scheme: parsed.Scheme(), authority: parsed.Host(), port: parsed.Port()}
	if u.scheme != "http" && u.scheme != "https" {
		return nil, unsupported(u.scheme)
	}
	if fail := u.setHost(parsed.Hostname()); fail != nil {
		return nil, fail
	}
	switch u.port {
	case "":
		u.port = defaultPort(u.scheme)
	case "0":
		return nil, failure.New(failure.InvalidURL, "port 0 can't be connected to")
	}
	href := parsed.Href(true)
	origin := u.scheme + "://" + u.authority
	target, ok := strings.CutPrefix(href, origin)
	if !ok {
		return nil, failure.Wrap(failure.InvalidURL, errParser, "the URL does not begin with its origin")
	}
	u.path, u.query, u.hasQuery = strings.Cut(target, "?")
	if strings.Count(u.path, "/") > maxSegments {
		return nil, tooDeep()
	}
	if strings.HasPrefix(u.path, "//") {
		u.path = encodeForGo(u.path)
	}
	u.disguise = manifest.Disguise(u.path)
	u.text = origin + u.path
	if u.hasQuery {
		u.text += "?" + u.query
	}
	// Never sent; an empty one is as good as none.
	u.fragment = parsed.Fragment()
	if n := len(u.text) + len(u.fragment); n > MaxURL {
		return nil, tooLong(n)
	}
	u.request = u.asRequest()
	return u, nil
}

// Scheme returns "http" or "https".
func (u *URL) Scheme() string { return u.scheme }

// Host returns the host alone: a lower-case ASCII name, an IPv4 address in
// dotted decimals, or an IPv6 address without brackets. With [URL.Port] it is
// what net.JoinHostPort takes.
func (u *URL) Host() string { return u.host }

// Addr returns the host as an address, and whether it is one.
func (u *URL) Addr() (netip.Addr, bool) { return u.addr, u.addr.IsValid() }

// Port returns the port to connect to, the scheme's default if none was given.
func (u *URL) Port() string { return u.port }

// Authority returns host and port as the Host field carries them: IPv6 in
// brackets, the scheme's default port left out.
func (u *URL) Authority() string { return u.authority }

// Path returns the path as it is sent; it starts with "/".
func (u *URL) Path() string { return u.path }

// Query returns the query as it is sent, without "?".
func (u *URL) Query() string { return u.query }

// Fragment returns the fragment without "#". It is never sent.
func (u *URL) Fragment() string { return u.fragment }

// Origin returns scheme, host and port as the URL Standard writes an origin,
// without the default port: https://example.com, http://[::1]:8080.
func (u *URL) Origin() string { return u.text[:u.originLen()] }

func (u *URL) originLen() int { return len(u.scheme) + len("://") + len(u.authority) }

// Target returns the request target in origin form (RFC 9112, section 3.2.1):
// path and query.
func (u *URL) Target() string { return u.text[u.originLen():] }

// String returns the URL without its fragment. Parsing it gives u again.
func (u *URL) String() string { return u.text }

// Request returns u for a net/http request, which must not change it. Its
// RequestURI is [URL.Target] and its Host is [URL.Authority], byte for byte.
// Print u, not this: to keep the bytes it uses Opaque, which url.URL.String
// writes without the host.
func (u *URL) Request() *url.URL { return &u.request }

func (u *URL) asRequest() url.URL {
	r := url.URL{Scheme: u.scheme, Host: u.authority, RawQuery: u.query, ForceQuery: u.hasQuery && u.query == ""}
	if !strings.HasPrefix(u.path, "//") {
		r.Opaque = u.path
		return r
	}
	// RequestURI would put "http:" in front of an opaque "//…". Here RawPath
	// works, since build has encoded such a path in a way that Go accepts.
	r.RawPath = u.path
	if path, err := url.PathUnescape(u.path); err == nil {
		r.Path = path
	}
	return r
}
