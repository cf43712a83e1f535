package console

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func ask(f *File, method string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost/", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

// TestFilesAreThere: what the page and its scripts name is embedded, and nothing is that can't be served as what it is.
func TestFilesAreThere(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`/console/([a-z.-]+)`).FindAllStringSubmatch(string(Page().plain), -1)
	if len(named) < 4 {
		t.Errorf("the page names %v", named)
	}
	for _, name := range append(named, []string{"", "worker.js"}, []string{"", "browser-host.js"}) {
		if Find(name[1]) == nil {
			t.Errorf("%s isn't embedded", name[1])
		}
	}
	for name, f := range files() {
		if f.mediaType == "" || len(f.plain) == 0 {
			t.Errorf("%s: %q, %d bytes", name, f.mediaType, len(f.plain))
		}
	}
	for _, name := range []string{page, "none.js", "../console.go", ""} {
		if Find(name) != nil {
			t.Errorf("%q is a file", name)
		}
	}
}

// TestNoInline: the policy lets no script or style be that isn't a file of its own, so there must be none.
func TestNoInline(t *testing.T) {
	t.Parallel()
	text := string(Page().plain)
	if regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|javascript:|<script(\s[^>]*)?>[^<]`).MatchString(text) {
		t.Errorf("inline script or style in %s", text)
	}
	policy := ask(Page(), http.MethodGet).Header().Get("Content-Security-Policy")
	for _, unsafe := range []string{"unsafe-inline", "'unsafe-eval'", "data: http", "*"} {
		if strings.Contains(policy, unsafe) {
			t.Errorf("%s in %s", unsafe, policy)
		}
	}
	// Nor anything from elsewhere: the console works offline.
	for name, f := range files() {
		if found := regexp.MustCompile(`(?:src|href)=["']?https?://|@import|url\(["']?http`).Find(f.plain); found != nil {
			t.Errorf("%s loads %s", name, found)
		}
	}
}

// TestMinified: what is embedded is what is served, so it's small. That it's built of these sources, make check sees.
func TestMinified(t *testing.T) {
	t.Parallel()
	if script := string(Find("app.js").plain); strings.Contains(script, "sourceMappingURL") || strings.Count(script, "\n") > 200 {
		t.Error("app.js isn't minified, or has a source map")
	}
}

func TestServing(t *testing.T) {
	t.Parallel()
	f := Find("app.js")
	plain := ask(f, http.MethodGet)
	if plain.Code != 200 || plain.Body.Len() != len(f.plain) || plain.Header().Get("Content-Encoding") != "" || plain.Header().Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("%d, %d bytes, %v", plain.Code, plain.Body.Len(), plain.Header())
	}
	for name, value := range header {
		if plain.Header().Get(name) != value {
			t.Errorf("%s: %q", name, plain.Header().Get(name))
		}
	}
	packed := ask(f, http.MethodGet, "Accept-Encoding", "br, gzip;q=0.8")
	r, err := gzip.NewReader(bytes.NewReader(packed.Body.Bytes()))
	if err != nil || packed.Header().Get("Content-Encoding") != "gzip" {
		t.Fatalf("%v, %v", err, packed.Header())
	}
	if data, err := io.ReadAll(r); err != nil || !bytes.Equal(data, f.plain) {
		t.Errorf("%v, %d bytes", err, len(data))
	}
	for _, got := range []*httptest.ResponseRecorder{plain, packed} {
		again := ask(f, http.MethodGet, "If-None-Match", got.Header().Get("ETag"), "Accept-Encoding", got.Header().Get("Content-Encoding"))
		if again.Code != http.StatusNotModified || again.Body.Len() != 0 || again.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %d, %d bytes", got.Header().Get("ETag"), again.Code, again.Body.Len())
		}
	}
	if plain.Header().Get("ETag") == packed.Header().Get("ETag") {
		t.Error("the two forms have one ETag")
	}
	if head := ask(f, http.MethodHead); head.Code != 200 || head.Body.Len() != 0 {
		t.Errorf("HEAD: %d, %d bytes", head.Code, head.Body.Len())
	}
}

func TestTakesGzip(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"gzip": true, "GZIP": true, "deflate, gzip": true, "gzip;q=1": true, "gzip; q=0.001": true, "gzip;q=0": false, "gzip; q=0.000": false, "": false, "br": false,
		"gzipped": false,
	} {
		if takesGzip([]string{text}) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}
