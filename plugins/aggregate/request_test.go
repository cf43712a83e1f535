package main

import (
	"net/url"
	"strings"
	"testing"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

// sent runs one call of that configuration and returns what went upstream; nil if nothing did.
func sent(t *testing.T, call, target string, with ...sortietest.With) (*sortie.Request, *sortie.Response) {
	t.Helper()
	h := newHost(t, `{"vars":{"key":"k","n":{"deep":5}},"route":"/{id}/{rest...}","calls":{"a":`+call+`}}`,
		map[string]sortietest.Reply{"https://api.example.com/*": {JSON: "ok"}})
	resp := invoke(t, h, "POST", target, with...)
	requests := h.Requests()
	if len(requests) == 0 {
		return nil, resp
	}
	return requests[0], resp
}

func TestRequests(t *testing.T) {
	t.Parallel()
	with := func() []sortietest.With {
		return []sortietest.With{sortietest.Header("x-user", "ann"), sortietest.Header("authorization", "Bearer t"), sortietest.Header("cookie", "c=1"),
			sortietest.JSON(map[string]any{"id": 7, "tags": []string{"a", "b"}, "name": `q"uote`})}
	}
	tests := []struct {
		name, call, target      string
		method, url, body, typ  string
		header, value, notThere string
	}{
		{name: "plain", call: `{"url":"https://api.example.com/x"}`, target: "/1/", method: "GET", url: "https://api.example.com/x", notThere: "authorization cookie x-user content-type"},
		{name: "route and query", call: `{"url":"https://api.example.com/{path.id}/{path.rest}?q={query.q}"}`, target: "/a%2Fb/c/d%20e?q=%26", method: "GET",
			url: "https://api.example.com/a%2Fb/c/d%20e?q=%26"},
		{name: "method", call: `{"url":"https://api.example.com/x","method":"DELETE"}`, target: "/1/", method: "DELETE", url: "https://api.example.com/x"},
		{name: "headers", call: `{"url":"https://api.example.com/x","headers":{"x-key":"{vars.key}-{header.x-user}","x-none":"{header.x-none}"}}`, target: "/1/", method: "GET",
			url: "https://api.example.com/x", header: "x-key", value: "k-ann", notThere: "x-none"},
		{name: "passed on", call: `{"url":"https://api.example.com/x?a=1","pass":{"query":["q","none"],"headers":["Authorization","x-none"]}}`,
			target: "/1/?q=1&q=%2F%26&z=3", method: "GET", url: "https://api.example.com/x?a=1&q=1&q=%2F%26", header: "authorization", value: "Bearer t", notThere: "cookie x-none"},
		{name: "the whole query", call: `{"url":"https://api.example.com/x","pass":{"query":["*"]}}`, target: "/1/?z=1&a=x%20y", method: "GET",
			url: "https://api.example.com/x?a=x%20y&z=1"},
		{name: "JSON", call: `{"url":"https://api.example.com/x","json":{"id":"{body.id}","all":"{body.tags}","text":"is {body.name}","none":"{body.none}",
			"list":["{body.none}",1],"deep":{"n":"{vars.n.deep}"},"q":"{query.q}"}}`, target: "/1/?q=1", method: "POST", url: "https://api.example.com/x",
			body: `{"all":["a","b"],"deep":{"n":5},"id":7,"list":[null,1],"q":"1","text":"is q\"uote"}`, typ: "application/json"},
		{name: "a form", call: `{"url":"https://api.example.com/x","form":{"a":"{query.q}","b":"{query.none}","c":"x"}}`, target: "/1/?q=%26b=2", method: "POST",
			url: "https://api.example.com/x", body: "a=%26b%3D2&c=x", typ: "application/x-www-form-urlencoded"},
		{name: "text", call: `{"url":"https://api.example.com/x","method":"PUT","headers":{"content-type":"text/csv"},"body":"{path.id},{{}}"}`, target: "/1/", method: "PUT",
			url: "https://api.example.com/x", body: "1,{}", typ: "text/csv"},
		{name: "the request's body", call: `{"url":"https://api.example.com/x","body":"{body}"}`, target: "/1/", method: "POST", url: "https://api.example.com/x",
			body: `{"id":7,"name":"q\"uote","tags":["a","b"]}`, typ: "application/json"},
		{name: "a type of one's own", call: `{"url":"https://api.example.com/x","headers":{"Content-Type":"application/ld+json"},"json":{}}`, target: "/1/", method: "POST",
			url: "https://api.example.com/x", body: `{}`, typ: "application/ld+json"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			req, _ := sent(t, test.call, test.target, with()...)
			if req == nil {
				t.Fatal("nothing was sent")
			}
			if req.Method != test.method || req.URL != test.url || string(req.Body) != test.body {
				t.Errorf("got %s %s %s", req.Method, req.URL, req.Body)
			}
			if got := req.Header.Get("content-type"); test.typ != "" && got != test.typ {
				t.Errorf("content type %q", got)
			}
			if got := req.Header.Get(test.header); got != test.value {
				t.Errorf("%s: %q", test.header, got)
			}
			for name := range strings.FieldsSeq(test.notThere) {
				if values := req.Header.Values(name); values != nil {
					t.Errorf("%s: %q", name, values)
				}
			}
		})
	}
}

