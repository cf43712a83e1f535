package fetch

import (
	"fmt"
	"strings"
	"time"

	"github.com/sortie-run/sortie/host/manifest"
)

// PolicyOf is what a manifest says of fetching under an operator's configuration. secrets are the operator's values by name. It fails if a value
// is missing or a secret's bound can't be read.
func PolicyOf(m *manifest.Manifest, op *manifest.Operator, secrets map[string]string) (Policy, error) {
	p := policyOf(m, op)
	for _, s := range m.Secrets {
		value, ok := secrets[s.Name]
		if !ok {
			return Policy{}, fmt.Errorf("the operator has no value for the secret %q (secrets in sortie.yaml)", s.Name)
		}
		bound, err := boundsOf(s, op)
		if err != nil {
			return Policy{}, fmt.Errorf("secret %q: %w", s.Name, err)
		}
		p.Secrets = append(p.Secrets, Secret{Name: s.Name, Header: s.Header, Value: strings.ReplaceAll(s.Format, "{secret}", value), Allow: bound})
	}
	return p, nil
}

// PolicyWith is PolicyOf with secrets that may change. One that isn't in the vault is no error.
func PolicyWith(m *manifest.Manifest, op *manifest.Operator, v *Vault) (Policy, error) {
	p := policyOf(m, op)
	p.Vault, p.Plugin = v, m.Name
	for _, s := range m.Secrets {
		bound, err := parsePatterns(s.Allow)
		if err != nil {
			return Policy{}, fmt.Errorf("secret %q: %w", s.Name, err)
		}
		p.Secrets = append(p.Secrets, Secret{Name: s.Name, Header: s.Header, Format: s.Format, Allow: bound})
	}
	return p, nil
}

func policyOf(m *manifest.Manifest, op *manifest.Operator) Policy {
	p := Policy{
		Rules: m.Fetch.Allow, Limits: m.Fetch.Limits, Retry: m.Fetch.Retry,
		Cache:   Cache{Bytes: int64(m.Fetch.Cache.Bytes), Coalesce: m.Fetch.Cache.Coalesce},
		Private: op.Private, HostsAllow: op.Hosts.Allow, HostsDeny: op.Hosts.Deny,
	}
	if after, p95 := m.Fetch.HedgeAfter(); p95 {
		p.Hedge = HedgeP95
	} else {
		p.Hedge = time.Duration(after)
	}
	return p
}

// boundsOf is where a secret may go. A manifest was held to the operator's bounds when it was read; those count if it has none.
func boundsOf(s manifest.Secret, op *manifest.Operator) ([]manifest.Pattern, error) {
	urls := s.Allow
	if len(urls) == 0 {
		urls = op.Secrets[s.Name].Allow
	}
	return parsePatterns(urls)
}

func parsePatterns(urls []string) ([]manifest.Pattern, error) {
	var patterns []manifest.Pattern
	for _, url := range urls {
		pattern, err := manifest.ParsePattern(url)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, pattern)
	}
	return patterns, nil
}
