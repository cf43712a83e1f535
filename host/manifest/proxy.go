package manifest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// A proxy's URL may hold a password. What is wrong with it is therefore said
// without repeating it, and nothing that is printed shows it.

// maxSocksBytes is the longest user name or password of SOCKS 5 (RFC 1929,
// section 2).
const maxSocksBytes = 255

// checkProxy says what is wrong with a proxy's URL, or "".
func checkProxy(text string) string {
	const want = "not a proxy; write http://, https:// or socks5:// and its host"
	if len(text) > maxPatternBytes {
		return fmt.Sprintf("%d bytes long; a proxy has %d at most", len(text), maxPatternBytes)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" || u.Hostname() == "":
		return want
	case u.Path != "" && u.Path != "/", strings.ContainsAny(text, "?#"):
		return "a proxy has a scheme, a host and a port, and nothing after them"
	case !proxyHost(u.Hostname()):
		return "the proxy's host is not a valid name or address"
	case strings.HasSuffix(u.Host, ":"):
		return "a colon without a port"
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "the proxy's port is not one of 1 to 65535"
		}
	}
	password, _ := u.User.Password()
	if u.Scheme == "socks5" && u.User != nil {
		switch {
		case u.User.Username() == "":
			return "SOCKS 5 wants a user name with a password"
		case len(u.User.Username()) > maxSocksBytes, len(password) > maxSocksBytes:
			return fmt.Sprintf("SOCKS 5 has room for %d bytes of user name or password", maxSocksBytes)
		}
	}
	return ""
}

func proxyHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	_, err := parseHost(host)
	return err == nil
}

// credentials are what stands in front of an @ in a URL.
var credentials = regexp.MustCompile(`(?s)//.*@`)

// withoutCredentials gives text, a URL or a message with one in it, without a
// user name and password. Where they end is not always clear, since people
// write passwords as they are, so rather too much goes than too little; an
// ellipsis stands for it.
func withoutCredentials(text string) string {
	if strings.IndexByte(text, '@') < 0 {
		return text
	}
	return credentials.ReplaceAllString(text, "//…@")
}

// plainUpstream is an Upstream without its methods.
type plainUpstream Upstream

// shown gives the upstream as it may be seen.
func (u Upstream) shown() plainUpstream {
	u.Proxy = withoutCredentials(u.Proxy)
	return plainUpstream(u)
}

// MarshalJSON gives the upstream without the proxy's credentials.
func (u Upstream) MarshalJSON() ([]byte, error) { return json.Marshal(u.shown()) }

// MarshalYAML gives the upstream without the proxy's credentials.
func (u Upstream) MarshalYAML() (any, error) { return u.shown(), nil }

// Format prints the upstream without the proxy's credentials.
func (u Upstream) Format(f fmt.State, verb rune) {
	fmt.Fprintf(f, fmt.FormatString(f, verb), u.shown())
}
