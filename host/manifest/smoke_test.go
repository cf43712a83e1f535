package manifest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSmoke(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]*Smoke{
		"":           nil,
		"smoke:":     nil,
		"smoke: {}":  {Method: "GET", Path: "/"},
		"sticky: {}": nil,
		"smoke: {method: post, path: '/x?y=1', body: hi, status: 201, headers: {x-a: b, Accept: '*/*'}}": {
			Method: "POST", Path: "/x?y=1", Body: "hi", Status: 201, Headers: map[string]string{"X-A": "b", "Accept": "*/*"},
		},
	} {
		m, err := Parse([]byte(in))
		if err != nil {
			t.Errorf("%q: %s", in, err)
			continue
		}
		if diff := cmp.Diff(want, m.Smoke); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
		roundTrip(t, m)
	}
}

func TestSmokePasses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		asked, status int
		want          bool
	}{{0, 200, true}, {0, 399, true}, {0, 400, false}, {0, 503, false}, {404, 404, true}, {404, 200, false}, {200, 204, false}} {
		if got := (&Smoke{Status: tt.asked}).Passes(tt.status); got != tt.want {
			t.Errorf("%d for %d: %v", tt.status, tt.asked, got)
		}
	}
}

func TestSticky(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Sticky{
		"":                                    {},
		"sticky:":                             {},
		"sticky: {header: x-user}":            {Header: "X-User"},
		"sticky: {cookie: __Host-session}":    {Cookie: "__Host-session"},
		"sticky: {header: '', cookie: 'a.b'}": {Cookie: "a.b"},
		"sticky: {header: authorization}":     {Header: "Authorization"},
	} {
		m, err := Parse([]byte(in))
		if err != nil {
			t.Errorf("%q: %s", in, err)
			continue
		}
		if m.Sticky != want {
			t.Errorf("%q: %+v", in, m.Sticky)
		}
		roundTrip(t, m)
	}
}

