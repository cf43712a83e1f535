package manifest

import (
	"strings"
	"testing"

	whatwg "github.com/nlnwa/whatwg-url/url"
)

var goodPatterns = []struct {
	in   string
	want Pattern
	text string // canonical; "" is in
}{
	{"https://api.example.com", Pattern{Scheme: "https", Host: "api.example.com", Port: "443"}, ""},
	{"http://api.example.com", Pattern{Scheme: "http", Host: "api.example.com", Port: "80"}, ""},
	{"HTTPS://API.Example.COM:443/", Pattern{Scheme: "https", Host: "api.example.com", Port: "443"}, "https://api.example.com"},
	{"http://a.test:0080", Pattern{Scheme: "http", Host: "a.test", Port: "80"}, "http://a.test"},
	{"https://*.example.org:8443/v1/", Pattern{Scheme: "https", Host: "example.org", Wildcard: true, Port: "8443", Path: "/v1/"}, ""},
	{"https://*", Pattern{Scheme: "https", AnyHost: true, Port: "443"}, ""},
	{"http://*:*", Pattern{Scheme: "http", AnyHost: true, AnyPort: true}, ""},
	{"http://127.0.0.1:*", Pattern{Scheme: "http", Host: "127.0.0.1", AnyPort: true}, ""},
	{"http://127.1:9000", Pattern{Scheme: "http", Host: "127.0.0.1", Port: "9000"}, "http://127.0.0.1:9000"},
	{"http://0x7f.0.0.1", Pattern{Scheme: "http", Host: "127.0.0.1", Port: "80"}, "http://127.0.0.1"},
	{"http://2130706433", Pattern{Scheme: "http", Host: "127.0.0.1", Port: "80"}, "http://127.0.0.1"},
	{"http://[::1]:9000", Pattern{Scheme: "http", Host: "::1", Port: "9000"}, ""},
	{"http://[0:0:0:0:0:0:0:1]", Pattern{Scheme: "http", Host: "::1", Port: "80"}, "http://[::1]"},
	{"http://[::ffff:127.0.0.1]", Pattern{Scheme: "http", Host: "::ffff:7f00:1", Port: "80"}, "http://[::ffff:7f00:1]"},
	{"https://bücher.example", Pattern{Scheme: "https", Host: "xn--bcher-kva.example", Port: "443"}, "https://xn--bcher-kva.example"},
	{"https://*.BÜCHER.example", Pattern{Scheme: "https", Host: "xn--bcher-kva.example", Wildcard: true, Port: "443"}, "https://*.xn--bcher-kva.example"},
	{"https://under_score.test", Pattern{Scheme: "https", Host: "under_score.test", Port: "443"}, ""},
	{"https://a.test/über", Pattern{Scheme: "https", Host: "a.test", Port: "443", Path: "/%C3%BCber"}, "https://a.test/%C3%BCber"},
	{"https://a.test//x", Pattern{Scheme: "https", Host: "a.test", Port: "443", Path: "//x"}, ""},
	{"https://a.test/a:b@c", Pattern{Scheme: "https", Host: "a.test", Port: "443", Path: "/a:b@c"}, ""},
}

func TestParsePattern(t *testing.T) {
	t.Parallel()
	for _, tt := range goodPatterns {
		got, err := ParsePattern(tt.in)
		if err != nil {
			t.Errorf("%s: %s", tt.in, err)
			continue
		}
		if got != tt.want {
			t.Errorf("%s: %#v, want %#v", tt.in, got, tt.want)
		}
		text := tt.text
		if text == "" {
			text = tt.in
		}
		if got.String() != text {
			t.Errorf("%s: written as %s, want %s", tt.in, got, text)
		}
	}
}

