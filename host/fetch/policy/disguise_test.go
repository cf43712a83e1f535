package policy

import (
	"encoding/hex"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

func TestDisguise(t *testing.T) {
	t.Parallel()
	for want, paths := range map[string][]string{
		"": {
			"/", "/a.b", "/.a/..b/...", "/a;v=1/b;c", "/;/..a;", "/%20%C3%A9", "/50%25", "/50%2525", "/%zz%", "/%2", "/a%u00", "/%u12g4",
			"/%253b", "/..a%20", "/a..%3f", "/a%3fb%23", "/100%25ba", "/%E2%88%95%EF%BC%8F", "/%3b/%3B", "/%F4%8F%BF%BF", "/a%0d%0a", "/2f2e5c",
		},
		"an encoded slash, backslash or dot": {"/%2f", "/a%2Fb", "/%5c", "/%5C", "/%2e", "/a%2Eb", "/%252f%2f", "/%%2e", "/..;/%2e"},
		"a slash, backslash or dot that is encoded twice": {
			"/%252f", "/%252F", "/%255c", "/%252e%252e/x", "/%25252e", "/%25%32%65", "/%%32%65", "/%252%65", "/%%32f", "/%25%35%43",
		},
		"a dot segment with more behind it": {
			"/..;/x", "/..;", "/.;/", "/..;a=b;c/x", "/a/..;/..;/x", "/..%3b/x", "/..%3B.%3b", "/..%253b", "/..%3f/x", "/..%23", "/..%253f", "/..%20/", "/.%09/x",
		},
		"an encoded NUL": {"/%00", "/..%00/x", "/a%2500", "/%u0%%30%30"},
		"percent-encoded bytes that are not UTF-8":    {"/%25c0%25af", "/..%25c0%25afx", "/%25e0%2580%25af", "/%c0%af", "/%c0%ae%C0%AE", "/%c1%9c", "/%e0%80%af", "/%f0%80%80%ae", "/%fc%80%80%80%80%af", "/%e9", "/%ed%a0%80", "/%c0.", "/%ff", "/%C3"},
		"an escape of the form %uXXXX":                {"/%u002e%u002e/", "/%U002F", "/%u2215", "/%uff0e", "/%25u002e"},
		"text that is percent-encoded too many times": {"/%25252525", "/" + strings.Repeat("%25", 3) + strings.Repeat("25", 100)},
	} {
		for _, path := range paths {
			if got := manifest.Disguise(path); got != want {
				t.Errorf("Disguise(%q) = %q, want %q", path, got, want)
			}
			u := mustParse(t, "http://x.example/v1"+path)
			if u.Path() != "/v1"+path {
				continue // resolved while parsing
			}
			d := mustNew(t, Config{Rules: rules("http://x.example/v1")}).Decide("GET", u)
			if d.Allowed != (want == "") || !d.Allowed && (d.Code != failure.HostDenied || !strings.Contains(d.Reason, "a URL with "+want+" never")) {
				t.Errorf("%s: %+v", u, d)
			}
			if d := mustNew(t, Config{Rules: rules("http://x.example")}).Decide("GET", u); !d.Allowed {
				t.Errorf("%s: not even a rule without a path allows it: %s", u, d.Reason)
			}
		}
	}
}

var escape = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// unescaped undoes one layer of percent-encoding.
func unescaped(text string) string {
	return escape.ReplaceAllStringFunc(text, func(e string) string {
		b, _ := hex.DecodeString(e[1:])
		return string(b)
	})
}

// reads is how a server may read a path: decoded a number of times, with parameters cut off and backslashes taken for slashes.
func reads(text string, decodings int, parameters bool) string {
	for range decodings {
		text = unescaped(text)
	}
	text = strings.ReplaceAll(text, `\`, "/")
	segments := strings.Split(text, "/")
	for i := range segments {
		if end := strings.IndexAny(segments[i], ";?# \t"); parameters && end >= 0 {
			segments[i] = segments[i][:end]
		}
	}
	return path.Clean("/" + strings.Join(segments, "/"))
}

// Whatever passes a rule with a path stays below it, however the server reads it.
func FuzzDisguise(f *testing.F) {
	for _, s := range []string{"", "a", "..;/x", "%252e%252e/", "%2%35c", "..%3b/", "..%00", "%c0%ae", "..%253b/", "a;/../x", "%u002e", "..;..;/"} {
		f.Add(s)
	}
	p, err := New(Config{Rules: rules("http://x.example/v1")})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, below string) {
		u, fail := ParseURL("http://x.example/v1/" + below)
		if fail != nil || !p.Decide("GET", u).Allowed {
			return
		}
		for decodings := range 12 {
			for _, parameters := range []bool{false, true} {
				if got := reads(u.Path(), decodings, parameters); got != "/v1" && !strings.HasPrefix(got, "/v1/") {
					t.Fatalf("%s may be read as %s", u, got)
				}
			}
		}
	})
}
