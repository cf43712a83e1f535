package fetch

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/sortie-run/sortie/host/fetch/policy"
)

// cookies are those that the hops of one redirect chain have set (RFC 6265, section 5.3). They live as long as the chain: a login that redirects
// with a cookie works, and no fetch sees another's. Domains that are public suffixes can't be set cookies for.
type cookies struct {
	jar *cookiejar.Jar // nil: none were set
}

// take takes over what a response that redirects sets.
func (c *cookies) take(u *policy.URL, header http.Header) {
	lines := header["Set-Cookie"]
	if len(lines) == 0 {
		return
	}
	if len(lines) > maxCookies {
		lines = lines[:maxCookies]
	}
	if c.jar == nil {
		c.jar, _ = cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List}) // it can't fail
	}
	set := (&http.Response{Header: http.Header{"Set-Cookie": lines}}).Cookies()
	c.jar.SetCookies(jarURL(u), set)
}

// header is the Cookie field for a hop: the guest's own, unless the chain has set one of the same name, and the chain's. It is empty if
// the chain has none for it, and the guest's own field is left as it is.
func (c *cookies) header(u *policy.URL, own http.Header) string {
	if c.jar == nil {
		return ""
	}
	set := c.jar.Cookies(jarURL(u))
	if len(set) == 0 {
		return ""
	}
	taken := make(map[string]bool, len(set))
	for _, cookie := range set {
		taken[cookie.Name] = true
	}
	var pairs []string
	for _, line := range own["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.TrimSpace(pair)
			if name, _, _ := strings.Cut(pair, "="); pair != "" && !taken[name] {
				pairs = append(pairs, pair)
			}
		}
	}
	size := 0
	for _, cookie := range set {
		pair := cookie.Name + "=" + cookie.Value
		if size += len(pair) + 2; size > maxCookieBytes {
			break
		}
		pairs = append(pairs, pair)
	}
	return strings.Join(pairs, "; ")
}

// jarURL is what a cookie jar looks at of a URL.
func jarURL(u *policy.URL) *url.URL {
	return &url.URL{Scheme: u.Scheme(), Host: u.Authority(), Path: u.Path()}
}
