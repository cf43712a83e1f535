package host_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
)

// An unmodified Extism plugin, built with Extism's own PDK.
func TestRawPlugin(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/binary" {
			_, _ = w.Write([]byte{0xff, 0xfe})
			return
		}
		fmt.Fprintf(w, `{"path":%q}`, r.URL.Path)
	}))
	defer srv.Close()
	rt := newRuntime(t, fetch.Config{})

	echo := load(t, rt, rawDir, "entry: echo")
	for body, want := range map[string]string{
		`{"a": 1}`: "application/json", " [1]": "application/json", "{not json": "text/plain; charset=utf-8", "<html>": "text/html; charset=utf-8",
		"\x89PNG\r\n\x1a\n": "image/png", "": "text/plain; charset=utf-8",
	} {
		resp, _, err := echo.Invoke(t.Context(), request(body))
		if err != nil || string(resp.Body) != body || resp.Status != 200 || resp.Header[0].Value != want {
			t.Errorf("echo of %q: %+v, %v", body, resp, err)
		}
	}
	if echo.Kind() != "raw" {
		t.Error(echo.Kind())
	}

	one := load(t, rt, rawDir, "entry: http_one\n"+allowLoopback)
	body, report := invoke(t, one, srv.URL+"/x")
	if !strings.Contains(body, `"x-path":"/x"`) || !strings.Contains(body, `"status":200`) || len(report.Fetches) != 1 {
		t.Errorf("%s; %+v", body, report.Fetches)
	}

	all := load(t, rt, rawDir, "config: {concurrency: 4}\n"+allowLoopback)
	body, report = invoke(t, all, fmt.Sprintf("[%q, %q]", srv.URL+"/a", srv.URL+"/binary"))
	got := fromJSON[allAnswer](t, body)
	if r := got.Results[0]; r.Status != "fulfilled" || r.Response.Body != `{"path":"/a"}` || r.Response.URL != srv.URL+"/a" {
		t.Error(body)
	}
	if !strings.Contains(body, `"body_base64":"//4="`) || got.Usage.Requests != 2 {
		t.Error(body)
	}
	if !strings.Contains(fmt.Sprint(report.Logs), "info fetching 2 URLs") {
		t.Errorf("log %v", report.Logs)
	}
	if body, _ := invoke(t, all, "[]"); fromJSON[allAnswer](t, body).Results == nil {
		t.Errorf("an empty group: %s", body)
	}

	vars := load(t, rt, rawDir, "entry: vars")
	for range 3 {
		if body, _ := invoke(t, vars, ""); body != "1" {
			t.Fatalf("state is kept: %s", body)
		}
	}

	fail := load(t, rt, rawDir, "entry: fail")
	if _, _, err := try(fail, "", "/"); err == nil || err.Error() != "plugin_error: this export always fails" {
		t.Errorf("%v", err)
	}
}
