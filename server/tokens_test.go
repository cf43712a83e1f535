package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/server/store"
)

// newToken creates a token with the server's own, and returns it and its id.
func (s *testServer) newToken(body string) (token, id string) {
	s.t.Helper()
	a := s.send(http.MethodPost, "/v1/tokens", strings.NewReader(body))
	var created CreatedToken
	if err := json.Unmarshal([]byte(a.body), &created); a.StatusCode != 201 || err != nil {
		s.t.Fatalf("POST /v1/tokens %s = %d %s", body, a.StatusCode, a.body)
	}
	return created.Secret, created.ID
}

// listed are the tokens, by id.
func (s *testServer) listed() map[string]Token {
	s.t.Helper()
	a := s.get("/v1/tokens")
	var list TokenList
	if err := json.Unmarshal([]byte(a.body), &list); a.StatusCode != 200 || err != nil {
		s.t.Fatalf("GET /v1/tokens = %d %s", a.StatusCode, a.body)
	}
	byID := map[string]Token{}
	for _, token := range list.Tokens {
		byID[token.ID] = token
	}
	return byID
}

// access is a server with plugins, and credentials of every kind for them.
type access struct {
	*testServer
	tokens map[string]string // by what they are
	ids    map[string]string
	clock  time.Time
}

func startAccess(t *testing.T) *access {
	t.Helper()
	invoke := func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		return &host.Response{Status: 200, Body: []byte(strings.Join(r.Header["Authorization"], ","))}, nil
	}
	a := &access{
		testServer: start(t, invoke, options{token: "geheim", operator: `plugins: {"*-public": {access: public}}`}),
		tokens:     map[string]string{"SORTIE_ADMIN_TOKEN": "geheim", "malformed": "sortie_", "unknown": "sortie_aaaaaaaa_" + strings.Repeat("A", 26)},
		ids:        map[string]string{},
		clock:      time.Now(),
	}
	a.Server.tokens.now = func() time.Time { return a.clock }
	for _, name := range []string{"own", "own-public", "other", "other-public"} {
		manifest := ""
		if strings.HasSuffix(name, "-public") {
			manifest = "access: public"
		}
		a.deployed(name, manifest, "one", "")
		a.deployed(name, manifest, "two", "")
	}
	for r := roleInvoke; r < roleAdmin; r++ {
		for what, fields := range map[string]string{"": "", ", expired": `,"expires":"1h"`, ", revoked": ""} {
			a.tokens[r.String()+what], a.ids[r.String()+what] = a.newToken(fmt.Sprintf(`{"role":%q,"plugins":["own*"]%s}`, r, fields))
		}
	}
	a.tokens["admin"], a.ids["admin"] = a.newToken(`{"role":"admin"}`)
	for r := roleInvoke; r < roleAdmin; r++ {
		if answer := a.send(http.MethodDelete, "/v1/tokens/"+a.ids[r.String()+", revoked"], nil); answer.StatusCode != 204 {
			t.Fatalf("revoke: %d %s", answer.StatusCode, answer.body)
		}
	}
	a.clock = a.clock.Add(2 * time.Hour)
	cut := a.tokens["deploy"]
	a.tokens["cut"], a.tokens["longer"], a.tokens["another's id"] = cut[:len(cut)-1], cut+"A", cut[:7]+a.ids["read"]+cut[15:]
	a.token = ""
	return a
}

// as makes a request with a credential; "" is none.
func (a *access) as(who, method, path, body string, header ...string) answer {
	a.t.Helper()
	if who != "" {
		header = append(header, "Authorization", "Bearer "+a.tokens[who])
	}
	return a.send(method, path, strings.NewReader(body), header...)
}

