package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/store"
)

func TestDeploy(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{})
	d := s.deployed("prices", "name: prices\nlimits: {wall: 2s}\n", "one", "")
	if d.Name != "prices" || d.Version != 1 || d.Digest != store.Digest([]byte("one")) || d.URL != s.url+"/p/prices" {
		t.Errorf("first deploy = %+v", d)
	}
	if got := d.Limits.Wall.String() + " " + d.Limits.Fetch.Timeout.String(); got != "2s 10s" {
		t.Errorf("limits = %s, want the manifest's 2s and the default 10s", got)
	}
	if a := s.get("/p/prices"); a.StatusCode != 200 || a.body != "hello" {
		t.Errorf("call = %d %q", a.StatusCode, a.body)
	}
	again := s.deployed("prices", "name: prices\nlimits: {wall: 2s}\n", "one", "")
	if diff := cmp.Diff(d, again); diff != "" {
		t.Errorf("the same again (-first +again):\n%s", diff)
	}
	if loaded, _ := s.host.counts("one"); loaded != 1 {
		t.Errorf("the module was loaded %d times", loaded)
	}
	if d := s.deployed("prices", "name: prices\n", "one", ""); d.Version != 2 {
		t.Errorf("another manifest made version %d, want 2", d.Version)
	}
}

func TestDeployBodies(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{})
	multi := func(parts ...string) (string, string) {
		body, contentType := form(parts...)
		data, _ := io.ReadAll(body)
		return string(data), contentType
	}
	body := func(b, contentType string) [2]string { return [2]string{b, contentType} }
	cut, cutType := multi("manifest", "", "wasm", "one")
	tests := []struct {
		name   string
		body   [2]string
		status int
		code   string
		detail string
	}{
		{"bare", body("one", "application/wasm"), 201, "", ""},
		{"bare with a parameter", body("one", "application/wasm; x=y"), 200, "", ""},
		{"without a manifest", body(multi("wasm", "one")), 200, "", ""},
		{"wasm first", body(multi("wasm", "one", "manifest", "name: a")), 201, "", ""},
		{"JSON", body(multi("manifest", `{"name":"a","limits":{"wall":"3s"}}`, "wasm", "one")), 201, "", ""},
		{"without a type", body("one", ""), 415, "unsupported_media_type", "application/wasm"},
		{"another type", body("one", "application/octet-stream"), 415, "unsupported_media_type", "application/octet-stream"},
		{"malformed type", body("one", "application/wasm;;;="), 415, "unsupported_media_type", ""},
		{"no boundary", body("one", "multipart/form-data"), 415, "unsupported_media_type", ""},
		{"other multipart", body("one", "multipart/mixed; boundary=x"), 415, "unsupported_media_type", ""},
		{"no module", body(multi("manifest", "name: a")), 400, "bad_request", "wasm"},
		{"a part twice", body(multi("wasm", "one", "wasm", "two")), 400, "bad_request", "twice"},
		{"an unknown part", body(multi("wasm", "one", "manfest", "")), 400, "bad_request", "manfest"},
		{"cut off", body(cut[:len(cut)-20], cutType), 400, "bad_request", ""},
		{"a misspelt key", body(multi("manifest", "name: a\nlimits:\n  wal: 3s\n", "wasm", "one")), 422, "invalid_manifest",
			`plugin.yaml:3:3: limits.wal: unknown key; did you mean "wall"?`},
		{"another name", body(multi("manifest", "name: b", "wasm", "one")), 422, "invalid_manifest", "name"},
		{"not loadable", body(multi("manifest", "name: a", "wasm", "bad")), 422, "invalid_wasm", "the module is bad"},
		{"a large manifest", body(multi("manifest", strings.Repeat("#", maxManifest+1), "wasm", "one")), 413, "limit_input", "manifest"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { // in order: the first makes the version
			a := s.send(http.MethodPut, "/v1/plugins/a", strings.NewReader(test.body[0]), "Content-Type", test.body[1])
			if test.code == "" {
				if a.StatusCode != test.status {
					t.Errorf("answer = %d %s, want %d", a.StatusCode, a.body, test.status)
				}
				return
			}
			wantProblem(t, a, test.status, test.code)
			if !strings.Contains(a.problem().Detail, test.detail) {
				t.Errorf("detail %q lacks %q", a.problem().Detail, test.detail)
			}
		})
	}
	p, err := s.store.Get(t.Context(), "a")
	if err != nil || len(p.Versions) != 3 {
		t.Errorf("stored are %d versions, %v; want the 3 good ones", len(p.Versions), err)
	}
}

func TestDeployNames(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{})
	for path, status := range map[string]int{
		"a": 201, "a-1": 201, strings.Repeat("a", 63): 201, "%61b": 201,
		"A": 400, "1": 400, "a_b": 400, "a%2Fb": 400, "..": 400, "%2e%2e": 400, strings.Repeat("a", 64): 400, "a%00": 400,
	} {
		a := s.send(http.MethodPut, "/v1/plugins/"+path, strings.NewReader("one"), "Content-Type", "application/wasm")
		if a.StatusCode != status {
			t.Errorf("%s: %d %s, want %d", path, a.StatusCode, a.body, status)
		}
	}
}

// TestClaimedLength sends the head of a deploy that is too large, and no byte of its body.
func TestClaimedLength(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.url+"/v1/plugins/a", neverReady{t.Context().Done()})
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = maxUpload + 1
	r.Header.Set("Content-Type", "application/wasm")
	wantProblem(t, s.do(r), 413, "limit_input")
}

// neverReady is a body of which nothing comes.
type neverReady struct{ done <-chan struct{} }

