package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// route is a pattern for requests, written like `GET /users/{id}/files/{rest...}`: a method, or none for any, and a path whose
// segments are literal or parameters. A parameter stands for one whole segment, `{name...}` at the end for all that is left,
// nothing included. GET takes HEAD too.
type route struct {
	method   string
	segments []segment
}

type segment struct {
	text  string // literal, decoded; or the parameter's name
	param bool
	rest  bool
}

func parseRoute(text string) (route, error) {
	method, path, found := strings.Cut(strings.TrimSpace(text), " ")
	if !found {
		method, path = "", method
	}
	path = strings.TrimSpace(path)
	if method != strings.ToUpper(method) {
		return route{}, fmt.Errorf("method %q isn't in upper case", method)
	}
	if !strings.HasPrefix(path, "/") {
		return route{}, fmt.Errorf("path %q doesn't begin with a slash", path)
	}
	r := route{method: method}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(path[1:], "/") {
		if len(r.segments) > 0 && r.segments[len(r.segments)-1].rest {
			return route{}, errors.New("a parameter with ... isn't at the end")
		}
		s, err := parseSegment(part)
		if err != nil {
			return route{}, err
		}
		if s.param && seen[s.text] {
			return route{}, fmt.Errorf("parameter %q stands there twice", s.text)
		}
		seen[s.text] = seen[s.text] || s.param
		r.segments = append(r.segments, s)
	}
	return r, nil
}

func parseSegment(part string) (segment, error) {
	inside, opened := strings.CutPrefix(part, "{")
	inside, closed := strings.CutSuffix(inside, "}")
	if !opened && !closed && !strings.ContainsAny(part, "{}") {
		text, err := url.PathUnescape(part)
		if err != nil {
			return segment{}, fmt.Errorf("segment %q: %w", part, err)
		}
		return segment{text: text}, nil
	}
	name, rest := strings.CutSuffix(inside, "...")
	if !opened || !closed || !isName(name) {
		return segment{}, fmt.Errorf("segment %q is neither literal nor one {parameter}", part)
	}
	return segment{text: name, param: true, rest: rest}, nil
}

// isName tells whether s can name a parameter, a constant or a call: a letter or underscore, then these, digits and hyphens.
func isName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// matchPath returns the parameters' decoded values if the path, percent-encoded as it came, fits.
func (r route) matchPath(path string) (map[string]string, bool) {
	params := map[string]string{}
	rest := strings.TrimPrefix(path, "/")
	left := true
	for _, s := range r.segments {
		if s.rest {
			value, err := url.PathUnescape(rest)
			params[s.text] = value
			return params, err == nil
		}
		if !left {
			return nil, false
		}
		var part string
		part, rest, left = strings.Cut(rest, "/")
		value, err := url.PathUnescape(part)
		if err != nil || s.param && value == "" || !s.param && value != s.text {
			return nil, false
		}
		if s.param {
			params[s.text] = value
		}
	}
	return params, !left
}

func (r route) matchMethod(method string) bool {
	return r.method == "" || r.method == method || r.method == "GET" && method == "HEAD"
}
