package main

import (
	"errors"
	"net/url"
	"strings"
)

// maxURL bounds a URL that is followed. Longer ones are made by loops, not by people.
const maxURL = 4096

var (
	errScheme   = errors.New("is neither http nor https")
	errHost     = errors.New("has no host, or one that isn't plain ASCII; write an international name in its xn-- form")
	errUserinfo = errors.New("holds a user name")
	errLong     = errors.New("is longer than 4096 characters")
)

// location is a URL in its normal form: no fragment, dot segments resolved, scheme and host in lower case, default port left out, and the
// path as by normalisePath. Two of one page are equal, but for what only the site can know.
type location struct {
	origin string // "https://example.com"
	target string // path and query, as sent: "/a?b=c"
}

func (l location) String() string { return l.origin + l.target }

// parseLocation reads an absolute URL.
func parseLocation(text string) (location, error) { return resolve(nil, text) }

// resolve reads a link as a browser does (WHATWG URL: white space and backslashes included), relative to base unless that is nil.
func resolve(base *url.URL, link string) (location, error) {
	link = strings.Trim(link, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\v\f\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f ")
	if strings.ContainsAny(link, "\t\n\r") {
		link = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(link)
	}
	link, _, _ = strings.Cut(link, "#")
	before, query, hasQuery := strings.Cut(link, "?")
	if len(before)+len(query) > maxURL {
		return location{}, errLong
	}
	u, err := url.Parse(normalisePath(strings.ReplaceAll(before, `\`, "/")))
	if err != nil {
		return location{}, err
	}
	u.RawQuery, u.ForceQuery = escapeQuery(query), hasQuery
	if base == nil {
		base = &url.URL{}
	}
	u = base.ResolveReference(u)
	l := location{target: u.EscapedPath()}
	if l.target == "" {
		l.target = "/"
	}
	if u.RawQuery != "" {
		l.target += "?" + u.RawQuery
	}
	if l.origin, err = originOf(u); err == nil && len(l.String()) > maxURL {
		err = errLong
	}
	return l, err
}

func originOf(u *url.URL) (string, error) {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "", errScheme
	case u.User != nil:
		return "", errUserinfo
	case host == "" || strings.ContainsAny(host, "%/?") || host != normalisePath(host):
		return "", errHost
	case strings.HasPrefix(u.Host, "["):
		host = "[" + host + "]"
	case strings.Contains(host, ":"):
		return "", errHost
	}
	if port != "" && (u.Scheme == "http" && port != "80" || u.Scheme == "https" && port != "443") {
		host += ":" + port
	}
	return u.Scheme + "://" + host, nil
}

// escapeQuery encodes what has no place in a query and leaves the rest as it is: what a query means is the site's affair.
func escapeQuery(query string) string {
	if allURLCharacters(query) {
		return query
	}
	const upperHex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(query) {
		if urlCharacter(c) || strings.IndexByte("%{}|^`\\", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}

// normalisePath makes two spellings of a path the same text: unreserved characters are decoded, and what has no place in a URL is
// encoded: all that isn't ASCII, spaces, quotes and the like (RFC 3986, section 6.2.2; RFC 9309, section 2.2.2).
func normalisePath(path string) string {
	if allURLCharacters(path) {
		return path
	}
	const upperHex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		encoded := false
		if c == '%' {
			high, low := unhex(path, i+1), unhex(path, i+2)
			if high < 0 || low < 0 {
				b.WriteString("%25")
				continue
			}
			c, encoded = byte(high<<4|low), true
			i += 2
		}
		if encoded && !unreserved(c) || !urlCharacter(c) {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func unhex(s string, i int) int {
	if i >= len(s) {
		return -1
	}
	switch c := s[i]; {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// unreserved tells RFC 3986's unreserved characters (section 2.3).
func unreserved(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// urlCharacter tells the characters that may stand in a path or query as they are, brackets included, since servers take them.
func urlCharacter(c byte) bool {
	switch c {
	case '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=', ':', '@', '/', '?', '[', ']':
		return true
	}
	return unreserved(c)
}

func allURLCharacters(s string) bool {
	for i := range len(s) {
		if !urlCharacter(s[i]) {
			return false
		}
	}
	return true
}