// TestPermissions is the matrix: every route, every role and every kind of credential, for plugins that the token is for and for others,
// public and not.
func TestPermissions(t *testing.T) {
	t.Parallel()
	a := startAccess(t)
	report := map[string]string{}
	for _, name := range []string{"own", "own-public", "other", "other-public"} {
		report[name] = a.as("admin", "GET", "/p/"+name, "").Header.Get("Sortie-Invocation")
	}
	table := `[{"version":1,"weight":50},{"version":2,"weight":50}]`
	type route struct {
		method, path, body string
		need               role
		header             []string
		ok                 int // the status for who may; 0: 200 or 201
	}
	ofPlugin := []route{
		{"GET", "/v1/plugins/NAME", "", roleRead, nil, 200}, {"HEAD", "/v1/plugins/NAME", "", roleRead, nil, 200},
		{"GET", "/v1/plugins/NAME/versions", "", roleRead, nil, 200}, {"GET", "/v1/plugins/NAME/logs", "", roleRead, nil, 200},
		{"GET", "/v1/plugins/NAME/versions/1/manifest", "", roleRead, nil, 200}, {"GET", "/v1/plugins/NAME/versions/1/wasm", "", roleDeploy, nil, 200},
		{"GET", "/v1/plugins/NAME/explain?url=https://a.example", "", roleRead, nil, 200}, {"GET", "/v1/plugins/NAME/invocations", "", roleRead, nil, 200},
		{"GET", "/v1/audit?plugin=NAME", "", roleRead, nil, 200},
		{"PUT", "/v1/plugins/NAME/traffic", table, roleDeploy, nil, 200}, {"POST", "/v1/plugins/NAME/rollback", "", roleDeploy, nil, 200},
		{"PUT", "/v1/plugins/NAME?traffic=none", "two", roleDeploy, []string{"Content-Type", "application/wasm"}, 0},
		{"DELETE", "/v1/plugins/NAME", "", roleDeploy, []string{"If-Match", `"1"`}, 409}, // let in, and changes nothing
		{"GET", "/p/NAME", "", roleInvoke, nil, 200}, {"POST", "/p/NAME/x", "y", roleInvoke, nil, 200},
		{"BREW", "/p/NAME", "", roleInvoke, nil, 200},
		{"GET", "/p/NAME", "", roleRead, []string{"Sortie-Version", "1"}, 200},
	}
	ofServer := []route{
		{"GET", "/v1/plugins", "", roleRead, nil, 200}, {"GET", "/v1/audit", "", roleAdmin, nil, 200}, {"GET", "/metrics", "", roleAdmin, nil, 200}, {"GET", "/v1/backup", "", roleAdmin, nil, 200}, {"GET", "/v1/tokens", "", roleAdmin, nil, 200},
		{"POST", "/v1/tokens", `{"role":"nobody"}`, roleAdmin, nil, 400}, {"DELETE", "/v1/tokens/nobody", "", roleAdmin, nil, 404},
		{"GET", "/v1/secrets", "", roleAdmin, nil, 200}, {"PUT", "/v1/secrets/NAME", `{"value":"x"}`, roleAdmin, nil, 400},
		{"DELETE", "/v1/secrets/NAME", "", roleAdmin, nil, 404},
		{"GET", "/livez", "", roleNone, nil, 200}, {"GET", "/healthz", "", roleNone, nil, 200}, {"GET", "/readyz", "", roleNone, nil, 200},
		{"GET", "/openapi.yaml", "", roleNone, nil, 200}, {"GET", "/", "", roleNone, nil, 200},
		{"GET", "/console/app.js", "", roleNone, nil, 200}, {"GET", "/v1/whoami", "", roleInvoke, nil, 200},
	}
	for _, real := range a.echo.Routes() { // the matrix has them all
		if !slices.ContainsFunc(slices.Concat(ofPlugin, ofServer), func(r route) bool {
			path, _, _ := strings.Cut(r.path, "?")
			return r.method == real.Method && strings.NewReplacer("NAME", ":name", "nobody", ":id", "versions/1/", "versions/:version/", "app.js", ":file").Replace(path) == real.Path ||
				real.Method == http.MethodHead || real.Method == echo.RouteNotFound || real.Path == "/v1/invocations/:id"
		}) {
			t.Errorf("%s %s isn't in the matrix", real.Method, real.Path)
		}
	}
	credentials := append([]string{""}, slices.Sorted(maps.Keys(a.tokens))...)
	check := func(who string, r route, path string, allowed, known bool, want int) {
		t.Helper()
		got := a.as(who, r.method, path, r.body, r.header...)
		switch {
		case allowed && want == 0:
			if got.StatusCode != 200 && got.StatusCode != 201 {
				t.Errorf("%s %s as %q: %d %s", r.method, path, who, got.StatusCode, got.body)
			}
			return
		case allowed:
		case known:
			want = 403
		default:
			want = 401
		}
		if got.StatusCode != want {
			t.Errorf("%s %s %v as %q: %d %s, want %d", r.method, path, r.header, who, got.StatusCode, got.body, want)
		}
	}
	for _, who := range credentials {
		level, known := parseRole(who)
		if who == "SORTIE_ADMIN_TOKEN" {
			level, known = roleAdmin, true
		}
		for _, r := range ofServer {
			check(who, r, r.path, r.need == roleNone || known && level >= r.need, known, r.ok)
		}
		for name, id := range report {
			got := a.as(who, "GET", "/v1/invocations/"+id, "").StatusCode
			want := 200
			switch own := strings.HasPrefix(name, "own"); {
			case !known:
				want = 401
			case level < roleRead:
				want = 403
			case !own && level < roleAdmin:
				want = 404
			}
			if got != want {
				t.Errorf("the report of an invocation of %s as %q: %d, want %d", name, who, got, want)
			}
		}
		for _, name := range []string{"own", "own-public", "other", "other-public", "own-nothing", "nothing"} {
			for _, r := range ofPlugin {
				own, public := strings.HasPrefix(name, "own"), strings.HasSuffix(name, "-public")
				invoking := strings.HasPrefix(r.path, "/p/")
				allowed := known && level >= r.need && (own || level == roleAdmin) || invoking && public && r.header == nil
				want := r.ok
				if strings.HasSuffix(name, "nothing") && !strings.HasPrefix(r.path, "/v1/audit") {
					if want = 404; r.ok == 0 && allowed {
						continue // it would be deployed, and be there
					}
				}
				check(who, r, strings.ReplaceAll(r.path, "NAME", name), allowed, known, want)
			}
		}
	}
	for _, name := range []string{"own", "other"} {
		if got := a.as("admin", "GET", "/v1/plugins/"+name, ""); got.StatusCode != 200 {
			t.Errorf("%s is gone: %d", name, got.StatusCode)
		}
	}
	for what, token := range a.tokens {
		if strings.Contains(a.log.String(), token) && what != "malformed" {
			t.Errorf("the log holds the token that is %s", what)
		}
	}
}

