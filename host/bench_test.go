package host_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
)

// BenchmarkInvoke is a trivial call of a Go plugin in a clean instance, and of the smallest raw one.
func BenchmarkInvoke(b *testing.B) {
	for _, bc := range []struct{ name, dir, yaml, path string }{
		{"http", guestDir, "name: guest", "/state"},
		{"raw", rawDir, "entry: echo", "/"},
	} {
		b.Run(bc.name, func(b *testing.B) {
			p := load(b, newRuntime(b, fetch.Config{}), bc.dir, bc.yaml)
			b.ReportAllocs()
			for b.Loop() {
				call(b, p, bc.path)
			}
		})
	}
}

// BenchmarkFanOut is a group of fetches that are answered at once.
func BenchmarkFanOut(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	defer srv.Close()
	p := load(b, newRuntime(b, fetch.Config{}), guestDir, allowLoopback)
	for _, n := range []int{1, 10, 50} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				call(b, p, "/group", "n", strconv.Itoa(n), "url", srv.URL+"/")
			}
		})
	}
}
