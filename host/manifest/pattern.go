package manifest

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"
)

// Pattern is what a rule matches: an origin, which may have wildcards, and a
// path prefix. Its parts are in the form in which a URL parsed as the WHATWG
// URL Standard says gives them, so they compare byte for byte.
type Pattern struct {
	Scheme   string // "http" or "https"
	Host     string // lower-case ASCII, without "*."; IPv4 in four decimals; IPv6 compressed and without brackets; "" with AnyHost
	Wildcard bool   // *.Host: one or more labels in front of Host, never Host itself
	AnyHost  bool   // host "*"
	Port     string // effective, such as "443"; "" with AnyPort
	AnyPort  bool   // port "*"
	Path     string // "" (any), or a prefix that starts with "/" and ends at a segment's boundary
}

// maxPatternBytes bounds a pattern: a host has 253 characters at most, and a
// path prefix far longer than that is a mistake.
const maxPatternBytes = 2048

// ParsePattern parses `scheme://host[:port][/path]`. The scheme is http or
// https; the host a name, an address, `*.` in front of a name, or `*`; the port
// a number or `*`. The path is a prefix, matched segment by segment.
//
// What no URL can ever match is an error: user information, a query, a
// fragment, a wildcard anywhere else, and a path with dot segments, backslashes
// or what [Disguise] finds.
func ParsePattern(s string) (Pattern, error) {
	if err := checkPatternText(s); err != nil {
		return Pattern{}, err
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return Pattern{}, errors.New("no scheme; a rule is scheme://host[:port], such as https://api.example.com")
	}
	p := Pattern{Scheme: strings.ToLower(scheme)}
	if p.Scheme != "http" && p.Scheme != "https" {
		return Pattern{}, fmt.Errorf("scheme %q; only http and https can be fetched", scheme)
	}
	authority, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	host, port, err := splitAuthority(authority)
	if err != nil {
		return Pattern{}, err
	}
	if err := p.setPort(port); err != nil {
		return Pattern{}, err
	}
	if err := p.setHost(host); err != nil {
		return Pattern{}, err
	}
	if err := p.setPath(path); err != nil {
		return Pattern{}, err
	}
	return p, nil
}

// String gives the pattern back in its canonical form, without a default port.
// Parsing it gives the same pattern.
func (p Pattern) String() string {
	var b strings.Builder
	b.WriteString(p.Scheme)
	b.WriteString("://")
	switch {
	case p.AnyHost:
		b.WriteByte('*')
	case strings.IndexByte(p.Host, ':') >= 0:
		b.WriteString("[" + p.Host + "]")
	case p.Wildcard:
		b.WriteString("*." + p.Host)
	default:
		b.WriteString(p.Host)
	}
	switch {
	case p.AnyPort:
		b.WriteString(":*")
	case p.Port != defaultPort(p.Scheme):
		b.WriteString(":" + p.Port)
	}
	b.WriteString(p.Path)
	return b.String()
}

// Covers says whether every URL that q matches is matched by p too. It is how a
// manifest's secret is held inside the operator's.
func (p Pattern) Covers(q Pattern) bool {
	return p.Scheme == q.Scheme &&
		(p.AnyPort || !q.AnyPort && p.Port == q.Port) &&
		p.coversHost(q) &&
		p.coversPath(q.Path)
}

func (p Pattern) coversHost(q Pattern) bool {
	switch {
	case p.AnyHost:
		return true
	case q.AnyHost:
		return false
	case !p.Wildcard:
		return !q.Wildcard && p.Host == q.Host
	case q.Wildcard && p.Host == q.Host:
		return true
	default:
		return strings.HasSuffix(q.Host, "."+p.Host)
	}
}

func (p Pattern) coversPath(path string) bool {
	rest, ok := strings.CutPrefix(path, p.Path)
	return ok && (rest == "" || p.Path == "" || strings.HasSuffix(p.Path, "/") || rest[0] == '/')
}

// checkPatternText refuses what is wrong wherever it stands.
func checkPatternText(s string) error {
	switch {
	case s == "":
		return errors.New("empty; a rule is scheme://host[:port], such as https://api.example.com")
	case len(s) > maxPatternBytes:
		return fmt.Errorf("%d bytes long; a rule has %d at most", len(s), maxPatternBytes)
	}
	for _, r := range s {
		switch {
		case r <= ' ' || r == 0x7f || r == '\uFFFD':
			return errors.New("a space, control or invalid character matches nothing")
		case r == '\\':
			return errors.New("a backslash matches nothing; URLs have slashes")
		case r == '?':
			return errors.New("a query matches nothing; a rule ends with the path")
		case r == '#':
			return errors.New("a fragment matches nothing; a rule ends with the path")
		}
	}
	return nil
}

