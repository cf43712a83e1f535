package server

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sortie-run/sortie/host"
)

// issuer is an OpenID Connect issuer on loopback.
type issuer struct {
	*httptest.Server
	t     *testing.T
	mu    sync.Mutex
	keys  []jose.JSONWebKey // the last one signs
	asked atomic.Int32      // how often for the keys
	down  atomic.Bool
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
			return
		}
		i.asked.Add(1)
		i.mu.Lock()
		defer i.mu.Unlock()
		var set jose.JSONWebKeySet
		for _, key := range i.keys {
			set.Keys = append(set.Keys, key.Public())
		}
		_ = json.NewEncoder(w).Encode(set)
	}))
	t.Cleanup(i.Close)
	i.rotate()
	return i
}

// rotate replaces the issuer's keys by a new one.
func (i *issuer) rotate() {
	i.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = []jose.JSONWebKey{{Key: key, KeyID: rand.Text(), Algorithm: "RS256", Use: "sig"}}
}

// token signs claims over the usual ones.
func (i *issuer) token(claims map[string]any) string {
	i.t.Helper()
	all := map[string]any{"iss": i.URL, "aud": "sortie", "sub": "u1", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
	maps.Copy(all, claims)
	i.mu.Lock()
	defer i.mu.Unlock()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: i.keys[len(i.keys)-1]}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	payload, err := json.Marshal(all)
	if err != nil {
		i.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		i.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

func startOIDC(t *testing.T, i *issuer) *testServer {
	t.Helper()
	invoke := func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		return &host.Response{Status: 200, Body: []byte(strings.Join(r.Header["Authorization"], ","))}, nil
	}
	s := start(t, invoke, options{token: "geheim", operator: fmt.Sprintf(`
oidc:
  issuer: %s
  audience: sortie
  roles:
    - {claim: groups, value: platform, role: admin}
    - {claim: email, value: "*@example.com", role: deploy, plugins: ["search-*"]}
plugins: {"*-public": {access: public}}
`, i.URL)})
	s.deployed("search-web", "", "one", "")
	s.deployed("prices", "", "one", "")
	s.deployed("prices-public", "access: public", "one", "")
	s.token = ""
	return s
}

func TestOIDC(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := startOIDC(t, i)
	verified := map[string]any{"email": "jo@example.com", "email_verified": true}
	with := func(base map[string]any, key string, value any) map[string]any {
		c := maps.Clone(base)
		c[key] = value
		return c
	}
	other := newIssuer(t)
	foreign := other.token(map[string]any{"iss": i.URL, "groups": "platform"})
	unsigned := "eyJhbGciOiJub25lIn0." + strings.Split(i.token(map[string]any{"groups": "platform"}), ".")[1] + "."
	for name, test := range map[string]struct {
		token                   string
		tokens, search, another int // GET /v1/tokens, /v1/plugins/search-web, /v1/plugins/prices
	}{
		"admin by a group":        {i.token(map[string]any{"groups": []string{"staff", "platform"}}), 200, 200, 200},
		"admin by a text":         {i.token(map[string]any{"groups": "platform"}), 200, 200, 200},
		"deployer":                {i.token(verified), 403, 200, 403},
		"several audiences":       {i.token(with(verified, "aud", []string{"other", "sortie"})), 403, 200, 403},
		"an address not verified": {i.token(with(verified, "email_verified", false)), 401, 401, 401},
		"another address":         {i.token(with(verified, "email", "jo@example.org")), 401, 401, 401},
		"a group that isn't ours": {i.token(map[string]any{"groups": []any{"platform2", 1, nil}}), 401, 401, 401},
		"expired":                 {i.token(with(verified, "exp", time.Now().Add(-time.Hour).Unix())), 401, 401, 401},
		"another audience":        {i.token(with(verified, "aud", "other")), 401, 401, 401},
		"another issuer":          {other.token(verified), 401, 401, 401},
		"by another's key":        {foreign, 401, 401, 401},
		"not signed":              {unsigned, 401, 401, 401},
		"changed":                 {i.token(verified) + "A", 401, 401, 401},
		"not a token":             {"a.b.c", 401, 401, 401},
	} {
		for path, want := range map[string]int{"/v1/tokens": test.tokens, "/v1/plugins/search-web": test.search, "/v1/plugins/prices": test.another} {
			if a := s.get(path, "Authorization", "Bearer "+test.token); a.StatusCode != want {
				t.Errorf("%s: %s: %d %s, want %d", name, path, a.StatusCode, a.body, want)
			}
		}
	}
	// What it did is in the audit log, under a name that people know.
	body, contentType := form("wasm", "two")
	if a := s.send("PUT", "/v1/plugins/search-web", body, "Content-Type", contentType, "Authorization", "Bearer "+i.token(verified)); a.StatusCode != 201 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if a := s.get("/v1/audit", "Authorization", "Bearer geheim"); !strings.Contains(a.body, `"by":"oidc u1 jo@example.com"`) {
		t.Error(a.body)
	}
	// A guest sees neither a token that is for us, good or not, nor loses one that isn't.
	for token, seen := range map[string]bool{i.token(verified): false, i.token(with(verified, "exp", 1)): false, other.token(verified): true} {
		if a := s.get("/p/prices-public", "Authorization", "Bearer "+token); a.StatusCode != 200 || (a.body != "") != seen {
			t.Errorf("%d, the guest sees %q", a.StatusCode, a.body)
		}
	}
}

// TestOIDCKeys rotates the issuer's keys, and has it be away.
func TestOIDCKeys(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.down.Store(true)
	s := startOIDC(t, i)
	admin := map[string]any{"groups": "platform"}
	status := func(token string) int { return s.get("/v1/tokens", "Authorization", "Bearer "+token).StatusCode }
	if got := status(i.token(admin)); got != 401 {
		t.Errorf("while the issuer is away: %d", got)
	}
	if a := s.get("/v1/tokens", "Authorization", "Bearer geheim"); a.StatusCode != 200 {
		t.Errorf("other tokens while it's away: %d", a.StatusCode)
	}
	i.down.Store(false)
	p := s.settings.Load().people
	p.mu.Lock()
	p.retry = time.Time{}
	p.mu.Unlock()
	first := i.token(admin)
	if got := status(first); got != 200 {
		t.Errorf("when it's back: %d", got)
	}
	i.rotate()
	if got := status(i.token(admin)); got != 200 {
		t.Errorf("with a new key: %d", got)
	}
	if got := status(first); got != 401 {
		t.Errorf("with the key that is gone: %d", got)
	}
	asked := i.asked.Load()
	stranger := newIssuer(t)
	begun := time.Now()
	for range 30 {
		status(stranger.token(map[string]any{"iss": i.URL, "groups": "platform"}))
	}
	most := issuerBurst + 1 + issuerRate*time.Since(begun).Seconds() // on a slow machine they take a while
	if more := i.asked.Load() - asked; float64(more) > most {
		t.Errorf("a stranger had the issuer asked %d times", more)
	}
}