// TestHostileValues has values that try to get out of their place. Where nothing is sent the caller is told what is wrong.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, call, value, url, code string }{
		{"another host", `{"url":"https://api.example.com/u/{query.v}"}`, "//evil.example/", "https://api.example.com/u/%2F%2Fevil.example%2F", ""},
		{"user information", `{"url":"https://api.example.com/{query.v}"}`, "@evil.example", "https://api.example.com/%40evil.example", ""},
		{"up the path", `{"url":"https://api.example.com/u/{query.v}/x"}`, "..", "", codeBadValue},
		{"up the path, behind slashes", `{"url":"https://api.example.com/u/{query.v}"}`, "x/../../admin", "", codeBadValue},
		{"up the path, encoded", `{"url":"https://api.example.com/u/{query.v}"}`, "%2e%2e%2fadmin", "", codeBadValue},
		{"a query", `{"url":"https://api.example.com/u/{query.v}"}`, "x?admin=1#", "https://api.example.com/u/x%3Fadmin%3D1%23", ""},
		{"a parameter", `{"url":"https://api.example.com/?a={query.v}"}`, "1&admin=1", "https://api.example.com/?a=1%26admin%3D1", ""},
		{"a header", `{"url":"https://api.example.com/","headers":{"x-v":"{query.v}"}}`, "a\r\nx-admin: 1", "", codeBadValue},
		{"NUL in a header", `{"url":"https://api.example.com/","headers":{"x-v":"v{query.v}"}}`, "\x00", "", codeBadValue},
		{"an empty segment", `{"url":"https://api.example.com/u/{query.v}/x"}`, "", "", codeMissingValue},
		{"a template", `{"url":"https://api.example.com/{query.v}"}`, "{vars.key}", "https://api.example.com/%7Bvars.key%7D", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			req, resp := sent(t, test.call, "/1/?v="+url.QueryEscape(test.value))
			if test.code == "" {
				if req == nil || req.URL != test.url {
					t.Errorf("sent %+v, want %s", req, test.url)
				}
				return
			}
			if req != nil {
				t.Errorf("sent %s", req.URL)
			}
			if resp.Status != 400 || !strings.Contains(string(resp.Body), `"code":"`+test.code+`"`) || !strings.Contains(string(resp.Body), "{query.v}") {
				t.Errorf("got %d %s", resp.Status, resp.Body)
			}
		})
	}
}

