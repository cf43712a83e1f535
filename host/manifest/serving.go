package manifest

import (
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
)

// Retention says how many plugins there can be, and which versions of one are
// kept beside those that traffic goes to.
type Retention struct {
	// How many plugins there can be.
	Plugins int `yaml:"plugins" json:"plugins"`
	// How many versions of a plugin are kept; those that traffic goes to always are.
	Versions int `yaml:"versions" json:"versions"`
	// How long a version is kept that no traffic goes to; 0s: for good.
	Age Duration `yaml:"age" json:"age"`
}

// TLS is the certificate that the server answers with. Both files or none.
// They are read again when they change.
type TLS struct {
	// The file of the certificate in PEM, with its chain; empty: plain HTTP.
	Cert string `yaml:"cert" json:"cert"`
	// The file of the certificate's key in PEM.
	Key string `yaml:"key" json:"key"`
}

// Signatures says whose plugins may be deployed.
type Signatures struct {
	// Whether a deploy without a valid signature is refused.
	Required bool `yaml:"required" json:"required"`
	// The public keys that signatures are checked with, as minisign writes them (`RWQ…`).
	Keys []string `yaml:"keys" json:"keys"`
}

// The bounds on what is kept, and the shape of a minisign public key: the
// algorithm, the key's id, the key.
const (
	defaultVersions = 100
	maxVersions     = 10000
	defaultPlugins  = 10000
	maxPlugins      = 1000000
	publicKeyBytes  = 2 + 8 + 32
	publicKeyKind   = "Ed"
)

// serving checks what the operator says of the server itself.
func (c *checker) serving(o *Operator) {
	c.within("retention.plugins", o.Retention.Plugins, 1, maxPlugins)
	c.within("retention.versions", o.Retention.Versions, 1, maxVersions)
	if o.Retention.Age > maxDuration {
		c.bad("retention.age", "%s; it is 0s (for good) to %s", o.Retention.Age, maxDuration)
	}
	if (o.TLS.Cert == "") != (o.TLS.Key == "") {
		c.bad("tls", "TLS needs both `cert` and `key`")
	}
	for _, file := range []struct{ key, path string }{{"tls.cert", o.TLS.Cert}, {"tls.key", o.TLS.Key}} {
		if strings.ContainsRune(file.path, 0) {
			c.bad(file.key, "has a NUL character")
		}
	}
	o.TrustedProxies = c.proxies(o.TrustedProxies)
	c.oidc(&o.OIDC)
	o.Signatures.Keys = c.publicKeys(o.Signatures.Keys)
	if o.Signatures.Required && len(o.Signatures.Keys) == 0 {
		c.bad("signatures.required", "true, but there are no `keys`; no plugin could be deployed")
	}
}

// proxies checks addresses and CIDRs, and writes them as CIDRs.
func (c *checker) proxies(list []string) []string {
	var out []string
	for i, s := range list {
		prefix, ok := parsePrefix(s)
		if !ok {
			c.bad(item("trusted_proxies", i), "%s is neither an address, such as 10.0.0.7, nor a CIDR, such as 10.0.0.0/8", quote(s))
			continue
		}
		if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
		}
		if s := prefix.String(); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// publicKeys checks the shape of minisign's public keys.
func (c *checker) publicKeys(list []string) []string {
	var out []string
	for i, s := range list {
		s = strings.TrimSpace(s)
		if wrong := checkPublicKey(s); wrong != "" {
			c.bad(item("signatures.keys", i), "%s", wrong)
			continue
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func checkPublicKey(s string) string {
	if strings.ContainsAny(s, "\r\n") {
		return "more than one line; of a minisign.pub, it is the second line alone"
	}
	key, err := base64.StdEncoding.Strict().DecodeString(s)
	switch {
	case err != nil:
		return quote(s) + " is not base64; it is the second line of a minisign.pub, which begins with RW"
	case len(key) != publicKeyBytes:
		return quote(s) + " is too long or too short for a minisign public key, which has 56 characters"
	case string(key[:2]) != publicKeyKind:
		return quote(s) + " is not a minisign public key, which begins with RW"
	}
	return ""
}