// TestListIsTheCallers has a token see what it's for, and nothing else.
func TestListIsTheCallers(t *testing.T) {
	t.Parallel()
	a := startAccess(t)
	for who, want := range map[string]string{"read": "[own own-public]", "deploy": "[own own-public]", "admin": "[other other-public own own-public]"} {
		var list PluginList
		if err := json.Unmarshal([]byte(a.as(who, "GET", "/v1/plugins", "").body), &list); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range list.Plugins {
			names = append(names, p.Name)
		}
		if fmt.Sprint(names) != want {
			t.Errorf("%s sees %v, want %s", who, names, want)
		}
	}
}

// TestGuestSeesNoToken has every credential that is ours, or was, kept from the guest, and others given to it.
func TestGuestSeesNoToken(t *testing.T) {
	t.Parallel()
	a := startAccess(t)
	for who, token := range a.tokens {
		ours := who != "malformed" && who != "unknown" // what looks like one of ours isn't shown either
		got := a.send("GET", "/p/own-public", nil, "Authorization", "Bearer "+token)
		if got.StatusCode != 200 || (got.body == "") != ours {
			t.Errorf("%s: %d, the guest sees %q", who, got.StatusCode, got.body)
		}
		got = a.send("GET", "/p/own", nil, "Sortie-Authorization", "Bearer "+a.tokens["invoke"], "Authorization", "Bearer "+token)
		if got.StatusCode != 200 || (got.body == "") != ours {
			t.Errorf("%s beside ours: %d, the guest sees %q", who, got.StatusCode, got.body)
		}
	}
}