// TestInsideStaysInside has an upstream that can't be reached: the answer doesn't say where it is, the log does.
func TestInsideStaysInside(t *testing.T) {
	t.Parallel()
	h := newHost(t, `{"calls":{"a":{"url":"https://internal.example.com/x"},"b":{"url":"https://api.example.com/"}}}`, map[string]sortietest.Reply{
		"https://internal.example.com/x": {Status: 500}, "https://api.example.com/": {}})
	resp := invoke(t, h, "GET", "/")
	if strings.Contains(string(resp.Body), "internal") {
		t.Errorf("the answer is %s", resp.Body)
	}
	if logs := h.Logs(); len(logs) != 1 || !strings.Contains(logs[0].Text, "internal.example.com") {
		t.Errorf("the log is %v", logs)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	h := newHost(t, `{"calls":{"again":{"url":"https://api.example.com/again","retry":{"attempts":3,"backoff":"1ms","statuses":[503]}},
		"moved":{"url":"https://api.example.com/moved","redirect":"manual","expect":"any"},
		"stays":{"url":"https://api.example.com/moved","redirect":"error"}}}`, nil)
	h.Reply("https://api.example.com/again", sortietest.Reply{Status: 503, Times: 2})
	h.Reply("https://api.example.com/again", sortietest.Reply{JSON: "third"})
	h.Reply("https://api.example.com/moved", sortietest.Reply{Status: 302, Header: map[string]string{"location": "https://api.example.com/new"}})
	wantAnswer(t, invoke(t, h, "GET", "/"), 200, `{"again":"third","moved":null,"stays":null,"partial":true,
		"errors":{"stays":{"code":"redirect_blocked","message":"the upstream redirects, and that isn't followed"}}}`)
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	const config = `{"deadline":"1s","endpoints":[
		{"route":"GET /users/{id}","calls":{"user":{"url":"https://api.example.com/users/{path.id}"}},"status":203,"headers":{"cache-control":"max-age={query.age|60}","x-none":"{query.none}"}},
		{"route":"POST /users","require":["body.name","header.x-key"],"calls":{"made":{"url":"https://api.example.com/users","json":{"name":"{body.name}"}}}},
		{"route":"DELETE /users/{id}","calls":{"gone":{"url":"https://api.example.com/users/{path.id}","method":"DELETE"}}}]}`
	tests := []struct {
		name, method, target, body string
		key                        string
		status                     int
		want                       string // in the body
	}{
		{"the first", "GET", "/users/1", "", "", 203, `{"user":"GET"}`},
		{"the first, for its head", "HEAD", "/users/1", "", "", 203, `{"user":"GET"}`},
		{"the second", "POST", "/users", `{"name":"a"}`, "k", 200, `{"made":"POST"}`},
		{"the third", "DELETE", "/users/1", "", "", 200, `{"gone":"DELETE"}`},
		{"no such path", "GET", "/user/1", "", "", 404, `"code":"not_found"`},
		{"no such method", "PUT", "/users/1", "", "", 405, `"code":"method_not_allowed"`},
		{"a required header is missing", "POST", "/users", `{"name":"a"}`, "", 400, `header.x-key is required`},
		{"a required member is missing", "POST", "/users", `{"nam":"a"}`, "k", 400, `body.name is required`},
		{"a required member is empty", "POST", "/users", `{"name":""}`, "k", 400, `body.name is required`},
		{"a body that isn't JSON", "POST", "/users", `name=a`, "k", 400, `body.name is required`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, config, nil)
			h.Func("https://api.example.com/*", func(r *sortie.Request) (*sortie.Response, error) { return sortie.JSON(200, r.Method), nil })
			with := []sortietest.With{sortietest.Body(test.body)}
			if test.key != "" {
				with = append(with, sortietest.Header("x-key", test.key))
			}
			resp := invoke(t, h, test.method, test.target, with...)
			if resp.Status != test.status || !strings.Contains(string(resp.Body), test.want) {
				t.Errorf("got %d %s", resp.Status, resp.Body)
			}
			if test.status >= 400 && len(h.Requests()) != 0 {
				t.Errorf("something was sent: %s", h.Requests()[0].URL)
			}
			if got := resp.Header.Get("cache-control"); test.status == 203 && (got != "max-age=60" || resp.Header.Values("x-none") != nil) {
				t.Errorf("header %v", resp.Header)
			}
			if got := resp.Header.Get("allow"); test.status == 405 && got != "DELETE, GET" {
				t.Errorf("allow: %q", got)
			}
		})
	}
}
