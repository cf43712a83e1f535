package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestSides: what is on which listener, and that answers of one name the other.
func TestSides(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{})
	s.deployed("prices", "", "wasm", "")
	admin, plugins := s.Admin("0.0.0.0:8080"), s.Plugins()
	ask := func(h http.Handler, method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "http://localhost:9999"+path, nil))
		return w
	}
	for _, tt := range []struct {
		method, path   string
		admin, plugins int
	}{
		{"GET", "/livez", 200, 200},
		{"GET", "/healthz", 200, 200},
		{"GET", "/readyz", 200, 200},
		{"GET", "/openapi.yaml", 200, 200},
		{"GET", "/p/prices", 404, 200},
		{"PROPFIND", "/p/prices/x", 404, 200},
		{"GET", "/v1/plugins", 200, 404},
		{"GET", "/v1/plugins/prices", 200, 404},
		{"DELETE", "/v1/plugins/none", 404, 404},
		{"PUT", "/v1/plugins/other", 415, 404},
		{"GET", "/v1/invocations/x", 404, 404},
		{"GET", "/v1/whoami", 200, 404},
		{"GET", "/", 200, 404},
		{"GET", "/console/app.js", 200, 404},
		{"GET", "/%761/plugins", 404, 404},
		{"GET", "//v1/plugins", 404, 404},
	} {
		if got := ask(admin, tt.method, tt.path); got.Code != tt.admin {
			t.Errorf("admin: %s %s: %d %s", tt.method, tt.path, got.Code, got.Body)
		}
		if got := ask(plugins, tt.method, tt.path); got.Code != tt.plugins || got.Code == 404 && got.Header().Get("Sortie-Error") != codeNotFound {
			t.Errorf("plugins: %s %s: %d %s", tt.method, tt.path, got.Code, got.Body)
		}
	}
	var shown Plugin
	if err := json.Unmarshal(ask(admin, "GET", "/v1/plugins/prices").Body.Bytes(), &shown); err != nil || shown.URL != "http://localhost:8080/p/prices" {
		t.Errorf("%v, %s", err, shown.URL)
	}
	for _, tt := range []struct{ host, addr, want string }{
		{"a.test:9999", ":8080", "a.test:8080"},
		{"a.test", "[::]:8080", "a.test:8080"},
		{"[::1]:9999", "0.0.0.0:8080", "[::1]:8080"},
		{"a.test:9999", "127.0.0.1:8080", "127.0.0.1:8080"},
		{"a.test:9999", "b.test:80", "b.test:80"},
	} {
		if got := elsewhere(tt.host, tt.addr); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
	if !strings.Contains(ask(plugins, "GET", "/p/prices").Body.String(), "hello") {
		t.Error("the plugin isn't called")
	}
}
