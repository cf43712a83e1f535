package host

import (
	"strings"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

// secret joins what a manifest says of a secret with the operator's value and bounds. The manifest was checked against them
// when it was read; here the operator's bounds are what counts if the manifest has none.
func (r *Runtime) secret(s manifest.Secret) (fetch.Secret, error) {
	value, ok := r.cfg.Secrets[s.Name]
	if !ok {
		return fetch.Secret{}, NewError(CodeInvalidManifest, "the operator has no value for the secret %q (secrets in sortie.yaml)", s.Name)
	}
	out := fetch.Secret{Name: s.Name, Header: s.Header, Value: strings.ReplaceAll(s.Format, "{secret}", value)}
	allow := s.Allow
	if len(allow) == 0 {
		allow = r.cfg.Operator.Secrets[s.Name].Allow
	}
	for _, url := range allow {
		pattern, err := manifest.ParsePattern(url)
		if err != nil {
			return fetch.Secret{}, NewError(CodeInvalidManifest, "secret %q: %v", s.Name, err)
		}
		out.Allow = append(out.Allow, pattern)
	}
	return out, nil
}
