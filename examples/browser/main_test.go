package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestServes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"index.js": "export {}", "plugin.wasm": "\x00asm"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := handler(dir, filepath.Join(dir, "plugin.wasm"))
	for path, want := range map[string]struct {
		status      int
		kind, holds string
	}{
		"/":                 {200, "text/html; charset=utf-8", `import { load } from "./sortie/index.js"`},
		"/sortie/index.js":  {200, "text/javascript; charset=utf-8", "export {}"},
		"/plugin.wasm":      {200, "application/wasm", "\x00asm"},
		"/upstream/tea":     {200, "text/plain; charset=utf-8", "3.10"},
		"/upstream/nothing": {404, "text/plain; charset=utf-8", "never heard of it"},
		"/other":            {404, "text/plain; charset=utf-8", ""},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want.status || w.Header().Get("Content-Type") != want.kind || !strings.Contains(w.Body.String(), want.holds) {
			t.Errorf("%s: %d, %s, %q", path, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		if w.Header().Get("Cross-Origin-Embedder-Policy") != "require-corp" {
			t.Errorf("%s: the page isn't isolated", path)
		}
	}
	page, err := os.ReadFile("index.html")
	if err != nil || strings.Count(string(page), "\n") >= 40 {
		t.Errorf("the page has %d lines, %v; it's to show how little it takes", strings.Count(string(page), "\n"), err)
	}
}
