// Package demo is what `sortie serve --demo` shows: an upstream to fetch from, and the ready-made plugins configured for it.
//
// The upstream is a real HTTP server: go-httpbin, and a small web site beside it with a robots.txt. It is meant for a loopback listener of
// its own; the plugins may reach that because the demo's operator permits exactly its origin.
package demo

import (
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/mccutchen/go-httpbin/v2/httpbin"
)

//go:embed aggregate.yaml crawl.yaml site
var files embed.FS

// Names of the plugins that are shown: folders of plugins/, and the names they're deployed under.
func Names() []string { return []string{"aggregate", "crawl"} }

// Manifest is the named plugin's manifest for an upstream at origin, such as http://127.0.0.1:40123.
func Manifest(name, origin string) ([]byte, error) {
	data, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, err
	}
	return []byte(strings.ReplaceAll(string(data), "ORIGIN", origin)), nil
}

// Limits of the upstream.
const (
	maxBody  = 1 << 20
	maxDelay = 10 * time.Second
)

// Upstream answers what the plugins fetch: /site/ and /robots.txt are the web site, all else is go-httpbin.
func Upstream() (http.Handler, error) {
	site, err := fs.Sub(files, "site")
	if err != nil {
		return nil, err
	}
	pages := http.FileServerFS(site)
	mux := http.NewServeMux()
	mux.Handle("/robots.txt", forPages(pages))
	mux.Handle("/site/", forPages(http.StripPrefix("/site", pages)))
	mux.Handle("/", httpbin.New(httpbin.WithMaxBodySize(maxBody), httpbin.WithMaxDuration(maxDelay)))
	return mux, nil
}

// forPages lets pages of any origin read the answers, as go-httpbin does: the console runs plugins in its user's browser.
func forPages(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Headers", "*")
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Calls are the three command lines to try against a server at base, such as http://127.0.0.1:8080. If the server wants a token they
// take it from the shell's SORTIE_ADMIN_TOKEN: it is never written out.
func Calls(base string, token bool) []string {
	auth := ""
	if token {
		auth = `-H "Authorization: Bearer $SORTIE_ADMIN_TOKEN" `
	}
	return []string{
		fmt.Sprintf("curl %s'%s/p/aggregate/greeting?name=Ada'", auth, base),
		fmt.Sprintf("curl %s'%s/p/crawl/?max_pages=20'", auth, base),
		fmt.Sprintf("curl -i %s'%s/p/aggregate/denied'", auth, base),
	}
}
