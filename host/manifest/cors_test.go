package manifest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCORS(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]CORS{
		"":                       {},
		"cors:":                  {},
		"cors: {}":               {},
		"cors: {origins: []}":    {},
		"cors: {max_age: 5m}":    {}, // without origins, the rest says nothing
		"cors: {origins: ['*']}": {Origins: []string{"*"}},
		"cors: {origins: ['HTTPS://App.Example.com:443/', 'http://127.0.0.1:3000', 'https://app.example.com', 'https://bücher.example', 'http://[::1]:80']}": {
			Origins: []string{"http://127.0.0.1:3000", "http://[::1]", "https://app.example.com", "https://xn--bcher-kva.example"},
		},
		"cors: {origins: ['capacitor://localhost', 'chrome-extension://abcdefgh']}": {Origins: []string{"capacitor://localhost", "chrome-extension://abcdefgh"}},
		"cors: {origins: ['https://a.test'], methods: [put, GET, PUT], headers: [Content-Type, authorization, content-type], expose: [Sortie-Invocation], credentials: true, max_age: 10m}": {
			Origins: []string{"https://a.test"}, Methods: []string{"GET", "PUT"}, Headers: []string{"authorization", "content-type"},
			Expose: []string{"sortie-invocation"}, Credentials: true, MaxAge: 600e9,
		},
		"cors: {origins: ['*'], methods: ['*'], headers: ['*'], expose: ['*']}": {
			Origins: []string{"*"}, Methods: []string{"*"}, Headers: []string{"*"}, Expose: []string{"*"},
		},
	} {
		m, err := Parse([]byte(in))
		if err != nil {
			t.Errorf("%q: %s", in, err)
			continue
		}
		if diff := cmp.Diff(want, m.CORS); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
		roundTrip(t, m)
	}
}

// corsErrors are manifests and the errors they get, word for word.
var corsErrors = []struct{ in, want string }{
	{"cors: '*'", `plugin.yaml:1:7: cors: "*" is text, where a mapping is needed`},
	{"cors: {origins: '*'}", `plugin.yaml:1:17: cors.origins: "*" is text, where a list is needed`},
	{"cors: {origins: [app.example.com]}", `plugin.yaml:1:18: cors.origins[0]: "app.example.com" is not an origin, such as https://app.example.com`},
	{"cors: {origins: ['null']}", `plugin.yaml:1:18: cors.origins[0]: "null" is not an origin, such as https://app.example.com`},
	{"cors: {origins: ['https://a.test/x']}", `plugin.yaml:1:18: cors.origins[0]: "https://a.test/x" has a path; an origin is scheme://host[:port]`},
	{"cors: {origins: ['https://*.a.test']}", `plugin.yaml:1:18: cors.origins[0]: "https://*.a.test" has a wildcard; list each origin, or write * alone for every one`},
	{"cors: {origins: ['https://a.test:*']}", `plugin.yaml:1:18: cors.origins[0]: "https://a.test:*" has a wildcard; list each origin, or write * alone for every one`},
	{"cors: {origins: ['https://a.test:0']}", `plugin.yaml:1:18: cors.origins[0]: "https://a.test:0": port "0"; a port is 1 to 65535, or * for any`},
	{"cors: {origins: ['app://a b']}", `plugin.yaml:1:18: cors.origins[0]: "app://a b" is not an origin, such as https://app.example.com`},
	{"cors: {origins: ['*', 'https://a.test']}", `plugin.yaml:1:18: cors.origins[0]: * is every origin; it stands alone`},
	{"cors: {origins: ['*'], credentials: true}", "plugin.yaml:1:37: cors.credentials: no browser sends credentials where every origin is allowed; list the origins, or leave `credentials` out"},
	{"cors: {origins: ['https://a.test'], credentials: true, expose: ['*']}", "plugin.yaml:1:64: cors.expose: with `credentials`, browsers take * for a header's name; list the headers"},
	{"cors: {methods: [TRACE]}", `plugin.yaml:1:18: cors.methods[0]: TRACE; no page can use that method`},
	{"cors: {methods: ['G T']}", `plugin.yaml:1:18: cors.methods[0]: "G T" is not a method, such as GET`},
	{"cors: {methods: ['*', GET]}", `plugin.yaml:1:18: cors.methods[0]: * is any; it stands alone`},
	{"cors: {headers: ['a b']}", `plugin.yaml:1:18: cors.headers[0]: "a b" is not a header's name`},
	{"cors: {expose: ['a:b']}", `plugin.yaml:1:17: cors.expose[0]: "a:b" is not a header's name`},
	{"cors: {max_age: 25h}", "plugin.yaml:1:17: cors.max_age: 25h; it is 0s to 24h"},
	{"cors: {maxage: 1h}", `plugin.yaml:1:8: cors.maxage: unknown key; did you mean "max_age"?`},
}
