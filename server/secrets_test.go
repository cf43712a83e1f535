package server

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/internal/sealed"
)

func newKey(t *testing.T) *sealed.Key {
	t.Helper()
	text, err := sealed.Generate()
	if err != nil {
		t.Fatal(err)
	}
	key, err := sealed.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// vault is what a server gives its host.
type vault struct {
	mu  sync.Mutex
	all map[string]host.Secret
}

func (v *vault) give(all map[string]host.Secret) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all = maps.Clone(all)
	return nil
}

func (v *vault) value(name string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.all[name].Value
}

// observed has the server give its secrets to a vault from now on.
func (s *testServer) observed() *vault {
	v := new(vault)
	s.secrets.change.Lock()
	defer s.secrets.change.Unlock()
	s.secrets.give = v.give
	_ = s.secrets.publish()
	return v
}

func (s *testServer) secretList() map[string]Secret {
	s.t.Helper()
	a := s.get("/v1/secrets")
	var list SecretList
	if err := json.Unmarshal([]byte(a.body), &list); a.StatusCode != 200 || err != nil {
		s.t.Fatalf("GET /v1/secrets = %d %s", a.StatusCode, a.body)
	}
	byName := map[string]Secret{}
	for _, one := range list.Secrets {
		byName[one.Name] = one
	}
	return byName
}

const oneSecret = `{"value":"s3cr3t-one","allow":["https://API.example.com:443"],"plugins":["prices","search-*"]}`

func TestSecretsOverTheAPI(t *testing.T) {
	t.Parallel()
	st, key := openStore(t), newKey(t)
	s := start(t, says("hello"), options{store: st, key: key, token: "geheim"})
	v := s.observed()
	a := s.send("PUT", "/v1/secrets/API_KEY", strings.NewReader(oneSecret))
	if a.StatusCode != 201 || strings.Contains(a.body, "s3cr3t") || !strings.Contains(a.body, `"https://api.example.com"`) {
		t.Fatalf("PUT = %d %s", a.StatusCode, a.body)
	}
	if v.value("API_KEY") != "s3cr3t-one" {
		t.Errorf("the host was given %+v", v.all)
	}
	a = s.send("PUT", "/v1/secrets/API_KEY", strings.NewReader(strings.Replace(oneSecret, "-one", "-two", 1)))
	if a.StatusCode != 200 || v.value("API_KEY") != "s3cr3t-two" {
		t.Errorf("again: %d %s, %+v", a.StatusCode, a.body, v.all)
	}
	got := s.secretList()["API_KEY"]
	if got.Source != "stored" || got.By != "admin" || got.Updated == nil || got.Problem != "" || !slices.Equal(got.Plugins, []string{"prices", "search-*"}) {
		t.Errorf("listed as %+v", got)
	}

	// It's there after a restart, and unusable with another key, or none.
	if v := start(t, says(""), options{store: st, key: key}).observed(); v.value("API_KEY") != "s3cr3t-two" {
		t.Errorf("after a restart: %+v", v.all)
	}
	for problem, other := range map[string]*sealed.Key{"sealed with another key": newKey(t), "the server has no key": nil} {
		again := start(t, says(""), options{store: st, key: other, token: "geheim"})
		v := again.observed()
		if _, ok := v.all["API_KEY"]; !ok || v.value("API_KEY") != "" || !strings.Contains(again.secretList()["API_KEY"].Problem, problem) {
			t.Errorf("%s: %+v, %+v", problem, v.all, again.secretList())
		}
		if !strings.Contains(again.log.String(), "a stored secret can't be used; fetches that need it fail") {
			t.Errorf("%s: the log doesn't say", problem)
		}
		if other != nil { // set again, it's well again
			if a := again.send("PUT", "/v1/secrets/API_KEY", strings.NewReader(oneSecret)); a.StatusCode != 200 || again.secretList()["API_KEY"].Problem != "" {
				t.Errorf("set again: %d %s", a.StatusCode, a.body)
			}
			s.send("PUT", "/v1/secrets/API_KEY", strings.NewReader(oneSecret))
			continue
		}
		a := again.send("PUT", "/v1/secrets/OTHER", strings.NewReader(oneSecret))
		wantProblem(t, a, 409, "conflict")
		if !strings.Contains(a.body, "SORTIE_SECRETS_KEY_FILE") || strings.Contains(a.body, "s3cr3t") {
			t.Errorf("without a key: %s", a.body)
		}
	}

	if a := s.send("DELETE", "/v1/secrets/API_KEY", nil); a.StatusCode != 204 {
		t.Errorf("DELETE = %d %s", a.StatusCode, a.body)
	}
	if _, ok := v.all["API_KEY"]; ok || len(s.secretList()) != 0 {
		t.Error("it's still there")
	}
	wantProblem(t, s.send("DELETE", "/v1/secrets/API_KEY", nil), 404, "not_found")
	audit := s.get("/v1/audit").body
	if !strings.Contains(audit, "secret.set") || !strings.Contains(audit, "secret.remove") || strings.Contains(audit+s.log.String(), "s3cr3t") {
		t.Errorf("audit log: %s\nlog: %s", audit, s.log.String())
	}
}

