package policy

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

func mustParse(t testing.TB, raw string) *URL {
	t.Helper()
	u, fail := ParseURL(raw)
	if fail != nil {
		t.Fatalf("ParseURL(%q): %v", raw, fail)
	}
	return u
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		// As it is.
		"https://api.example.com/v1/a?b=c": "https://api.example.com/v1/a?b=c",
		"https://api.example.com":          "https://api.example.com/",
		"https://api.example.com?q":        "https://api.example.com/?q",
		"https://api.example.com/?":        "https://api.example.com/?",
		"  https://api.example.com/a  ":    "https://api.example.com/a",
		"HTTPS://API.Example.COM/A":        "https://api.example.com/A",
		"http://a_b.example/":              "http://a_b.example/",
		"http://0-7.example.com/":          "http://0-7.example.com/",
		"http://3com.example/":             "http://3com.example/",
		"http://2fa-service/":              "http://2fa-service/",
		"http://10-0-0-1/":                 "http://10-0-0-1/",
		"http://10-0-0-1.pod.local./":      "http://10-0-0-1.pod.local./",
		"http://a.0x-files/":               "http://a.0x-files/",
		"http://0x-g/":                     "http://0x-g/",
		"http://1.2.3.4-5/":                "http://1.2.3.4-5/",
		"http://127.0.0.1-/":               "http://127.0.0.1-/",
		"http://-1a/":                      "http://-1a/",
		"http://0-8/":                      "http://0-8/",
		"http://9-9999999999999999999/":    "http://9-9999999999999999999/",
		"http://a.0x1g/":                   "http://a.0x1g/",
		"http://\uff11\uff0d\uff12/":       "http://1-2/",
		"http://x/?u=http://user@host/":    "http://x/?u=http://user@host/",
		"http://x/#http://user@host/":      "http://x/",

		// Ports.
		"https://x:443/":   "https://x/",
		"http://x:80/":     "http://x/",
		"http://x:/":       "http://x/",
		"https://x:80/":    "https://x:80/",
		"https://x:00080/": "https://x:80/",
		"https://x:65535/": "https://x:65535/",

		// Slashes and what stands in for them.
		`http:\\x\a\b`:          "http://x/a/b",
		"http:///x/a":           "http://x/a",
		"http:x/a":              "http://x/a",
		`http://a\@b/`:          "http://a/@b/",
		"http://a#@b/":          "http://a/",
		"http://a?@b/":          "http://a/?@b/",
		"http://x//a//b":        "http://x//a//b",
		"http://x//a|b^c%zz{}é": "http://x//a%7Cb%5Ec%25zz%7B%7D%C3%A9",
		"http://x/a|b^c%zz{}é":  "http://x/a|b%5Ec%zz%7B%7D%C3%A9",

		// Dot segments.
		"http://x/a/../b":                   "http://x/b",
		"http://x/a/%2e%2E/b/%2e/c/.%2e":    "http://x/b/",
		"http://x/../../..":                 "http://x/",
		"http://x/%252e%252e/a":             "http://x/%252e%252e/a",
		"http://x/a%2f..%2fb":               "http://x/a%2f..%2fb",
		`http://x/a/..\..\b`:                "http://x/b",
		"http://x/a?../b":                   "http://x/a?../b",
		"http://x/..;/a":                    "http://x/..;/a",
		"http://x/a b\"<>`?a b\"<>'`#a b\"": "http://x/a%20b%22%3C%3E%60?a%20b%22%3C%3E%27`",

		// IPv4 in every spelling.
		"http://127.0.0.1/":            "http://127.0.0.1/",
		"http://0x7f.1/":               "http://127.0.0.1/",
		"http://0X7F.0.0.0x1/":         "http://127.0.0.1/",
		"http://017700000001/":         "http://127.0.0.1/",
		"http://0177.0.0.01/":          "http://127.0.0.1/",
		"http://2130706433/":           "http://127.0.0.1/",
		"http://127.1/":                "http://127.0.0.1/",
		"http://127.0.0.1./":           "http://127.0.0.1/",
		"http://%31%32%37.0.0.1/":      "http://127.0.0.1/",
		"http://127。0。0。1/":            "http://127.0.0.1/",
		"http://\uff11\uff12\uff17.1/": "http://127.0.0.1/",
		"http://0/":                    "http://0.0.0.0/",
		"http://0x/":                   "http://0.0.0.0/",
		"http://0xa9fea9fe/":           "http://169.254.169.254/",
		"http://4294967295/":           "http://255.255.255.255/",

		// IPv6.
		"http://[::1]/":                     "http://[::1]/",
		"http://[0:0:0:0:0:0:0:0001]:8080/": "http://[::1]:8080/",
		"http://[::ffff:127.0.0.1]/":        "http://[::ffff:7f00:1]/",
		"http://[::FFFF:7F00:1]/":           "http://[::ffff:7f00:1]/",
		"http://[2001:DB8::A]/":             "http://[2001:db8::a]/",

		// IDNA.
		"http://münchen.example/":        "http://xn--mnchen-3ya.example/",
		"http://faß.example/":            "http://xn--fa-hia.example/",
		"http://exa\u00admple.com/":      "http://example.com/",
		"http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/":              "http://localhost/",
		"http://ex%41mple.com/":          "http://example.com/",
		"http://example.com./":           "http://example.com./",
		"http://example\u3002com\uff0e/": "http://example.com./",
	} {
		u, fail := ParseURL(raw)
		if fail != nil {
			t.Errorf("ParseURL(%q): %v, want %s", raw, fail, want)
			continue
		}
		if got := u.String(); got != want {
			t.Errorf("ParseURL(%q) = %s, want %s", raw, got, want)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 64)
	for code, raws := range map[failure.Code][]string{
		failure.InvalidURL: {
			"", " ", "x", "/a", "//x/a", "?q", "#f", "://x", "1http://x", "http://", "http:", "https:///",
			// Userinfo.
			"http://u:p@x/", "http://u@x/", "http://@x/", "http://:@x/", "http:@x/", `http:\\u@x/`, "http://a@b@c/",
			"http://x:80@127.0.0.1/", "http://x%40y@z/",
			// Hosts.
			"https://:443/", "http://?q", "http://#f", "http://x y/", "http://a%20b/", "http://a%00b/", "http://a%2fb/",
			"http://a%40b/", "http://a%3ab/", "http://ex%2541mple.com/", "http://a%zz/", "http://a<b/", "http://a|b/",
			"http://*.x/", "http://a!b/", "http://a..b/", "http://.a/", "http://./", "http://../", "http://a../",
			"http://" + long + ".com/", "http://" + strings.Repeat("a.", 127) + "com/",
			"http://xn--/", "http://xn--a/", "http://\u200d/", "http://\u00ad/",
			"http://foo.xn--/", "http://foo.XN--/", "http://foo.xn--./", "http://xn--./", "http://foo.%78n--/", "http://foo.xn--%c2%ad/",
			"http://foo.xn-\uff0d/", "http://foo\u3002\uff58n--/", "http://é.xn--/", "http://foo.\u00ad/",
			// What doesn't come out of IDNA again as it went in.
			"http://\u2260/", "http://a\u226eb.example/", "http://xn--1ch/", "http://1\u2135/", "http://xn--1-0hc/", "http://a_b\u0130/",
			// Numbers that are no IPv4 address.
			"http://999.999.999.999/", "http://256.1.1.1/", "http://1.2.3.4.5/", "http://1.2.3.256/", "http://4294967296/",
			"http://0x100000000/", "http://1.2.3.08/", "http://a.1/", "http://a.0x1/", "http://1..2/",
			"http://1.2.3.-4/", "http://1.2.3.+4/", "http://0x-1/", "http://-1/", "http://1.2.3.0-4/",
			"http://1.2.3.%2d4/", "http://1.2.3.\uff0d4/", "http://1.2.3.\u00ad-4/",
			"http://1.-2.3.4/", "http://1.2-3.4/", "http://a-b.1/", "http://a-b.0x/", "http://a-b.0x1./", "http://-1.0x7f/",
			"http://0-7/", "http://a.0X-f./", "http://-9999999999999999999/", "http://0x-fffffffffffffffff/",
			// IPv6.
			"http://[/", "http://[]/", "http://[::1/", "http://::1/", "http://[[::1]]/", "http://[::1]]/", "http://[::1]x/",
			"http://[::1%25eth0]/", "http://[::1%eth0]/", "http://[fe80::1%1]/", "http://[1:2:3:4:5:6:7:8:9]/", "http://[::1.2.3]/",
			"http://[127.0.0.1]/", "http://[::ffff:0x7f.1]/", "http://[v1.a]/",
			// Ports.
			"http://x:0/", "http://x:000/", "http://x:65536/", "http://x:99999999999999999999/", "http://x:-1/", "http://x:+80/",
			"http://x:8 0/", "http://x:http/", "http://x:80:80/",
			// Control characters and bytes that aren't UTF-8.
			"http://x/\t", "\thttp://x/", "http://x/\x01", "http://x/\x1f", "http://x/\x7f", "http://x/\u0085", "http://x/#\t",
			"http://x/\xff", "http://x/?\xc0\xae",
			// Length.
			"http://x/" + strings.Repeat("/", maxSegments), "http:x/" + strings.Repeat("a/", maxSegments), "http://x" + strings.Repeat(`\a`, maxSegments+1),
			"http://x/" + strings.Repeat("a", MaxURL), "http://x/?" + strings.Repeat("é", 2000), "http://x/#" + strings.Repeat("é", 2000),
		},
		failure.InvalidRequest: {
			"http://x/\r\nHost: y", "http://x/\n", "\nhttp://x/", "http://x/\r", "http://x/\x00", "http://x\x00.y/",
			"http://x/?a\nb", "http://x/#a\nb", "ht\ntp://x/",
		},
		failure.UnsupportedProtocol: {
			"ftp://x/", "file:///etc/passwd", "javascript:alert(1)", "data:text/plain,x", "ws://x/", "wss://x/", "gopher://x/_",
			"unix:///run/x.sock", "http+unix://x/", "blob:https://x/y", "localhost:8080/x", "httpx://x/", "about:blank", "FILE:///x",
		},
	} {
		for _, raw := range raws {
			if u, fail := ParseURL(raw); fail == nil {
				t.Errorf("ParseURL(%q) = %s, want %s", clip(raw), u, code)
			} else if fail.Code != code {
				t.Errorf("ParseURL(%q): %v, want %s", clip(raw), fail, code)
			} else if fail.Message == "" || len(fail.Message) > 1000 {
				t.Errorf("ParseURL(%q): a message of %d bytes", clip(raw), len(fail.Message))
			}
		}
	}
}

