// Command gateway is a plugin that hands requests on: both sides of package sortiehttp, and the standard library between.
package main

import (
	"net/http/httputil"
	"net/url"

	"github.com/sortie-run/sortie/sdk/go/sortiehttp"
)

func main() {}

func init() {
	target := &url.URL{Scheme: "https", Host: "api.example.com"}
	sortiehttp.Serve(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: new(sortiehttp.Transport)})
}