func TestSecretFields(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{key: newKey(t), operator: "secrets: {MINE: {env: MINE, allow: ['https://a.example'], plugins: ['*']}}",
		getenv: func(name string) (string, bool) { return "from-env", name == "MINE" }})
	v := s.observed()
	for _, c := range []struct{ name, body, says string }{
		{"KEY", `{}`, "allow"}, {"KEY", `{"value":"x","allow":["https://a.example"]}`, "plugins"}, {"KEY", `{"value":"x","plugins":["a"]}`, "allow"},
		{"KEY", `{"allow":["https://a.example"],"plugins":["a"]}`, "value: the secret is empty"},
		{"KEY", `{"value":"hunter2\n","allow":["https://a.example"],"plugins":["a"]}`, "can't stand in a header"},
		{"KEY", `{"value":"` + strings.Repeat("x", 64<<10+1) + `","allow":["https://a.example"],"plugins":["a"]}`, "65536 is the most"},
		{"KEY", `{"value":"hunter2","allow":["ftp://a.example"],"plugins":["a"]}`, "allow[0]"},
		{"KEY", `{"value":"hunter2","allow":["https://a.example"],"plugins":["A"]}`, "plugins[0]"},
		{"KEY", `{"value":"hunter2","allow":["https://a.example"],"plugins":[` + strings.Repeat(`"a",`, 100) + `"a"]}`, "100 is the most"},
		{"KEY", `{"value":"hunter2","allow":["https://a.example"],"plugins":["a"],"header":"X"}`, "header"}, {"KEY", `{"value":7}`, ""},
		{"0KEY", oneSecret, "not a secret's name"}, {"K%20EY", oneSecret, "not a secret's name"}, {strings.Repeat("K", 129), oneSecret, "not a secret's name"},
	} {
		a := s.send("PUT", "/v1/secrets/"+c.name, strings.NewReader(c.body))
		wantProblem(t, a, 400, "bad_request")
		if !strings.Contains(a.problem().Detail, c.says) || strings.Contains(a.body, "hunter2") || len(a.body) > 4<<10 {
			t.Errorf("%.20s %.80s: %.400s", c.name, c.body, a.body)
		}
	}
	wantProblem(t, s.send("PUT", "/v1/secrets/MINE", strings.NewReader(oneSecret)), 409, "conflict")
	wantProblem(t, s.send("DELETE", "/v1/secrets/MINE", nil), 409, "conflict")
	wantProblem(t, s.send("PUT", "/v1/secrets/KEY", strings.NewReader(`{"value":"`+strings.Repeat("x", secretBytes)+`"}`)), 413, "limit_input")
	// The longest, all of it escaped.
	a := s.send("PUT", "/v1/secrets/KEY", strings.NewReader(`{"value":"`+strings.Repeat(`\u0041`, 64<<10)+`","allow":["https://a.example"],"plugins":["a"]}`))
	if a.StatusCode != 201 || len(v.value("KEY")) != 64<<10 {
		t.Errorf("64 KiB: %d %s", a.StatusCode, a.body)
	}
	if got := s.secretList()["MINE"]; got.Source != "env" || got.Updated != nil || v.value("MINE") != "from-env" {
		t.Errorf("%+v, %q", got, v.value("MINE"))
	}
}

