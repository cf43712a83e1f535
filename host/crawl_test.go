package host_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
)

// The first line of a crawl is with the caller before its last page has been answered.
func TestCrawlStreamsItsLines(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/":
			fmt.Fprint(w, `<title>first</title><a href="/last">`)
		case "/last":
			<-release
			fmt.Fprint(w, `<title>last</title>`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer srv.Close()
	p := load(t, newRuntime(t, fetch.Config{}), "../plugins/crawl", allowLoopback)
	c := newClient()
	done := c.begin(t.Context(), p, "/", srv.URL+"/", nil)
	<-c.head
	lines := ""
	next := func(want string) {
		t.Helper()
		for timeout := time.After(20 * time.Second); !strings.Contains(lines, want); {
			select {
			case piece := <-c.pieces:
				lines += piece
			case <-timeout:
				t.Fatalf("no %s in %s", want, lines)
			}
		}
	}
	next(`"title":"first"`)
	close(release)
	next(`"title":"last"`)
	next(`"type":"summary"`)
	if o := <-done; o.err != nil || len(o.report.Fetches) != 3 {
		t.Errorf("%v, %d fetches", o.err, len(o.report.Fetches))
	}
}
