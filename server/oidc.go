package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"

	"github.com/sortie-run/sortie/host/manifest"
)

// people are those who sign in with an OpenID Connect issuer, and show its ID tokens (OpenID Connect Core 1.0, section 2). The issuer is asked for
// its keys when the first of them comes, and again when a token is signed with one that isn't known. It's nil where there is no issuer.
type people struct {
	rules  manifest.OIDC
	client *http.Client
	now    func() time.Time

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
	failed   error     // why the issuer's keys aren't known
	retry    time.Time // not before then is it asked again
}

func newPeople(rules manifest.OIDC) *people {
	if rules.Issuer == "" {
		return nil
	}
	return &people{rules: rules, now: time.Now, client: &http.Client{
		Timeout: issuerTime,
		Transport: &issuerCalls{
			rate: rate.NewLimiter(issuerRate, issuerBurst),
			next: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxConnsPerHost: 4, IdleConnTimeout: idleTime, MaxResponseHeaderBytes: headerBytes},
		},
	}}
}

const (
	// issuerTime is how long the issuer may take to answer.
	issuerTime = 10 * time.Second
	// issuerBytes is the most that is read of its answers.
	issuerBytes = 1 << 20
	// issuerRetry is how long it isn't asked again when it could not be reached.
	issuerRetry = 5 * time.Second
	// issuerRate is how often it may be asked in a second, after issuerBurst times: anyone can send a token that names an unknown key.
	issuerRate  = 1
	issuerBurst = 10
	// whoBytes is how much of a person's name goes into the audit log.
	whoBytes = 120
)

// issuerCalls bounds what the issuer is asked, and what is read of its answers.
type issuerCalls struct {
	rate *rate.Limiter
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (c *issuerCalls) RoundTrip(r *http.Request) (*http.Response, error) {
	if !c.rate.Allow() {
		return nil, errors.New("the issuer is asked too often")
	}
	response, err := c.next.RoundTrip(r)
	if err == nil {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, issuerBytes), response.Body}
	}
	return response, err
}

// claims reports whether a token says that it is the issuer's for us. Nothing is checked, and nothing is decided by it but who looks at the token.
func (p *people) claims(token string) bool {
	parts := strings.Split(token, ".")
	if p == nil || len(parts) != 3 || len(token) > headerBytes {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	var says struct {
		Issuer   string          `json:"iss"`
		Audience json.RawMessage `json:"aud"`
	}
	return json.Unmarshal(payload, &says) == nil && says.Issuer == p.rules.Issuer && slices.Contains(claimTexts(says.Audience), p.rules.Audience)
}

// claimTexts are a claim's value, or values.
func claimTexts(raw json.RawMessage) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	var many []any
	if json.Unmarshal(raw, &many) != nil {
		return nil
	}
	var found []string
	for _, v := range many {
		if s, ok := v.(string); ok {
			found = append(found, s)
		}
	}
	return found
}

// caller says who shows the token, which is meant for us. Otherwise why tells what is wrong with it.
func (p *people) caller(ctx context.Context, token string) (who *caller, why string) {
	verifier, err := p.ready(ctx)
	if err != nil {
		return nil, "The token can't be checked now: the issuer's keys can't be read. Try again, or use another token."
	}
	id, err := verifier.Verify(oidc.ClientContext(ctx, p.client), token)
	if err != nil {
		return nil, "The token isn't accepted: it has expired, or isn't the issuer's for this server."
	}
	var claims map[string]json.RawMessage
	if err := id.Claims(&claims); err != nil {
		return nil, "The token isn't accepted: its claims can't be read."
	}
	for _, rule := range p.rules.Roles {
		if !matches(claims, rule) {
			continue
		}
		r, _ := parseRole(rule.Role)
		plugins := rule.Plugins
		if len(plugins) == 0 {
			plugins = []string{"*"}
		}
		return &caller{name: nameOf(id.Subject, claims), role: r, plugins: plugins}, ""
	}
	return nil, "The token is the issuer's, but gives no role here; the operator says whom which is for (oidc.roles)."
}

func matches(claims map[string]json.RawMessage, rule manifest.OIDCRole) bool {
	if rule.Claim == "email" && string(claims["email_verified"]) != "true" {
		return false
	}
	return slices.ContainsFunc(claimTexts(claims[rule.Claim]), func(value string) bool {
		ok, err := path.Match(rule.Value, value)
		return ok && err == nil
	})
}

// nameOf is what the audit log calls a person: the issuer's subject, which is theirs for good, and the address that people know.
func nameOf(subject string, claims map[string]json.RawMessage) string {
	name := "oidc " + subject
	if email := claimTexts(claims["email"]); len(email) == 1 && string(claims["email_verified"]) == "true" {
		name += " " + email[0]
	}
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, name)
	return strings.ToValidUTF8(name[:min(len(name), whoBytes)], "")
}

// ready returns what checks tokens, having asked the issuer where it is. One at a time asks.
func (p *people) ready(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.verifier != nil {
		return p.verifier, nil
	}
	if p.failed != nil && p.now().Before(p.retry) {
		return nil, p.failed
	}
	// The keys are fetched under this context for as long as there is a server.
	provider, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), p.rules.Issuer)
	if err != nil {
		p.failed, p.retry = fmt.Errorf("oidc: %w", err), p.now().Add(issuerRetry)
		return nil, p.failed
	}
	p.verifier = provider.Verifier(&oidc.Config{ClientID: p.rules.Audience, Now: p.now})
	return p.verifier, nil
}