// TestPatternHostIsWHATWGs: a host without wildcards compares equal with the
// same host in a URL that a plugin asks for.
func TestPatternHostIsWHATWGs(t *testing.T) {
	t.Parallel()
	for _, tt := range goodPatterns {
		if strings.ContainsRune(tt.in, '*') {
			continue
		}
		u, err := whatwg.Parse(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParsePattern(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		if host := strings.Trim(u.Hostname(), "[]"); host != p.Host {
			t.Errorf("%s: %s, a URL has %s", tt.in, p.Host, host)
		}
		if p.Path != "" && p.Path != u.Pathname() {
			t.Errorf("%s: path %s, a URL has %s", tt.in, p.Path, u.Pathname())
		}
	}
}

var badPatterns = []struct{ in, want string }{
	{"", "empty"},
	{"api.example.com", "no scheme"},
	{"//api.example.com", "no scheme"},
	{"https:/api.example.com", "no scheme"},
	{"ftp://api.example.com", `scheme "ftp"`},
	{"*://api.example.com", `scheme "*"`},
	{"https://", "no host"},
	{"https:///path", "no host"},
	{"https://:8443", "no host"},
	{"https://user@api.example.com", "user information"},
	{"https://user:pass@api.example.com", "user information"},
	{"https://api.example.com?x=1", "query"},
	{"https://api.example.com/a?x=1", "query"},
	{"https://api.example.com/#a", "fragment"},
	{"https://api.example.com\\a", "backslash"},
	{"https://api .example.com", "space"},
	{"https://api.example.com/\x00", "control"},
	{"https://api.*.com", "wildcard"},
	{"https://api*.example.com", "wildcard"},
	{"https://**.example.com", "wildcard"},
	{"https://*.*.example.com", "wildcard"},
	{"https://~İ", "not a valid host"},
	{"https://%2a", "encoded wildcard"},
	{"https://%2A.example.com", "encoded wildcard"},
	{"https://*.", "no host"},
	{"https://*.127.0.0.1", "address"},
	{"https://*.[::1]", "address"},
	{"https://a..b", "label"},
	{"https://.a", "label"},
	{"https://a.test.", "dot at its end"},
	{"https://" + strings.Repeat("a", 64) + ".test", "label"},
	{"https://" + strings.Repeat("aaaaaaaaa.", 26) + "test", "253"},
	{"https://999.999.999.999", "not a valid host"},
	{"https://1.2.3.4.5", "not a valid host"},
	{"https://a%2fb", "not a valid host"},
	{"https://[::1", "not a valid host"},
	{"https://[::g]", "not a valid host"},
	{"https://::1", "brackets"},
	{"https://a.test:", "without a port"},
	{"https://a.test:0", "port"},
	{"https://a.test:65536", "port"},
	{"https://a.test:x", "port"},
	{"https://a.test:8*", "port"},
	{"https://a.test/%2e%2e/x", "an encoded slash, backslash or dot"},
	{"https://a.test/a%2Fb", "an encoded slash, backslash or dot"},
	{"https://a.test/a%252Fb", "encoded twice"},
	{"https://a.test/..;/b", "a dot segment with more behind it"},
	{"https://a.test/caf%e9/", "not UTF-8"},
	{"https://a.test/%00", "an encoded NUL"},
	{"https://a.test/a%5Cb", "an encoded slash, backslash or dot"},
	{"https://a.test/a/../b", `segment ".."`},
	{"https://a.test/./b", `segment "."`},
	{"https://a.test/..", `segment ".."`},
	{"https://a.test/v1/*", "wildcard in the path"},
	{"https://a.test/" + strings.Repeat("a", 2048), "2048 at most"},
}

func TestParsePatternRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range badPatterns {
		p, err := ParsePattern(tt.in)
		if err == nil {
			t.Errorf("%q: accepted as %#v", tt.in, p)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %q, want something about %q", tt.in, err, tt.want)
		}
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		p, q string
		want bool
	}{
		{"https://a.test", "https://a.test", true},
		{"https://a.test", "https://a.test/v1", true},
		{"https://a.test", "http://a.test", false},
		{"https://a.test", "https://a.test:8443", false},
		{"https://a.test:*", "https://a.test:8443", true},
		{"https://a.test:*", "https://a.test:*", true},
		{"https://a.test", "https://a.test:*", false},
		{"https://a.test/v1", "https://a.test", false},
		{"https://a.test/v1", "https://a.test/v1", true},
		{"https://a.test/v1", "https://a.test/v1/x", true},
		{"https://a.test/v1", "https://a.test/v10", false},
		{"https://a.test/v1/", "https://a.test/v1", false},
		{"https://a.test/v1/", "https://a.test/v1/x", true},
		{"https://*.a.test", "https://b.a.test", true},
		{"https://*.a.test", "https://c.b.a.test", true},
		{"https://*.a.test", "https://a.test", false},
		{"https://*.a.test", "https://xa.test", false},
		{"https://*.a.test", "https://*.a.test", true},
		{"https://*.a.test", "https://*.b.a.test", true},
		{"https://*.b.a.test", "https://*.a.test", false},
		{"https://b.a.test", "https://*.a.test", false},
		{"https://*", "https://a.test", true},
		{"https://*", "https://*.a.test", true},
		{"https://*", "https://*", true},
		{"https://*.a.test", "https://*", false},
		{"https://a.test", "https://*", false},
	} {
		p, err := ParsePattern(tt.p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ParsePattern(tt.q)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Covers(q); got != tt.want {
			t.Errorf("%s covers %s: %v, want %v", tt.p, tt.q, got, tt.want)
		}
	}
}
