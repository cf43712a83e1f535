package demo

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/manifest"
)

func TestManifestsReachTheUpstreamAlone(t *testing.T) {
	t.Parallel()
	const origin = "http://127.0.0.1:40123"
	for _, name := range Names() {
		data, err := Manifest(name, origin)
		if err != nil {
			t.Fatal(err)
		}
		m, err := manifest.Parse(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m.Name != name || len(m.Fetch.Allow) == 0 {
			t.Errorf("%s: name %q, %d rules", name, m.Name, len(m.Fetch.Allow))
		}
		for _, rule := range m.Fetch.Allow {
			if !strings.HasPrefix(rule.URL, origin) || !rule.Private {
				t.Errorf("%s allows %+v", name, rule)
			}
		}
	}
	if _, err := Manifest("nobody", origin); err == nil {
		t.Error("a plugin that isn't there: no error")
	}
}

func TestUpstream(t *testing.T) {
	t.Parallel()
	handler, err := Upstream()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	for path, want := range map[string]string{
		"/robots.txt": "Disallow: /site/private/", "/site/": "The Lighthouse", "/site/lamp.html": "first order", "/base64/b25l": "one",
		"/site/private/log.html": "Private log", "/site/tides.html": "404", "/delay/11s": "400",
	} {
		res, err := server.Client().Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
		if got := res.Status + string(body); err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %s, %v, want %q", path, got, err, want)
		}
		if origin := res.Header.Get("Access-Control-Allow-Origin"); origin == "" && strings.Contains(path, "site") {
			t.Errorf("%s: no page may read it", path)
		}
		if len(want) != 3 && res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}

func TestCalls(t *testing.T) {
	t.Parallel()
	for _, token := range []bool{false, true} {
		calls := Calls("http://127.0.0.1:8080", token)
		if len(calls) != 3 {
			t.Errorf("%d lines", len(calls))
		}
		for _, line := range calls {
			if !strings.HasPrefix(line, "curl ") || strings.Contains(line, `"Authorization: Bearer $SORTIE_ADMIN_TOKEN"`) != token {
				t.Errorf("token %t: %s", token, line)
			}
		}
	}
}
