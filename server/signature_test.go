package server

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/jedisct1/go-minisign"

	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/internal/signature"
	"github.com/sortie-run/sortie/server/store"
)

// signingKey makes a minisign key pair, the same for each seed: the public key as a configuration lists it, and the secret one.
func signingKey(seed byte) (string, minisign.PrivateKey) {
	s := minisign.PrivateKey{SignatureAlgorithm: [2]byte{'E', 'd'}, KeyId: [8]byte{seed, 2, 3, 4, 5, 6, 7, 8}}
	copy(s.SecretKey[:], ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	p := s.PublicKey()
	return base64.StdEncoding.EncodeToString(slices.Concat(p.SignatureAlgorithm[:], p.KeyId[:], p.PublicKey[:])), s
}

func signModule(t *testing.T, s minisign.PrivateKey, wasm string, hashed bool) string {
	t.Helper()
	sig, err := s.Sign([]byte(wasm), minisign.SignOptions{TrustedComment: "timestamp:1\tfile:plugin.wasm", Hashed: hashed})
	if err != nil {
		t.Fatal(err)
	}
	return string(sig.Encode())
}

// deploySigned sends a module with its signature, which is nil for none, in a form or with the module alone.
func (s *testServer) deploySigned(path, wasm string, sig *string, bare bool) answer {
	s.t.Helper()
	if bare {
		header := []string{"Content-Type", "application/wasm"}
		if sig != nil {
			header = append(header, headerSignature, base64.StdEncoding.EncodeToString([]byte(*sig)))
		}
		return s.send(http.MethodPut, path, strings.NewReader(wasm), header...)
	}
	parts := []string{"wasm", wasm}
	if sig != nil {
		parts = append(parts, "signature", *sig)
	}
	body, contentType := form(parts...)
	return s.send(http.MethodPut, path, body, "Content-Type", contentType)
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	public, secret := signingKey(1)
	public2, secret2 := signingKey(2)
	_, foreign := signingKey(3)
	same := foreign // another key with the ID of the first
	same.KeyId = secret.KeyId
	const id, id2, idForeign = "807060504030201", "807060504030202", "807060504030203"
	text := func(s string) *string { return &s }
	prehashed := signModule(t, secret, "one", true)
	for _, c := range []struct {
		name   string
		sig    *string
		signer string // "": it's refused
		detail string
	}{
		{"prehashed", &prehashed, id, ""},
		{"legacy", text(signModule(t, secret, "one", false)), id, ""},
		{"the other key's", text(signModule(t, secret2, "one", true)), id2, ""},
		{"CRLF", text(strings.ReplaceAll(prehashed, "\n", "\r\n")), id, ""},
		{"another module's", text(signModule(t, secret, "two", true)), "", "sign again"},
		{"another module's, legacy", text(signModule(t, secret, "two", false)), "", "sign again"},
		{"another trusted comment", text(strings.Replace(prehashed, "timestamp:1", "timestamp:2", 1)), "", "bad signature"},
		{"a foreign key's", text(signModule(t, foreign, "one", true)), "", "by key " + idForeign + ", and those accepted are " + id + ", " + id2 + ";"},
		{"a foreign key's with the same ID", text(signModule(t, same, "one", true)), "", "bad signature"},
		{"malformed", text("x"), "", "malformed signature"},
		{"empty", text(""), "", "no signature"},
	} {
		for _, required := range []bool{false, true} {
			for _, bare := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, required %t, bare %t", c.name, required, bare), func(t *testing.T) {
					t.Parallel()
					s := start(t, says(""), options{operator: fmt.Sprintf("signatures: {required: %t, keys: [%s, %s]}", required, public, public2)})
					a := s.deploySigned("/v1/plugins/a", "one", c.sig, bare)
					if c.signer == "" {
						wantProblem(t, a, 422, "invalid_wasm")
						if d := a.problem().Detail; !strings.Contains(d, c.detail) {
							t.Errorf("detail %q lacks %q", d, c.detail)
						}
						wantProblem(t, s.get("/v1/plugins/a"), 404, "plugin_not_found")
						return
					}
					if got := signerOf(t, a); a.StatusCode != 201 || got != c.signer {
						t.Errorf("answer = %d %s, want the signer %s", a.StatusCode, a.body, c.signer)
					}
					if log := s.log.String(); !strings.Contains(log, `"signer":"`+c.signer+`"`) {
						t.Errorf("the log lacks the signer: %s", log)
					}
				})
			}
		}
	}
}

