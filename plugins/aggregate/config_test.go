package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/plugins/internal/settings"
)

func TestConfigurationErrors(t *testing.T) {
	t.Parallel()
	const u = `"url":"https://api.example.com/"`
	tests := []struct{ name, config, key, message string }{
		{"nothing", `{}`, "config.calls", "is missing"},
		{"null", `null`, "config.calls", "is missing"},
		{"no call", `{"calls":{}}`, "config.calls", "holds no call"},
		{"calls of another kind", `{"calls":["a"]}`, "config.calls", "must be an object, not a list"},
		{"an unknown key", `{"call":{"a":{` + u + `}}}`, "config.call", `did you mean "calls"?`},
		{"an unknown key of a call", `{"calls":{"a":{` + u + `,"timout":"1s"}}}`, "config.calls.a.timout", `did you mean "timeout"?`},
		{"no URL", `{"calls":{"a":{}}}`, "config.calls.a.url", "is missing"},
		{"a host from the request", `{"calls":{"a":{"url":"https://{query.h}/"}}}`, "config.calls.a.url", "only constants"},
		{"a relative URL", `{"calls":{"a":{"url":"/a"}}}`, "config.calls.a.url", "https://"},
		{"a name with a dot", `{"calls":{"a.b":{` + u + `}}}`, "config.calls.a.b", "isn't a name"},
		{"an unknown source", `{"calls":{"a":{"url":"https://api.example.com/{env.X}"}}}`, "config.calls.a.url", `"env" is none of`},
		{"an unknown call", `{"calls":{"a":{"url":"https://api.example.com/{calls.b.x}"}}}`, "config.calls.a", `no call "b"`},
		{"an unknown call in the response", `{"calls":{"a":{` + u + `}},"response":{"x":["{calls.b}"]}}`, "config.response", `no call "b"`},
		{"an unknown constant", `{"calls":{"a":{"url":"https://api.example.com/{vars.x}"}}}`, "config.calls.a", `no constant "x"`},
		{"an unknown parameter", `{"route":"/{id}","calls":{"a":{"url":"https://api.example.com/{path.di}"}}}`, "config.calls.a", `no parameter "di"`},
		{"a circle", `{"calls":{"a":{"url":"https://api.example.com/{calls.b}"},"b":{"url":"https://api.example.com/{calls.a}"}}}`, "config.calls", "a → b → a"},
		{"a call that waits for itself", `{"calls":{"a":{` + u + `,"json":{"x":"{calls.a}"}}}}`, "config.calls", "a → a"},
		{"two bodies", `{"calls":{"a":{` + u + `,"json":1,"body":"x"}}}`, "config.calls.a", "json and body"},
		{"a method in lower case", `{"calls":{"a":{` + u + `,"method":"get"}}}`, "config.calls.a.method", "upper case"},
		{"all headers", `{"calls":{"a":{` + u + `,"pass":{"headers":["*"]}}}}`, "config.calls.a.pass.headers[0]", "credentials"},
		{"a duration without a unit", `{"calls":{"a":{` + u + `,"timeout":500}}}`, "config.calls.a.timeout", "duration"},
		{"odd retries", `{"calls":{"a":{` + u + `,"retry":0}}}`, "config.calls.a.retry", "between 1 and"},
		{"odd retries, in full", `{"calls":{"a":{` + u + `,"retry":{"statuses":[9]}}}}`, "config.calls.a.retry.statuses[0]", "between 100 and 599"},
		{"an odd expectation", `{"calls":{"a":{` + u + `,"expect":"2x"}}}`, "config.calls.a.expect", "isn't a list of statuses"},
		{"an odd redirect", `{"calls":{"a":{` + u + `,"redirect":"no"}}}`, "config.calls.a.redirect", "follow, manual, error"},
		{"an odd decoding", `{"calls":{"a":{` + u + `,"decode":"xml"}}}`, "config.calls.a.decode", "auto, json, text"},
		{"an odd target", `{"calls":{"a":{` + u + `,"target":"a["}}}`, "config.calls.a.target", "bracket"},
		{"an index in a field", `{"calls":{"a":{` + u + `,"allow":["a[0]"]}}}`, "config.calls.a.allow[0]", "names only"},
		{"an empty field", `{"calls":{"a":{` + u + `,"deny":[""]}}}`, "config.calls.a.deny[0]", "must be a field"},
		{"a status passed on for nothing", `{"calls":{"a":{` + u + `,"pass_status":[404]}}}`, "config.calls.a.pass_status", "required"},
		{"an odd spread", `{"calls":{"a":{` + u + `}},"response":{"*":"x{calls.a}"}}`, "config.response.*", "one reference"},
		{"an odd template", `{"calls":{"a":{` + u + `}},"response":{"x":"{calls.a"}}`, "config.response.x", "closing brace"},
		{"an odd header", `{"calls":{"a":{` + u + `,"headers":{"x":"}"}}}}`, "config.calls.a.headers.x", "without its {"},
		{"an odd route", `{"route":"users","calls":{"a":{` + u + `}}}`, "config.route", "slash"},
		{"a requirement that is no value of the request", `{"require":["calls.a"],"calls":{"a":{` + u + `}}}`, "config.require[0]", "value of the request"},
		{"an odd status", `{"status":99,"calls":{"a":{` + u + `}}}`, "config.status", "between 200 and 599"},
		{"endpoints and calls", `{"endpoints":[],"calls":{}}`, "config.calls", "beside endpoints"},
		{"no endpoint", `{"endpoints":[]}`, "config.endpoints", "is empty"},
		{"an error inside an endpoint", `{"endpoints":[{"calls":{"a":{}}}]}`, "config.endpoints[0].calls.a.url", "is missing"},
		{"an odd constant", `{"vars":{"a b":1},"calls":{"a":{` + u + `}}}`, "config.vars.a b", "isn't a name"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := readConfiguration(decodeValue([]byte(test.config)))
			var problems settings.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v", err)
			}
			for _, p := range problems {
				if p.Key == test.key && strings.Contains(p.Message, test.message) {
					return
				}
			}
			t.Errorf("got %v, want %q at %s", err, test.message, test.key)
		})
	}
}

func TestMisconfigured(t *testing.T) {
	t.Parallel()
	h := newHost(t, `{"calls":{"a":{"url":"https://api.example.com/","timeuot":"1s","expect":200}}}`, nil)
	wantAnswer(t, invoke(t, h, "GET", "/"), 500, `{"type":"about:blank","title":"Internal Server Error","status":500,"code":"invalid_config",
		"detail":"config.calls.a.timeuot: unknown key; did you mean \"timeout\"?; config.calls.a.expect: must be a string, not a number",
		"problems":[{"key":"config.calls.a.timeuot","message":"unknown key; did you mean \"timeout\"?"},
		{"key":"config.calls.a.expect","message":"must be a string, not a number"}]}`)
}

// FuzzConfiguration holds that no configuration makes the plugin panic.
func FuzzConfiguration(f *testing.F) {
	f.Add([]byte(twoCalls))
	f.Add([]byte(`{"endpoints":[{"route":"GET /{a}","calls":{"b":{"url":"{vars.x}/{path.a}","json":["{calls.b}"]}}}],"vars":{"x":"http://y"}}`))
	f.Add([]byte(`{"calls":[],"response":{"*":{}},"require":[1]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := readConfiguration(decodeValue(text))
		if err == nil && len(c.endpoints) == 0 {
			t.Fatal("neither endpoint nor error")
		}
	})
}
