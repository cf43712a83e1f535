package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

// forTest is a request with its Echo context, as frame leaves it.
func forTest(p proxies, r *http.Request) echo.Context {
	c := echo.New().NewContext(r, httptest.NewRecorder())
	s := new(Server)
	s.settings.Store(&settings{proxies: p})
	s.believe(c)
	return c
}

// shownCORS writes the fields of CORS, and Vary, in one line.
func shownCORS(h http.Header) string {
	var parts []string
	for _, f := range []struct{ name, short string }{
		{"Access-Control-Allow-Origin", "origin"}, {"Access-Control-Allow-Credentials", "credentials"}, {"Access-Control-Allow-Methods", "methods"},
		{"Access-Control-Allow-Headers", "headers"}, {"Access-Control-Expose-Headers", "expose"}, {"Access-Control-Max-Age", "age"}, {"Vary", "vary"},
	} {
		for _, value := range h[f.name] {
			value = strings.ReplaceAll(value, "Access-Control-Request-Method, Access-Control-Request-Headers", "asked")
			parts = append(parts, f.short+"="+value)
		}
	}
	return strings.Join(parts, " ")
}

func TestCORSFields(t *testing.T) {
	t.Parallel()
	listed := manifest.CORS{
		Origins: []string{"https://a.test", "https://b.test"}, Methods: []string{"DELETE", "GET"}, Headers: []string{"authorization", "content-type"},
		Expose: []string{"sortie-error"}, Credentials: true, MaxAge: 90e9,
	}
	anyone := manifest.CORS{Origins: []string{"*"}, Methods: []string{"*"}, Headers: []string{"*"}, Expose: []string{"*"}}
	for _, tt := range []struct {
		name              string
		rules             manifest.CORS
		origin            string
		method, headers   string
		preflight, answer string
	}{
		{
			"listed", listed, "https://a.test", "DELETE", "authorization",
			"origin=https://a.test credentials=true methods=DELETE, GET headers=authorization, content-type age=90 vary=Origin vary=asked",
			"origin=https://a.test credentials=true expose=sortie-error vary=Origin",
		},
		{"another", listed, "https://evil.test", "GET", "", "vary=Origin vary=asked", "vary=Origin"},
		{"a longer one", listed, "https://a.test.evil.test", "GET", "", "vary=Origin vary=asked", "vary=Origin"},
		{"another scheme", listed, "http://a.test", "GET", "", "vary=Origin vary=asked", "vary=Origin"},
		{"a sandbox", listed, "null", "GET", "", "vary=Origin vary=asked", "vary=Origin"},
		{
			"anyone", anyone, "null", "PATCH", "x-a,x-b, x c",
			"origin=* methods=PATCH headers=x-a, x-b vary=asked", "origin=* expose=*",
		},
		{"any method, asked with nonsense", anyone, "https://a.test", "P T", "", "origin=* methods=* vary=asked", "origin=* expose=*"},
		{
			"the least", manifest.CORS{Origins: []string{"https://a.test"}}, "https://a.test", "PUT", "x-a",
			"origin=https://a.test methods=GET, HEAD, POST vary=Origin vary=asked", "origin=https://a.test vary=Origin",
		},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/p/a", nil)
		r.Header.Set("Origin", tt.origin)
		r.Header.Set("Access-Control-Request-Method", tt.method)
		if tt.headers != "" {
			r.Header.Set("Access-Control-Request-Headers", tt.headers)
		}
		h := http.Header{}
		if corsPreflight(h, r, &tt.rules); shownCORS(h) != tt.preflight {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, shownCORS(h), tt.preflight)
		}
		c := forTest(nil, r)
		corsHeaders(c, &tt.rules)
		corsHeaders(c, &tt.rules) // a second version was looked at
		if got := shownCORS(c.Response().Header()); got != tt.answer {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.answer)
		}
		if got := spokenFor(c, []fetch.Field{{Name: "access-control-allow-origin"}, {Name: "Vary"}}); len(got) != 1 || got[0].Name != "Vary" {
			t.Errorf("%s: %v", tt.name, got)
		}
		corsHeaders(c, &manifest.CORS{}) // a third, which answers for itself
		if got := shownCORS(c.Response().Header()); got != "" || len(spokenFor(c, make([]fetch.Field, 1))) != 1 {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}