func TestTheBoundsAreExact(t *testing.T) {
	t.Parallel()
	deepest := "http://x/" + strings.Repeat("a/", maxSegments-1)
	longest := "http://x/" + strings.Repeat("a", MaxURL-len("http://x/"))
	for _, raw := range []string{deepest, longest, "http://x/?" + strings.Repeat("/", maxSegments+1)} {
		if got := mustParse(t, raw).String(); got != raw {
			t.Errorf("%s became %s", clip(raw), clip(got))
		}
	}
	if u, fail := mustParse(t, deepest).Resolve("b/c"); fail == nil {
		t.Errorf("a relative reference led to %d segments", strings.Count(u.Path(), "/"))
	}
}

func TestURLMessagesHoldNoPassword(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"http://user:hunter2@x/", "http://user:hunter2@x/\t", "http://user:hunter2@[/", "user:hunter2@x"} {
		if _, fail := ParseURL(raw); fail == nil || strings.Contains(fail.Message, "hunter2") {
			t.Errorf("ParseURL(%q): %v", raw, fail)
		}
	}
}

func TestURLParts(t *testing.T) {
	t.Parallel()
	u := mustParse(t, "https://[::1]:8443/a//b?c=d&e#frag%20x")
	for what, pair := range map[string][2]string{
		"Scheme":    {u.Scheme(), "https"},
		"Host":      {u.Host(), "::1"},
		"Port":      {u.Port(), "8443"},
		"Authority": {u.Authority(), "[::1]:8443"},
		"Origin":    {u.Origin(), "https://[::1]:8443"},
		"Path":      {u.Path(), "/a//b"},
		"Query":     {u.Query(), "c=d&e"},
		"Target":    {u.Target(), "/a//b?c=d&e"},
		"Fragment":  {u.Fragment(), "frag%20x"},
		"String":    {u.String(), "https://[::1]:8443/a//b?c=d&e"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s = %q, want %q", what, pair[0], pair[1])
		}
	}
	if addr, ok := u.Addr(); !ok || addr.String() != "::1" {
		t.Errorf("Addr = %v, %v", addr, ok)
	}
	if _, ok := mustParse(t, "http://example.com/").Addr(); ok {
		t.Error("a name has an address")
	}
	if got := mustParse(t, "http://example.com/").Port(); got != "80" {
		t.Errorf("Port without one = %q, want 80", got)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	base := mustParse(t, "https://x.example/a/b?q#frag")
	for ref, want := range map[string]string{
		"":                      "https://x.example/a/b?q",
		"c":                     "https://x.example/a/c",
		"../c?r":                "https://x.example/c?r",
		"/c":                    "https://x.example/c",
		"?r":                    "https://x.example/a/b?r",
		"#g":                    "https://x.example/a/b?q",
		"//y.example/c":         "https://y.example/c",
		`\\y.example\c`:         "https://y.example/c",
		`/\y.example/c`:         "https://y.example/c",
		"http:c":                "http://c/",
		"https:c":               "https://x.example/a/c",
		"https:/c":              "https://x.example/c",
		"http://y.example":      "http://y.example/",
		"@scope/name":           "https://x.example/a/@scope/name",
		"/@scope/name":          "https://x.example/@scope/name",
		"%2e%2e/c":              "https://x.example/c",
		"//0x7f.1/":             "https://127.0.0.1/",
		" c ":                   "https://x.example/a/c",
		"./x:y":                 "https://x.example/a/x:y",
		"https://x.example:443": "https://x.example/",
	} {
		u, fail := base.Resolve(ref)
		if fail != nil {
			t.Errorf("Resolve(%q): %v, want %s", ref, fail, want)
			continue
		}
		if got := u.String(); got != want {
			t.Errorf("Resolve(%q) = %s, want %s", ref, got, want)
		}
	}
	if got := base.String(); got != "https://x.example/a/b?q" {
		t.Errorf("resolving changed the base to %s", got)
	}
}

func TestResolveRefuses(t *testing.T) {
	t.Parallel()
	base := mustParse(t, "https://x.example/a/b")
	for ref, want := range map[string]failure.Code{
		"https://:443/":             failure.InvalidURL,
		"//user@y.example/":         failure.InvalidURL,
		"//@y.example/":             failure.InvalidURL,
		"http:@y.example/":          failure.InvalidURL,
		`\\u:p@y.example`:           failure.InvalidURL,
		"//999.999.999.999/":        failure.InvalidURL,
		"//y.example:0/":            failure.InvalidURL,
		"/a\tb":                     failure.InvalidURL,
		"/\xe9":                     failure.InvalidURL,
		"/a\r\nb":                   failure.InvalidRequest,
		"file:///etc/passwd":        failure.UnsupportedProtocol,
		"ftp://y.example/":          failure.UnsupportedProtocol,
		"data:text/plain,x":         failure.UnsupportedProtocol,
		strings.Repeat("a", MaxURL): failure.InvalidURL, // fits alone, not with its base
	} {
		if u, fail := base.Resolve(ref); fail == nil {
			t.Errorf("Resolve(%q) = %s, want %s", clip(ref), u, want)
		} else if fail.Code != want {
			t.Errorf("Resolve(%q): %v, want %s", clip(ref), fail, want)
		}
	}
}

func TestResolveInheritsTheFragment(t *testing.T) {
	t.Parallel()
	base := mustParse(t, "https://x/a#frag")
	for ref, want := range map[string]string{"/b": "frag", "/b#other": "other", "/b#": ""} {
		u, fail := base.Resolve(ref)
		if fail != nil {
			t.Fatalf("Resolve(%q): %v", ref, fail)
		}
		if u.Fragment() != want {
			t.Errorf("Resolve(%q) has fragment %q, want %q", ref, u.Fragment(), want)
		}
	}
}

// onTheWire returns the request line's target and the Host field that net/http
// sends for u.
func onTheWire(t testing.TB, u *URL) (target, host string) {
	t.Helper()
	req := &http.Request{Method: http.MethodGet, URL: u.Request(), Header: http.Header{}}
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		t.Fatalf("%s: net/http refuses it: %v", u, err)
	}
	lines := strings.Split(wire.String(), "\r\n")
	fields := strings.Split(lines[0], " ")
	host, ok := strings.CutPrefix(lines[1], "Host: ")
	if len(fields) != 3 || !ok {
		t.Fatalf("%s: the request begins %q", u, lines[:2])
	}
	return fields[1], host
}

