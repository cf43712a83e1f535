package manifest

import (
	"strings"
	"testing"
	"time"
)

func TestUpstreams(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator([]byte(`
upstreams:
  - match: ["https://*.Example.com", "http://127.0.0.1:*"]
    proxy: "http://user:pass@proxy.corp:3128"
    tls: {roots: ca.pem, certificate: c.pem, key: c.key, min_version: "1.3"}
    breaker: {}
    rate: 100/s
    adaptive: {max: 50}
    retry_budget: {percent: 10}
  - match: ["https://*"]
dns: {ttl: 0s}
`))
	if err != nil {
		t.Fatal(err)
	}
	u := o.Upstreams[0]
	if len(u.Patterns) != 2 || u.Match[0] != "https://*.example.com" || u.Patterns[0].Host != "example.com" {
		t.Errorf("match %q, %+v", u.Match, u.Patterns)
	}
	if *u.Breaker != (Breaker{50, 20, 10e9, 5e9}) || *u.Adaptive != (Adaptive{20, 1, 50}) || *u.RetryBudget != (RetryBudget{10, 0, 10e9}) {
		t.Errorf("%+v %+v %+v", u.Breaker, u.Adaptive, u.RetryBudget)
	}
	if o.Upstreams[1].Breaker != nil || o.Upstreams[1].RetryBudget != nil || o.DNS != (DNS{0, 4096}) {
		t.Errorf("%+v, %+v", o.Upstreams[1], o.DNS)
	}
}

func TestUpstreamErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"no match", "upstreams: [{rate: 1/s}]", "upstreams[0].match"},
		{"a path", `upstreams: [{match: ["https://a.example/v1"]}]`, "has a path; it is an origin"},
		{"a misspelt key", `upstreams: [{match: ["https://a.example"], braker: {}}]`, "breaker"},
		{"a share over everything", `upstreams: [{match: ["https://a.example"], breaker: {failures: 101}}]`, "1 to 100"},
		{"a rate that is none", `upstreams: [{match: ["https://a.example"], rate: fast}]`, "100/s"},
		{"a limit that starts past its most", `upstreams: [{match: ["https://a.example"], adaptive: {initial: 9, max: 8}}]`, "1 to 8"},
		{"a certificate without its key", `upstreams: [{match: ["https://a.example"], tls: {certificate: a}}]`, "both"},
		{"an old version", `upstreams: [{match: ["https://a.example"], tls: {min_version: "1.0"}}]`, "1.2, 1.3"},
		{"a proxy of another kind", `upstreams: [{match: ["https://a.example"], proxy: "ftp://user:hunter2@p"}]`, "socks5://"},
		{"a proxy with a path", `upstreams: [{match: ["https://a.example"], proxy: "http://user:hunter2@p/x"}]`, "nothing after them"},
		{"no place for a name", "dns: {entries: 0}", "dns.entries"},
		{"too long", "dns: {ttl: 2h}", "1h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseOperator([]byte(c.in))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestHedgeAndCache(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in    string
		after time.Duration
		p95   bool
	}{{"", 0, false}, {"p95", 0, true}, {"50ms", 50 * time.Millisecond, false}} {
		m, err := Parse([]byte("fetch: {hedge: '" + c.in + "', cache: {bytes: 1MiB, coalesce: true}}"))
		if err != nil {
			t.Fatal(err)
		}
		if after, p95 := m.Fetch.HedgeAfter(); time.Duration(after) != c.after || p95 != c.p95 {
			t.Errorf("%q is %s, %v", c.in, after, p95)
		}
		if m.Fetch.Cache != (Cache{1 << 20, true}) {
			t.Errorf("%+v", m.Fetch.Cache)
		}
	}
	if _, err := Parse([]byte("fetch: {hedge: p99}")); err == nil || !strings.Contains(err.Error(), "p95") {
		t.Error(err)
	}
	o := DefaultOperator()
	m, clamped, err := o.Manifest([]byte("name: a\nfetch: {cache: {bytes: 1GiB}}"))
	if err != nil || m.Fetch.Cache.Bytes != 64<<20 || len(clamped) != 1 || clamped[0].Key != "fetch.cache.bytes" {
		t.Errorf("%v, %+v, %+v", err, m, clamped)
	}
	if m, _, err := o.Manifest([]byte("name: a")); err != nil || m.Fetch.Cache != (Cache{}) {
		t.Errorf("%v, %+v", err, m)
	}
}