// TestCORS: preflights and answers, with a token and without.
func TestCORS(t *testing.T) {
	t.Parallel()
	const cors = "cors: {origins: ['https://a.test'], methods: [GET, PUT], headers: [authorization], expose: [sortie-error], max_age: 1m}"
	own := func(_ context.Context, src host.Source, r *host.Request) (*host.Response, error) {
		response := &host.Response{Status: 200, Body: []byte(r.Method), Header: []fetch.Field{
			{Name: "Access-Control-Allow-Origin", Value: "*"}, {Name: "access-control-allow-credentials", Value: "true"}, {Name: "Vary", Value: "Accept"},
		}}
		if string(src.Wasm) != "stream" {
			return response, nil
		}
		response.Body, response.Streamed = nil, true
		if err := r.Writer.Begin(response); err != nil {
			return nil, err
		}
		_, err := r.Writer.Write([]byte(r.Method))
		return response, err
	}
	s := start(t, own, options{token: "secret"})
	s.deployed("spoken", cors, "wasm", "")
	s.deployed("stream", cors, "stream", "")
	s.deployed("itself", "", "wasm", "")
	s.deployed("idle", cors, "wasm", "?traffic=none")
	asks := []string{"Origin", "https://a.test", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization"}
	without := func(method, path string, header ...string) answer {
		r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Add(header[i], header[i+1])
		}
		return s.do(r)
	}
	const allowed = "origin=https://a.test methods=GET, PUT headers=authorization age=60 vary=Origin vary=asked"
	for _, path := range []string{"/p/spoken", "/p/spoken/a/b?c", "/p/stream"} {
		a := without(http.MethodOptions, path, asks...)
		if a.StatusCode != http.StatusNoContent || shownCORS(a.Header) != allowed || a.body != "" || a.Header.Get("Sortie-Error") != "" {
			t.Errorf("%s: %d %s %s", path, a.StatusCode, shownCORS(a.Header), a.body)
		}
	}
	// Without a token, what isn't there looks like what answers for itself.
	for _, path := range []string{"/p/none", "/p/itself", "/p/idle"} {
		a := without(http.MethodOptions, path, asks...)
		wantProblem(t, a, http.StatusUnauthorized, codeUnauthorized)
		if got := shownCORS(a.Header); got != "" {
			t.Errorf("%s: %s", path, got)
		}
	}
	if a := s.send(http.MethodOptions, "/p/itself", nil, asks...); a.body != "OPTIONS" || shownCORS(a.Header) != "origin=* credentials=true vary=Accept" {
		t.Errorf("%s %s", a.body, shownCORS(a.Header))
	}
	// What isn't a preflight is the plugin's to answer.
	if a := s.send(http.MethodOptions, "/p/spoken", nil, asks[:2]...); a.body != "OPTIONS" {
		t.Error(a.body)
	}
	for _, path := range []string{"/p/spoken", "/p/stream"} {
		if a := s.get(path, asks[:2]...); a.body != "GET" || shownCORS(a.Header) != "origin=https://a.test expose=sortie-error vary=Origin vary=Accept" {
			t.Errorf("%s: %s %s", path, a.body, shownCORS(a.Header))
		}
		if a := s.get(path, "Origin", "https://b.test"); a.body != "GET" || shownCORS(a.Header) != "vary=Origin vary=Accept" {
			t.Errorf("%s: %s %s", path, a.body, shownCORS(a.Header))
		}
	}
	// The page may read why it's refused.
	a := without(http.MethodGet, "/p/spoken", asks[:2]...)
	wantProblem(t, a, http.StatusUnauthorized, codeUnauthorized)
	if got := shownCORS(a.Header); got != "origin=https://a.test expose=sortie-error vary=Origin" {
		t.Error(got)
	}
}