// TestNewKeysOverDefaults: what the operator gives by default, a manifest can
// change and take back, and its canonical form is itself whatever the defaults
// are.
func TestNewKeysOverDefaults(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator([]byte("defaults:\n  smoke: {path: /health, headers: {x-a: '1'}}\n  sticky: {header: X-User}\n" +
		"  cors: {origins: ['https://a.test'], max_age: 5m, methods: [PUT]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := o.Manifest([]byte("name: a\nsmoke: {method: head}\ncors: {credentials: true}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Smoke{Method: "HEAD", Path: "/health", Headers: map[string]string{"X-A": "1"}}, m.Smoke); diff != "" {
		t.Error(diff)
	}
	if m.Sticky.Header != "X-User" || m.CORS.Origins[0] != "https://a.test" || !m.CORS.Credentials || m.CORS.MaxAge != 300e9 {
		t.Errorf("%+v, %+v", m.Sticky, m.CORS)
	}
	for _, in := range []string{
		"name: a\nsmoke:\nsticky: {header: ''}\ncors: {origins: []}\n",
		"name: a\nsmoke: {headers: {}}\nsticky: {header: '', cookie: c}\ncors: {origins: ['*'], methods: [], max_age: 0s}\n",
		"name: a\n",
	} {
		m, _, err := o.Manifest([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		canonical, err := m.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		for _, over := range []*Operator{o, DefaultOperator()} {
			again, _, err := over.Manifest(canonical)
			if err != nil {
				t.Fatalf("%s: %s", canonical, err)
			}
			if diff := cmp.Diff(m, again); diff != "" {
				t.Errorf("%q: %s", in, diff)
			}
		}
	}
	// One manifest's values are not the next one's.
	m.Smoke.Headers["X-A"], m.CORS.Origins[0] = "2", "x"
	if m, _, _ = o.Manifest([]byte("name: b")); m.Smoke.Headers["X-A"] != "1" || m.CORS.Origins[0] != "https://a.test" {
		t.Errorf("%+v, %+v", m.Smoke, m.CORS)
	}
}

// smokeErrors are manifests and the errors they get, word for word.
var smokeErrors = []struct{ in, want string }{
	{"smoke: GET", `plugin.yaml:1:8: smoke: "GET" is text, where a mapping is needed`},
	{"smoke: {path: x}", `plugin.yaml:1:15: smoke.path: "x" does not begin with a slash`},
	{"smoke: {path: '/a b'}", `plugin.yaml:1:15: smoke.path: "/a b" has a space, a control character or a fragment`},
	{"smoke: {method: 'G T'}", `plugin.yaml:1:17: smoke.method: "G T" is not a method, such as GET`},
	{"smoke: {status: 600}", "plugin.yaml:1:17: smoke.status: 600; a plugin answers with 200 to 599, and 0 is any below 400"},
	{"smoke: {status: 100}", "plugin.yaml:1:17: smoke.status: 100; a plugin answers with 200 to 599, and 0 is any below 400"},
	{"smoke: {status: ok}", `plugin.yaml:1:17: smoke.status: "ok" is text, where a whole number is needed`},
	{"smoke: {statuses: [200]}", `plugin.yaml:1:9: smoke.statuses: unknown key; did you mean "status"?`},
	{"smoke: {headers: {'a b': c}}", `plugin.yaml:1:26: smoke.headers["a b"]: "a b" is not a header's name`},
	{"smoke: {headers: {Host: c}}", `plugin.yaml:1:25: smoke.headers.Host: "Host" can't be set by a caller that the plugin sees`},
	{"smoke: {headers: {sortie-x: c}}", `plugin.yaml:1:29: smoke.headers.sortie-x: "sortie-x" can't be set by a caller that the plugin sees`},
	{"smoke: {headers: {Proxy-Authorization: c}}", `plugin.yaml:1:40: smoke.headers.Proxy-Authorization: "Proxy-Authorization" can't be set by a caller that the plugin sees`},
	{"smoke: {headers: {X-A: 'b', x-a: c}}", `plugin.yaml:1:34: smoke.headers.x-a: "X-A" is given twice; case makes no difference`},
	{"smoke: {headers: {a: \"b\\nc\"}}", "plugin.yaml:1:22: smoke.headers.a: can't be a header's value"},
	{"smoke: {headers: {a: 1}}", `plugin.yaml:1:22: smoke.headers.a: "1" is a whole number, where text is needed; put it in quotes`},
	{"sticky: session", `plugin.yaml:1:9: sticky: "session" is text, where a mapping is needed`},
	{"sticky: {header: a, cookie: b}", "plugin.yaml:1:9: sticky: both `header` and `cookie`; one of them says who stays together"},
	{"sticky: {header: 'a b'}", `plugin.yaml:1:18: sticky.header: "a b" is not a header's name`},
	{"sticky: {header: Sortie-Version}", `plugin.yaml:1:18: sticky.header: "Sortie-Version" is about the connection or Sortie's own; name one that callers choose, such as X-User`},
	{"sticky: {header: connection}", `plugin.yaml:1:18: sticky.header: "connection" is about the connection or Sortie's own; name one that callers choose, such as X-User`},
	{"sticky: {cookie: 'a=b'}", `plugin.yaml:1:18: sticky.cookie: "a=b" is not a cookie's name, such as session`},
	{"sticky: {heder: a}", `plugin.yaml:1:10: sticky.heder: unknown key; did you mean "header"?`},
}

func TestSmokeErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range append(smokeErrors, corsErrors...) {
		_, err := Parse([]byte(tt.in))
		if err == nil {
			t.Errorf("%q: accepted", tt.in)
		} else if err.Error() != tt.want {
			t.Errorf("%q:\n got %s\nwant %s", tt.in, err, tt.want)
		}
	}
}

func TestSmokeBounds(t *testing.T) {
	t.Parallel()
	var headers strings.Builder
	for i := range maxSmokeHeaders + 1 {
		fmt.Fprintf(&headers, "x%d: '1', ", i)
	}
	for _, in := range []string{
		"smoke: {headers: {" + headers.String() + "}}",
		"smoke: {path: /" + strings.Repeat("a", maxHeaderBytes) + "}",
		"smoke: {headers: {a: " + strings.Repeat("a", maxHeaderBytes+1) + "}}",
		"cors: {origins: [" + strings.Repeat("'https://a.test', ", maxOrigins+1) + "]}",
		"cors: {origins: ['https://a.test'], headers: [" + strings.Repeat("a, ", maxCORSHeaders+1) + "]}",
		"cors: {origins: ['https://a.test'], methods: [" + strings.Repeat("GET, ", maxMethods+1) + "]}",
		"cors: {origins: ['https://" + strings.Repeat("a.", maxPatternBytes/2) + "test']}",
		"cors: {origins: ['app://" + strings.Repeat("a.", maxPatternBytes/2) + "test']}",
	} {
		if _, err := Parse([]byte(in)); err == nil {
			t.Errorf("%.40q: accepted", in)
		}
	}
}
