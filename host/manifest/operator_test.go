package manifest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var sameOperator = cmp.Options{cmpopts.IgnoreUnexported(Operator{}, Ceilings{}), cmpopts.EquateEmpty()}

// TestContractOperator: the contract's own sortie.yaml, as it stands.
func TestContractOperator(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator([]byte(seed(t, "sortie.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultOperator()
	want.Ceilings.Fetch.Limits = FetchLimits{Requests: 1000, Concurrency: 64, Timeout: 60e9, TotalBytes: 512 << 20}
	want.Ceilings.Limits = Limits{Wall: 300e9, CPU: 10e9, Memory: 256 << 20}
	want.Plugins = map[string]PluginRules{"search-*": {Invocations: 32, Rate: "100/s"}}
	want.Private = []string{"http://127.0.0.1:*"}
	want.Secrets = map[string]OperatorSecret{"API_KEY": {Env: "UPSTREAM_KEY", Allow: []string{"https://api.example.com"}, Plugins: []string{"prices"}}}
	if diff := cmp.Diff(want, o, sameOperator); diff != "" {
		t.Error(diff)
	}
	// The contract's manifest is one for this operator.
	m, clamped, err := o.Manifest([]byte(seed(t, "plugin.yaml")))
	if err != nil || len(clamped) > 0 {
		t.Errorf("%v, %v", clamped, err)
	}
	if diff := cmp.Diff(Default().EffectiveLimits(), m.EffectiveLimits()); diff != "" {
		t.Error(diff)
	}
}

func TestParseOperatorEmptyIsDefault(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator(nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultOperator(), o, sameOperator); diff != "" {
		t.Error(diff)
	}
}

var operatorErrors = []struct{ in, want string }{
	{"adr: :80", `sortie.yaml:1:1: adr: unknown key; did you mean "addr"?`},
	{"prcess: {}", `sortie.yaml:1:1: prcess: unknown key; did you mean "process"?`},
	{"process: {perorigin: 1}", `sortie.yaml:1:11: process.perorigin: unknown key; did you mean "per_origin"?`},
	{"ceilings: {limits: {wal: 1s}}", `sortie.yaml:1:21: ceilings.limits.wal: unknown key; did you mean "wall"?`},
	{"ceilings: {fetch: {retry: {statuses: [500]}}}", "sortie.yaml:1:28: ceilings.fetch.retry.statuses: unknown key; the keys here are attempts, backoff, max_backoff"},
	{"defaults: {fetch: {limits: {requsts: 1}}}", `sortie.yaml:1:29: defaults.fetch.limits.requsts: unknown key; did you mean "requests"?`},
	{"plugins: {\"search-*\": {rat: 1/s}}", `sortie.yaml:1:24: plugins.search-*.rat: unknown key; did you mean "rate"?`},
	{"secrets: {K: {evn: X}}", "sortie.yaml:1:14: secrets.K.allow: missing; a secret needs `allow`, where it may be sent\n" +
		"sortie.yaml:1:14: secrets.K.plugins: missing; a secret needs `plugins`, who may use it\n" + `sortie.yaml:1:15: secrets.K.evn: unknown key; did you mean "env"?`},
	{"addr: localhost", `sortie.yaml:1:7: addr: "localhost" is not host:port, such as 127.0.0.1:8080 or :8080`},
	{"addr: a:http", `sortie.yaml:1:7: addr: "a:http": port "http" is not a number from 0 to 65535`},
	{"admin_addr: http://a:80", `sortie.yaml:1:13: admin_addr: "http://a:80" is not host:port, such as 127.0.0.1:8080 or :8080`},
	{"defaults: {name: a}", "sortie.yaml:1:18: defaults.name: a name is no default; each plugin has its own"},
	{"defaults: {limits: {wall: 0s}}", "sortie.yaml:1:27: defaults.limits.wall: 0s; it is 1ms at least"},
	{"ceilings: {limits: {wall: 0s}}", "sortie.yaml:1:27: ceilings.limits.wall: 0s; it is 1ms at least"},
	{"ceilings: {fetch: {limits: {requests: -1}}}", "sortie.yaml:1:39: ceilings.fetch.limits.requests: -1; it can't be negative"},
	{"plugins: {Search: {}}", `sortie.yaml:1:19: plugins.Search: "Search" matches no plugin's name; write one, such as prices or search-*`},
	{"plugins: {a: {rate: fast}}", `sortie.yaml:1:21: plugins.a.rate: "fast" is not a rate; write 100/s, 600/m or 1000/h, for example`},
	{"plugins: {a: {invocations: -1}}", "sortie.yaml:1:28: plugins.a.invocations: -1; it is 0 (no limit) to 2147483647"},
	{"plugins: {a: {access: publc}}", `sortie.yaml:1:23: plugins.a.access: "publc" is not one of token, public; did you mean "public"?`},
	{"plugins: {a: {ceilings: {limits: {wall: 0s}}}}", "sortie.yaml:1:41: plugins.a.ceilings.limits.wall: 0s; it is 1ms at least"},
	{"private: [localhost]", `sortie.yaml:1:11: private[0]: "localhost" is neither an origin, such as http://127.0.0.1:*, nor a CIDR, such as 10.0.0.0/8`},
	{"private: [\"http://127.0.0.1/x\"]", `sortie.yaml:1:11: private[0]: "http://127.0.0.1/x" has a path; it is an origin or a CIDR`},
	{"private: [10.0.0.0/33]", `sortie.yaml:1:11: private[0]: "10.0.0.0/33" is neither an origin, such as http://127.0.0.1:*, nor a CIDR, such as 10.0.0.0/8`},
	{"private: http://127.0.0.1", `sortie.yaml:1:10: private: "http://127.0.0.1" is text, where a list is needed`},
	{"hosts: {allow: []}", `sortie.yaml:1:16: hosts.allow: an empty list allows no host at all; if that is meant, deny ["*"]`},
	{"hosts: {deny: [\"https://a.test\"]}", `sortie.yaml:1:16: hosts.deny[0]: "https://a.test" is not a host; write api.example.com, *.example.com, * or a CIDR`},
	{"hosts: {deny: [\"a.*\"]}", `sortie.yaml:1:16: hosts.deny[0]: host "a.*"; a wildcard is the whole host or, as *., its beginning`},
	{
		"secrets: {K: {}}",
		"sortie.yaml:1:14: secrets.K: no value; a secret needs `env` or `file`",
	},
	{
		"secrets: {K: {env: A}}",
		"sortie.yaml:1:14: secrets.K.allow: missing; a secret needs `allow`, where it may be sent\n" +
			"sortie.yaml:1:14: secrets.K.plugins: missing; a secret needs `plugins`, who may use it",
	},
	{"secrets: {K: {env: A, file: b, allow: [\"https://a.test\"], plugins: [a]}}", "sortie.yaml:1:14: secrets.K: both `env` and `file`; a secret has one value"},
	{"secrets: {K: {env: \"A=B\", allow: [\"https://a.test\"], plugins: [a]}}", `sortie.yaml:1:20: secrets.K.env: "A=B" is not an environment variable's name`},
	{"secrets: {K: {env: A, allow: [a.test], plugins: [A]}}", "sortie.yaml:1:31: secrets.K.allow[0]: \"a.test\": no scheme; a rule is scheme://host[:port], such as https://api.example.com\n" +
		`sortie.yaml:1:50: secrets.K.plugins[0]: "A" matches no plugin's name; write one, such as prices or search-*`},
	{"process: {invocations: 0}", "sortie.yaml:1:24: process.invocations: 0; it is 1 to 2147483647"},
	{"process: {memory: 1}", "sortie.yaml:1:19: process.memory: 1B; it is 64KiB to 1PiB"},
	{"process: {drain: -1s}", "sortie.yaml:1:18: process.drain: a duration can't be negative"},
	{"log: {level: warning}", `sortie.yaml:1:14: log.level: "warning" is not one of debug, info, warn, error; did you mean "warn"?`},
	{"log: {format: xml}", `sortie.yaml:1:15: log.format: "xml" is not one of json, text`},
}

func TestParseOperatorErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range operatorErrors {
		_, err := ParseOperator([]byte(tt.in))
		if err == nil {
			t.Errorf("%q: accepted", tt.in)
		} else if err.Error() != tt.want {
			t.Errorf("%q:\n got %s\nwant %s", tt.in, err, tt.want)
		}
	}
}

func TestOperatorCanonicalForms(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator([]byte(`{"private": ["HTTP://127.1:*", "10.1.2.3/8", "::1", "http://[0:0::1]:80"],
		"hosts": {"allow": ["*.BÜCHER.example", "[::1]", "127.1", "10.1.2.3/8"], "deny": ["Evil.test"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"http://127.0.0.1:*", "10.0.0.0/8", "::1/128", "http://[::1]"}, o.Private); diff != "" {
		t.Error(diff)
	}
	want := Hosts{Allow: []string{"*.xn--bcher-kva.example", "::1", "127.0.0.1", "10.0.0.0/8"}, Deny: []string{"evil.test"}}
	if diff := cmp.Diff(want, o.Hosts); diff != "" {
		t.Error(diff)
	}
}

func TestOperatorDefaults(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator([]byte("defaults:\n  limits: {wall: 7s}\n  fetch: {allow: [\"https://a.test\"], retry: {statuses: []}}\n  config: {region: eu, tier: 1}\n  warmup: {path: /w}\n"))
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := o.Manifest([]byte("name: a\nlimits: {cpu: 2s}\nwarmup: {method: head}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Limits.Wall != 7e9 || m.Limits.CPU != 2e9 || m.Limits.Memory != 128<<20 {
		t.Errorf("limits %+v", m.Limits)
	}
	if len(m.Fetch.Allow) != 1 || m.Fetch.Allow[0].Pattern.Host != "a.test" || len(m.Fetch.Retry.Statuses) != 0 || m.Config["region"] != "eu" {
		t.Errorf("%+v", m)
	}
	if *m.Warmup != (Warmup{Method: "HEAD", Path: "/w"}) {
		t.Errorf("%+v", m.Warmup)
	}
	// What a manifest gives replaces lists and config whole, and a version's
	// canonical form is itself whatever the defaults are.
	m, _, err = o.Manifest([]byte("name: a\nfetch: {allow: []}\nconfig: {x: 1}\nwarmup:\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Fetch.Allow) != 0 || len(m.Config) != 1 || m.Warmup != nil {
		t.Errorf("%+v", m)
	}
	canonical, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := o.Manifest(canonical)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, again); diff != "" {
		t.Error(diff)
	}
	// So it is for what is off by default.
	o.Defaults.Fetch.Hedge, o.Defaults.Fetch.Cache = HedgeP95, Cache{1 << 20, true}
	m, _, err = o.Manifest([]byte("name: a\nfetch: {hedge: '', cache: {bytes: 0, coalesce: false}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if canonical, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if again, _, err = o.Manifest(canonical); err != nil || again.Fetch.Hedge != "" || again.Fetch.Cache != (Cache{}) {
		t.Errorf("%v, %+v", err, again.Fetch)
	}
	// One manifest's values are not the next one's.
	m.Config["x"] = 2
	o.Defaults.Fetch.Retry.Statuses = append(o.Defaults.Fetch.Retry.Statuses, 500)
	if m, _, _ = o.Manifest([]byte("name: b")); m.Config["region"] != "eu" || m.Warmup.Path != "/w" {
		t.Errorf("%+v", m)
	}
}

func TestManifestFor(t *testing.T) {
	t.Parallel()
	o := DefaultOperator()
	if m, _, err := o.ManifestFor("prices", nil); err != nil || m.Name != "prices" {
		t.Errorf("%v, %v", m, err)
	}
	if m, _, err := o.ManifestFor("prices", []byte("name: prices")); err != nil || m.Name != "prices" {
		t.Errorf("%v, %v", m, err)
	}
	for _, tt := range []struct{ name, in, want string }{
		{"prices", "access: token\nname: price\n", `plugin.yaml:2:7: name: "price" is deployed as "prices"; the names must be equal`},
		{"Prices", "", `is not a plugin's name`},
		{"", "access: token", "plugin.yaml:1:1: name: no name; a plugin has one, such as prices"},
	} {
		_, _, err := o.ManifestFor(tt.name, []byte(tt.in))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q %q: %v", tt.name, tt.in, err)
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator([]byte("plugins:\n" +
		"  \"*\": {rate: 6000/m, ceilings: {limits: {wall: 9s}}}\n" +
		"  \"search-*\": {rate: 99/s, invocations: 8, access: public, ceilings: {limits: {wall: 20s, cpu: 2s}, fetch: {limits: {requests: 0}}}}\n" +
		"  \"search-x\": {rate: 500000/h, invocations: 9}\n" +
		"  \"search-y?\": {access: token}\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := o.Rules("search-x")
	if got.Invocations != 8 || got.Rate != "99/s" || got.Access != AccessPublic {
		t.Errorf("%+v", got)
	}
	if got.Ceilings.Limits != (Limits{Wall: 9e9, CPU: 2e9}) {
		t.Errorf("%+v", got.Ceilings)
	}
	if m, clamped, err := o.Manifest([]byte("name: search-x\nfetch: {limits: {requests: 5}}")); err != nil || m.Fetch.Limits.Requests != 0 || len(clamped) != 1 {
		t.Errorf("a ceiling of zero: %v, %v", clamped, err)
	}
	if got := o.Rules("search-yy"); got.Access != AccessToken {
		t.Errorf("%+v", got)
	}
	if got := o.Rules("other"); got.Access != "" || got.Invocations != 0 || got.Rate != "6000/m" {
		t.Errorf("%+v", got)
	}
}

func TestParseRate(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{"100/s": time.Second, "100/m": time.Minute, "100/h": time.Hour} {
		if n, per, err := ParseRate(in); n != 100 || per != want || err != nil {
			t.Errorf("%s: %d, %s, %v", in, n, per, err)
		}
	}
	for _, in := range []string{"", "100", "/s", "0/s", "-1/s", "1.5/s", "100/d", "100/s/s", "99999999999/s"} {
		if _, _, err := ParseRate(in); err == nil {
			t.Errorf("%q: accepted", in)
		}
	}
}
