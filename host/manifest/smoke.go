package manifest

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Smoke is a request that a new version must answer before it takes traffic.
type Smoke struct {
	// The request's method.
	Method string `yaml:"method" json:"method"`
	// The request's path, below the plugin's, with an optional query.
	Path string `yaml:"path" json:"path"`
	// The request's header fields.
	Headers map[string]string `yaml:"headers" json:"headers"`
	// The request's body.
	Body string `yaml:"body" json:"body"`
	// The status that the answer must have; 0 is any below 400.
	Status int `yaml:"status" json:"status"`
}

// Passes says whether an answer with that status is what was asked for.
func (s *Smoke) Passes(status int) bool {
	if s.Status == 0 {
		return status < 400
	}
	return status == s.Status
}

// Sticky says which callers stay together. At most one of its fields is set.
type Sticky struct {
	// The request header whose value counts.
	Header string `yaml:"header" json:"header"`
	// The cookie whose value counts.
	Cookie string `yaml:"cookie" json:"cookie"`
}

// The bounds on a smoke test's header.
const (
	maxSmokeHeaders = 100
	leastAnswer     = 200 // a plugin answers with a status from here
	mostAnswer      = 599
)

func (c *checker) smoke(s *Smoke) {
	if s == nil {
		return
	}
	s.Method = c.method(s.Method, "smoke.method")
	c.samplePath(s.Path, "smoke.path")
	s.Headers = c.smokeHeaders(s.Headers, "smoke.headers")
	if s.Status != 0 && (s.Status < leastAnswer || s.Status > mostAnswer) {
		c.bad("smoke.status", "%d; a plugin answers with %d to %d, and 0 is any below 400", s.Status, leastAnswer, mostAnswer)
	}
}

// smokeHeaders checks a request's fields, and writes their names in one way.
func (c *checker) smokeHeaders(fields map[string]string, key string) map[string]string {
	if len(fields) > maxSmokeHeaders {
		c.bad(key, "%d header fields; %d is the most", len(fields), maxSmokeHeaders)
		return fields
	}
	var canonical map[string]string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		at, value, written := child(key, name), fields[name], http.CanonicalHeaderKey(name)
		_, twice := canonical[written]
		switch {
		case len(name) > maxEntryBytes || !httpguts.ValidHeaderFieldName(name):
			c.bad(at, "%s is not a header's name", quote(name))
		case hostOwned(name) || ofConnection(name):
			c.bad(at, "%s can't be set by a caller that the plugin sees", quote(name))
		case twice:
			c.bad(at, "%s is given twice; case makes no difference", quote(written))
		case len(value) > maxHeaderBytes || !httpguts.ValidHeaderFieldValue(value):
			c.bad(at, "can't be a header's value")
		}
		if canonical == nil {
			canonical = map[string]string{}
		}
		canonical[written] = value
	}
	return canonical
}

func (c *checker) sticky(s *Sticky) {
	switch {
	case s.Header != "" && s.Cookie != "":
		c.bad("sticky", "both `header` and `cookie`; one of them says who stays together")
		return
	case s.Header == "":
	case len(s.Header) > maxEntryBytes || !httpguts.ValidHeaderFieldName(s.Header):
		c.bad("sticky.header", "%s is not a header's name", quote(s.Header))
	case hostOwned(s.Header) || ofConnection(s.Header):
		c.bad("sticky.header", "%s is about the connection or Sortie's own; name one that callers choose, such as X-User", quote(s.Header))
	default:
		s.Header = http.CanonicalHeaderKey(s.Header)
	}
	// A cookie's name is a token (RFC 6265, section 4.1.1), as a header's is.
	if s.Cookie != "" && (len(s.Cookie) > maxEntryBytes || !httpguts.ValidHeaderFieldName(s.Cookie)) {
		c.bad("sticky.cookie", "%s is not a cookie's name, such as session", quote(s.Cookie))
	}
}

// ofConnection says whether a field concerns one connection, beside those that
// hostOwned knows (RFC 9110, section 7.6.1).
func ofConnection(header string) bool {
	return strings.HasPrefix(strings.ToLower(header), "proxy-auth")
}
