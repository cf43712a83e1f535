package policy

import (
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

func mustNew(t testing.TB, cfg Config) *Policy {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return p
}

func rules(urls ...string) []manifest.Rule {
	var rs []manifest.Rule
	for _, u := range urls {
		rs = append(rs, manifest.Rule{URL: u})
	}
	return rs
}

// Each rule with URLs that it matches and URLs that it doesn't.
func TestMatching(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule    string
		yes, no []string
	}{
		{
			rule: "https://api.example.com",
			yes: []string{
				"https://api.example.com", "https://api.example.com/", "https://api.example.com:443/a/b?c", "https://API.EXAMPLE.COM/",
				"https://api.example.com/a%2fb", "https://api%2eexample.com/", "https://api.example.com//evil.example/",
				`https:\\api.example.com\a`, "https:api.example.com/", "https://ａｐｉ.example.com/",
			},
			no: []string{
				"http://api.example.com/", "https://api.example.com:444/", "https://example.com/", "https://a.api.example.com/",
				"https://api.example.com./", "https://api.example.com.evil.example/", "https://api.example.comevil/",
				"https://evilapi.example.com/", "https://evil.example/api.example.com", "https://evil.example?https://api.example.com",
				"https://evil.example#https://api.example.com/", `https://evil.example\.api.example.com/`, "https://api.examp1e.com/",
				"https://аpi.example.com/", // Cyrillic а
			},
		},
		{
			rule: "https://*.example.org:8443/v1/",
			yes: []string{
				"https://a.example.org:8443/v1/", "https://a.b.c.example.org:8443/v1/x?y", "https://a.example.org:8443/v2/../v1/x",
				"https://a.example.org:8443/v1//x", "https://a.example.org:8443/v1/50%2525", `https://a.example.org:8443\v1\x`,
			},
			no: []string{
				"https://example.org:8443/v1/", "https://.example.org:8443/v1/", "https://aexample.org:8443/v1/", "https://evilexample.org:8443/v1/", "https://a.example.org/v1/",
				"https://a.example.org:8443/", "https://a.example.org:8443/v1", "https://a.example.org:8443/v1x", "https://a.example.org:8443//v1/",
				"https://a.example.org:8443/v1/../v2/", "https://a.example.org:8443/v1/%2e%2e/v2/", "https://a.example.org:8443/v1/..\\v2/",
				"https://a.example.org:8443/v1/..%2fv2", "https://a.example.org:8443/v1/..%2Fv2", "https://a.example.org:8443/v1/..%5cv2",
				"https://a.example.org:8443/v1/..%5Cv2", "https://a.example.org:8443/v1/a%2eb", "https://a.example.org:8443/v1/%2E%2E%2E/",
				"https://a.example.org:8443/v1/%252e%252e/x", "https://a.example.org:8443/v1/..;/x", "https://a.example.org:8443/v1/%c0%ae",
				"https://a.example.org:8443/v1%2fx", "https://a.example.org:8443/V1/", "https://a.example.org:8443/%76%31/",
				"https://a.example.org:8443?/v1/", "https://a.example.org:8443#/v1/", "https://a.example.org.:8443/v1/",
			},
		},
		{
			rule: "http://x.example/v1",
			yes:  []string{"http://x.example/v1", "http://x.example/v1/", "http://x.example/v1/a", "http://x.example/v1?q", "http://x.example/v1/../v1", "http://x.example/v1/%2e"},
			no: []string{
				"http://x.example/v10", "http://x.example/v1.json", "http://x.example/v1%2fa", "http://x.example/v1;a", "http://x.example/v",
				"http://x.example/v1/%2e%2e%2f", "http://x.example/v1/..",
			},
		},
		{
			rule: "http://x.example/ä^",
			yes:  []string{"http://x.example/ä^", "http://x.example/%C3%A4%5E/a"},
			no:   []string{"http://x.example/%c3%a4%5e", "http://x.example/a"},
		},
		{
			rule: "https://*",
			yes: []string{
				"https://x/", "https://a.b.example./", "https://127.0.0.1/", "https://[::1]/", "https://localhost/",
			},
			no: []string{"http://x/", "https://x:8443/"},
		},
		{
			rule: "https://*:*/a/",
			yes:  []string{"https://x/a/", "https://x:1/a/b"},
			no:   []string{"https://x/", "https://x:1/a", "http://x/a/", "https://x/a/%2e%2e%2f"},
		},
		{
			rule: "http://127.0.0.1:9000",
			yes: []string{
				"http://127.0.0.1:9000/", "http://127.1:9000/", "http://0x7f000001:9000/", "http://2130706433:9000/a", "http://0177.0.0.1:9000/",
			},
			no: []string{
				"http://127.0.0.1/", "http://127.0.0.2:9000/", "http://localhost:9000/", "http://[::ffff:127.0.0.1]:9000/", "http://[::1]:9000/",
				"http://127.0.0.1.nip.example:9000/",
			},
		},
		{
			rule: "http://[0:0::1]:9000/",
			yes:  []string{"http://[::1]:9000/", "http://[0:0:0:0:0:0:0:1]:9000/a%2fb"},
			no:   []string{"http://[::]:9000/", "http://127.0.0.1:9000/", "http://[::ffff:0:1]:9000/"},
		},
		{
			rule: "https://*.münchen.example",
			yes:  []string{"https://a.münchen.example/", "https://a.xn--mnchen-3ya.example/", "https://ä.MÜNCHEN.example/"},
			no:   []string{"https://münchen.example/", "https://a.munchen.example/"},
		},
		{
			rule: "http://*.1.example:*",
			yes:  []string{"http://1.1.example:5/"},
			no:   []string{"http://1.1.1.1:5/"},
		},
	} {
		p := mustNew(t, Config{Rules: rules(tc.rule)})
		for _, raw := range tc.yes {
			if d := p.Explain("GET", raw); d.Code != "" && d.Code != failure.AddressDenied {
				t.Errorf("%s should match %s: %s, %s", tc.rule, raw, d.Code, d.Reason)
			} else if d.Rule != tc.rule || d.Number != 1 || !strings.Contains(d.Reason, `rule 1 `) {
				t.Errorf("%s for %s: decided by rule %d %q: %s", tc.rule, raw, d.Number, d.Rule, d.Reason)
			}
		}
		for _, raw := range tc.no {
			d := p.Explain("GET", raw)
			if d.Allowed || d.Code != failure.HostDenied && d.Code != failure.InvalidURL {
				t.Errorf("%s should not match %s: %q, %s", tc.rule, raw, d.Code, d.Reason)
			}
			if d.Rule != "" || d.Number != 0 || d.Private || d.Reason == "" {
				t.Errorf("%s for %s: no rule decided, but got %+v", tc.rule, raw, d)
			}
		}
	}
}

