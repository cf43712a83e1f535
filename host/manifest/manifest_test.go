package manifest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestContractExample: the contract's own plugin.yaml, as it stands, has the
// defaults for its limits.
func TestContractExample(t *testing.T) {
	t.Parallel()
	m, err := Parse([]byte(seed(t, "plugin.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Name = "prices"
	want.Fetch.Allow = []Rule{
		{URL: "https://api.example.com", Pattern: Pattern{Scheme: "https", Host: "api.example.com", Port: "443"}},
		{URL: "https://*.example.org:8443/v1/", Pattern: Pattern{Scheme: "https", Host: "example.org", Wildcard: true, Port: "8443", Path: "/v1/"}},
		{
			URL: "http://127.0.0.1:9000", Methods: []string{"GET", "HEAD"}, Private: true,
			Pattern: Pattern{Scheme: "http", Host: "127.0.0.1", Port: "9000"},
		},
	}
	want.Config = map[string]any{"region": "eu"}
	want.Warmup = &Warmup{Method: "GET", Path: "/"}
	want.Secrets = []Secret{{Name: "API_KEY", Header: "Authorization", Format: "Bearer {secret}", Allow: []string{"https://api.example.com"}}}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
	roundTrip(t, m)
}

func TestParseEmptyIsDefault(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "\n", "# nothing\n", "---\n", "{}", "null", "\xef\xbb\xbf",
		"fetch:\nlimits:\nconfig:\nwarmup:\nsecrets:\n",
		"fetch:\n  allow:\n  limits: {}\n  retry:\nconfig: {}\nsecrets: []\n",
	} {
		m, err := Parse([]byte(in))
		if err != nil {
			t.Errorf("%q: %s", in, err)
			continue
		}
		if diff := cmp.Diff(Default(), m); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
		roundTrip(t, m)
	}
}

// TestParseForms: what can be written in more than one way means the same.
func TestParseForms(t *testing.T) {
	t.Parallel()
	one := "name: a\nfetch:\n  allow:\n  - url: HTTPS://A.test:443/\n    methods: [post, get, GET]\n    private: false\n" +
		"  limits:\n    timeout: 60s\n    request_bytes: 2048\n    attempt_timeout: 0\n  retry: {statuses: [503, 502, 503]}\n" +
		"limits: {memory: 1GiB, log: 1 KiB}\nwasm: ./x//p.wasm\nwarmup: {}\nconfig: {n: 1.0, big: 1e3, list: [~, true], text: !!str 1}\n" +
		"secrets: [{name: K, header: X-Key}]\n"
	two := `{"name": "a",
	"fetch": {"allow": [{"url": "https://a.test", "methods": ["GET", "POST"]}],
		"limits": {"timeout": "1m", "request_bytes": "2KiB", "attempt_timeout": "0s"},
		"retry": {"statuses": [502, 503]}},
	"limits": {"memory": 1073741824, "log": "1024B"}, "wasm": "x\/p.wasm", "warmup": {"method": "get"},
	"config": {"text": "1", "list": [null, true], "big": 1000, "n": 1},
	"secrets": [{"name": "K", "header": "X-Key", "format": "{secret}"}]}`
	three := "config: {text: &one '1', list: [~, true], big: 1000, n: &n 1}\nname: a\n" +
		"fetch: {allow: [{url: 'https://a.test', methods: [GET, POST]}], limits: {timeout: 1m0s, request_bytes: 2kib}, retry: {statuses: [502, 503]}}\n" +
		"limits: {memory: 1024MiB, log: 1024}\nwasm: x/p.wasm\nwarmup: {path: /}\nsecrets: [{name: K, header: X-Key}]\n"
	first, err := Parse([]byte(one))
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{two, three, strings.ReplaceAll(one, "\n", "\r\n")} {
		m, err := Parse([]byte(in))
		if err != nil {
			t.Fatalf("%s\n%s", err, in)
		}
		if diff := cmp.Diff(first, m); diff != "" {
			t.Error(diff)
		}
	}
	roundTrip(t, first)
}

// TestParseEarlier: the canonical form of releases that knew neither hedge nor
// cache means the same as it did.
func TestParseEarlier(t *testing.T) {
	t.Parallel()
	m, err := Parse([]byte(`{"name":"a","wasm":"plugin.wasm","entry":"handle","access":"token","fetch":{"allow":[],"limits":{"requests":64},` +
		`"retry":{"attempts":1,"backoff":"100ms","max_backoff":"2s","statuses":[408,425,429,500,502,503,504]}},"config":{},"warmup":null,"secrets":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Name = "a"
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
}

func TestParseKeepsEmptyStatuses(t *testing.T) {
	t.Parallel()
	m, err := Parse([]byte("fetch: {retry: {attempts: 3, statuses: []}}"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Fetch.Retry.Statuses == nil || len(m.Fetch.Retry.Statuses) != 0 {
		t.Errorf("%#v; no statuses is not the default", m.Fetch.Retry.Statuses)
	}
	roundTrip(t, m)
}

func TestDefaultIsFresh(t *testing.T) {
	t.Parallel()
	Default().Fetch.Retry.Statuses[0] = 1
	if Default().Fetch.Retry.Statuses[0] != 408 {
		t.Error("one caller's default is another's")
	}
}

// manifestErrors are files and the errors they get, word for word.
var manifestErrors = []struct{ in, want string }{
	// Keys.
	{"nam: prices\n", `plugin.yaml:1:1: nam: unknown key; did you mean "name"?`},
	{"name: a\nfetch:\n  limits:\n    requsts: 3\n", `plugin.yaml:4:5: fetch.limits.requsts: unknown key; did you mean "requests"?`},
	{"fetch: {limits: {requests: 1, concurency: 2}}", `plugin.yaml:1:31: fetch.limits.concurency: unknown key; did you mean "concurrency"?`},
	{"fetch:\n  allow:\n    - {ulr: \"https://a.test\"}\n", `plugin.yaml:3:8: fetch.allow[0].ulr: unknown key; did you mean "url"?`},
	{"fetch:\n  allow:\n    - https://b.test\n    - url: https://a.test\n      method: [GET]\n", `plugin.yaml:5:7: fetch.allow[1].method: unknown key; did you mean "methods"?`},
	{"limits: {timeout: 5s}", `plugin.yaml:1:10: limits.timeout: unknown key; did you mean "fetch.limits.timeout"?`},
	{"connectTimeout: 1s", `plugin.yaml:1:1: connectTimeout: unknown key; did you mean "fetch.limits.connect_timeout"?`},
	{"warmup: {body: x, zzz: 1}", "plugin.yaml:1:19: warmup.zzz: unknown key; the keys here are method, path, body"},
	{"timeuot: 1s", `plugin.yaml:1:1: timeuot: unknown key; did you mean "fetch.limits.timeout"?`},
	{"\"a.b\": 1", `plugin.yaml:1:1: ["a.b"]: unknown key; the keys here are name, wasm, entry, access, fetch, limits, isolation, config, warmup, secrets, smoke, sticky, cors`},
	{"name: a\nname: b\n", "plugin.yaml:2:1: name: key repeated; it is given at 1:1"},
	{"config:\n  x: {a: 1, a: 2}\n", "plugin.yaml:2:13: config.x.a: key repeated; it is given at 2:7"},
	{"{\"name\": \"a\",\n\t\"name\": \"b\"}", "plugin.yaml:2:2: name: key repeated; it is given at 1:2"},
	{"{\"fetch\": {\n\t\"limit\": {}}}", `plugin.yaml:2:2: fetch.limit: unknown key; did you mean "limits"?`},
	{"config: {a: &a {b: 1}, c: {<<: *a}}", "plugin.yaml:1:28: merge keys (`<<`) are not read"},

	// Kinds.
	{"- a", "plugin.yaml:1:1: a list, where a mapping is needed"},
	{"prices", `plugin.yaml:1:1: "prices" is text, where a mapping is needed`},
	{"name: 12", `plugin.yaml:1:7: name: "12" is a whole number, where text is needed; put it in quotes`},
	{"name:", "plugin.yaml:1:1: name: no value; it needs text"},
	{"name: [a]", "plugin.yaml:1:7: name: a list, where text is needed"},
	{"fetch: {limits: {requests: \"5\"}}", `plugin.yaml:1:28: fetch.limits.requests: "5" is text, where a whole number is needed`},
	{"fetch: {limits: {requests: 1.5}}", `plugin.yaml:1:28: fetch.limits.requests: "1.5" is a number, where a whole number is needed`},
	{"fetch: {allow: https://a.test}", `plugin.yaml:1:16: fetch.allow: "https://a.test" is text, where a list is needed`},
	{"fetch: {allow: [5]}", `plugin.yaml:1:17: fetch.allow[0]: "5" is a whole number, where a URL or a mapping with ` + "`url` is needed"},
	{"fetch: {allow: [{url: \"https://a.test\", private: yes}]}", `plugin.yaml:1:50: fetch.allow[0].private: "yes" is text, where true or false is needed`},
	{"config: [a]", "plugin.yaml:1:9: config: a list, where a mapping is needed"},

	// Amounts.
	{"limits: {wall: 10}", "plugin.yaml:1:16: limits.wall: 10 without a unit; write 10s or 10ms, for example"},
	{"limits: {wall: ten}", `plugin.yaml:1:16: limits.wall: "ten" is not a duration; write 10s, 100ms or 5m, for example`},
	{"limits: {wall: -1s}", "plugin.yaml:1:16: limits.wall: a duration can't be negative"},
	{"limits: {wall: 0s}", "plugin.yaml:1:16: limits.wall: 0s; it is 1ms at least"},
	{"limits: {wall: 9000h}", "plugin.yaml:1:16: limits.wall: 9000h; it is 8760h at most"},
	{"limits: {wall: [1s]}", "plugin.yaml:1:16: limits.wall: a list, where a duration, such as 10s or 100ms, is needed"},
	{"limits: {memory: 1}", "plugin.yaml:1:18: limits.memory: 1B; it is 64KiB at least"},
	{"limits: {memory: 5 bananas}", `plugin.yaml:1:18: limits.memory: "5 bananas" is not a size; write 1MiB, 64KiB or a number of bytes, for example`},
	{"limits: {memory: -5}", "plugin.yaml:1:18: limits.memory: a size can't be negative"},
	{"limits: {memory: 99999999PiB}", `plugin.yaml:1:18: limits.memory: "99999999PiB" is too large`},
	{"limits: {input: true}", `plugin.yaml:1:17: limits.input: "true" is true or false, where a size, such as 1MiB or 64KiB, is needed`},
	{"fetch: {limits: {requests: -1}}", "plugin.yaml:1:28: fetch.limits.requests: -1; it can't be negative"},
	{"fetch: {limits: {concurrency: 0}}", "plugin.yaml:1:31: fetch.limits.concurrency: 0; it is 1 at least"},
	{"fetch: {limits: {requests: 3000000000}}", "plugin.yaml:1:28: fetch.limits.requests: 3000000000; it is 2147483647 at most"},
	{"fetch: {retry: {attempts: 0}}", "plugin.yaml:1:27: fetch.retry.attempts: 0; it is 1 at least"},
	{"fetch: {hedge: p99}", `plugin.yaml:1:16: fetch.hedge: "p99" is neither a duration, such as 50ms, nor p95`},
	{"fetch: {hedge: 0s}", "plugin.yaml:1:16: fetch.hedge: 0s; leave it empty for no hedge at all"},
	{"fetch: {hedge: 1us}", "plugin.yaml:1:16: fetch.hedge: 1µs; it is 1ms to 8760h, or p95"},
	{"fetch: {cache: 16MiB}", `plugin.yaml:1:16: fetch.cache: "16MiB" is text, where a mapping is needed`},
	{"fetch: {cache: {size: 1}}", "plugin.yaml:1:17: fetch.cache.size: unknown key; the keys here are bytes, coalesce"},
	{"fetch: {cache: {bytes: -1}}", "plugin.yaml:1:24: fetch.cache.bytes: a size can't be negative"},
	{"fetch: {coalesce: true}", `plugin.yaml:1:9: fetch.coalesce: unknown key; did you mean "fetch.cache.coalesce"?`},
	{"fetch: {retry: {statuses: [503, 600]}}", "plugin.yaml:1:33: fetch.retry.statuses[1]: 600; a status is 100 to 599"},

	// Names and choices.
	{"name: Prices", `plugin.yaml:1:7: name: "Prices" is not a plugin's name: a lower-case letter, then letters, digits and dashes, 63 at most`},
	{"access: publik", `plugin.yaml:1:9: access: "publik" is not one of token, public; did you mean "public"?`},
	{"isolation: shared", `plugin.yaml:1:12: isolation: "shared" is not one of fresh, pooled`},
	{"wasm: /etc/plugin.wasm", `plugin.yaml:1:7: wasm: "/etc/plugin.wasm" is absolute; it is relative to the manifest`},
	{"wasm: a/../../b.wasm", `plugin.yaml:1:7: wasm: "a/../../b.wasm" leaves the manifest's folder, or might; write it without ..`},
	{`wasm: 'C:\p.wasm'`, `plugin.yaml:1:7: wasm: "C:\\p.wasm" has a backslash, a colon or a control character; parts are separated by slashes`},
	{"wasm: build/", `plugin.yaml:1:7: wasm: "build/" is a folder; it is the plugin's file, such as plugin.wasm`},
	{"wasm: ''", "plugin.yaml:1:7: wasm: empty; it is the plugin's file, such as plugin.wasm"},
	{"entry: ''", `plugin.yaml:1:8: entry: "" can't be the name of an exported function`},

	// Rules.
	{"fetch: {allow: [\"api.example.com\"]}", `plugin.yaml:1:17: fetch.allow[0]: "api.example.com": no scheme; a rule is scheme://host[:port], such as https://api.example.com`},
	{"fetch:\n  allow:\n    - *.example.com\n", `plugin.yaml:3:7: alias "*.example.com" without an anchor; text that begins with * needs quotes`},
	{"fetch:\n  allow:\n    - {methods: [GET]}\n", "plugin.yaml:3:7: fetch.allow[0]: no URL; a rule has one, as scheme://host[:port]"},
	{"fetch:\n  allow:\n    - url: https://a.test/a%2fb\n", `plugin.yaml:3:12: fetch.allow[0].url: "https://a.test/a%2fb": the path has an encoded slash, backslash or dot, which matches nothing, as a server may take it for another path`},
	{"fetch:\n  allow:\n    - {url: \"https://a.test\", methods: []}\n", "plugin.yaml:3:40: fetch.allow[0].methods: an empty list matches nothing; without `methods`, all are allowed"},
	{"fetch:\n  allow:\n    - {url: \"https://a.test\", methods: [GET, \"P T\"]}\n", `plugin.yaml:3:46: fetch.allow[0].methods[1]: "P T" is not a method, such as GET`},

	// Warm-up and secrets.
	{"warmup: {path: x}", `plugin.yaml:1:16: warmup.path: "x" does not begin with a slash`},
	{"warmup: {path: /#a}", `plugin.yaml:1:16: warmup.path: "/#a" has a space, a control character or a fragment`},
	{"secrets: [{name: K}]", "plugin.yaml:1:11: secrets[0].header: no header; a secret needs the one that carries it, such as Authorization"},
	{"secrets: [{header: X}]", "plugin.yaml:1:11: secrets[0].name: no name; a secret needs the name it has in the operator's configuration, such as API_KEY"},
	{"secrets: [{name: K, header: Host}]", `plugin.yaml:1:29: secrets[0].header: "Host" is set by the host alone`},
	{"secrets: [{name: K, header: X, format: secret}]", `plugin.yaml:1:40: secrets[0].format: it does not say where the secret goes; write {secret} there`},
	{"secrets: [{name: K, header: X, format: \"{secret}\\r\\nA: b\"}]", "plugin.yaml:1:40: secrets[0].format: can't be a header's value"},
	{"secrets: [{name: K, header: X, allow: []}]", "plugin.yaml:1:39: secrets[0].allow: an empty list matches nothing; without `allow`, the operator's is used"},
	{"secrets: [{name: K, header: X, allow: [\"a.test\"]}]", `plugin.yaml:1:40: secrets[0].allow[0]: "a.test": no scheme; a rule is scheme://host[:port], such as https://api.example.com`},

	// The file.
	{"a: [1,\n", "plugin.yaml:1:4: sequence end token ']' not found"},
	{"name: a\n---\nname: b\n", "plugin.yaml:2:1: a second document; the file is one"},
	{"config: {a: .nan}", "plugin.yaml:1:13: not a number that JSON has"},
	{"config: {a: !!binary aGk=}", `plugin.yaml:1:13: tag "!!binary" does not fit here`},
	{"config: {? a : b}", "plugin.yaml:1:10: explicit keys (`? key`) are not read; write `key: value`"},
	{"name: é\xff", "plugin.yaml:1:8: not valid UTF-8"},

	// Several at once, in the order of their places.
	{
		"limits: {wal: 1s}\nfetch: {limits: {timeout: 3}}\nname: X\n",
		"plugin.yaml:1:10: limits.wal: unknown key; did you mean \"wall\"?\n" +
			"plugin.yaml:2:27: fetch.limits.timeout: 3 without a unit; write 3s or 3ms, for example\n" +
			"plugin.yaml:3:7: name: \"X\" is not a plugin's name: a lower-case letter, then letters, digits and dashes, 63 at most",
	},
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range manifestErrors {
		_, err := Parse([]byte(tt.in))
		if err == nil {
			t.Errorf("%q: accepted", tt.in)
		} else if err.Error() != tt.want {
			t.Errorf("%q:\n got %s\nwant %s", tt.in, err, tt.want)
		}
	}
}

func TestErrorFields(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte("name: a\nfetch:\n  limits:\n    requsts: 3\n"))
	want := &Error{File: "plugin.yaml", Key: "fetch.limits.requsts", Line: 4, Column: 5, Message: "unknown key", Nearest: "requests"}
	var one *Error
	if !errors.As(err, &one) {
		t.Fatalf("%T is no *Error", err)
	}
	if diff := cmp.Diff(want, one); diff != "" {
		t.Error(diff)
	}
	var all Errors
	if !errors.As(err, &all) || len(all) != 1 {
		t.Fatalf("%T %v", err, err)
	}
	if got := all.In("my/plugin.yaml").Error(); !strings.HasPrefix(got, "my/plugin.yaml:4:5: fetch") {
		t.Error(got)
	}
	if all[0].File != "plugin.yaml" {
		t.Error("In changed its receiver")
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	keys := []string{"requests", "concurrency", "timeout", "connect_timeout", "read_timeout", "url"}
	for word, want := range map[string]string{
		"requsts": "requests", "reqeusts": "requests", "Requests": "requests", "timeuot": "timeout",
		"connecttimeout": "connect_timeout", "connectTimeout": "connect_timeout", "conect-timeout": "connect_timeout",
		"read_timout": "read_timeout", "ulr": "url", "uri": "url", "xyz": "", "": "", "bananas": "",
		strings.Repeat("requests", 1000): "",
	} {
		if got := nearest(word, keys); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestUnmarshalJSON(t *testing.T) {
	t.Parallel()
	var answer struct{ Manifest Manifest }
	if err := json.Unmarshal([]byte(`{"Manifest": {"name": "a", "limits": {"wall": "5s"}}}`), &answer); err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Name, want.Limits.Wall = "a", 5e9
	if diff := cmp.Diff(*want, answer.Manifest); diff != "" {
		t.Error(diff)
	}
	var all Errors
	if err := json.Unmarshal([]byte(`{"Manifest": {"nam": "b"}}`), &answer); !errors.As(err, &all) || answer.Manifest.Name != "a" {
		t.Errorf("%v, %+v", err, answer)
	}
}

// TestConfigValues: what YAML can say, in JSON's data model.
func TestConfigValues(t *testing.T) {
	t.Parallel()
	m, err := Parse([]byte("config:\n  text: [!!str 010, 'x', yes, 2026-01-02, !!str ~, !!str , z]\n  numbers: [0x10, 1.0, 2.5, -0.0, 1e+300, 1.5e-3, 12345678901234567890, !!int 3, !!float 4]\n" +
		"  other: [true, !!bool false, ~, !!null null, !!seq [a], !!map {a: b}]\n  1: a\n  2.5: b\n  true: c\n  &k key: &v [1]\n  again: *v\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"text":    []any{"010", "x", "yes", "2026-01-02", "~", "", "z"},
		"numbers": []any{int64(16), int64(1), 2.5, int64(0), 1e300, 0.0015, 12345678901234567890.0, int64(3), int64(4)},
		"other":   []any{true, false, nil, nil, []any{"a"}, map[string]any{"a": "b"}},
		"1":       "a", "2.5": "b", "true": "c", "key": []any{int64(1)}, "again": []any{int64(1)},
	}
	if diff := cmp.Diff(want, m.Config); diff != "" {
		t.Error(diff)
	}
	roundTrip(t, m)
}
