package main

import (
	"net/url"
	"strings"
	"testing"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

func testScope(rawQuery string, params map[string]string) *scope {
	req := &sortie.Request{Method: "GET", URL: "/x?" + rawQuery, Header: sortie.Header{"x-user": {"ann"}, "x-bad": {"a\r\nb: c"}},
		Body: []byte(`{"id":7,"list":[1,2],"name":"é/ü"}`)}
	s := newScope(req, params, map[string]any{"base": "https://api.example.com/v1", "region": "eu/west"})
	s.calls["user"] = &outcome{doc: &document{raw: []byte(`{"id":12345678901234567890,"name":"Ann Lee","admin":true,"none":null,"tags":["a"]}`)}}
	s.calls["gone"] = &outcome{err: &callError{Code: "timeout"}}
	return s
}

func TestURLTemplate(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, template, query, id, want string }{ // want "": refused
		{"no reference", "https://api.example.com/a?b=c", "", "", "https://api.example.com/a?b=c"},
		{"no path", "https://api.example.com", "", "", "https://api.example.com"},
		{"query alone", "https://api.example.com?q={query.q}", "q=1", "", "https://api.example.com?q=1"},
		{"a parameter of the route", "https://api.example.com/users/{path.id}/x", "", "42", "https://api.example.com/users/42/x"},
		{"slashes stay inside", "https://api.example.com/users/{path.id}", "", "a/b?c#d", "https://api.example.com/users/a%2Fb%3Fc%23d"},
		{"dot segments", "https://api.example.com/users/{path.id}", "", "..", ""},
		{"one dot", "https://api.example.com/users/{path.id}/x", "", ".", ""},
		{"dots behind an encoded slash", "https://api.example.com/users/{path.id}", "", "a/../../admin", ""},
		{"dots behind a backslash", "https://api.example.com/users/{path.id}", "", `..\admin`, ""},
		{"dots encoded twice", "https://api.example.com/users/{path.id}", "", "%2e%2e", ""},
		{"dots with a parameter", "https://api.example.com/users/{path.id}", "", "..;x", ""},
		{"dots completed by the template", "https://api.example.com/users/.{path.id}", "", ".", ""},
		{"dots in a name", "https://api.example.com/users/{path.id}", "", "a..b", "https://api.example.com/users/a..b"},
		{"nothing in a segment", "https://api.example.com/users/{query.q}/x", "q=", "", ""},
		{"missing in a segment", "https://api.example.com/users/{query.q}/x", "", "", ""},
		{"a fallback in a segment", "https://api.example.com/users/{query.q|me}/x", "", "", "https://api.example.com/users/me/x"},
		{"beside literals", "https://api.example.com/u-{path.id}.json", "", "a b", "https://api.example.com/u-a%20b.json"},
		{"several segments", "https://api.example.com/f/{path.rest}", "", "a b/c", "https://api.example.com/f/a%20b/c"},
		{"dots in several segments", "https://api.example.com/f/{path.rest}", "", "a/../b", ""},
		{"no segment at all", "https://api.example.com/f/{path.rest}", "", "", "https://api.example.com/f/"},
		{"query parameters", "https://api.example.com/?a={query.a}&b={query.b}&c=1", "a=x%26y%3Dz&b=%2B%20", "",
			"https://api.example.com/?a=x%26y%3Dz&b=%2B%20&c=1"},
		{"a missing parameter is left out", "https://api.example.com/?a={query.a}&b={query.b}", "b=1", "", "https://api.example.com/?b=1"},
		{"all are missing", "https://api.example.com/x?a={query.a}", "", "", "https://api.example.com/x"},
		{"an empty one stays", "https://api.example.com/?a={query.a}", "a=", "", "https://api.example.com/?a="},
		{"a part of a parameter is missing", "https://api.example.com/?a=x{query.a}", "", "", ""},
		{"a host in the query", "https://api.example.com/?a={query.a}", "a=@evil.example/", "", "https://api.example.com/?a=%40evil.example%2F"},
		{"a constant as the base", "{vars.base}/users/{path.id}", "", "1", "https://api.example.com/v1/users/1"},
		{"a constant in the path", "https://api.example.com/{vars.region}", "", "", "https://api.example.com/eu%2Fwest"},
		{"another call's number", "https://api.example.com/o/{calls.user.id}", "", "", "https://api.example.com/o/12345678901234567890"},
		{"another call's flag", "https://api.example.com/o?a={calls.user.admin}", "", "", "https://api.example.com/o?a=true"},
		{"another call's null", "https://api.example.com/o/{calls.user.none}", "", "", ""},
		{"another call's list", "https://api.example.com/o/{calls.user.tags}", "", "", ""},
		{"another call that failed", "https://api.example.com/o/{calls.gone.id}", "", "", ""},
		{"another call that failed, with a fallback", "https://api.example.com/o/{calls.gone.id|0}", "", "", "https://api.example.com/o/0"},
		{"a header", "https://api.example.com/{header.X-User}", "", "", "https://api.example.com/ann"},
		{"line breaks", "https://api.example.com/{header.x-bad}", "", "", "https://api.example.com/a%0D%0Ab%3A%20c"},
		{"the body", "https://api.example.com/{body.name}?l={body.list[1]}", "", "", "https://api.example.com/%C3%A9%2F%C3%BC?l=2"},
		{"braces", "https://api.example.com/{{x}}", "", "", "https://api.example.com/{x}"},
		{"any byte", "https://api.example.com/{path.id}", "", "\x00\xff", "https://api.example.com/%00%FF"},
	}
	isRest := func(ref *reference) bool { return ref.source == fromPath && ref.name == "rest" }
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := testScope(test.query, map[string]string{"id": test.id, "rest": test.id})
			u, err := parseURLTemplate(test.template, s.vars)
			if err != nil {
				t.Fatal(err)
			}
			got, err := u.expand(s, isRest, nil)
			if test.want == "" && err == nil {
				t.Fatalf("got %s, want an error", got)
			}
			if test.want != "" && (err != nil || got != test.want) {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
		})
	}
}

