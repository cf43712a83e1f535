// Package console is the web console: a page, its scripts, styles and worker, built from src by esbuild and embedded, so that it needs neither
// Node nor a network. It's the browser's side of the server's API, and knows nothing that /v1 doesn't tell its user.
//
//	console.Page().ServeHTTP(w, r)          // at /
//	file := console.Find("app.js")          // at /console/app.js; nil: there is none
//
// Every file has its content's digest as its ETag and is asked for anew each time: a new server is never shown with an old console.
//
// What the policy in its headers holds: no script or style but these files, nothing that makes a text a script (Trusted Types), no frames, and an
// isolated origin, which the plugins that run in this browser need for their shared memory.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:generate go tool esbuild src/app.ts src/theme.ts src/browser-host.ts worker=../../host/browser/src/worker.ts src/style.css src/index.html src/icon.svg --entry-names=[name] --bundle --minify --format=esm --target=es2022 --charset=utf8 --legal-comments=none --loader:.html=copy --loader:.svg=copy --external:./browser-host.js --external:yaml --external:node:* --log-level=warning --outdir=dist

//go:embed dist
var dist embed.FS

// page is the file at /, which is at no other address.
const page = "index.html"

// contentPolicy is the Content-Security-Policy. A plugin that runs in this browser fetches from where its manifest lets it, so connect-src names
// no hosts; it's compiled here, hence wasm-unsafe-eval, which lets no JavaScript be made from text. The one Trusted Types policy lets the worker
// be started and nothing else: no text can become markup or script.
const contentPolicy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self' http: https:; worker-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'; " +
	"require-trusted-types-for 'script'; trusted-types default"

// header are the fields of every answer. The two Cross-Origin policies make the page cross-origin isolated, which a worker has to be too.
var header = map[string]string{
	"Content-Security-Policy":      contentPolicy,
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Embedder-Policy": "require-corp",
	"Cross-Origin-Resource-Policy": "same-origin",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
	"Cache-Control":                "no-cache",
	"Vary":                         "Accept-Encoding",
}

// types are the media types of the files, whatever the machine's own tables say.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

// File is one of the console's files, and answers with it.
type File struct {
	mediaType       string
	plain, packed   []byte
	plainTag, gzTag string // entity tags
}

// Page is the page itself.
func Page() *File { return files()[page] }

// Find returns the file of that name below /console/, or nil.
func Find(name string) *File {
	if name == page {
		return nil
	}
	return files()[name]
}

// files are all of them, packed when the first is asked for.
var files = sync.OnceValue(func() map[string]*File {
	entries, err := dist.ReadDir("dist")
	if err != nil { // it's compiled in
		panic(err)
	}
	all := make(map[string]*File, len(entries))
	for _, e := range entries {
		data, err := dist.ReadFile(path.Join("dist", e.Name()))
		if err != nil {
			panic(err)
		}
		all[e.Name()] = newFile(e.Name(), data)
	}
	return all
})

func newFile(name string, data []byte) *File {
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // that level is one
	_, _ = w.Write(data)                                       // a Buffer takes all
	_ = w.Close()
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:16])
	return &File{
		mediaType: types[path.Ext(name)], plain: data, packed: packed.Bytes(), plainTag: `"` + digest + `"`, gzTag: `"` + digest + `-gzip"`,
	}
}

// ServeHTTP implements http.Handler for GET and HEAD.
func (f *File) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for name, value := range header {
		h.Set(name, value)
	}
	h.Set("Content-Type", f.mediaType)
	data, tag := f.plain, f.plainTag
	if takesGzip(r.Header.Values("Accept-Encoding")) {
		data, tag = f.packed, f.gzTag
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// takesGzip reports whether a client that sends these Accept-Encoding fields takes gzip.
func takesGzip(lines []string) bool {
	for one := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		name, params, _ := strings.Cut(one, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			_, q, weighted := strings.Cut(strings.ReplaceAll(params, " ", ""), "q=")
			return !weighted || strings.Trim(q, "0.") != ""
		}
	}
	return false
}
