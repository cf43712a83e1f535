package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sortie-run/sortie/host"
)

func TestClient(t *testing.T) {
	t.Parallel()
	trusted := newProxies([]string{"10.0.0.0/8", "127.0.0.1/32", "fd00::/8"})
	direct := client{addr: "", scheme: "http", host: "sortie.test"}
	for _, tt := range []struct {
		name  string
		peer  string
		for_  []string
		proto string
		host  string
		want  client // addr "": the peer's
	}{
		{"nobody in front", "203.0.113.9:1234", nil, "", "", direct},
		{"a client that lies", "203.0.113.9:1234", []string{"192.0.2.1"}, "https", "bank.test", direct},
		{"a proxy that says nothing", "10.0.0.1:1234", nil, "", "", direct},
		{"a proxy", "10.0.0.1:1234", []string{"192.0.2.1"}, "https", "api.test", client{"192.0.2.1:0", "https", "api.test"}},
		{"with a port", "10.0.0.1:1234", []string{"192.0.2.1:555"}, "", "", client{"192.0.2.1:555", "http", "sortie.test"}},
		{"IPv6", "[fd00::1]:1234", []string{"2001:db8::1"}, "", "", client{"[2001:db8::1]:0", "http", "sortie.test"}},
		{"IPv6 in brackets", "[fd00::1]:1234", []string{"[2001:db8::1]"}, "", "", client{"[2001:db8::1]:0", "http", "sortie.test"}},
		{"IPv6 with a port", "[fd00::1]:1234", []string{"[2001:db8::1]:7"}, "", "", client{"[2001:db8::1]:7", "http", "sortie.test"}},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1234", []string{"::ffff:192.0.2.1"}, "", "", client{"192.0.2.1:0", "http", "sortie.test"}},
		{"a client that lies to a proxy", "10.0.0.1:1234", []string{"6.6.6.6, 192.0.2.1"}, "", "", client{"192.0.2.1:0", "http", "sortie.test"}},
		{"on a line of its own", "10.0.0.1:1234", []string{"6.6.6.6", "192.0.2.1"}, "", "", client{"192.0.2.1:0", "http", "sortie.test"}},
		{"a chain", "10.0.0.1:1234", []string{"6.6.6.6, 192.0.2.1, 10.0.0.2, 10.0.0.3"}, "", "", client{"192.0.2.1:0", "http", "sortie.test"}},
		{"proxies only", "10.0.0.1:1234", []string{"10.0.0.3,10.0.0.2"}, "", "", client{"10.0.0.3:0", "http", "sortie.test"}},
		{"a stranger's lies end at nonsense", "10.0.0.1:1234", []string{"192.0.2.1, unknown, 10.0.0.2"}, "", "", client{"10.0.0.2:0", "http", "sortie.test"}},
		{"nonsense alone", "10.0.0.1:1234", []string{"_hidden"}, "https", "", client{"", "https", "sortie.test"}},
		{"empty items", "10.0.0.1:1234", []string{" ,192.0.2.1,, "}, "", "", client{"192.0.2.1:0", "http", "sortie.test"}},
		{"each proxy adds its own", "10.0.0.1:1234", []string{"192.0.2.1, 10.0.0.2"}, "https, http", "api.test, inner.test", client{"192.0.2.1:0", "https", "api.test"}},
		{"each adds, after lies", "10.0.0.1:1234", []string{"6.6.6.6, 192.0.2.1"}, "https, http", "evil.test, api.test", client{"192.0.2.1:0", "http", "api.test"}},
		{"another scheme", "10.0.0.1:1234", []string{"192.0.2.1"}, "gopher", "", client{"192.0.2.1:0", "http", "sortie.test"}},
		{"no host", "10.0.0.1:1234", []string{"192.0.2.1"}, "HTTPS", "a/b", client{"192.0.2.1:0", "https", "sortie.test"}},
		{"a host with a port", "10.0.0.1:1234", []string{"192.0.2.1"}, "", "api.test:8443", client{"192.0.2.1:0", "http", "api.test:8443"}},
		{"no address at all", "@", []string{"192.0.2.1"}, "https", "", direct},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://sortie.test/", nil)
		r.RemoteAddr = tt.peer
		r.Header["X-Forwarded-For"] = tt.for_
		if tt.proto != "" {
			r.Header.Set("X-Forwarded-Proto", tt.proto)
		}
		if tt.host != "" {
			r.Header.Set("X-Forwarded-Host", tt.host)
		}
		if tt.want.addr == "" {
			tt.want.addr = tt.peer
		}
		if got := clientOf(forTest(trusted, r)); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
		if tt.want.addr = tt.peer; clientOf(forTest(nil, r)).addr != tt.peer {
			t.Errorf("%s: believed without trusted_proxies", tt.name)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://sortie.test/", nil)
	r.TLS = new(tls.ConnectionState)
	if got := clientOf(forTest(trusted, r)); got.scheme != "https" {
		t.Errorf("%+v", got)
	}
}

// TestForwarded: what proxies say shows in answers and to plugins, and what others say doesn't.
func TestForwarded(t *testing.T) {
	t.Parallel()
	echoes := func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		return &host.Response{Status: 200, Body: []byte(r.RemoteAddr + " " + r.Header.Get("X-Forwarded-For"))}, nil
	}
	forwarded := []string{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "api.test"}
	for _, tt := range []struct{ operator, url, seen string }{
		{"trusted_proxies: [127.0.0.1]", "https://api.test/p/prices", "192.0.2.1:0 192.0.2.1"},
		{"trusted_proxies: [10.0.0.0/8]", "", ""},
		{"", "", ""},
	} {
		s := start(t, echoes, options{operator: tt.operator})
		s.deployed("prices", "", "wasm", "")
		var shown Plugin
		if err := json.Unmarshal([]byte(s.get("/v1/plugins/prices", forwarded...).body), &shown); err != nil {
			t.Fatal(err)
		}
		if want := tt.url; want == "" && shown.URL != s.url+"/p/prices" || want != "" && shown.URL != want {
			t.Errorf("%q: %s", tt.operator, shown.URL)
		}
		if body := s.get("/p/prices", forwarded...).body; tt.seen != "" && body != tt.seen || tt.seen == "" && body[:10] != "127.0.0.1:" {
			t.Errorf("%q: %s", tt.operator, body)
		}
	}
}