// TestSecretsAndDeploys: a manifest can ask for a secret that was set; once deployed it's loaded whatever becomes of the secret.
func TestSecretsAndDeploys(t *testing.T) {
	t.Parallel()
	st, key := openStore(t), newKey(t)
	uses := "secrets: [{name: API_KEY, header: X-Key}]"
	loaded := map[string][]host.Source{}
	var mu sync.Mutex
	o := options{store: st, key: key, loads: func(src host.Source) error {
		mu.Lock()
		defer mu.Unlock()
		loaded[src.Name] = append(loaded[src.Name], src)
		return nil
	}}
	s := start(t, says("hello"), o)
	deploy := func(name, manifest string) answer {
		body, contentType := form("manifest", manifest, "wasm", "one")
		return s.send("PUT", "/v1/plugins/"+name, body, "Content-Type", contentType)
	}
	a := deploy("prices", uses)
	wantProblem(t, a, 422, "invalid_manifest")
	if !strings.Contains(a.problem().Detail, `the operator has no secret "API_KEY"`) {
		t.Error(a.body)
	}
	s.send("PUT", "/v1/secrets/API_KEY", strings.NewReader(oneSecret))
	if a := deploy("prices", uses); a.StatusCode != 201 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	wantProblem(t, deploy("other", uses), 422, "invalid_manifest")
	wantProblem(t, deploy("prices", "secrets: [{name: API_KEY, header: X-Key, allow: ['https://b.example']}]"), 422, "invalid_manifest")
	s.send("DELETE", "/v1/secrets/API_KEY", nil)
	wantProblem(t, deploy("prices", uses+"\nconfig: {a: 1}"), 422, "invalid_manifest")
	if a := s.get("/p/prices"); a.StatusCode != 200 {
		t.Errorf("after the secret's removal: %d %s", a.StatusCode, a.body)
	}
	again := start(t, says("hello"), o)
	if a := again.get("/p/prices"); a.StatusCode != 200 {
		t.Errorf("after that and a restart: %d %s", a.StatusCode, a.body)
	}
	mu.Lock()
	defer mu.Unlock()
	for i, src := range loaded["prices"] {
		if src.Deployed != (i > 0) || len(src.Manifest.Secrets[0].Allow) != 0 {
			t.Errorf("load %d: %+v", i, src)
		}
	}
}

func TestSecretFiles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+"~", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+"~", file); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	s := start(t, says(""), options{operator: "secrets: {KEY: {file: '" + file + "', allow: ['https://a.example'], plugins: ['*']}}"})
	v := s.observed()
	if v.value("KEY") != "first" {
		t.Fatalf("%+v", v.all)
	}
	write("second\r\n")
	eventually(t, "the new value is given to the host", func() bool { return v.value("KEY") == "second" })
	for _, bad := range []string{"", "a\nb\n", strings.Repeat("x", 64<<10+2)} {
		write(bad)
		eventually(t, "the problem is told", func() bool { return s.secretList()["KEY"].Problem != "" })
		if v.value("KEY") != "second" {
			t.Errorf("a bad file: %+v", v.all)
		}
		write("second")
		eventually(t, "the problem is over", func() bool { return s.secretList()["KEY"].Problem == "" })
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the problem is told", func() bool { return s.secretList()["KEY"].Problem != "" })
	s.secrets.reread()
	s.secrets.reread()
	if n := strings.Count(s.log.String(), "no such file"); n != 1 {
		t.Errorf("told %d times", n)
	}
	if strings.Contains(s.log.String(), "second") || v.value("KEY") != "second" {
		t.Errorf("%+v\n%s", v.all, s.log.String())
	}
	// A reload reads it, and another configuration has other secrets.
	op, err := manifest.ParseOperator([]byte("secrets: {OTHER: {file: '" + file + "', allow: ['https://a.example'], plugins: ['*']}}"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(op); err == nil || v.value("KEY") != "second" {
		t.Errorf("reloaded without a value: %v", err)
	}
	write("third")
	if err := s.Reload(op); err != nil || v.value("OTHER") != "third" || v.value("KEY") != "" {
		t.Errorf("reloaded: %v, %+v", err, v.all)
	}
}

// TestSecretShadowed: what the configuration comes to define counts, and the one that was set can still be removed.
func TestSecretShadowed(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{key: newKey(t), getenv: func(string) (string, bool) { return "from-env", true }})
	v := s.observed()
	s.send("PUT", "/v1/secrets/API_KEY", strings.NewReader(oneSecret))
	op, err := manifest.ParseOperator([]byte("secrets: {API_KEY: {env: X, allow: ['https://a.example'], plugins: ['*']}}"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(op); err != nil || v.value("API_KEY") != "from-env" {
		t.Fatalf("%v, %+v", err, v.all)
	}
	var both SecretList
	if err := json.Unmarshal([]byte(s.get("/v1/secrets").body), &both); err != nil || len(both.Secrets) != 2 || both.Secrets[1].Problem == "" {
		t.Errorf("%v, %+v", err, both)
	}
	if a := s.send("DELETE", "/v1/secrets/API_KEY", nil); a.StatusCode != 204 || v.value("API_KEY") != "from-env" {
		t.Errorf("%d %s, %+v", a.StatusCode, a.body, v.all)
	}
	wantProblem(t, s.send("DELETE", "/v1/secrets/API_KEY", nil), 409, "conflict")
}