func TestTheFirstMatchDecides(t *testing.T) {
	t.Parallel()
	p := mustNew(t, Config{Rules: []manifest.Rule{
		{URL: "https://api.example.com/admin/", Methods: []string{"GET"}},
		{URL: "https://api.example.com/admin/keys", Methods: []string{"POST"}, Private: true},
		{URL: "https://*.example.com", Methods: []string{"GET", "DELETE"}},
		{URL: "https://*.example.com", Private: true},
		{URL: "https://other.example", Methods: []string{"GET"}},
	}})
	for _, tc := range []struct {
		method, url string
		code        failure.Code
		number      int
		private     bool
	}{
		{"GET", "https://api.example.com/admin/keys", "", 1, false},
		{"POST", "https://api.example.com/admin/keys", "", 2, true},
		{"DELETE", "https://api.example.com/admin/keys", "", 3, false},
		{"PUT", "https://api.example.com/admin/keys", "", 4, true},
		{"GET", "https://api.example.com/", "", 3, false},
		{"POST", "https://api.example.com/", "", 4, true},
		{"", "https://other.example/", "", 5, false},
		{"POST", "https://other.example/", failure.MethodDenied, 5, false},
		{"get", "https://other.example/", failure.MethodDenied, 5, false},
		{"GET ", "https://other.example/", failure.MethodDenied, 5, false},
		{"GET", "https://example.com/", failure.HostDenied, 0, false},
	} {
		d := p.Decide(tc.method, mustParse(t, tc.url))
		if d.Allowed != (tc.code == "") || d.Code != tc.code || d.Number != tc.number || d.Private != tc.private {
			t.Errorf("Decide(%q, %s) = %+v, want code %q, rule %d, private %v", tc.method, tc.url, d, tc.code, tc.number, tc.private)
		}
		if err := d.Err(); d.Allowed != (err == nil) || err != nil && (err.Code != tc.code || err.Message != d.Reason || err.Retryable) {
			t.Errorf("Decide(%q, %s).Err() = %+v", tc.method, tc.url, err)
		}
	}
}

func TestNothingIsAllowedWithoutRules(t *testing.T) {
	t.Parallel()
	d := mustNew(t, Config{}).Decide("GET", mustParse(t, "https://x/"))
	if d.Allowed || d.Code != failure.HostDenied {
		t.Errorf("%+v", d)
	}
}