func (n neverReady) Read([]byte) (int, error) {
	<-n.done
	return 0, io.EOF
}

func TestDeployWithoutTraffic(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{})
	s.deployed("a", "", "one", "?traffic=none")
	wantProblem(t, s.get("/p/a"), 404, "version_not_found")
	if a := s.get("/p/a", "Sortie-Version", "1"); a.StatusCode != 200 || a.Header.Get("Sortie-Version") != "1" {
		t.Errorf("pinned call = %d %s", a.StatusCode, a.body)
	}
	s.deployed("a", "", "one", "")
	if a := s.get("/p/a"); a.StatusCode != 200 {
		t.Errorf("after deploying the same with traffic: %d %s", a.StatusCode, a.body)
	}
	s.deployed("a", "", "two", "")
	if d := s.deployed("a", "", "one", ""); d.Version != 1 {
		t.Errorf("an older version's module and manifest made version %d", d.Version)
	}
	if a := s.get("/p/a"); a.Header.Get("Sortie-Version") != "1" {
		t.Errorf("version %s is called after version 1 was deployed again", a.Header.Get("Sortie-Version"))
	}
	for _, query := range []string{"?traffic=", "?traffic=all", "?traffic=none&traffic=none"} {
		a := s.send(http.MethodPut, "/v1/plugins/a"+query, strings.NewReader("two"), "Content-Type", "application/wasm")
		wantProblem(t, a, 400, "bad_request")
	}
}

func TestClamped(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{operator: "ceilings: {limits: {wall: 1s}}\nplugins: {\"small-*\": {ceilings: {limits: {memory: 16MiB}}}}"})
	d := s.deployed("small-one", "", "one", "") // not even a name: the rules for its name hold all the same
	if d.Limits.Wall.String() != "1s" || d.Limits.Memory.String() != "16MiB" {
		t.Errorf("limits = %+v, want wall 1s and memory 16MiB", d.Limits)
	}
	d = s.deployed("small-two", "name: small-two\nlimits: {wall: 20s}", "one", "")
	want := manifest.Clamped{Key: "limits.wall", Asked: "20s", Got: "1s"}
	found := false
	for _, c := range d.Clamped {
		found = found || c == want
	}
	if !found {
		t.Errorf("clamped = %+v, want %+v among it", d.Clamped, want)
	}
}

func TestListAndRemove(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{})
	if a := s.get("/v1/plugins"); strings.TrimSpace(a.body) != `{"plugins":[]}` {
		t.Errorf("empty list = %s", a.body)
	}
	s.deployed("b", "", "one", "")
	s.deployed("a", "", "one", "")
	s.deployed("a", "", "two", "")
	s.deployed("a", "", "three", "?traffic=none")
	var list PluginList
	if err := json.Unmarshal([]byte(s.get("/v1/plugins").body), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Plugins) != 2 || list.Plugins[0].Name != "a" || list.Plugins[1].Name != "b" {
		t.Fatalf("list = %+v", list)
	}
	p := list.Plugins[0]
	if p.Version != 2 || p.Versions != 3 || p.Digest != store.Digest([]byte("two")) || p.URL != s.url+"/p/a" {
		t.Errorf("a = %+v; version 2 has the traffic", p)
	}
	var versions VersionList
	if err := json.Unmarshal([]byte(s.get("/v1/plugins/a/versions").body), &versions); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range versions.Versions {
		got = append(got, fmt.Sprint(v.Version, ":", v.Weight))
	}
	if diff := cmp.Diff([]string{"3:0", "2:100", "1:0"}, got); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	if a := s.send(http.MethodDelete, "/v1/plugins/a", nil); a.StatusCode != 204 || a.body != "" {
		t.Errorf("DELETE = %d %q", a.StatusCode, a.body)
	}
	for _, path := range []string{"/v1/plugins/a", "/v1/plugins/a/versions", "/p/a"} {
		wantProblem(t, s.get(path), 404, "plugin_not_found")
	}
	wantProblem(t, s.send(http.MethodDelete, "/v1/plugins/a", nil), 404, "plugin_not_found")
	if d := s.deployed("a", "", "four", ""); d.Version != 1 {
		t.Errorf("deployed again as version %d, want 1", d.Version)
	}
}

// TestConcurrentDeploys has many clients deploy one plugin while others call it: versions are numbered without a gap, and
// no call sees anything but an answer.
func TestConcurrentDeploys(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{})
	s.deployed("a", "", "first", "")
	const clients, each = 6, 4
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			for i := range each {
				body := strings.NewReader(fmt.Sprint("module ", c, " ", i))
				if a := s.send(http.MethodPut, "/v1/plugins/a", body, "Content-Type", "application/wasm"); a.StatusCode != 201 {
					t.Errorf("deploy = %d %s", a.StatusCode, a.body)
				}
				if a := s.get("/p/a"); a.StatusCode != 200 || a.body != "hello" {
					t.Errorf("call = %d %s", a.StatusCode, a.body)
				}
			}
		})
	}
	group.Wait()
	p := s.plugins.find("a")
	if n := p.stored.Newest().Number; n != clients*each+1 || p.weight(n) != 100 {
		t.Errorf("newest version is %d with weight %d, want %d with 100", n, p.weight(n), clients*each+1)
	}
	for number, v := range p.versions {
		if number != p.stored.Newest().Number {
			eventually(t, "old versions closed", func() bool { _, open := s.host.counts(wasmOf(s, v)); return open == 0 })
		}
	}
}

func wasmOf(s *testServer, v *version) string {
	wasm, err := s.store.Blob(s.t.Context(), v.stored.Digest)
	if err != nil {
		s.t.Error(err)
	}
	return string(wasm)
}
