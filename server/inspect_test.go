package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/server/store"
)

func answerOf[T any](t *testing.T, a answer) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &v); a.StatusCode != 200 || err != nil {
		t.Fatalf("%d %s: %v", a.StatusCode, a.body, err)
	}
	return v
}

// TestEffectiveManifest: what is shown is what counts, and no more of the operator's configuration than concerns the plugin.
func TestEffectiveManifest(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{
		operator: `
ceilings: {fetch: {limits: {requests: 10}}}
private: ["http://127.0.0.1:*"]
hosts: {deny: ["evil.example"]}
secrets: {KEY: {env: THE_KEY, allow: ["https://a.example"], plugins: ["*"]}}`,
		getenv: func(name string) (string, bool) { return "sesame", name == "THE_KEY" },
	})
	s.deployed("a", "fetch: {allow: [https://a.example], limits: {requests: 50}}\nsecrets: [{name: KEY, header: X-Key}]\nconfig: {x: 1}", "wasm", "")
	s.deployed("b", "fetch: {allow: [{url: http://127.0.0.1:1, private: true}]}", "wasm", "")

	a := s.get("/v1/plugins/a/versions/1/manifest")
	got := answerOf[EffectiveManifest](t, a)
	if got.Manifest.Fetch.Limits.Requests != 10 || len(got.Clamped) != 1 || got.Clamped[0].Asked != "50" || got.Digest != store.Digest([]byte("wasm")) {
		t.Errorf("%+v", got)
	}
	if len(got.Operator.Private) > 0 || fmt.Sprint(got.Operator.Hosts) != "{[*] [evil.example]}" {
		t.Errorf("%+v", got.Operator)
	}
	if len(got.Manifest.Secrets) != 1 || got.Manifest.Secrets[0].Name != "KEY" || strings.Contains(a.body, "sesame") || strings.Contains(a.body, "THE_KEY") {
		t.Errorf("secrets in %s", a.body)
	}
	if got := answerOf[EffectiveManifest](t, s.get("/v1/plugins/b/versions/1/manifest")); fmt.Sprint(got.Operator.Private) != "[http://127.0.0.1:*]" {
		t.Errorf("%+v", got.Operator)
	}
}

// TestModule: the bytes that were deployed, once for each client.
func TestModule(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{})
	s.deployed("a", "", "one", "")
	s.deployed("a", "", "two", "")
	first := s.get("/v1/plugins/a/versions/1/wasm")
	if first.StatusCode != 200 || first.body != "one" || first.Header.Get("Content-Type") != "application/wasm" {
		t.Fatalf("%d %q %v", first.StatusCode, first.body, first.Header)
	}
	tag := first.Header.Get("ETag")
	for lines, want := range map[string]int{tag: 304, `"x", W/` + tag: 304, "*": 304, `"x"`: 200, "": 200} {
		if got := s.send(http.MethodGet, "/v1/plugins/a/versions/1/wasm", nil, "If-None-Match", lines); got.StatusCode != want || want == 304 && got.body != "" {
			t.Errorf("If-None-Match: %s: %d %q", lines, got.StatusCode, got.body)
		}
	}
	if got := s.send(http.MethodGet, "/v1/plugins/a/versions/2/wasm", nil, "If-None-Match", tag); got.StatusCode != 200 || got.body != "two" {
		t.Errorf("%d %q", got.StatusCode, got.body)
	}
	if got := s.send(http.MethodHead, "/v1/plugins/a/versions/2/wasm", nil); got.Header.Get("Content-Length") != "3" || got.body != "" {
		t.Errorf("HEAD: %v %q", got.Header, got.body)
	}
	eventually(t, "given back", func() bool { return s.memory.Used() == 0 }) // soon after the answer
}

