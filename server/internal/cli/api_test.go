package cli

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sortie-run/sortie/server/store"
)

func client(t *testing.T, handler http.HandlerFunc) *api {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := newAPI(server.URL, "s3cret")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAPIWordsFailures(t *testing.T) {
	t.Parallel()
	answer := func(status int, media, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	const media = "application/problem+json"
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"a problem":         {answer(404, media, `{"title":"T","detail":"No such plugin.","code":"plugin_not_found"}`), "the server says plugin_not_found: No such plugin; `sortie list` shows what there is"},
		"several lines":     {answer(422, media, `{"detail":"one\ntwo\nthree","code":"invalid_manifest"}`), "the server says invalid_manifest: one (and 2 more)"},
		"no detail":         {answer(409, media, `{"title":"Conflict","code":"conflict"}`), "the server says conflict: Conflict"},
		"unauthorized":      {answer(401, media, `{"code":"unauthorized"}`), "refused the token in SORTIE_TOKEN"},
		"another server":    {answer(404, "text/html", "<h1>nginx</h1>"), "not as a sortie server does: check SORTIE_SERVER"},
		"a problem without": {answer(500, media, `{}`), "not as a sortie server does"},
		"not JSON":          {answer(200, "application/json", "<h1>"), "JSON that isn't a sortie server's"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			panic(http.ErrAbortHandler)
		}, "can't be reached"},
	} {
		err := client(t, test.handler).get(t.Context(), "/v1/plugins", &struct{}{})
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the token is in the error: %v", name, err)
		}
	}
}

func TestAPIFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(other.Close)
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer s3cret" {
			t.Errorf("Authorization: %q", got)
		}
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	err := c.get(t.Context(), "/v1/plugins", &struct{}{})
	if err == nil || reached.Load() {
		t.Errorf("error %v, reached %t: the token would have gone along", err, reached.Load())
	}
}

func TestAPIBelowAPath(t *testing.T) {
	t.Parallel()
	var path string
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.RequestURI()
		_, _ = io.WriteString(w, `{"url":"/sortie/p/x"}`)
	})
	c.base = c.base.JoinPath("sortie/")
	d, err := c.deploy(t.Context(), deployment{name: "x"}, false)
	if err != nil || path != "/sortie/v1/plugins/x?digest="+url.QueryEscape(store.Digest(nil))+"&traffic=none" || !strings.HasSuffix(d.URL, "/sortie/p/x") || !strings.HasPrefix(d.URL, "http://127.0.0.1:") {
		t.Errorf("asked %s, got %+v, %v", path, d, err)
	}
}

func TestMainWritesNothingElsewhere(t *testing.T) {
	t.Parallel()
	var out, problems strings.Builder
	if status := Main(context.Background(), nil, nil, strings.NewReader(""), &out, &problems); status != exitUsage || out.Len() != 0 || problems.Len() == 0 {
		t.Errorf("status %d, stdout %q, stderr %q", status, &out, &problems)
	}
	problems.Reset()
	if status := Main(context.Background(), []string{"list"}, []string{"SORTIE_SERVER=::"}, strings.NewReader(""), &out, &problems); status != exitUsage || out.Len() != 0 {
		t.Errorf("status %d, stdout %q, stderr %q", status, &out, &problems)
	}
}