// TestFirstTokenClosesAServer goes the way from an open server to one that needs tokens, and sees that there's no way out of it.
func TestFirstTokenClosesAServer(t *testing.T) {
	t.Parallel()
	st := openStore(t)
	s := start(t, says("hello"), options{store: st})
	if !s.Open() || s.get("/v1/plugins").StatusCode != 200 {
		t.Fatal("a server without a token isn't open")
	}
	wantProblem(t, s.send("POST", "/v1/tokens", strings.NewReader(`{"role":"deploy"}`)), 409, "conflict")
	admin, id := s.newToken(`{"role":"admin"}`)
	if s.Open() {
		t.Error("a server with a token is open")
	}
	wantProblem(t, s.get("/v1/plugins"), 401, "unauthorized")
	s.token = admin
	if a := s.get("/v1/plugins"); a.StatusCode != 200 {
		t.Errorf("with the token: %d %s", a.StatusCode, a.body)
	}
	wantProblem(t, s.send("DELETE", "/v1/tokens/"+id, nil), 409, "conflict")
	second, _ := s.newToken(`{"role":"admin","expires":"1h"}`)
	s.token = second
	if a := s.send("DELETE", "/v1/tokens/"+id, nil); a.StatusCode != 204 {
		t.Errorf("with another admin's: %d %s", a.StatusCode, a.body)
	}
	s.tokens.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	a := s.get("/v1/plugins")
	wantProblem(t, a, 401, "unauthorized")
	if !strings.Contains(a.body, "expired at") {
		t.Errorf("what the owner of an expired token reads: %s", a.body)
	}
	s.token = ""
	wantProblem(t, s.get("/v1/plugins"), 401, "unauthorized") // all tokens are over, and it's still closed
	again := start(t, says("hello"), options{store: st})
	if again.Open() {
		t.Error("open after a restart")
	}
	rescued := start(t, says("hello"), options{store: st, token: "geheim"})
	if a := rescued.get("/v1/tokens"); a.StatusCode != 200 {
		t.Errorf("SORTIE_ADMIN_TOKEN: %d %s", a.StatusCode, a.body)
	}
}

func TestTokenFields(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{token: "geheim"})
	for _, bad := range []string{
		`{}`, `{"role":""}`, `{"role":"Admin"}`, `{"role":"none"}`, `{"role":"read","plugins":["A"]}`, `{"role":"read","plugins":["["]}`,
		`{"role":"read","plugins":[""]}`, `{"role":"admin","plugins":["a"]}`, `{"role":"read","expires":"0d"}`, `{"role":"read","expires":"-1h"}`,
		`{"role":"read","expires":"2001-01-01T00:00:00Z"}`, `{"role":"read","expires":"4000d"}`, `{"role":"read","expires":"soon"}`,
		`{"role":"read","expires":"99999999999999999999d"}`, `{"role":"read","note":"a\nb"}`, `{"role":"read","note":"` + strings.Repeat("x", noteBytes+1) + `"}`,
		`{"role":"read","plugin":["a"]}`, `[]`, `{"role":"read"}{}`, `null`, `{"role":"read","plugins":[` + strings.Repeat(`"a",`, tokenPatterns) + `"a"]}`,
	} {
		wantProblem(t, s.send("POST", "/v1/tokens", strings.NewReader(bad)), 400, "bad_request")
	}
	before := time.Now()
	for expires, want := range map[string]time.Duration{
		"": tokenTime, `,"expires":"90d"`: tokenTime, `,"expires":"12h"`: 12 * time.Hour, `,"expires":"never"`: 0,
		`,"expires":"` + before.Add(time.Hour).UTC().Format(time.RFC3339) + `"`: time.Hour,
	} {
		_, id := s.newToken(`{"role":"read"` + expires + `}`)
		got := s.listed()[id].Expires
		if want == 0 != (got == nil) || got != nil && got.Sub(before.Add(want)).Abs() > time.Minute {
			t.Errorf("%s: expires %v, want %v from now", expires, got, want)
		}
	}
	if n := len(s.listed()); n != 5 {
		t.Errorf("%d tokens; those that were refused left some", n)
	}
}

func FuzzCredential(f *testing.F) {
	st := openStore(f)
	tokens, err := newTokens(f.Context(), "geheim", st, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	token, text, err := tokens.create(f.Context(), store.Token{Role: "admin"})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"Bearer " + text, "bearer geheim", "Bearer sortie_" + token.ID + "_", "Bearer sortie_", "Basic " + text, "", " ", "Bearer  " + text + " "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		who, _ := tokens.caller(value)
		scheme, rest, _ := strings.Cut(value, " ")
		good := strings.EqualFold(scheme, "Bearer") && (strings.Trim(rest, " ") == text || strings.Trim(rest, " ") == "geheim")
		if (who != nil) != good {
			t.Errorf("%q: %+v", value, who)
		}
		switch hidden := len(tokens.without(nil, []string{value})) == 0; {
		case good && !hidden:
			t.Errorf("%q reaches the guest", value)
		case !good && hidden && !strings.Contains(value, tokenPrefix):
			t.Errorf("%q doesn't reach the guest", value)
		}
	})
}