func TestRequestGoesOutAsItWasMatched(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"http://x":                            "/",
		"http://x/?":                          "/?",
		"http://x/a%2Fb%2f":                   "/a%2Fb%2f",
		"http://x/a|b[c]'(d)":                 "/a|b[c]'(d)",
		"http://x/%zz%":                       "/%zz%",
		"http://x//":                          "//",
		"http://x//evil.example/a":            "//evil.example/a",
		"http://x///evil.example/a%2fb|%?q|r": "///evil.example/a%2fb%7C%25?q|r",
		"http://x:8080//a?":                   "//a?",
		"http://x/a?b%zz|{}^[]":               "/a?b%zz|{}^[]",
		"http://x/a?b?c=//d":                  "/a?b?c=//d",
		"http://x/*":                          "/*",
		"http://x/a:b@c":                      "/a:b@c",
		"http://[::1]:8080/%E2%82%AC;p":       "/%E2%82%AC;p",
	} {
		u := mustParse(t, raw)
		target, host := onTheWire(t, u)
		if target != want || target != u.Target() {
			t.Errorf("%s: sends target %q, matched %q, want %q", raw, target, u.Target(), want)
		}
		if host != u.Authority() {
			t.Errorf("%s: sends host %q, matched %q", raw, host, u.Authority())
		}
		if got := u.Request().RequestURI(); got != want {
			t.Errorf("%s: RequestURI() = %q, want %q", raw, got, want)
		}
	}
}
