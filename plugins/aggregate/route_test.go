package main

import (
	"maps"
	"testing"
)

func TestRouteMatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		route, path string
		want        map[string]string // nil: no match
	}{
		{"/", "/", map[string]string{}},
		{"/", "", map[string]string{}},
		{"/", "/a", nil},
		{"GET /users", "/users", map[string]string{}},
		{"/users", "/users/", nil},
		{"/users/{id}", "/users/42", map[string]string{"id": "42"}},
		{"/users/{id}", "/users/", nil},
		{"/users/{id}", "/users/a%2Fb", map[string]string{"id": "a/b"}},
		{"/users/{id}", "/users/a/b", nil},
		{"/users/{id}", "/users/%zz", nil},
		{"/a%20b/{x}", "/a b/1", map[string]string{"x": "1"}},
		{"/a%20b/{x}", "/a%20b/%C3%A9", map[string]string{"x": "é"}},
		{"/{a}/x/{b}", "/1/x/2", map[string]string{"a": "1", "b": "2"}},
		{"/{a}/x/{b}", "/1/y/2", nil},
		{"/f/{rest...}", "/f/a/b%20c", map[string]string{"rest": "a/b c"}},
		{"/f/{rest...}", "/f", map[string]string{"rest": ""}},
		{"/f/{rest...}", "/f/", map[string]string{"rest": ""}},
		{"/{all...}", "/", map[string]string{"all": ""}},
	}
	for _, test := range tests {
		r, err := parseRoute(test.route)
		if err != nil {
			t.Errorf("%s: %v", test.route, err)
			continue
		}
		got, ok := r.matchPath(test.path)
		if ok != (test.want != nil) || ok && !maps.Equal(got, test.want) {
			t.Errorf("%s on %s: got %v, %v, want %v", test.route, test.path, got, ok, test.want)
		}
	}
}

func TestRouteMethod(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		route, method string
		want          bool
	}{{"/", "DELETE", true}, {"GET /", "GET", true}, {"GET /", "HEAD", true}, {"GET /", "POST", false}, {"POST /", "HEAD", false}} {
		r, err := parseRoute(test.route)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.matchMethod(test.method); got != test.want {
			t.Errorf("%s takes %s: %v", test.route, test.method, got)
		}
	}
}

func TestParseRouteErrors(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "users", "get /a", "GET", "/a/{", "/a/x{id}", "/a/{id}x", "/a/{}", "/a/{1x}", "/{a}/{a}",
		"/{rest...}/x", "/%zz", "/a/{i d}"} {
		if r, err := parseRoute(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, r)
		}
	}
}
