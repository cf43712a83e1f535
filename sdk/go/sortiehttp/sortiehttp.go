// Package sortiehttp lets code written for net/http work in a plugin: API clients that take an *http.Client, and handlers.
//
//	func init() {
//		mux := http.NewServeMux()
//		mux.HandleFunc("GET /issues/{owner}/{repo}", issues)
//		sortiehttp.Serve(mux)
//	}
//
//	func issues(w http.ResponseWriter, r *http.Request) {
//		client, err := github.NewClient(github.WithHTTPClient(sortiehttp.Client()))
//		…
//		list, _, err := client.Issues.ListByRepo(r.Context(), r.PathValue("owner"), r.PathValue("repo"), nil)
//		…
//	}
//
// [Transport] has the host make a client's requests, within the manifest's policy and budget; [Serve] makes any http.Handler the plugin's. Each
// works without the other. Bodies are streams, both ways and on both sides.
//
// # Libraries with no client to set
//
// What uses http.DefaultClient, or a client without a Transport, is served by a line in an init function or at the beginning of main's:
//
//	http.DefaultTransport = new(sortiehttp.Transport)
//
// # What works
//
// Of a client: redirects with CheckRedirect, cookie jars, time-outs, contexts, forms, multipart uploads, io.Pipe as a body, server-sent
// events, goroutines that overlap. Of a server: ServeMux and other routers, middleware, ResponseController and Flusher, reading while
// writing, MaxBytesReader, TimeoutHandler, ServeContent, FileServerFS with an embed.FS, httputil.ReverseProxy with a [Transport]. Package
// httptest's recorder tests handlers, package sortietest whole plugins with what they fetch.
//
// # What doesn't
//
//   - The network: http.ListenAndServe, net.Listen, net.Dial and a plain http.Transport with its proxies, certificates and dialers. Go
//     has a network inside the guest, which leads nowhere else: so they fail when they are used, not when they are compiled.
//   - Upgrades: WebSocket, CONNECT, Hijack. Server push, trailers, and informational statuses, so Expect: 100-continue isn't waited for.
//   - What only the host knows: Response.TLS is nil, Proto is always HTTP/1.1, httptrace hears nothing. Request.Cancel isn't looked at: use
//     the context.
//   - What the host decides. It sends the URL's host in the Host field whatever Request.Host says, it adds Accept, Accept-Encoding and
//     User-Agent where they are missing, and it decodes what comes compressed even if the request named the codings itself.
//   - Files. A multipart form has to fit in the memory that ParseMultipartForm is given.
//   - State between requests, unless the manifest says `isolation: pooled`: each begins in a fresh instance.
//
// # What it costs
//
// A plugin with this package has 11 MB, where one with package sortie alone has 3.3: net/http brings TLS and HTTP/2 along, used or not. A
// deploy compiles that three times as long, some seconds; a server that has seen the module before takes a twentieth of it. An
// invocation costs one or two milliseconds more, and 4 MiB of memory. The largest API clients, of tens of megabytes, are refused as
// invalid_wasm for the time that compiling them would take: prefer those that come in packages of which few are imported.
package sortiehttp

import (
	"net/http"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

// Client makes a client whose requests the host makes, with these options: see [Transport].
func Client(opts ...sortie.Option) *http.Client {
	return &http.Client{Transport: &Transport{Options: opts}}
}