func TestOperatorHosts(t *testing.T) {
	t.Parallel()
	everywhere := rules("https://*", "http://*", "https://*:8443")
	for _, tc := range []struct {
		allow, deny []string
		yes, no     []string
	}{
		{deny: []string{"evil.example"},
			yes: []string{"https://x/", "https://a.evil.example/", "https://evil.example.com/"},
			no:  []string{"https://evil.example/", "http://EVIL.example/", "https://evil.example:8443/", "https://evil.example./", "https://ev%69l.example/"}},
		{deny: []string{"evil.example."}, no: []string{"https://evil.example/", "https://evil.example./"}},
		{deny: []string{"*.evil.example"},
			yes: []string{"https://evil.example/", "https://aevil.example/"},
			no:  []string{"https://a.evil.example/", "https://a.b.evil.example/", "https://a.evil.example./"}},
		{deny: []string{"*"}, no: []string{"https://x/", "https://1.1.1.1/", "https://[2606:4700::1]/", "https://x./"}},
		{deny: []string{"MÜNCHEN.example"}, no: []string{"https://münchen.example/", "https://xn--mnchen-3ya.example/"}},
		{deny: []string{"8.8.0.0/16", "2606:4700::/32"},
			yes: []string{"https://8.9.0.1/", "https://dns.example/"},
			no: []string{"https://8.8.8.8/", "https://0x8080808/", "https://134744072/", "https://[2606:4700::1]/", "https://[::ffff:8.8.8.8]/",
				"https://[64:ff9b::8.8.8.8]/", "https://[2002:808:808::]/"}},
		{deny: []string{"8.8.8.8"}, yes: []string{"https://8.8.8.9/"}, no: []string{"https://8.8.8.8/"}},
		{allow: []string{"*"}, yes: []string{"https://x/", "https://8.8.8.8/", "https://x./"}},
		{allow: []string{}, no: []string{"https://x/", "https://8.8.8.8/"}},
		{allow: []string{"example.com", "*.example.com", "8.8.8.0/24"},
			yes: []string{"https://example.com/", "https://a.example.com/", "https://8.8.8.8/"},
			no:  []string{"https://example.org/", "https://example.com./", "https://a.example.com./", "https://8.8.9.8/", "https://x/"}},
		{allow: []string{"*.example.com"}, deny: []string{"a.example.com"},
			yes: []string{"https://b.example.com/", "https://a.a.example.com/"}, no: []string{"https://a.example.com/"}},
	} {
		p := mustNew(t, Config{Rules: everywhere, HostsAllow: tc.allow, HostsDeny: tc.deny})
		for _, raw := range tc.yes {
			if d := p.Decide("GET", mustParse(t, raw)); !d.Allowed {
				t.Errorf("allow %q deny %q: %s: %s", tc.allow, tc.deny, raw, d.Reason)
			}
		}
		for _, raw := range tc.no {
			d := p.Decide("GET", mustParse(t, raw))
			if d.Allowed || d.Code != failure.HostDenied || !strings.Contains(d.Reason, "operator") {
				t.Errorf("allow %q deny %q: %s: %+v", tc.allow, tc.deny, raw, d)
			}
		}
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	p := mustNew(t, Config{Rules: []manifest.Rule{
		{URL: "https://api.example.com/v1/", Methods: []string{"GET", "HEAD"}},
		{URL: "https://*.example.org"},
		{URL: "http://old.example:8080"},
	}})
	for _, tc := range []struct {
		method, url string
		want        []string
	}{
		{"GET", "https://api.example.com/v1/a", []string{`rule 1 "https://api.example.com/v1/"`, "allows"}},
		{"POST", "https://api.example.com/v1/a", []string{`rule 1 "https://api.example.com/v1/"`, `"POST"`, "GET, HEAD"}},
		{"GET", "https://api.example.com/v2/a", []string{"rule 1", `"/v1/"`, `"https://api.example.com"`, "fetch.allow"}},
		{"GET", "https://api.example.com/v1/%2e%2e%2fa", []string{"rule 1", "encoded"}},
		{"GET", "http://api.example.com/v1/", []string{"rule 1", "is for https"}},
		{"GET", "https://api.example.com:444/v1/", []string{"rule 1", "port 443"}},
		{"GET", "https://example.org/", []string{"rule 2", "subdomains"}},
		{"GET", "https://api.example.com./v1/", []string{"rule 1", "dot at the end"}},
		{"GET", "https://old.example:8080/", []string{"rule 3", "is for http"}},
		{"GET", "https://new.example/", []string{"no rule", `add "https://new.example" to fetch.allow`}},
		{"GET", "ftp://new.example/", []string{"ftp", "http or https"}},
		{"GET", "https://x/" + strings.Repeat("a", 1000), []string{"no rule", "…"}},
	} {
		d := p.Explain(tc.method, tc.url)
		for _, want := range tc.want {
			if !strings.Contains(d.Reason, want) {
				t.Errorf("%s %s: %q lacks %q", tc.method, clip(tc.url), d.Reason, want)
			}
		}
		if strings.ContainsAny(d.Reason, "\r\n") || len(d.Reason) > 600 {
			t.Errorf("%s %s: not a sentence: %q", tc.method, clip(tc.url), d.Reason)
		}
	}
	if d := mustNew(t, Config{}).Explain("GET", "https://x/"); !strings.Contains(d.Reason, "empty") {
		t.Errorf("no rules: %q", d.Reason)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	p := mustNew(t, Config{
		Rules: []manifest.Rule{
			{URL: "http://127.0.0.1:*", Private: true},
			{URL: "http://*:*", Methods: []string{"GET", "POST", "patch"}},
		},
		Private: []string{"http://127.0.0.1:9000"},
	})
	for _, tc := range []struct {
		method, url string
		code        failure.Code
	}{
		{"get", "http://x/", ""},
		{"", "http://x/", ""},
		{"Post", "http://x/", ""},
		{"PATCH", "http://x/", failure.MethodDenied}, // browsers don't normalise it
		{"patch", "http://x/", ""},
		{"GET", "http://127.0.0.1:9000/", ""},
		{"GET", "http://127.0.0.1:9001/", failure.AddressDenied},
		{"GET", "http://10.0.0.1/", failure.AddressDenied},
		{"GET", "http://localhost:9000/", failure.AddressDenied},
		{"GET", "http://a.localhost./", failure.AddressDenied},
		{"GET", "http://localhost.example/", ""},
		{"GET", "http://8.8.8.8/", ""},
		{"GET", "http://u@x/", failure.InvalidURL},
		{"GET", "ws://x/", failure.UnsupportedProtocol},
		{"GET", "http://x/\n", failure.InvalidRequest},
	} {
		d := p.Explain(tc.method, tc.url)
		if d.Code != tc.code || d.Allowed != (tc.code == "") || d.Reason == "" {
			t.Errorf("Explain(%q, %q) = %+v, want %q", tc.method, tc.url, d, tc.code)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"no scheme":             {Rules: rules("api.example.com")},
		"another scheme":        {Rules: rules("ftp://x")},
		"a scheme in a Pattern": {Rules: []manifest.Rule{{Pattern: manifest.Pattern{Scheme: "ws", Host: "x", Port: "80"}}}},
		"no host in a Pattern":  {Rules: []manifest.Rule{{Pattern: manifest.Pattern{Scheme: "http", Port: "80"}}}},
		"a wildcard address": {Rules: []manifest.Rule{
			{Pattern: manifest.Pattern{Scheme: "http", Host: "10.0.0.1", Wildcard: true, Port: "80"}}}},
		"an encoded slash": {Rules: []manifest.Rule{
			{Pattern: manifest.Pattern{Scheme: "http", Host: "x", Port: "80", Path: "/a%2fb"}}}},
		"a query": {Rules: []manifest.Rule{
			{Pattern: manifest.Pattern{Scheme: "http", Host: "x", Port: "80", Path: "/a?b"}}}},
		"a path without slash": {Rules: []manifest.Rule{
			{Pattern: manifest.Pattern{Scheme: "http", Host: "x", Port: "80", Path: "a"}}}},
		"a control in a path": {Rules: []manifest.Rule{
			{Pattern: manifest.Pattern{Scheme: "http", Host: "x", Port: "80", Path: "/a\n"}}}},
		"an origin as host":   {HostsDeny: []string{"https://x"}},
		"a port in a host":    {HostsDeny: []string{"x:80"}},
		"an empty host":       {HostsAllow: []string{""}},
		"a lone star":         {HostsAllow: []string{"*."}},
		"a star in the midst": {HostsDeny: []string{"a.*.example"}},
		"an odd address":      {HostsDeny: []string{"0x7f.1"}},
		"a broken CIDR":       {HostsDeny: []string{"10.0.0.0/33"}},
		"private host":        {Private: []string{"x"}},
		"private path":        {Private: []string{"http://x/a"}},
		"private CIDR":        {Private: []string{"10.0.0.0/64"}},
		"private zone":        {Private: []string{"fe80::1%eth0"}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	pattern, err := manifest.ParsePattern("https://*.example.com/v1/")
	if err != nil {
		t.Fatal(err)
	}
	set, err := CompilePatterns([]manifest.Pattern{pattern})
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]bool{
		"https://a.example.com/v1/x":         true,
		"https://example.com/v1/x":           false,
		"http://a.example.com/v1/x":          false,
		"https://a.example.com:444/v1/x":     false,
		"https://a.example.com/v1/..%2fx":    false,
		"https://a.example.com.evil.org/v1/": false,
	} {
		if got := set.Match(mustParse(t, raw)); got != want {
			t.Errorf("Match(%s) = %v", raw, got)
		}
	}
	if _, err := CompilePatterns([]manifest.Pattern{{Scheme: "ws"}}); err == nil {
		t.Error("a pattern with another scheme is accepted")
	}
}
