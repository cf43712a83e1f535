package policy

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/manifest"
)

var seeds = []string{
	"https://api.example.com/v1/a?b=c#d", "http://0x7f.1/", "http://017700000001", "http://[::ffff:127.0.0.1]:8080//a|b?%zz",
	"http://x//evil.example/%2e%2e%2f", `http:\\a\@b\..\c`, "https://:443/", "http://münchen.example./ä", "http://a@b/", "http://x/\r\n",
	"http://api.example.com@evil.example/", "http://api.example.com.evil.example/", "https://api.example.com:443\\@evil/", "http://1.2.3.-4",
	"http://xn--a", "http://%41%2e/", "//x", "http:x", "http://x/?", "http://x/a%", "http://[[::1]]", "ftp://x", "http://a..b", "http://x:0",
	"http://10-0-0-1", "http://a.0-7", "http://foo.xn--", "http://a≠b", "http://xn--ab-miv", "http://aℵb.example", "http://_İ", "http://א.1a",
	"http://x/..;/%2500", "http://x//%25%32e|", "http://x/%c0%ae%",
}

// checkURL holds u to what is promised of every URL that parses.
func checkURL(t *testing.T, u *URL) {
	t.Helper()
	again, fail := ParseURL(u.String())
	if fail != nil {
		t.Fatalf("%q doesn't parse again: %v", u.String(), fail)
	}
	again.fragment = u.fragment
	if *again != *u {
		t.Fatalf("%q is not a fixed point:\n%+v\n%+v", u.String(), *u, *again)
	}
	if target, host := onTheWire(t, u); target != u.Target() || host != u.Authority() {
		t.Fatalf("%q: matched %q at %q, sends %q to %q", u.String(), u.Target(), u.Authority(), target, host)
	}
	if !strings.HasPrefix(u.Path(), "/") || len(u.String()) > MaxURL {
		t.Fatalf("%q: path %q, %d bytes", u.String(), u.Path(), len(u.String()))
	}
	for _, c := range []byte(u.String() + u.Fragment()) {
		if c <= ' ' || c >= 0x7f {
			t.Fatalf("%q holds %q", u.String(), c)
		}
	}
	// Go's own parser is no judge of paths, but it must see the same host.
	std, err := url.Parse(u.Origin())
	if err != nil || std.Hostname() != u.Host() || std.User != nil {
		t.Fatalf("%q: net/url sees host %v (%v)", u.Origin(), std, err)
	}
	if addr, err := netip.ParseAddr(u.Host()); (err == nil) != u.addr.IsValid() || err == nil && addr != u.addr {
		t.Fatalf("%q: host %q is the address %v, %v", u.String(), u.Host(), u.addr, err)
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, fail := ParseURL(raw)
		if (u == nil) == (fail == nil) {
			t.Fatalf("ParseURL(%q) = %v, %v", raw, u, fail)
		}
		if fail == nil {
			checkURL(t, u)
		}
	})
}

func FuzzResolve(f *testing.F) {
	for _, s := range append([]string{"../a", "//y/", "?q", "#f", `\\y`, "https:a", "/@a", "//@a"}, seeds...) {
		f.Add("https://x.example/a/b?q#f", s)
	}
	f.Fuzz(func(t *testing.T, base, ref string) {
		u, fail := ParseURL(base)
		if fail != nil {
			return
		}
		before := u.String()
		next, fail := u.Resolve(ref)
		if u.String() != before {
			t.Fatalf("Resolve(%q) changed its base %q to %q", ref, before, u.String())
		}
		if fail == nil {
			checkURL(t, next)
		}
	})
}

// No URL is allowed that isn't under the one rule, whatever it looks like.
func FuzzDecide(f *testing.F) {
	for _, s := range seeds {
		f.Add(s, "GET")
	}
	for _, s := range []string{
		"https://a.example.com:8443/v1/../v2", "https://a.example.com:8443/v1/..%2fv2", "https://a.example.com:8443/v1", `https://a.example.com:8443\v1\`,
		"https://example.com:8443/v1/", "https://a.example.com.:8443/v1/", "https://a.example.com:8443/v1/x", "https://xexample.com:8443/v1/",
	} {
		f.Add(s, "POST")
	}
	p, err := New(Config{
		Rules:     []manifest.Rule{{URL: "https://*.example.com:8443/v1/", Methods: []string{"GET"}}},
		HostsDeny: []string{"evil.example.com"},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw, method string) {
		d := p.Explain(method, raw)
		if d.Reason == "" || d.Allowed != (d.Code == "") {
			t.Fatalf("Explain(%q, %q) = %+v", method, raw, d)
		}
		if !d.Allowed {
			return
		}
		u := mustParse(t, raw)
		host, path := u.Request().Host, u.Request().RequestURI()
		if !strings.HasSuffix(host, ".example.com:8443") || strings.HasPrefix(host, ".") || host == "evil.example.com:8443" ||
			u.Scheme() != "https" || u.Host()+":"+u.Port() != host {
			t.Fatalf("%q goes to %s://%s", raw, u.Scheme(), host)
		}
		path, _, _ = strings.Cut(path, "?")
		decoded, err := url.PathUnescape(path)
		if err != nil {
			decoded = path
		}
		for segment := range strings.SplitSeq(strings.ReplaceAll(decoded, `\`, "/"), "/") {
			if segment == ".." || segment == "." {
				t.Fatalf("%q: a server may read %q as another path", raw, path)
			}
		}
		if !strings.HasPrefix(path, "/v1/") || d.Rule == "" || method != "" && !strings.EqualFold(method, "GET") {
			t.Fatalf("%q %q is allowed by %+v with path %q", method, raw, d, path)
		}
	})
}

// Every spelling of an address that parses meets the same verdict as the
// address does.
func FuzzAddress(f *testing.F) {
	for text := range specials {
		if a := netip.MustParseAddr(text); a.Zone() == "" {
			b := a.As16()
			f.Add(b[:])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		inner, form := embedded(addr)
		kind := special(addr)
		if (form != "") != inner.IsValid() || form != "" && kind == "" {
			t.Fatalf("%s: embeds %v (%q), special %q", addr, inner, form, kind)
		}
		plain := addr.Unmap()
		if (plain.IsLoopback() || plain.IsPrivate() || plain.IsLinkLocalUnicast() || plain.IsMulticast() || plain.IsUnspecified()) && kind == "" {
			t.Fatalf("%s is not special", addr)
		}
		if special(addr.WithZone("z")) == "" && addr.Is6() {
			t.Fatalf("%s%%z is not special", addr)
		}
	})
}