func signerOf(t *testing.T, a answer) string {
	t.Helper()
	var d Deployed
	if err := json.Unmarshal([]byte(a.body), &d); err != nil {
		t.Errorf("%v: %s", err, a.body)
	}
	return d.Signer
}

func TestUnsigned(t *testing.T) {
	t.Parallel()
	public, secret := signingKey(1)
	keys := "keys: [" + public + "]"
	good, foreign := signModule(t, secret, "one", true), "not even a signature"
	for _, c := range []struct {
		name, signatures string
		sig              *string
		ok, ignored      bool
	}{
		{"nothing", "{}", nil, true, false},
		{"ignored", "{}", &good, true, true},
		{"ignored, whatever it is", "{}", &foreign, true, true},
		{"none with keys", "{" + keys + "}", nil, true, false},
		{"none where one is required", "{required: true, " + keys + "}", nil, false, false},
	} {
		for _, bare := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, bare %t", c.name, bare), func(t *testing.T) {
				t.Parallel()
				s := start(t, says(""), options{operator: "signatures: " + c.signatures})
				a := s.deploySigned("/v1/plugins/a", "one", c.sig, bare)
				if c.ok {
					if a.StatusCode != 201 || strings.Contains(a.body, `"signer"`) {
						t.Errorf("answer = %d %s", a.StatusCode, a.body)
					}
				} else {
					wantProblem(t, a, 422, "invalid_wasm")
					if d := a.problem().Detail; !strings.Contains(d, "minisign -S -m plugin.wasm") || !strings.Contains(d, headerSignature) {
						t.Errorf("detail %q", d)
					}
					wantProblem(t, s.get("/v1/plugins/a"), 404, "plugin_not_found")
				}
				if log := s.log.String(); strings.Contains(log, "signature ignored") != c.ignored {
					t.Errorf("log: %s", log)
				}
			})
		}
	}
}

// TestSignedAgain deploys what is there already: that needs a signature too.
func TestSignedAgain(t *testing.T) {
	t.Parallel()
	public, secret := signingKey(1)
	s := start(t, says(""), options{operator: "signatures: {required: true, keys: [" + public + "]}"})
	good := signModule(t, secret, "one", true)
	for _, status := range []int{201, 200} {
		if a := s.deploySigned("/v1/plugins/a", "one", &good, false); a.StatusCode != status || signerOf(t, a) == "" {
			t.Errorf("answer = %d %s, want %d", a.StatusCode, a.body, status)
		}
	}
	wantProblem(t, s.deploySigned("/v1/plugins/a", "one", nil, false), 422, "invalid_wasm")
}

func TestSignatureSent(t *testing.T) {
	t.Parallel()
	public, secret := signingKey(1)
	good := signModule(t, secret, "one", true)
	coded := base64.StdEncoding.EncodeToString([]byte(good))
	long := good + strings.Repeat("\n", signature.MaxSize)
	multi := func(parts ...string) (string, string) {
		body, contentType := form(parts...)
		data, _ := io.ReadAll(body)
		return string(data), contentType
	}
	for _, operator := range []string{"", "signatures: {keys: [" + public + "]}"} {
		s := start(t, says(""), options{operator: operator})
		for _, c := range []struct {
			name   string
			parts  []string // nil: the module alone
			header []string // values of Sortie-Signature
			status int
			code   string
			detail string
		}{
			{"part first", []string{"signature", good, "wasm", "one"}, nil, 201, "", ""},
			{"header", nil, []string{coded}, 200, "", ""},
			{"largest part", []string{"wasm", "one", "signature", long[:signature.MaxSize]}, nil, 200, "", ""},
			{"largest header", nil, []string{base64.StdEncoding.EncodeToString([]byte(long[:signature.MaxSize]))}, 200, "", ""},
			{"part twice", []string{"wasm", "one", "signature", good, "signature", good}, nil, 400, "bad_request", `"signature" is there twice`},
			{"part without a module", []string{"signature", good}, nil, 400, "bad_request", "part wasm"},
			{"large part", []string{"wasm", "one", "signature", long[:signature.MaxSize+1]}, nil, 413, "limit_input", "signature is larger than 4096"},
			{"header twice", nil, []string{coded, coded}, 400, "bad_request", "twice"},
			{"both", []string{"wasm", "one", "signature", good}, []string{coded}, 400, "bad_request", "sent alone"},
			{"header with a form", []string{"wasm", "one"}, []string{coded}, 400, "bad_request", "sent alone"},
			{"header as it is", nil, []string{"untrusted comment: x"}, 400, "bad_request", "base64"},
			{"header without padding", nil, []string{coded[:len(coded)-1]}, 400, "bad_request", "base64"},
			{"large header", nil, []string{base64.StdEncoding.EncodeToString([]byte(long[:signature.MaxSize+1]))}, 413, "limit_input", "signature is larger"},
			{"larger header", nil, []string{base64.StdEncoding.EncodeToString([]byte(long))}, 413, "limit_input", "signature is larger"},
		} {
			t.Run(fmt.Sprintf("%s, %q", c.name, operator[:min(len(operator), 10)]), func(t *testing.T) { // in order: the first makes the version
				body, contentType := "one", "application/wasm"
				if c.parts != nil {
					body, contentType = multi(c.parts...)
				}
				header := []string{"Content-Type", contentType}
				for _, v := range c.header {
					header = append(header, headerSignature, v)
				}
				a := s.send(http.MethodPut, "/v1/plugins/a", strings.NewReader(body), header...)
				if c.code == "" {
					if a.StatusCode != c.status {
						t.Errorf("answer = %d %s, want %d", a.StatusCode, a.body, c.status)
					}
					return
				}
				wantProblem(t, a, c.status, c.code)
				if d := a.problem().Detail; !strings.Contains(d, c.detail) {
					t.Errorf("detail %q lacks %q", d, c.detail)
				}
			})
		}
	}
}

