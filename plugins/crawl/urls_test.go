package main

import (
	"net/url"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	tests := []struct{ base, link, want string }{ // want "": no page
		{"", "https://Example.COM", "https://example.com/"},
		{"", "HTTPS://example.com:443/a", "https://example.com/a"},
		{"", "http://example.com:80/", "http://example.com/"},
		{"", "http://example.com:443/", "http://example.com:443/"},
		{"", "http://example.com:/", "http://example.com/"},
		{"", "https://example.com/a/./b/../c", "https://example.com/a/c"},
		{"", "https://example.com/%7euser/%2e%2e/x", "https://example.com/x"},
		{"", "https://example.com/a%2fb", "https://example.com/a%2Fb"},
		{"", "https://example.com/a%2fb|c", "https://example.com/a%2Fb%7Cc"},
		{"", "https://example.com/é b", "https://example.com/%C3%A9%20b"},
		{"", "https://example.com/100%", "https://example.com/100%25"},
		{"", "https://example.com/a#b", "https://example.com/a"},
		{"", "https://example.com/a?b=c#d?e", "https://example.com/a?b=c"},
		{"", "https://example.com/a?", "https://example.com/a"},
		{"", "https://example.com?q=a b%20c&d", "https://example.com/?q=a%20b%20c&d"},
		{"", `https:\\example.com\a\b`, "https://example.com/a/b"},
		{"", "https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443/"},
		{"", "/a", ""},
		{"", "ftp://example.com/", ""},
		{"", "https:///a", ""},
		{"", "https://user@example.com/", ""},
		{"", "https://bücher.example/", ""},
		{"", "https://exa%6dple.com/", "https://example.com/"},
		{"", "https://example.com/" + strings.Repeat("a", maxURL), ""},
		{"https://example.com/a/b?c=d", "", "https://example.com/a/b?c=d"},
		{"https://example.com/a/b?c=d", "#top", "https://example.com/a/b?c=d"},
		{"https://example.com/a/b?c=d", "?e=f", "https://example.com/a/b?e=f"},
		{"https://example.com/a/b?c=d", "?", "https://example.com/a/b"},
		{"https://example.com/a/b", "c", "https://example.com/a/c"},
		{"https://example.com/a/b", "../../../c", "https://example.com/c"},
		{"https://example.com/a/b", "/c", "https://example.com/c"},
		{"https://example.com/a/b", "//other.example/c", "https://other.example/c"},
		{"https://example.com/a/b", " \t/c\n ", "https://example.com/c"},
		{"https://example.com/a/b", "/c\n/d", "https://example.com/c/d"},
		{"https://example.com/a/b", `\c`, "https://example.com/c"},
		{"https://example.com/a/b", "mailto:a@example.com", ""},
		{"https://example.com/a/b", "javascript:void(0)", ""},
		{"https://example.com/a/b", "tel:+1", ""},
		{"https://example.com/a/b", "data:text/html,x", ""},
	}
	for _, test := range tests {
		var base *url.URL
		if test.base != "" {
			base, _ = url.Parse(test.base)
		}
		got, err := resolve(base, test.link)
		if err != nil && test.want != "" || err == nil && got.String() != test.want {
			t.Errorf("%q at %q: got %s, %v, want %q", test.link, test.base, got, err, test.want)
		}
	}
}

func FuzzResolve(f *testing.F) {
	for _, seed := range []string{"a", "//b", "?x=%zz", `\\c`, "https://d:443/%2e%2e/e", "\x00", "a:b", "%", "é", "[", "//[::1]", "/a%2f|"} {
		f.Add(seed)
	}
	base, err := url.Parse("https://example.com/a/b?c")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, link string) {
		l, err := resolve(base, link)
		if err != nil {
			return
		}
		if !strings.HasPrefix(l.target, "/") || strings.ContainsAny(l.target, "# \r\n\t") || len(l.String()) > maxURL {
			t.Fatalf("%q became %q", link, l)
		}
		again, err := parseLocation(l.String())
		if err != nil || again != l {
			t.Fatalf("%q became %q, and that %q, %v", link, l, again, err)
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	base, err := url.Parse("https://example.com/a/b?c")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := resolve(base, "../guide/getting-started.html?lang=en#install"); err != nil {
			b.Fatal(err)
		}
	}
}
