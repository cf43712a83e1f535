package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// screen refuses what must not get as far as the parser, which would drop or
// replace it without a word.
func screen(raw string) *failure.Error {
	if len(raw) > MaxURL {
		return tooLong(len(raw))
	}
	if strings.ContainsAny(raw, "\r\n\x00") {
		return failure.New(failure.InvalidRequest, "the URL holds a CR, LF or NUL")
	}
	if !utf8.ValidString(raw) {
		return failure.New(failure.InvalidURL, "the URL is not UTF-8")
	}
	if strings.ContainsFunc(raw, unicode.IsControl) {
		return failure.New(failure.InvalidURL, "%s holds a control character; percent-encode it", quoteURL(raw))
	}
	beforeQuery := raw
	if end := strings.IndexAny(raw, "?#"); end >= 0 {
		beforeQuery = raw[:end]
	}
	if strings.Count(beforeQuery, "/")+strings.Count(beforeQuery, `\`) > maxSegments+len("//") {
		return tooDeep()
	}
	return nil
}

// schemeOf returns what stands before the first ":" in lower case, and whether
// it is a scheme (RFC 3986, section 3.1).
func schemeOf(s string) (string, bool) {
	for i, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		case i > 0 && c == ':':
			return strings.ToLower(s[:i]), true
		default:
			return "", false
		}
	}
	return "", false
}

// hasUserinfo tells whether s has an "@" in its authority, be it with nothing
// before it, which parsing would leave no trace of. A relative reference has an
// authority only after two slashes. The library takes quadratic time over many
// "@", so this comes first.
func hasUserinfo(s string, relative bool) bool {
	if scheme, ok := schemeOf(s); ok {
		s = s[len(scheme)+1:]
	}
	rest := strings.TrimLeft(s, `/\`)
	if relative && len(s)-len(rest) < 2 {
		return false
	}
	if end := strings.IndexAny(rest, `/\?#`); end >= 0 {
		rest = rest[:end]
	}
	return strings.Contains(rest, "@")
}

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

func tooLong(n int) *failure.Error {
	return failure.New(failure.InvalidURL, "the URL has %d bytes; the most is %d", n, MaxURL)
}

func tooDeep() *failure.Error {
	return failure.New(failure.InvalidURL, "the URL's path has more than %d segments", maxSegments)
}

func userinfo() *failure.Error {
	return failure.New(failure.InvalidURL, "the URL holds a user name or password; send an Authorization header instead")
}

func unsupported(scheme string) *failure.Error {
	return failure.New(failure.UnsupportedProtocol, "the scheme %s is not supported; use http or https", quote(scheme))
}

// quoteURL is quote for a URL that may hold a password.
func quoteURL(raw string) string {
	if strings.Contains(raw, "@") {
		return "the URL"
	}
	return quote(raw)
}
