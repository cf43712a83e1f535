package manifest

import (
	"net/url"
	"strings"
)

// OIDC lets people in by ID tokens of an OpenID Connect issuer, beside the
// server's own tokens. Without an issuer it lets nobody in.
type OIDC struct {
	// The issuer, as its tokens have it: an https URL, or an http one on this machine. Its keys are found by its discovery document.
	Issuer string `yaml:"issuer" json:"issuer"`
	// The audience that a token must be for: the client that people sign in with.
	Audience string `yaml:"audience" json:"audience"`
	// Who may do what. The first entry that matches a token counts; a token that none matches is refused.
	Roles []OIDCRole `yaml:"roles" json:"roles"`
}

// OIDCRole gives a role to those whose token has a claim.
type OIDCRole struct {
	// The claim's name, such as `groups` or `email`; `email` counts only where the token says that it is verified.
	Claim string `yaml:"claim" json:"claim"`
	// The value that it has, or has among others; `*` stands for any characters but `/`.
	Value string `yaml:"value" json:"value"`
	// What they may do: `admin`, `deploy`, `read` or `invoke`.
	Role string `yaml:"role" json:"role"`
	// The plugins that this is for; `*` in a name stands for any characters. None: all.
	Plugins []string `yaml:"plugins" json:"plugins"`
}

// maxOIDCRoles bounds what each request of a person is held against.
const maxOIDCRoles = 1000

func (c *checker) oidc(o *OIDC) {
	if o.Issuer == "" {
		if o.Audience != "" || len(o.Roles) > 0 {
			c.bad("oidc.issuer", "missing; without it nobody's token can be checked")
		}
		return
	}
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !loopbackHost(u.Hostname())) {
		c.bad("oidc.issuer", "%s is not an issuer; it is an https URL, such as https://id.example.com", quote(o.Issuer))
	}
	if o.Audience == "" {
		c.bad("oidc.audience", "missing; a token for anyone else would be as good")
	}
	if len(o.Roles) == 0 || len(o.Roles) > maxOIDCRoles {
		c.bad("oidc.roles", "%d entries; at least one says who may do what, and %d is the most", len(o.Roles), maxOIDCRoles)
	}
	for i, r := range o.Roles {
		key := item("oidc.roles", i)
		if r.Claim == "" || len(r.Claim) > maxEntryBytes {
			c.bad(key+".claim", "%s is not a claim's name, such as groups", quote(r.Claim))
		}
		if r.Value == "" || len(r.Value) > maxEntryBytes || strings.ContainsAny(r.Value, "[\\") {
			c.bad(key+".value", "%s is not a claim's value, such as platform or *@example.com", quote(r.Value))
		}
		switch r.Role {
		case "admin", "deploy", "read", "invoke":
		default:
			c.bad(key+".role", "%s; it is admin, deploy, read or invoke", quote(r.Role))
		}
		for j, glob := range r.Plugins {
			c.glob(glob, item(key+".plugins", j))
		}
	}
}

// loopbackHost says whether a URL's host is this machine by its spelling.
func loopbackHost(host string) bool {
	return host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1"
}