func TestNewSigners(t *testing.T) {
	t.Parallel()
	public, _ := signingKey(1)
	operator := manifest.DefaultOperator()
	operator.Signatures.Keys = []string{public, "RWQ"}
	_, err := newServer(t.Context(), Deps{Store: openStore(t), Operator: operator}, nil)
	if err == nil || !strings.Contains(err.Error(), "signatures.keys[1]: not a minisign public key") {
		t.Errorf("newServer: %v", err)
	}
	// What a configuration can't say is still refused.
	for _, sig := range [][]byte{nil, {}, []byte("x")} {
		if signer, err := (signers{required: true}).check([]byte("one"), sig); err == nil || signer != "" {
			t.Errorf("required without keys: %q is taken", sig)
		}
	}
	if signature.MaxLegacy < maxWasm {
		t.Error("the largest modules can't have a legacy signature")
	}
}

func TestPinnedDigest(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{})
	digest, other := store.Digest([]byte("one")), store.Digest([]byte("two"))
	for _, c := range []struct {
		query  string
		status int
		code   string
	}{
		{"?digest=" + other, 422, "invalid_wasm"},
		{"?digest=" + other + "&traffic=none", 422, "invalid_wasm"},
		{"?digest=" + digest, 201, ""},
		{"?digest=" + digest + "&traffic=none", 200, ""},
		{"?digest=", 400, "bad_request"},
		{"?digest=" + digest + "&digest=" + digest, 400, "bad_request"},
		{"?digest=" + strings.TrimPrefix(digest, "sha256:"), 400, "bad_request"},
		{"?digest=" + strings.ToUpper(digest), 400, "bad_request"},
		{"?digest=sha256:" + strings.ToUpper(strings.TrimPrefix(digest, "sha256:")), 400, "bad_request"},
		{"?digest=" + digest[:len(digest)-1], 400, "bad_request"},
		{"?digest=" + digest + "0", 400, "bad_request"},
		{"?digest=sha512:" + strings.TrimPrefix(digest, "sha256:"), 400, "bad_request"},
	} {
		for _, bare := range []bool{true, false} {
			if c.status == 201 && !bare {
				c.status = 200
			}
			a := s.deploySigned("/v1/plugins/a"+c.query, "one", nil, bare)
			if c.code == "" {
				if a.StatusCode != c.status {
					t.Errorf("%s: %d %s, want %d", c.query, a.StatusCode, a.body, c.status)
				}
				continue
			}
			wantProblem(t, a, c.status, c.code)
			if c.status == 422 {
				if d := a.problem().Detail; !strings.Contains(d, digest) || !strings.Contains(d, other) {
					t.Errorf("detail %q", d)
				}
				if n, _ := s.host.counts("one"); n != 0 {
					t.Errorf("%s: the module was loaded", c.query)
				}
			}
		}
	}
	// A bad manifest makes no difference: what arrived is not what was sent.
	body, contentType := form("manifest", "naem: a", "wasm", "one")
	wantProblem(t, s.send(http.MethodPut, "/v1/plugins/a?digest="+other, body, "Content-Type", contentType), 422, "invalid_wasm")
}
