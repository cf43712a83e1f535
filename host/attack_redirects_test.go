package host_test

import (
	"strings"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// Redirects that lead from where a plugin may go to where it may not.

// locations are what the lure says in Location to a GET.
var locations = []struct {
	name      string
	code      failure.Code
	locations []string
}{
	{"another host", failure.HostDenied, []string{
		"http://evil.test:{c}/", "HTTP://EVIL.TEST:{c}", "https://evil.test:{c}/", "http://127.0.0.1:{c}/", "http://127.1:{l}/",
		"http://[::1]:{c}/", "http://x.lure.test:{l}/", "http://lure.test.evil.test:{c}/", "http://lure.test.:{l}/",
		"http://localhost:{l}/", "http://2130706433:{c}/",
	}},
	{"another port or scheme", failure.HostDenied, []string{
		"http://lure.test:{c}/", "//lure.test:{c}/", "http://lure.test/", "//lure.test/", "https://lure.test:{l}/", "https:lure.test:{l}/",
		"https://lure.test/", "http://example.com:{s}/", "https:/lure.test:{l}",
	}},
	{"without a scheme", failure.HostDenied, []string{
		"//evil.test:{c}/", "///evil.test:{c}/", "////evil.test:{c}/", `\\evil.test:{c}/`, `/\evil.test:{c}/`, `\/evil.test:{c}/`,
		`/\/evil.test:{c}/`, `\\\evil.test:{c}\`, "//evil.test:{c}", " //evil.test:{c}/",
	}},
	{"slashes after the scheme", failure.HostDenied, []string{
		`http:\\evil.test:{c}/`, `http:/\evil.test:{c}/`, `http:\/evil.test:{c}/`, "http:///evil.test:{c}/", "https:evil.test:{c}/",
		"https:/evil.test:{c}/", `https:\evil.test:{c}`, `https:\\\evil.test:{c}`,
	}},
	{"another host in disguise", failure.HostDenied, []string{
		"http://evil.test:{c}#@lure.test:{l}/", "http://evil.test:{c}?@lure.test:{l}/", `http://evil.test:{c}\@lure.test:{l}/`,
		"http://evil.test:{c}/@lure.test:{l}/", "http://ｅvil.test:{c}/", "http://%65vil.test:{c}/", "//evil。test:{c}/",
		"http://lurе.test:{l}/", "http://lure.test%2eevil.test:{c}/",
	}},
	{"a private address", failure.AddressDenied, []string{
		"http://open.test:{c}/", "//open.test:{c}/", `\\open.test:{c}`, "https://open.test:{c}/", "http://inward.test:{c}/",
		"http://inward.test:{l}/", "http://OPEN.test:{c}/", "//open.test:{l}/",
	}},
	{"another scheme", failure.UnsupportedProtocol, []string{
		"file:///etc/passwd", "FILE:///etc/passwd", "file:/etc/passwd", "file:", "file://lure.test/etc/passwd",
		"gopher://evil.test:{c}/_GET", "gopher:x", "data:text/plain,x", "data:;base64,eA==", "javascript:alert(1)", "ftp://evil.test:{c}/",
		"ws://lure.test:{l}/", "wss://lure.test:{l}/", "blob:http://lure.test:{l}/x", "about:blank", "unix:///run/docker.sock",
		"http+unix://%2frun%2fdocker.sock/", "view-source:http://lure.test:{l}/", "jar:http://lure.test:{l}/x!/", "dict://evil.test:{c}/",
		"ldap://evil.test:{c}/", "lure.test:{l}/", "mailto:a@evil.test", "h2c://lure.test:{l}/", "httpss://lure.test/",
	}},
	{"userinfo", failure.InvalidURL, []string{
		"http://lure.test@evil.test:{c}/", "http://lure.test:{l}@evil.test:{c}/", "http://u:p@lure.test:{l}/", "http://@lure.test:{l}/",
		"http://:@lure.test:{l}/", "//u@lure.test:{l}/", "//@evil.test:{c}/", `\\u@evil.test:{c}/`, `/\u@evil.test:{c}/`,
		"http://lure.test:{l}%2f@evil.test:{c}/", "http://lure.test%40@evil.test:{c}/", "https:u@evil.test:{c}",
		"http://a@b@evil.test:{c}/", "///u@evil.test:{c}",
	}},
	{"no URL", failure.InvalidURL, []string{
		"http://", "//", "http://?", "http://:{c}/", "http://lure.test:{l}x/", "http://lure.test:99999/", "http://lure.test:0/",
		"http://[::1/", "http://[::1%25lo]:{c}/", "http://lure test:{l}/", "http://evil.test%00.lure.test:{l}/",
		"http://evil.test%2f.lure.test/", "http://256.0.0.1/", "//-1.1:{c}/", "http://\xff.test:{c}/", "/\xff", "https://:443/",
		"http://xn--/",
	}},
	{"tabs, which browsers drop", failure.InvalidURL, []string{
		"/\t/evil.test:{c}/", "ht\ttp://evil.test:{c}/", "http:/\t/evil.test:{c}/", "http://ev\til.test:{c}/", "\\\t\\evil.test:{c}/",
		"fi\tle:///etc/passwd",
	}},
	{"too long", failure.InvalidURL, []string{
		"/" + strings.Repeat("a", 8<<10), "http://evil.test:{c}/" + strings.Repeat("a", 8<<10), strings.Repeat("../", 600),
		"http://" + strings.Repeat("a.", 150) + "test/",
	}},
	{"a path no rule has", failure.HostDenied, []string{
		"http://path.test:{c}/", "http://path.test:{c}/private", "http://path.test:{c}/public/../private",
		"http://path.test:{c}/public/%2e%2e/private", "http://path.test:{c}/public/..%2fprivate", `http://path.test:{c}/public/..\private`,
		"http://path.test:{c}/public/..%5cprivate", "http://path.test:{c}//public/", "http://path.test:{c}/public",
		"http://path.test:{c}/publicity",
	}},
}

func redirectSieges() []siege {
	s := siege{
		name: "redirects",
		private: []string{
			"http://lure.test:*", "https://example.com:*", "http://post.test:*", "http://path.test:*", "http://permitted.test:*", "http://half.test:*",
		},
		rules: `
    - {url: "http://lure.test:{l}", private: true}
    - {url: "https://example.com:{s}", private: true}
    - {url: "http://post.test:{c}", methods: [POST], private: true}
    - {url: "http://path.test:{c}/public/", private: true}
    - "http://open.test:*"
    - "https://open.test:*"
    - {url: "http://inward.test:*", private: true}
    - "http://permitted.test:*"
    - {url: "http://half.test:*/in/", private: true}
    - "http://half.test:*"
`,
		names: map[string][]string{"open.test": {"127.0.0.1"}, "inward.test": {"127.0.0.1"}, "permitted.test": {"127.0.0.1"}, "half.test": {"127.0.0.1"}},
	}
	for _, class := range locations {
		for i, location := range class.locations {
			statuses := [...]int{302, 301, 303, 307, 308}
			a := attack{name: class.name, location: location, status: statuses[i%len(statuses)], want: class.code}
			s.attacks = append(s.attacks, a)
		}
	}
	s.attacks = append(s.attacks, furtherRedirects...)
	return []siege{s}
}

// furtherRedirects take more than a location.
var furtherRedirects = []attack{
	{name: "within the lure", location: "/there", sent: "GET /there lure.test:{l}"},
	{name: "with TLS", url: "https://example.com:{s}", location: "/there", sent: "GET /there example.com:{s}"},
	{name: "from TLS to none", url: "https://example.com:{s}", location: "http://lure.test:{l}/", sent: "GET / lure.test:{l}"},
	{name: "from none to TLS", location: "https://example.com:{s}", sent: "GET / example.com:{s}"},
	{name: "a path that looks like a host", location: "http:/evil.test:{c}/", sent: "GET /evil.test:{c}/ lure.test:{l}"},
	{name: "a path that looks like a host", location: `http://lure.test:{l}\@evil.test:{c}/`, sent: "GET /@evil.test:{c}/ lure.test:{l}"},
	{name: "a path that looks like a host", location: "http://lure.test:{l}//evil.test:{c}/", sent: "GET //evil.test:{c}/ lure.test:{l}"},
	{name: "a query that looks like a host", location: "/?@evil.test:{c}//", sent: "GET /?@evil.test:{c}// lure.test:{l}"},
	{name: "a fragment that looks like a host", location: "http://lure.test:{l}#@evil.test:{c}/", sent: "GET / lure.test:{l}"},

	{name: "from TLS to another port", url: "https://example.com:{s}", location: "//example.com:{c}/", want: failure.HostDenied},
	{name: "from TLS to another host", url: "https://example.com:{s}", location: "//evil.test:{c}/", want: failure.HostDenied},
	{name: "from TLS to a private address", url: "https://example.com:{s}", location: "//open.test:{c}/", want: failure.AddressDenied},
	{name: "from TLS to none of that host", url: "https://example.com:{s}", location: "http://example.com:{c}/", want: failure.HostDenied},

	// The rule of each hop decides whether it may be private, not that of the hop before or of a connection that is still open.
	{name: "from a rule with private to one without", location: "http://permitted.test:{c}/", want: failure.AddressDenied},
	{name: "that, over TLS", url: "https://example.com:{s}", location: "http://permitted.test:{c}/", want: failure.AddressDenied},
	{name: "the rule without private", url: "http://permitted.test:{c}/", want: failure.AddressDenied},
	{name: "half of an origin", url: "http://half.test:{l}/in/x", sent: "GET /in/x half.test:{l}"},
	{name: "the other half", url: "http://half.test:{l}/out", want: failure.AddressDenied},
	{name: "the other half by a redirect", url: "http://half.test:{l}/in", location: "/out", want: failure.AddressDenied},
	{name: "the other half by dots", url: "http://half.test:{l}/in", location: "/in/../out", want: failure.AddressDenied},
	{name: "back from there", url: "http://half.test:{l}/in", location: "/in/y", sent: "GET /in/y half.test:{l}"},

	{name: "POST becomes GET, 302", method: "POST", body: "x", location: "http://post.test:{c}/", want: failure.MethodDenied},
	{name: "POST becomes GET, 303", method: "POST", body: "x", location: "http://post.test:{c}/", status: 303, want: failure.MethodDenied},
	{name: "PUT stays PUT, 301", method: "PUT", body: "x", location: "http://post.test:{c}/", status: 301, want: failure.MethodDenied},
	{name: "DELETE stays DELETE, 307", method: "DELETE", location: "http://post.test:{c}/", status: 307, want: failure.MethodDenied},
	{name: "GET stays GET, 308", location: "http://post.test:{c}/", status: 308, want: failure.MethodDenied},
	{name: "POST to another host, 307", method: "POST", body: "x", location: "http://evil.test:{c}/", status: 307, want: failure.HostDenied},

	{name: "as far as the chain may go", hops: 9, location: "/there", sent: "GET /there lure.test:{l}"},
	{name: "one too far", hops: 10, location: "/there", want: failure.TooManyRedirects},
	{name: "denied in the middle", hops: 4, location: "http://evil.test:{c}/", want: failure.HostDenied},
	{name: "denied at the last hop", hops: 9, location: "http://evil.test:{c}/", want: failure.HostDenied},
	{name: "private at the last hop", hops: 9, location: "http://open.test:{c}/", want: failure.AddressDenied},
	{name: "another scheme at the last hop", hops: 9, location: "file:///etc/passwd", want: failure.UnsupportedProtocol},
	{name: "denied one too far", hops: 10, location: "http://evil.test:{c}/", want: failure.TooManyRedirects},
	{name: "no URL one too far", hops: 10, location: "http://[", want: failure.InvalidURL},

	{name: "Location twice, the second is good", location: "http://evil.test:{c}/", lines: "Location: /there\r\n", want: failure.ProtocolError},
	{name: "Location twice, the first is good", location: "/there", lines: "Location: http://evil.test:{c}/\r\n", want: failure.ProtocolError},
	{name: "Alt-Svc", location: "/there", lines: "Alt-Svc: http/1.1=\"evil.test:{c}\"; ma=60, h2=\":{c}\"\r\n", sent: "GET /there lure.test:{l}"},
	{name: "Refresh and Link", location: "/there", lines: "Refresh: 0; url=http://evil.test:{c}/\r\nLink: <http://evil.test:{c}/>; rel=preload\r\n", sent: "GET /there lure.test:{l}"},
	{name: "a control character", location: "http://evil.test:{c}/\x01", want: failure.ProtocolError},
	{name: "a folded line", location: "/there\r\n //evil.test:{c}/", sent: "GET /there%20//evil.test:{c}/ lure.test:{l}"},
	{name: "300 is no redirect", location: "http://evil.test:{c}/", status: 300},
	{name: "304 is no redirect", location: "http://evil.test:{c}/", status: 304},
	{name: "305 is no proxy", location: "http://evil.test:{c}/", status: 305},
	{name: "306 is no proxy", location: "http://evil.test:{c}/", status: 306},
	{name: "201 is no redirect", location: "http://evil.test:{c}/", status: 201},
	{name: "401 is no redirect", location: "http://evil.test:{c}/", status: 401},
	{name: "407 asks for a proxy's password", location: "http://evil.test:{c}/", status: 407},
	{name: "another protocol", location: "http://evil.test:{c}/", status: 101, lines: "Upgrade: evil\r\n", want: failure.ProtocolError},
	{name: "503 is tried again and no redirect", location: "http://evil.test:{c}/", status: 503},
}
