package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// publicKey is a minisign public key of this test's own.
const publicKey = "RWQBAgMEBQYHCAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"

func TestServing(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator([]byte(`
retention: {plugins: 9, versions: 3, age: 720h}
tls: {cert: /etc/cert.pem, key: /etc/key.pem}
trusted_proxies: [10.1.2.3/8, 127.0.0.1, "::1", "::ffff:192.168.1.1", 10.0.0.0/8]
signatures: {required: true, keys: ["` + publicKey + `", " ` + publicKey + ` "]}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultOperator()
	want.Retention = Retention{Plugins: 9, Versions: 3, Age: Duration(720 * 3600e9)}
	want.TLS = TLS{Cert: "/etc/cert.pem", Key: "/etc/key.pem"}
	want.TrustedProxies = []string{"10.0.0.0/8", "127.0.0.1/32", "::1/128", "192.168.1.1/32"}
	want.Signatures = Signatures{Required: true, Keys: []string{publicKey}}
	if diff := cmp.Diff(want, o, sameOperator); diff != "" {
		t.Error(diff)
	}
	if o := DefaultOperator(); o.Retention != (Retention{Plugins: 10000, Versions: 100}) || o.TLS != (TLS{}) || o.TrustedProxies != nil || o.Signatures.Required {
		t.Errorf("%+v", o)
	}
}

// servingErrors are configurations and the errors they get, word for word.
var servingErrors = []struct{ in, want string }{
	{"retention: {plugins: 0}", "sortie.yaml:1:22: retention.plugins: 0; it is 1 to 1000000"},
	{"retention: {versions: 0}", "sortie.yaml:1:23: retention.versions: 0; it is 1 to 10000"},
	{"retention: {versions: 10001}", "sortie.yaml:1:23: retention.versions: 10001; it is 1 to 10000"},
	{"retention: {age: 9000h}", "sortie.yaml:1:18: retention.age: 9000h; it is 0s (for good) to 8760h"},
	{"retention: {keep: 1}", "sortie.yaml:1:13: retention.keep: unknown key; the keys here are plugins, versions, age"},
	{"tls: {cert: a.pem}", "sortie.yaml:1:6: tls: TLS needs both `cert` and `key`"},
	{"tls: {key: a.pem}", "sortie.yaml:1:6: tls: TLS needs both `cert` and `key`"},
	{"tls: {cert: \"a\\0\", key: b}", "sortie.yaml:1:13: tls.cert: has a NUL character"},
	{"trusted_proxies: [proxy.corp]", `sortie.yaml:1:19: trusted_proxies[0]: "proxy.corp" is neither an address, such as 10.0.0.7, nor a CIDR, such as 10.0.0.0/8`},
	{"trusted_proxies: [127.0.0.1, 10.0.0.0/33]", `sortie.yaml:1:30: trusted_proxies[1]: "10.0.0.0/33" is neither an address, such as 10.0.0.7, nor a CIDR, such as 10.0.0.0/8`},
	{"trusted_proxies: [\"fe80::1%eth0\"]", `sortie.yaml:1:19: trusted_proxies[0]: "fe80::1%eth0" is neither an address, such as 10.0.0.7, nor a CIDR, such as 10.0.0.0/8`},
	{"admin_addr: 127.0.0.1:8080", "sortie.yaml:1:13: admin_addr: the same as `addr`; leave it out to serve everything there"},
	{"trusted_proxy: [10.0.0.1]", `sortie.yaml:1:1: trusted_proxy: unknown key; did you mean "trusted_proxies"?`},
	{"signatures: {required: true}", "sortie.yaml:1:24: signatures.required: true, but there are no `keys`; no plugin could be deployed"},
	{"signatures: {required: true, keys: []}", "sortie.yaml:1:24: signatures.required: true, but there are no `keys`; no plugin could be deployed"},
	{"signatures: {keys: [key.pub]}", `sortie.yaml:1:21: signatures.keys[0]: "key.pub" is not base64; it is the second line of a minisign.pub, which begins with RW`},
	{"signatures: {keys: [RWQB]}", `sortie.yaml:1:21: signatures.keys[0]: "RWQB" is too long or too short for a minisign public key, which has 56 characters`},
	{"signatures: {keys: [" + strings.Repeat("A", 56) + "]}", `sortie.yaml:1:21: signatures.keys[0]: "` + strings.Repeat("A", 56) + `" is not a minisign public key, which begins with RW`},
	{"signatures: {keys: [\"untrusted comment: a\\n" + publicKey + "\"]}", "sortie.yaml:1:21: signatures.keys[0]: more than one line; of a minisign.pub, it is the second line alone"},
	{"plugins: {a: {quota: {requests: -1}}}", "sortie.yaml:1:33: plugins.a.quota.requests: -1; it is 0 (no limit) to 9007199254740991"},
	{"plugins: {a: {quota: {fetches: 9007199254740992}}}", "sortie.yaml:1:32: plugins.a.quota.fetches: 9007199254740992; it is 0 (no limit) to 9007199254740991"},
	{"plugins: {a: {quota: {egress: 2PiB}}}", "sortie.yaml:1:31: plugins.a.quota.egress: 2PiB; it is 0 (no limit) to 1PiB"},
	{"plugins: {a: {quota: {cpu: 9000h}}}", "sortie.yaml:1:28: plugins.a.quota.cpu: 9000h; it is 0 (no limit) to 8760h"},
	{"plugins: {a: {quota: {cpu: 5}}}", "sortie.yaml:1:28: plugins.a.quota.cpu: 5 without a unit; write 5s or 5ms, for example"},
	{"plugins: {a: {quota: {zzz: 5}}}", "sortie.yaml:1:23: plugins.a.quota.zzz: unknown key; the keys here are requests, fetches, egress, cpu"},
}

func TestServingErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range servingErrors {
		_, err := ParseOperator([]byte(tt.in))
		if err == nil {
			t.Errorf("%q: accepted", tt.in)
		} else if err.Error() != tt.want {
			t.Errorf("%q:\n got %s\nwant %s", tt.in, err, tt.want)
		}
	}
}

func TestServingFromEnv(t *testing.T) {
	t.Parallel()
	o := DefaultOperator()
	if err := o.ApplyEnv([]string{
		"SORTIE_RETENTION__VERSIONS=5", "SORTIE_RETENTION__AGE=24h", "SORTIE_TLS__CERT=c", "SORTIE_TLS__KEY=k",
		"SORTIE_TRUSTED_PROXIES=10.0.0.0/8, 127.0.0.1", "SORTIE_SIGNATURES__REQUIRED=true", "SORTIE_SIGNATURES__KEYS=" + publicKey,
		"SORTIE_PLUGINS__SEARCH_WEB__QUOTA__REQUESTS=5000000000", "SORTIE_PLUGINS__SEARCH_WEB__QUOTA__CPU=1h",
		"SORTIE_DEFAULTS__SMOKE__HEADERS__X_TEST=1", "SORTIE_DEFAULTS__STICKY__COOKIE=session",
		"SORTIE_DEFAULTS__CORS__ORIGINS=https://a.test,https://b.test",
	}); err != nil {
		t.Fatal(err)
	}
	want := DefaultOperator()
	want.Retention = Retention{Plugins: 10000, Versions: 5, Age: Duration(24 * 3600e9)}
	want.TLS = TLS{Cert: "c", Key: "k"}
	want.TrustedProxies = []string{"10.0.0.0/8", "127.0.0.1/32"}
	want.Signatures = Signatures{Required: true, Keys: []string{publicKey}}
	want.Plugins = map[string]PluginRules{"search-web": {Quota: Quota{Requests: 5e9, CPU: Duration(3600e9)}}}
	want.Defaults.Smoke = &Smoke{Method: "GET", Path: "/", Headers: map[string]string{"X-Test": "1"}}
	want.Defaults.Sticky.Cookie = "session"
	want.Defaults.CORS.Origins = []string{"https://a.test", "https://b.test"}
	if diff := cmp.Diff(want, o, sameOperator); diff != "" {
		t.Error(diff)
	}
	for variable, wrong := range map[string]string{
		"SORTIE_TLS__CERT=c":            "SORTIE_TLS__CERT: tls: TLS needs both `cert` and `key`",
		"SORTIE_TRUSTED_PROXIES=x":      "SORTIE_TRUSTED_PROXIES: trusted_proxies[0]:",
		"SORTIE_RETENTION__VERSIONS=x":  `SORTIE_RETENTION__VERSIONS: retention.versions: "x" is text, where a whole number is needed`,
		"SORTIE_SIGNATURES__REQUIRED=1": `SORTIE_SIGNATURES__REQUIRED: signatures.required: "1" is text, where true or false is needed`,
	} {
		if err := DefaultOperator().ApplyEnv([]string{variable}); err == nil || !strings.HasPrefix(err.Error(), wrong) {
			t.Errorf("%s: %v, want %s", variable, err, wrong)
		}
	}
}

// TestQuotas: of all patterns that match, each amount has the lowest limit.
func TestQuotas(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator([]byte("plugins:\n" +
		"  \"*\": {quota: {requests: 1000, egress: 1GiB}}\n" +
		"  \"search-*\": {quota: {requests: 2000, fetches: 5000000000, egress: 10MiB}}\n" +
		"  \"search-x\": {quota: {requests: 0, fetches: 7, cpu: 90s}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Quota{
		"search-x": {Requests: 1000, Fetches: 7, Egress: 10 << 20, CPU: 90e9},
		"search-y": {Requests: 1000, Fetches: 5e9, Egress: 10 << 20},
		"other":    {Requests: 1000, Egress: 1 << 30},
	} {
		if got := o.Rules(name).Quota; got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if got := DefaultOperator().Rules("a").Quota; got != (Quota{}) {
		t.Errorf("%+v", got)
	}
}
