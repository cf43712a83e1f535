package fetchtest

import (
	"crypto/tls"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

// The secret that every case has: its field is set on requests to {up}, whoever makes them.
const (
	secretField = "X-Secret"
	secretValue = "s3cr3t"
)

// generous are limits that nothing fails on because a machine is busy.
const generous = "limits.timeout=60s limits.connect_timeout=60s limits.write_timeout=60s limits.read_timeout=60s limits.pool_timeout=60s " +
	"retry.backoff=1ms retry.max_backoff=2ms"

// setting makes a manifest and an operator's configuration out of a case's policy.
func (n *network) setting(t testing.TB, policy string) Setting {
	t.Helper()
	// Any port, so that cases with the same policy over the same wire have the same setting, but for the resolver, which answers alike.
	anyPort := func(origin string) string { return origin[:strings.LastIndexByte(origin, ':')] + ":*" }
	private := func(origin, path string, methods ...string) map[string]any {
		r := map[string]any{"url": anyPort(origin) + path, "private": true}
		if methods != nil {
			r["methods"] = methods
		}
		return r
	}
	var rules []any
	for _, name := range []string{"up", "sub", "other", "plain", "silent", "dead", "none"} {
		rules = append(rules, private(n.origins[name], ""))
	}
	rules = append(rules, private(n.origins["get"], "", "GET", "HEAD"), private(n.origins["v1"], "/v1"), anyPort(n.origins["public"]), anyPort(n.origins["literal"]))
	fetches := map[string]any{"allow": rules}
	operator := map[string]any{"private": []string{"127.0.0.0/8"}, "secrets": map[string]any{
		"KEY": map[string]any{"env": "KEY", "allow": []string{anyPort(n.origins["up"])}, "plugins": []string{"*"}},
	}}
	care := map[string]any{} // of all origins
	if n.proxy != "" {
		care["proxy"] = n.proxy
	}
	for assignment := range strings.FieldsSeq(generous + " " + policy) {
		key, value, _ := strings.Cut(assignment, "=")
		switch rest, ok := strings.CutPrefix(key, "operator."); {
		case strings.HasPrefix(rest, "upstreams.") && ok:
			assign(care, strings.TrimPrefix(rest, "upstreams."), value)
		case ok:
			assign(operator, rest, value)
		default:
			assign(fetches, key, value)
		}
	}
	if len(care) > 0 {
		care["match"] = []string{"http://*:*", "https://*:*"}
		operator["upstreams"] = []any{care}
	}
	s := Setting{Secrets: map[string]string{"KEY": secretValue}}
	var err error
	if s.Operator, err = manifest.ParseOperator(encoded(t, operator)); err != nil {
		t.Fatal(err)
	}
	if s.Manifest, _, err = s.Operator.Manifest(encoded(t, map[string]any{
		"name": "case", "fetch": fetches, "secrets": []any{map[string]string{"name": "KEY", "header": secretField, "format": "{secret}"}},
	})); err != nil {
		t.Fatal(err)
	}
	if s.Engine, err = fetch.ConfigOf(s.Operator); err != nil {
		t.Fatal(err)
	}
	_, roots := pki()
	s.Engine.Resolver, s.Engine.TLS = n, &tls.Config{RootCAs: roots}
	return s
}

// assign sets what a dotted key names. Values are JSON, or text.
func assign(tree map[string]any, key, value string) {
	path := strings.Split(key, ".")
	for _, p := range path[:len(path)-1] {
		below, ok := tree[p].(map[string]any)
		if !ok {
			below = map[string]any{}
			tree[p] = below
		}
		tree = below
	}
	var v any
	if json.Unmarshal([]byte(value), &v) != nil {
		v = value
	}
	tree[path[len(path)-1]] = v
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
