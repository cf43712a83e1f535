package manifest

import (
	"strings"
	"testing"
)

func TestOIDC(t *testing.T) {
	t.Parallel()
	const good = "issuer: https://id.example.com, audience: sortie, roles: [{claim: groups, value: platform, role: admin}]"
	for yaml, want := range map[string]string{
		good: "",
		"issuer: 'http://127.0.0.1:9000', audience: a, roles: [{claim: email, value: '*@example.com', role: read, plugins: ['a-*']}]": "",
		"audience: sortie": "oidc.issuer",
		strings.Replace(good, "https://id.example.com", "http://id.example.com", 1):     "oidc.issuer",
		strings.Replace(good, "https://id.example.com", "https://me@id.example.com", 1): "oidc.issuer",
		strings.Replace(good, "audience: sortie, ", "", 1):                              "oidc.audience",
		"issuer: https://id.example.com, audience: a":                                   "oidc.roles",
		strings.Replace(good, "role: admin", "role: root", 1):                           "oidc.roles[0].role",
		strings.Replace(good, "value: platform", "value: '['", 1):                       "oidc.roles[0].value",
		strings.Replace(good, "claim: groups, ", "", 1):                                 "oidc.roles[0].claim",
		strings.Replace(good, "role: admin", "role: admin, plugins: ['A']", 1):          "oidc.roles[0].plugins[0]",
	} {
		_, err := ParseOperator([]byte("oidc: {" + yaml + "}"))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", yaml, err, want)
		}
	}
}
