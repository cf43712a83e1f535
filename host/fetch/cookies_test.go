package fetch_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

// TestCookiesInAChain: what a hop sets, the next ones send, as far as its domain and path reach; nothing outlives the fetch.
func TestCookiesInAChain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		from string // the first hop's host
		set  string // its Set-Cookie
		own  string // the guest's Cookie
		next string // where the first hop leads to
		want string // the Cookie at the second
	}{
		{"a hop's cookie goes to the next", "a.site.test", "sid=1", "", "http://a.site.test/next", "sid=1"},
		{"beside the guest's own", "a.site.test", "sid=1", "own=2; more=3", "http://a.site.test/next", "own=2; more=3; sid=1"},
		{"in place of the guest's of the same name", "a.site.test", "sid=1", "sid=0; own=2", "http://a.site.test/next", "own=2; sid=1"},
		{"not to another host", "a.site.test", "sid=1", "own=2", "http://b.site.test/next", ""},
		{"to another host of its domain, without the guest's", "a.site.test", "sid=1; Domain=site.test", "own=2", "http://b.site.test/next", "sid=1"},
		{"not for a foreign domain", "a.site.test", "sid=1; Domain=other.test", "", "http://other.test/next", ""},
		{"to another host below a public suffix's name", "a.site.co.uk", "sid=1; Domain=site.co.uk", "", "http://b.site.co.uk/next", "sid=1"},
		{"not for a public suffix", "site.co.uk", "sid=1; Domain=co.uk", "", "http://other.co.uk/next", ""},
		{"not outside its path", "a.site.test", "sid=1; Path=/deep", "", "http://a.site.test/next", ""},
		{"not to http if secure", "a.site.test", "sid=1; Secure", "", "http://a.site.test/next", ""},
		{"not if it has expired", "a.site.test", "sid=1; Max-Age=0", "", "http://a.site.test/next", ""},
		{"not if it is none", "a.site.test", "; ;=", "own=2", "http://a.site.test/next", "own=2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			up := serve(t, func(w http.ResponseWriter, r *http.Request) {
				got = append(got, r.Header.Get("Cookie"))
				if r.URL.Path == "/start" {
					w.Header().Set("Set-Cookie", c.set)
					w.Header().Set("Location", strings.Replace(c.next, "/next", ":"+port(r.Host)+"/next", 1))
					w.WriteHeader(302)
				}
			})
			p := loopback()
			p.Rules = append(p.Rules, manifest.Rule{URL: "http://*.co.uk:*", Private: true})
			b := open(t, fetch.Config{}, p)
			start := "http://" + c.from + ":" + port(up.URL) + "/start"
			r := &fetch.Request{URL: start, Redirect: fetch.Follow}
			if c.own != "" {
				r.Header = []fetch.Field{{Name: "Cookie", Value: c.own}}
			}
			wantOK(t, b.do(r))
			if len(got) != 2 || got[0] != c.own || got[1] != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			got = nil
			wantOK(t, b.do(&fetch.Request{URL: strings.Replace(start, "/start", "/again", 1)}))
			if got[0] != "" {
				t.Errorf("the next fetch sent %q", got[0])
			}
		})
	}
}

func port(host string) string { return host[strings.LastIndexByte(host, ':')+1:] }
