package dial

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Proxy is a server of the operator's that connections go through: HTTP's CONNECT (RFC 9110, section 9.3.6), over TLS or not, or SOCKS 5
// (RFC 1928). It may have the means to reach what this machine can't, so what it is asked for is always an address that was
// judged here. It is safe for concurrent use; every connection through it has one to the proxy for itself.
type Proxy struct {
	scheme, host string
	port         uint16
	user         *url.Userinfo
	tls          *tls.Config // of https
}

// ParseProxy reads http://, https:// or socks5://[user:password@]host[:port]. Ports are 80, 443 and 1080 unless given. A path other than
// "/", a query or a fragment is an error.
//
// User and password may be percent-encoded. They go into Basic Proxy-Authorization (RFC 7617: no colon in the user) or into SOCKS's own
// authentication (RFC 1929: 1 to 255 bytes each; a password may be missing).
//
// TLS to an https:// proxy is by cfg, which may be nil: its roots, certificates and versions count; its server name, protocols and
// InsecureSkipVerify don't. Errors repeat nothing of text.
func ParseProxy(text string, cfg *tls.Config) (*Proxy, error) {
	u, err := url.Parse(text)
	if err != nil { // which has the text
		return nil, errors.New("a proxy is http://, https:// or socks5:// and its host; this can't be read as a URL")
	}
	port, ok := map[string]uint16{"http": 80, "https": 443, "socks5": 1080}[u.Scheme]
	switch {
	case !ok: // of "user:password@host" the user would be the scheme
		return nil, errors.New("the proxy's scheme is none of http, https and socks5")
	case u.Path != "" && u.Path != "/" || strings.ContainsAny(text, "?#"):
		return nil, errors.New("a proxy has a scheme, a host and a port, and nothing after them")
	}
	host, ok := proxyHost(u)
	if !ok {
		return nil, errors.New("the proxy's host is neither a name nor an address")
	}
	if given := u.Port(); given != "" || strings.HasSuffix(u.Host, ":") {
		number, err := strconv.ParseUint(given, 10, 16)
		if err != nil || number == 0 {
			return nil, errors.New("the proxy's port is not one from 1 to 65535")
		}
		port = uint16(number)
	}
	if err := checkUser(u); err != nil {
		return nil, err
	}
	p := &Proxy{scheme: u.Scheme, host: host, port: port, user: u.User}
	if p.scheme == "https" {
		p.tls = proxyTLS(cfg, host)
	}
	return p, nil
}

// String is the proxy without its credentials.
func (p *Proxy) String() string {
	return p.scheme + "://" + net.JoinHostPort(p.host, strconv.Itoa(int(p.port)))
}

// GoString is String, for %#v.
func (p *Proxy) GoString() string { return fmt.Sprintf("dial.Proxy(%q)", p.String()) }

// hostnames maps as the URLs of fetches are, and leaves underscores, which names of containers have.
var hostnames = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// proxyHost returns the URL's host if it is an address, IPv6 in brackets, or could be a name: in ASCII, as DNS has it.
func proxyHost(u *url.URL) (string, bool) {
	host, bracketed := u.Hostname(), strings.HasPrefix(u.Host, "[")
	if addr, err := netip.ParseAddr(host); err == nil {
		return host, addr.Is6() == bracketed
	}
	host, err := hostnames.ToASCII(host)
	if err != nil || bracketed || len(host) > maxName {
		return "", false
	}
	if again, err := hostnames.ToASCII(host); err != nil || again != host { // as of a host in broken UTF-8
		return "", false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	return host, true
}

// checkUser refuses credentials that can't be sent as they are meant.
func checkUser(u *url.URL) error {
	if u.User == nil {
		return nil
	}
	user := u.User.Username()
	password, _ := u.User.Password()
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	switch {
	case user == "" && password == "":
		return errors.New("the proxy's credentials are empty")
	case strings.ContainsFunc(user+password, control):
		return errors.New("the proxy's credentials have a control character")
	case u.Scheme == "socks5" && (user == "" || len(user) > 255 || len(password) > 255):
		return errors.New("SOCKS takes a user of 1 to 255 bytes and a password of at most 255")
	case u.Scheme != "socks5" && strings.Contains(user, ":"):
		return errors.New("the proxy's user has a colon, which would be taken for the end of it")
	}
	return nil
}

// proxyTLS is how an https:// proxy is spoken to.
func proxyTLS(cfg *tls.Config, host string) *tls.Config {
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg = cfg.Clone()
	cfg.InsecureSkipVerify = false
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	cfg.KeyLogWriter = nil
	cfg.NextProtos = nil // CONNECT as it is written here is HTTP/1.1's
	cfg.ServerName, _, _ = strings.Cut(strings.TrimSuffix(host, "."), "%")
	return cfg
}