// TestInvocations: the newest first, those of one plugin only, as many as are asked for.
func TestInvocations(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{})
	s.deployed("a", "", "one", "")
	s.deployed("b", "", "one", "")
	if list := answerOf[InvocationList](t, s.get("/v1/plugins/a/invocations")); list.Invocations == nil || len(list.Invocations) != 0 {
		t.Errorf("%+v", list)
	}
	var ids []string
	for i := range 60 {
		ids = append(ids, s.get(fmt.Sprintf("/p/a/%d?key=hidden", i)).Header.Get("Sortie-Invocation"))
		s.get("/p/b")
	}
	slices.Reverse(ids)
	for query, want := range map[string]int{"": invocationsDefault, "?limit=3": 3, "?limit=500": 60} {
		list := answerOf[InvocationList](t, s.get("/v1/plugins/a/invocations"+query))
		var got []string
		for _, i := range list.Invocations {
			got = append(got, i.ID)
		}
		if !slices.Equal(got, ids[:want]) {
			t.Errorf("%s: %d: %v", query, len(got), got)
		}
		if newest := list.Invocations[0]; newest.Path != "/59" || newest.Method != "GET" || newest.Status != 200 || newest.Version != 1 || newest.Total < 0 {
			t.Errorf("%+v", newest)
		}
	}
	for _, limit := range []string{"0", "501", "x", "1&limit=2"} {
		if got := s.get("/v1/plugins/a/invocations?limit=" + limit); got.StatusCode != 400 {
			t.Errorf("limit=%s: %d", limit, got.StatusCode)
		}
	}
	s.send(http.MethodDelete, "/v1/plugins/a", nil)
	s.deployed("a", "", "one", "")
	if list := answerOf[InvocationList](t, s.get("/v1/plugins/a/invocations")); len(list.Invocations) != 0 {
		t.Errorf("another's: %+v", list)
	}
}

// TestExplain: by the version that has the traffic or is asked for, under the operator's configuration as it is then.
func TestExplain(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{operator: `{private: ["http://127.0.0.1:1"], hosts: {deny: [evil.example]}}`})
	s.deployed("a", "fetch: {allow: [https://a.example, {url: http://127.0.0.1:1, private: true}, {url: http://127.0.0.1:2, private: true}]}", "wasm", "")
	s.deployed("a", "fetch: {allow: [{url: 'https://*', methods: [GET]}]}", "wasm", "?traffic=none")
	for _, tt := range []struct {
		query, code string
		version     int
	}{
		{"url=https://a.example/x", "", 1}, {"url=https://b.example", "host_denied", 1}, {"url=https://b.example&version=2", "", 2},
		{"url=https://b.example&version=2&method=POST", "method_denied", 2}, {"url=https://b.example&version=2&method=get", "", 2},
		{"url=https://evil.example&version=2", "host_denied", 2}, {"url=http://127.0.0.1:1/", "", 1}, {"url=http://127.0.0.1:2/", "address_denied", 1},
		{"url=gopher://x", "unsupported_protocol", 1}, {"url=" + url.QueryEscape("not a URL"), "invalid_url", 1},
	} {
		got := answerOf[Explanation](t, s.get("/v1/plugins/a/explain?"+tt.query))
		if got.Code != tt.code || got.Allowed != (tt.code == "") || got.Version != tt.version || got.Reason == "" {
			t.Errorf("%s: %+v", tt.query, got)
		}
	}
	for _, query := range []string{"", "url=", "url=" + strings.Repeat("x", explainBytes+1), "url=x&version=0"} {
		if got := s.get("/v1/plugins/a/explain?" + query); got.StatusCode != 400 {
			t.Errorf("%.20s: %d", query, got.StatusCode)
		}
	}
	next := *s.settings.Load().operator
	next.Hosts.Deny = []string{"a.example"}
	if err := s.Reload(&next); err != nil {
		t.Fatal(err)
	}
	if got := answerOf[Explanation](t, s.get("/v1/plugins/a/explain?url=https://a.example/x")); got.Allowed {
		t.Errorf("after a reload: %+v", got)
	}
}

// TestWhoAmI: whoever has a token learns what it's for.
func TestWhoAmI(t *testing.T) {
	t.Parallel()
	open := start(t, says(""), options{})
	if got := answerOf[Identity](t, open.get("/v1/whoami")); fmt.Sprint(got) != "{anyone admin [*] true test}" {
		t.Errorf("%+v", got)
	}
	a := startAccess(t)
	for who, want := range map[string]string{
		"invoke": "{token " + a.ids["invoke"] + " invoke [own*] false test}", "admin": "{token " + a.ids["admin"] + " admin [*] false test}",
		"SORTIE_ADMIN_TOKEN": "{admin admin [*] false test}",
	} {
		if got := answerOf[Identity](t, a.as(who, "GET", "/v1/whoami", "")); fmt.Sprint(got) != want {
			t.Errorf("%s: %v", who, got)
		}
	}
}

// TestUnreadableVersion: a version whose stored manifest isn't one any more says so, and isn't shown as something else.
func TestUnreadableVersion(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{operator: `plugins: {"*": {access: public}}`})
	s.deployed("a", "", "wasm", "")
	v := s.plugins.find("a").versions[1]
	v.terms = func() (*terms, error) { return nil, host.NewError(host.CodeInvalidManifest, "it isn't one") }
	for _, path := range []string{"/versions/1/manifest", "/explain?url=x"} {
		if got := s.get("/v1/plugins/a" + path); got.StatusCode != 500 || !strings.Contains(got.body, "it isn't one") {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
}