func TestURLTemplateErrors(t *testing.T) {
	t.Parallel()
	vars := map[string]any{"base": "https://api.example.com/v1", "list": []any{}, "user": "https://a:b@x.example"}
	for template, want := range map[string]string{
		"":                                     "https://",
		"/users":                               "https://",
		"ftp://api.example.com/":               "https://",
		"https:///x":                           "no host",
		"https://a@api.example.com/":           "user name",
		"{vars.user}/x":                        "user name",
		"https://{path.id}/":                   "scheme or host",
		"https://{path.id}.example.com/":       "scheme or host",
		"https://api.example.com{path.a}":      "scheme or host",
		"https://api.example.com:{path.port}/": "scheme or host",
		"{query.url}":                          "scheme or host",
		"{vars.none}/x":                        "no such value",
		"{vars.list}/x":                        "single value",
		"https://api.example.com/#a":           "fragment",
		"https://api.example.com/?a#b":         "fragment",
		`https://api.example.com/a\b`:          "backslash",
		`https://api.example.com\@evil/`:       "backslash",
		"https://api%2Eexample.com/":           "",
		"https://api.example.com/{path":        "closing brace",
		"https://api.example.com/path}":        "without its {",
		"https://api.example.com/{a.b}":        "none of",
		"https://api.example.com/{}":           "none of",
		"https://api.example.com/{query}":      "name is missing",
		"https://api.example.com/{query[a]}":   "name is missing",
		"https://api.example.com/{calls.}":     "isn't a name",
		"https://api.example.com/{calls.a[}":   "bracket",
		"https://api.example.com/{path.1}":     "parameter's name",
	} {
		_, err := parseURLTemplate(template, vars)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", template, err, want)
		}
	}
}

// FuzzURLTemplate holds that no value changes the origin, the number of the path's segments, or the number and names of the
// query's parameters.
func FuzzURLTemplate(f *testing.F) {
	for _, seed := range []string{"a", "../..", "%2e%2e", "a/b?c#d&e=f", "\\", "@evil.example", "\r\n", "é", "..;", ""} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, id, q string) {
		s := &scope{params: map[string]string{"id": id}, query: url.Values{"q": {q}}}
		tmpl, err := parseURLTemplate("https://api.example.com/a/{path.id}/b-{query.q}?x={query.q}&y=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tmpl.expand(s, func(*reference) bool { return false }, nil)
		if err != nil {
			return
		}
		u, err := url.Parse(got)
		if err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if u.Scheme != "https" || u.Host != "api.example.com" || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q left its origin", got)
		}
		segments := strings.Split(u.EscapedPath(), "/")
		if len(segments) != 4 || segments[1] != "a" || u.JoinPath().EscapedPath() != u.EscapedPath() {
			t.Fatalf("%q changed the path", got)
		}
		query, err := url.ParseQuery(u.RawQuery)
		if err != nil || len(query) != 2 || query.Get("x") != q || query.Get("y") != "1" {
			t.Fatalf("%q changed the query: %v, %v", got, query, err)
		}
	})
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"a {query.b|c} d", "{{}}", `{calls.a["}"].b[*]|{}}`, "{body}", "{", "}", `{calls.a["`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tmpl, err := parseTemplate(text)
		if err != nil {
			return
		}
		s := testScope("b=1", map[string]string{"id": "1"})
		first, err1 := tmpl.text(s, verbatim)
		second, err2 := tmpl.text(s, verbatim)
		if first != second || (err1 == nil) != (err2 == nil) {
			t.Fatalf("%q isn't filled in the same way twice: %q, %v; %q, %v", text, first, err1, second, err2)
		}
		if len(tmpl.refs()) == 0 && (err1 != nil || strings.NewReplacer("{{", "{", "}}", "}").Replace(text) != first) {
			t.Fatalf("%q became %q, %v", text, first, err1)
		}
	})
}
