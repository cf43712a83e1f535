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
	if *u.Breaker != (Breaker{50, 20, 10e9, 5e9}) || *u.Adaptive != (Adaptive{20, 1, 50}) || *u.RetryBudget != (RetryBudget{10, 100, 10e9}) {
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

// TestUpstreamMessages has what an operator reads, word for word.
func TestUpstreamMessages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"{rate: 1/s}", "sortie.yaml:1:13: upstreams[0].match: missing; an upstream needs `match`, the origins it is about"},
		{"{match: [nope, \"https://a.test/x\"]}", "sortie.yaml:1:22: upstreams[0].match[0]: \"nope\": no scheme; a rule is scheme://host[:port], such as https://api.example.com\n" +
			`sortie.yaml:1:28: upstreams[0].match[1]: "https://a.test/x" has a path; it is an origin`},
		{`{match: ["https://a.test"], braeker: {}}`, `sortie.yaml:1:41: upstreams[0].braeker: unknown key; did you mean "breaker"?`},
		{`{match: ["https://a.test"], breaker: {failures: 0.5}}`, `sortie.yaml:1:61: upstreams[0].breaker.failures: "0.5" is a number, where a whole number is needed`},
		{`{match: ["https://a.test"], breaker: {window: 2h}}`, "sortie.yaml:1:59: upstreams[0].breaker.window: 2h; it is 1ms to 1h"},
		{`{match: ["https://a.test"], breaker: {pause: 10us}}`, "sortie.yaml:1:58: upstreams[0].breaker.pause: 10µs; it is 1ms to 1h"},
		{`{match: ["https://a.test"], adaptive: {min: 300}}`, "sortie.yaml:1:57: upstreams[0].adaptive.min: 300 is more than `max`, which is 200 unless you give it"},
		{`{match: ["https://a.test"], adaptive: {min: 9, max: 8}}`, "sortie.yaml:1:57: upstreams[0].adaptive.min: 9 is more than `max`, 8"},
		{`{match: ["https://a.test"], adaptive: {initial: 300}}`, "sortie.yaml:1:61: upstreams[0].adaptive.initial: 300; it is `min` to `max`, 1 to 200"},
		{`{match: ["https://a.test"], retry_budget: {percent: 1001}}`, "sortie.yaml:1:65: upstreams[0].retry_budget.percent: 1001; it is 0 to 1000"},
		{`{match: ["https://a.test"], tls: {min_version: 1.2}}`, `sortie.yaml:1:60: upstreams[0].tls.min_version: "1.2" is a number, where text is needed; put it in quotes`},
		{`{match: ["https://a.test"], tls: {verify: false}}`, "sortie.yaml:1:47: upstreams[0].tls.verify: unknown key; the keys here are roots, certificate, key, min_version"},
	} {
		_, err := ParseOperator([]byte("upstreams: [" + tt.in + "]"))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s:\n got %v\nwant %s", tt.in, err, tt.want)
		}
	}
}

// TestAdaptiveDefaults: what isn't given fits what is.
func TestAdaptiveDefaults(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Adaptive{
		"{}": {20, 1, 200}, "{max: 5}": {5, 1, 5}, "{min: 50}": {50, 50, 200}, "{min: 300, max: 400}": {300, 300, 400}, "{initial: 7}": {7, 1, 200},
	} {
		o, err := ParseOperator([]byte(`upstreams: [{match: ["https://a.test"], adaptive: ` + in + "}]"))
		if err != nil || *o.Upstreams[0].Adaptive != want {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// TestApplyEnvKeepsUpstreams: as long as something is wrong with the
// environment, nothing changes, however the upstreams came about.
func TestApplyEnvKeepsUpstreams(t *testing.T) {
	t.Parallel()
	o := DefaultOperator()
	o.Upstreams = []Upstream{{Match: []string{"HTTPS://A.test:443/"}, Breaker: &Breaker{}}}
	if err := o.ApplyEnv([]string{"SORTIE_LOG__LEVEL=loud"}); err == nil {
		t.Fatal("accepted")
	}
	if u := o.Upstreams[0]; u.Match[0] != "HTTPS://A.test:443/" || u.Patterns != nil || *u.Breaker != (Breaker{}) {
		t.Errorf("%+v, %+v", u, u.Breaker)
	}
	if err := o.ApplyEnv([]string{"SORTIE_LOG__LEVEL=warn"}); err != nil {
		t.Fatal(err)
	}
	if u := o.Upstreams[0]; u.Match[0] != "https://a.test" || len(u.Patterns) != 1 || u.Breaker.Failures != 50 {
		t.Errorf("%+v, %+v", u, u.Breaker)
	}
}
