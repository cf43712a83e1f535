package manifest

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// CORS says which pages of other origins may read the plugin's answers (the
// Fetch Standard's CORS protocol). Without origins, the plugin answers for
// itself.
type CORS struct {
	// The pages' origins, `scheme://host[:port]`, or `*` alone for every one; without any, the plugin answers for itself.
	Origins []string `yaml:"origins" json:"origins"`
	// The methods that pages may use, `*` for any; without any, GET, HEAD and POST.
	Methods []string `yaml:"methods" json:"methods"`
	// The request headers that pages may set, beside those that every page may, `*` for any.
	Headers []string `yaml:"headers" json:"headers"`
	// The response headers that pages may read, beside those that every page may, `*` for any.
	Expose []string `yaml:"expose" json:"expose"`
	// Whether pages may send cookies and other credentials of the browser's.
	Credentials bool `yaml:"credentials" json:"credentials"`
	// How long a browser may remember what is allowed, a day at most; 0s leaves it to the browser.
	MaxAge Duration `yaml:"max_age" json:"max_age"`
}

// anyOf stands for every origin, method or header.
const anyOf = "*"

// The bounds on what CORS allows.
const (
	maxOrigins     = 1000
	maxCORSHeaders = 100
	maxCORSAge     = Duration(24 * time.Hour) // no browser keeps it longer
)

// appOrigin is an origin of another scheme, as apps with a browser inside have:
// capacitor://localhost.
var appOrigin = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://[a-z0-9][a-z0-9._-]*(:[0-9]{1,5})?$`)

// cors checks what is allowed and writes it in one way: sorted, without
// repeats.
func (c *checker) cors(r *CORS) {
	r.Origins = c.pages(r.Origins)
	r.Methods = c.choices(r.Methods, "cors.methods", maxMethods, c.corsMethod)
	r.Headers = c.choices(r.Headers, "cors.headers", maxCORSHeaders, c.corsHeader)
	r.Expose = c.choices(r.Expose, "cors.expose", maxCORSHeaders, c.corsHeader)
	switch {
	case !r.Credentials:
	case slices.Contains(r.Origins, anyOf):
		c.bad("cors.credentials", "no browser sends credentials where every origin is allowed; list the origins, or leave `credentials` out")
	case slices.Contains(r.Expose, anyOf):
		c.bad("cors.expose", "with `credentials`, browsers take * for a header's name; list the headers")
	}
	if r.MaxAge > maxCORSAge {
		c.bad("cors.max_age", "%s; it is 0s to %s", r.MaxAge, maxCORSAge)
	}
	if len(r.Origins) == 0 && c.prefix == "" {
		*r = CORS{} // the rest says nothing then
	}
}

// pages checks origins, and gives them as a browser's Origin header does.
func (c *checker) pages(list []string) []string {
	if len(list) > maxOrigins {
		c.bad("cors.origins", "%d origins; %d is the most", len(list), maxOrigins)
		return list
	}
	var out []string
	for i, s := range list {
		if s == anyOf {
			if len(list) > 1 {
				c.bad(item("cors.origins", i), "* is every origin; it stands alone")
			}
			out = append(out, s)
			continue
		}
		origin, wrong := page(s)
		if wrong != "" {
			c.bad(item("cors.origins", i), "%s", wrong)
		}
		out = append(out, origin)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// page gives one origin in its one spelling, or says what is wrong with it.
func page(s string) (origin, wrong string) {
	lower := strings.ToLower(s)
	web := strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://")
	if !web && len(s) <= maxPatternBytes && appOrigin.MatchString(lower) {
		return lower, ""
	}
	p, err := ParsePattern(s)
	switch {
	case !web:
		return s, quote(s) + " is not an origin, such as https://app.example.com"
	case err != nil:
		return s, ruleMessage(s, err)
	case p.Wildcard || p.AnyHost || p.AnyPort:
		return s, quote(s) + " has a wildcard; list each origin, or write * alone for every one"
	case p.Path != "":
		return s, quote(s) + " has a path; an origin is scheme://host[:port]"
	}
	return p.String(), ""
}

// choices checks the items of a list, which may be `*`.
func (c *checker) choices(list []string, key string, most int, check func(s, key string) string) []string {
	if len(list) > most {
		c.bad(key, "%d items; %d is the most", len(list), most)
		return list
	}
	var out []string
	for i, s := range list {
		switch {
		case s != anyOf:
			out = append(out, check(s, item(key, i)))
		case len(list) > 1:
			c.bad(item(key, i), "* is any; it stands alone")
		default:
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// corsMethod checks a method that a page asks for; some it can't have (the
// Fetch Standard's forbidden methods).
func (c *checker) corsMethod(s, key string) string {
	switch upper := c.method(s, key); upper {
	case http.MethodConnect, http.MethodTrace, "TRACK":
		c.bad(key, "%s; no page can use that method", upper)
		return upper
	default:
		return upper
	}
}

func (c *checker) corsHeader(s, key string) string {
	if len(s) > maxEntryBytes || !httpguts.ValidHeaderFieldName(s) {
		c.bad(key, "%s is not a header's name", quote(s))
	}
	return strings.ToLower(s)
}