// splitAuthority takes host and port apart; port is "" where there is none. An
// IPv6 literal keeps its brackets.
func splitAuthority(authority string) (host, port string, err error) {
	if strings.IndexByte(authority, '@') >= 0 {
		return "", "", errors.New("user information matches nothing; put credentials in `secrets`")
	}
	colon := strings.LastIndexByte(authority, ':')
	if colon < 0 || colon < strings.LastIndexByte(authority, ']') {
		return authority, "", nil
	}
	host, port = authority[:colon], authority[colon+1:]
	if port == "" {
		return "", "", errors.New("a colon without a port")
	}
	if strings.IndexByte(host, ':') >= 0 && host[0] != '[' {
		return "", "", errors.New("an IPv6 address needs brackets, as in http://[::1]:9000")
	}
	return host, port, nil
}

func (p *Pattern) setPort(port string) error {
	switch port {
	case "":
		p.Port = defaultPort(p.Scheme)
		return nil
	case "*":
		p.AnyPort = true
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("port %q; a port is 1 to 65535, or * for any", port)
	}
	p.Port = strconv.FormatUint(n, 10)
	return nil
}

func (p *Pattern) setHost(host string) error {
	if host == "*" {
		p.AnyHost = true
		return nil
	}
	name, wildcard := strings.CutPrefix(host, "*.")
	ascii, err := parseHost(name)
	if err != nil {
		return err
	}
	if wildcard && net.ParseIP(ascii) != nil {
		return fmt.Errorf("host %q; nothing can stand in front of an address", host)
	}
	p.Host, p.Wildcard = ascii, wildcard
	return nil
}

// parseHost gives the host as a URL parser gives it: percent-decoded, in ASCII
// and lower case, addresses in their one spelling; IPv6 loses its brackets.
func parseHost(host string) (string, error) {
	switch {
	case host == "":
		return "", errors.New("no host")
	case strings.Contains(host, "*"):
		return "", fmt.Errorf("host %q; a wildcard is the whole host or, as *., its beginning", host)
	}
	u, err := whatwg.Parse("https://" + host + "/")
	if err != nil || u.Hostname() == "" {
		return "", fmt.Errorf("host %q is not a valid host name or address", host)
	}
	ascii := u.Hostname()
	// Some international names have an ASCII form that is none itself.
	if again, err := whatwg.Parse("https://" + ascii + "/"); err != nil || again.Hostname() != ascii {
		return "", fmt.Errorf("host %q is not a valid host name or address", host)
	}
	if ip, ok := strings.CutPrefix(ascii, "["); ok {
		return strings.TrimSuffix(ip, "]"), nil
	}
	if strings.Contains(ascii, "*") { // it was encoded, %2a
		return "", fmt.Errorf("host %q; no host has an encoded wildcard", host)
	}
	if err := checkLabels(host, ascii); err != nil {
		return "", err
	}
	return ascii, nil
}

// checkLabels refuses names that the URL parser lets pass but no resolver does.
func checkLabels(host, ascii string) error {
	if strings.HasSuffix(ascii, ".") {
		return fmt.Errorf("host %q; leave out the dot at its end", host)
	}
	if len(ascii) > 253 {
		return fmt.Errorf("host of %d characters; a name has 253 at most", len(ascii))
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if label == "" || len(label) > 63 {
			return fmt.Errorf("host %q; each label has 1 to 63 characters", host)
		}
	}
	return nil
}

func (p *Pattern) setPath(path string) error {
	if path == "" || path == "/" {
		return nil // every path begins with a slash
	}
	if strings.IndexByte(path, '*') >= 0 {
		return errors.New("a wildcard in the path matches nothing; a path is a prefix as it stands")
	}
	if hidden := Disguise(path); hidden != "" {
		return fmt.Errorf("the path has %s, which matches nothing, as a server may take it for another path", hidden)
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return fmt.Errorf("segment %q in the path matches nothing; write the path it leads to", segment)
		}
	}
	u, err := whatwg.Parse("https://host.invalid" + path)
	if err != nil {
		return fmt.Errorf("path %q is not valid in a URL", path)
	}
	p.Path = u.Pathname()
	return nil
}

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}
