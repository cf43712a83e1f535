package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
)

// canary is an upstream on loopback that no attack may reach, and how many connections it has seen.
func canary(t *testing.T) (port string, seen *atomic.Int32) {
	t.Helper()
	seen = new(atomic.Int32)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			seen.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, seen
}

// attacks are URLs that try to get somewhere the policy doesn't allow, and the code with which each is refused. PORT is the canary's,
// GO the address of an allowed upstream that redirects to what follows it.
var attacks = []struct{ name, url, code string }{
	{"loopback", "http://127.0.0.1:PORT/", "address_denied"},
	{"loopback in decimal", "http://2130706433:PORT/", "address_denied"},
	{"loopback in hex", "http://0x7f000001:PORT/", "address_denied"},
	{"loopback in octal", "http://0177.0.0.1:PORT/", "address_denied"},
	{"loopback cut short", "http://127.1:PORT/", "address_denied"},
	{"loopback, mixed bases", "http://0x7f.1:PORT/", "address_denied"},
	{"loopback with a dot", "http://127.0.0.1.:PORT/", "address_denied"},
	{"loopback, percent-encoded", "http://%31%32%37.0.0.1:PORT/", "address_denied"},
	{"loopback in full-width digits", "http://１２７.0.0.1:PORT/", "address_denied"},
	{"loopback with ideographic dots", "http://127。0。0。1:PORT/", "address_denied"},
	{"loopback in circled digits", "http://①②⑦.0.0.1:PORT/", "address_denied"},
	{"no address", "http://0.0.0.0:PORT/", "address_denied"},
	{"no address, as 0", "http://0:PORT/", "address_denied"},
	{"another loopback", "http://127.255.255.254:PORT/", "address_denied"},
	{"IPv6 loopback", "http://[::1]:PORT/", "address_denied"},
	{"IPv6 loopback, spelt out", "http://[0:0:0:0:0:0:0:1]:PORT/", "address_denied"},
	{"IPv4-mapped", "http://[::ffff:127.0.0.1]:PORT/", "address_denied"},
	{"IPv4-mapped in hex", "http://[::ffff:7f00:1]:PORT/", "address_denied"},
	{"IPv4-compatible", "http://[::127.0.0.1]:PORT/", "address_denied"},
	{"NAT64", "http://[64:ff9b::7f00:1]:PORT/", "address_denied"},
	{"NAT64, local", "http://[64:ff9b:1::7f00:1]:PORT/", "address_denied"},
	{"6to4", "http://[2002:7f00:1::]:PORT/", "address_denied"},
	{"Teredo", "http://[2001:0:7f00:1::]:PORT/", "address_denied"},
	{"link-local", "http://169.254.169.254/latest/meta-data", "address_denied"},
	{"IPv6 link-local", "http://[fe80::1]:PORT/", "address_denied"},
	{"a zone", "http://[fe80::1%25lo]:PORT/", "invalid_url"},
	{"unique local", "http://[fd00::1]:PORT/", "address_denied"},
	{"private", "http://10.0.0.1:PORT/", "address_denied"},
	{"carrier-grade NAT", "http://100.64.0.1:PORT/", "address_denied"},
	{"multicast", "http://224.0.0.1:PORT/", "address_denied"},
	{"broadcast", "http://255.255.255.255:PORT/", "address_denied"},
	{"an impossible address", "http://999.999.999.999:PORT/", "invalid_url"},
	{"an address too large", "http://4294967296:PORT/", "invalid_url"},
	{"localhost", "http://localhost:PORT/", "address_denied"},
	{"below localhost", "http://a.LOCALHOST:PORT/", "address_denied"},
	{"a public name that points inwards", "http://public.test:PORT/", "address_denied"},
	{"that name with a dot", "http://public.test.:PORT/", "address_denied"},
	{"that name in upper case", "http://PUBLIC.TEST:PORT/", "address_denied"},

	{"userinfo", "http://upstream.test@127.0.0.1:PORT/", "invalid_url"},
	{"userinfo, empty", "http://@127.0.0.1:PORT/", "invalid_url"},
	{"userinfo with a password", "http://upstream.test:80@127.0.0.1:PORT/", "invalid_url"},
	{"userinfo behind a backslash", `http://127.0.0.1:PORT\@upstream.test/`, "address_denied"},
	{"a host behind a fragment", "http://127.0.0.1:PORT#@upstream.test/", "address_denied"},
	{"a host behind a query", "http://127.0.0.1:PORT?@upstream.test/", "address_denied"},
	{"a NUL in the host", "http://127.0.0.1%00.upstream.test:PORT/", "invalid_url"},
	{"a line break", "http://127.0.0.1:PORT/\r\nX: y", "invalid_request"},
	{"a tab", "http://127.0.0.1:PO\tRT/", "invalid_url"},
	{"port 0", "http://127.0.0.1:0/", "invalid_url"},
	{"a port too large", "http://127.0.0.1:65536/", "invalid_url"},
	{"a port with a sign", "http://127.0.0.1:+80/", "invalid_url"},
	{"an empty host, which is the path", "http:///path:PORT/", "address_denied"},
	{"no scheme", "//127.0.0.1:PORT/", "invalid_url"},
	{"a file", "file:///etc/passwd", "unsupported_protocol"},
	{"gopher", "gopher://127.0.0.1:PORT/_x", "unsupported_protocol"},
	{"data", "data:text/plain,x", "unsupported_protocol"},
	{"a lookalike", "http://upstreаm.denied:PORT/", "address_denied"},
	{"an unassigned label", "http://xn--a.denied:PORT/", "invalid_url"},
	{"very long", "http://127.0.0.1:PORT/LONG", "invalid_url"},

	{"a path above the rule's", "https://paths.test:PORT/v1/../secret", "host_denied"},
	{"that, encoded", "https://paths.test:PORT/v1/%2e%2e/secret", "host_denied"},
	{"an encoded slash", "https://paths.test:PORT/v1/..%2fsecret", "host_denied"},
	{"an encoded backslash", "https://paths.test:PORT/v1/..%5csecret", "host_denied"},
	{"a backslash", `https://paths.test:PORT/v1\..\secret`, "host_denied"},
	{"a longer segment", "https://paths.test:PORT/v1x", "host_denied"},

	{"a redirect to a denied host", "GOhttp://denied.invalid:PORT/", "address_denied"},
	{"a redirect to loopback", "GOhttp://127.0.0.1:PORT/", "address_denied"},
	{"a redirect to loopback in decimal", "GOhttp://2130706433:PORT/", "address_denied"},
	{"a redirect to mapped loopback", "GOhttp://[::ffff:127.0.0.1]:PORT/", "address_denied"},
	{"a redirect without a scheme", "GO//127.0.0.1:PORT/", "address_denied"},
	{"a redirect with backslashes", `GO\\127.0.0.1:PORT\`, "address_denied"},
	{"a redirect to a name that points inwards", "GOhttp://public.test:PORT/", "address_denied"},
	{"a redirect with userinfo", "GOhttp://upstream.test@127.0.0.1:PORT/", "invalid_url"},
	{"a redirect to a file", "GOfile:///etc/passwd", "unsupported_protocol"},
	{"a redirect to a redirect to loopback", "GOGOhttp://127.0.0.1:PORT/", "address_denied"},
}

// TestPolicyCannotBePassed: none of the attacks gets anywhere, whichever way a plugin fetches. All hosts are allowed here but those with a path
// in their rule, so that it is the guard of addresses that is tried and not a list of names; only one name may point inwards.
func TestPolicyCannotBePassed(t *testing.T) {
	t.Parallel()
	port, seen := canary(t)
	open := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}
	}))
	t.Cleanup(open.Close)
	_, openPort, _ := net.SplitHostPort(open.Listener.Addr().String())
	redirecting := func(to string) string { return "http://upstream.test:" + openPort + "/?to=" + url.QueryEscape(to) }
	const manifest = `
entry: %s
fetch:
  allow: [{url: "http://upstream.test:*", private: true}, "https://paths.test:*/v1/", "http://*:*"]
  limits: {requests: 1000}
`
	rt := newRuntime(t, fetch.Config{Resolver: inwards{}})
	sdk := load(t, rt, guestDir, fmt.Sprintf(manifest, "handle"))
	all := load(t, rt, rawDir, fmt.Sprintf(manifest, "handle"))
	one := load(t, rt, rawDir, fmt.Sprintf(manifest, "http_one"))
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			target := strings.NewReplacer("PORT", port, "PO\tRT", port[:1]+"\t"+port[1:], "LONG", strings.Repeat("a", 9000)).Replace(a.url)
			if to, ok := strings.CutPrefix(target, "GO"); ok {
				if further, ok := strings.CutPrefix(to, "GO"); ok {
					to = redirecting(further)
				}
				target = redirecting(to)
			}
			body, report := call(t, sdk, "/fetch", "url", target)
			if got := fromJSON[struct{ Code string }](t, body); got.Code != a.code {
				t.Errorf("ABI: %s, want %s", body, a.code)
			}
			reported(t, report, a.code)
			body, report = invoke(t, all, string(toJSON(t, []string{target})))
			if got := fromJSON[allAnswer](t, body); len(got.Results) != 1 || got.Results[0].Error.Code != a.code {
				t.Errorf("fetch_all: %s, want %s", body, a.code)
			}
			reported(t, report, a.code)
			body, report = invoke(t, one, target)
			if got := fromJSON[struct{ Status, Length int }](t, body); got.Status != 0 || got.Length != 0 {
				t.Errorf("http_request: %s", body)
			}
			reported(t, report, a.code)
		})
	}
	if n := seen.Load(); n != 0 {
		t.Errorf("the canary saw %d connections", n)
	}
	// The suite can't pass by everything failing.
	if body, _ := call(t, sdk, "/fetch", "url", "http://upstream.test:"+openPort+"/"); strings.Contains(body, "denied") {
		t.Errorf("what is allowed: %s", body)
	}
}

// inwards answers for every name with loopback.
type inwards struct{}

func (inwards) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

func toJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
