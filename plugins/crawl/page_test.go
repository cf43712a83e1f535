package main

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

func TestReadPage(t *testing.T) {
	t.Parallel()
	const at = "https://example.com/dir/page"
	tests := []struct {
		name, header, html, title, links string // links below https://example.com, separated by spaces
	}{
		{"nothing", "", "", "", ""},
		{"title and links", "", `<title> A &amp;
		 B </title><a href="/a">a</a><A HREF='b'>b</A><area href=c>`, "A & B", "/a /dir/b /dir/c"},
		{"the first title", "", "<title>one</title><svg><title>two</title></svg>", "one", ""},
		{"an empty title", "", "<title></title><title>two</title>", "", ""},
		{"an unclosed title", "", "<title>one", "one", ""},
		{"duplicates", "", `<a href="/a"><a href="/a#b"><a href="./../a">`, "", "/a"},
		{"entities in links", "", `<a href="/?a=1&amp;b=2&copy=3&#x26;c&#38;d&lt;">`, "", "/?a=1&b=2&copy=3&c&d%3C"},
		{"no links for us", "", `<a href="mailto:x"><a href="javascript:x"><a><a name=x><link href="/l"><a href="http://[">`, "", ""},
		{"other sites count", "", `<a href="https://other.example/x">`, "", "https://other.example/x"},
		{"a comment", "", `<!-- <a href="/no"> --><a href="/a"><!-- -- > <a href="/no">`, "", "/a"},
		{"short comments", "", `<!--><a href="/a"><!---><a href="/b">`, "", "/a /b"},
		{"declarations", "", `<!doctype html "<a href='/no'>"><?xml <a?><![CDATA[x]]><a href="/a">`, "", "/a"},
		{"scripts and styles", "", `<script>"<a href='/no'>" </scripty <a href='/no'></script ><style><a href="/no"></STYLE><a href="/a">`, "", "/a"},
		{"text areas", "", `<textarea><a href="/no"></textarea><a href="/a">`, "", "/a"},
		{"an unclosed script", "", `<a href="/a"><script><a href="/no">`, "", "/a"},
		{"a bracket in an attribute", "", `<a title=">" data-x='<' href="/a">`, "", "/a"},
		{"the first of two", "", `<a href="/a" href="/b">`, "", "/a"},
		{"spaces and slashes", "", "<a\n/ href\t=\n\"/a\"/><a href=/b/c/>", "", "/a /b/c/"},
		{"odd attributes", "", `<a = ==x "q" href="/a"><a href><a href=><a href=''>`, "", "/a /dir/page"},
		{"cut in a tag", "", `<a href="/a"><a href="/b"`, "", "/a"},
		{"cut in a value", "", `<a href="/a"><a href="/b`, "", "/a"},
		{"no tags", "", `a < b <3 <> </> <`, "", ""},
		{"end tags", "", `</a href="/no"><a href="/a">`, "", "/a"},
		{"base", "", `<a href="x"><base target=_top><base href="/other/"><base href="/no/"><a href="y">`, "", "/other/x /other/y"},
		{"base elsewhere", "", `<base href="https://cdn.example/"><a href="x"><a href="https://example.com/y">`, "", "https://cdn.example/x /y"},
		{"a useless base", "", `<base href="javascript:x"><a href="x">`, "", "/dir/x"},
		{"rel nofollow", "", `<a rel="nofollow" href="/no"><a rel="noopener NoFollow" href="/no"><a rel="nofollowed" href="/a">`, "", "/a"},
		{"meta nofollow", "", `<a href="/no"><meta name="robots" content="noindex, NOFOLLOW">`, "", ""},
		{"meta none", "", `<meta content=none name=ROBOTS><a href="/no">`, "", ""},
		{"meta for us", "", `<meta name="SortieCrawl" content="nofollow"><a href="/no">`, "", ""},
		{"meta for another", "", `<meta name="otherbot" content="nofollow"><meta name=robots content=noindex><a href="/a">`, "", "/a"},
		{"a header", "noindex, nofollow", `<a href="/no">`, "", ""},
		{"a header for us", "sortiecrawl: none", `<a href="/no">`, "", ""},
		{"a header for another", "otherbot: none", `<a href="/a">`, "", "/a"},
		{"a header with a date", "nofollow, unavailable_after: 25 Jun 2030 15:00:00 PST", `<a href="/no">`, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			header := sortie.Header{"content-type": {"text/html; charset=utf-8"}}
			if test.header != "" {
				header.Set("x-robots-tag", test.header)
			}
			l, err := parseLocation(at)
			if err != nil {
				t.Fatal(err)
			}
			got := readPage(l, header, []byte(test.html), "sortiecrawl")
			if got.title != test.title {
				t.Errorf("title %q, want %q", got.title, test.title)
			}
			var links []string
			for _, link := range got.links {
				links = append(links, strings.TrimPrefix(link.String(), "https://example.com"))
			}
			if want := strings.Fields(test.links); !slices.Equal(links, want) {
				t.Errorf("links %q, want %q", links, want)
			}
		})
	}
}

func TestReadPageTypes(t *testing.T) {
	t.Parallel()
	at := location{"https://example.com", "/"}
	for contentType, want := range map[string]int{
		"text/html": 1, "TEXT/HTML;charset=x": 1, "application/xhtml+xml": 1, "": 1, "text/plain": 0, "application/pdf": 0, "image/svg+xml": 0,
	} {
		header := sortie.Header{"content-type": {contentType}}
		if got := len(readPage(at, header, []byte(` <a href="/a">`), "x").links); got != want {
			t.Errorf("%q: %d links, want %d", contentType, got, want)
		}
	}
}

func TestReadPageBounds(t *testing.T) {
	t.Parallel()
	at := location{"https://example.com", "/"}
	read := func(html string) *page {
		return readPage(at, sortie.Header{"content-type": {"text/html"}}, []byte(html), "x")
	}
	if n := len(read(strings.Repeat(`<a href="/`+"x"+`">`, 10) + numbered(maxLinks+10)).links); n > maxLinks {
		t.Errorf("%d links, at most %d are taken", n, maxLinks)
	}
	if title := read("<title>" + strings.Repeat("é", 2*maxTitle)).title; len([]rune(title)) != maxTitle {
		t.Errorf("a title of %d characters", len([]rune(title)))
	}
	if got := read(strings.Repeat(" ", maxScan) + `<a href="/late">`).links; len(got) != 0 {
		t.Errorf("a link beyond the bound: %v", got)
	}
	if got := read(`<a ` + strings.Repeat("x ", maxAttributes) + `href="/late"><a href="/a">`).links; len(got) != 1 {
		t.Errorf("links %v, want the second alone", got)
	}
	if got := read(`<title>` + "a\xffb").title; got != "a\uFFFDb" {
		t.Errorf("title %q", got)
	}
}

func BenchmarkScanHTML(b *testing.B) {
	page := []byte("<!doctype html><title>t</title>" + strings.Repeat(`<div class="row"><p>some text<span id=x>more</span> <a href="/x">a</a></div>`+"\n", 2000))
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		scanHTML(page, func(*tag, string) bool { return true })
	}
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`<a href="/` + strings.Repeat("i", i%50) + "/" + strings.Repeat("j", i/50) + `">`)
	}
	return b.String()
}

func FuzzScanHTML(f *testing.F) {
	for _, seed := range []string{`<a href="/x">y</a>`, `<!--><script></scrip`, `<title>&#x26;&`, `<base href=//x><a href='`, "<a\x00=b c=", `<a/b/c=/>`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, html []byte) {
		tags := 0
		scanHTML(html, func(tag *tag, text string) bool {
			tags++
			if tag.name == "" || len(tag.attributes) > maxAttributes || strings.ContainsAny(tag.name, " />") {
				t.Fatalf("tag %+v", tag)
			}
			if len(text) > len(html) {
				t.Fatalf("a text of %d bytes in a page of %d", len(text), len(html))
			}
			return true
		})
		if tags > strings.Count(string(html), "<") {
			t.Fatalf("%d tags in %q", tags, html)
		}
		header := sortie.Header{"content-type": {"text/html"}}
		for _, link := range readPage(location{"https://example.com", "/"}, header, html, "x").links {
			if again, err := parseLocation(link.String()); err != nil || again != link {
				t.Fatalf("link %q isn't in normal form: %q, %v", link, again, err)
			}
		}
	})
}

// brokenReader gives its text, then an error.
type brokenReader struct {
	io.Reader
	err    error
	closed bool
}

func (r *brokenReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if errors.Is(err, io.EOF) && r.err != nil {
		err = r.err
	}
	return n, err
}

func (r *brokenReader) Close() error {
	r.closed = true
	return nil
}

func TestReadBody(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, test := range []struct {
		name       string
		size, kept int
		err        error
	}{{"small", 10, 10, nil}, {"empty", 0, 0, nil}, {"large", maxScan + 10, maxScan, nil}, {"cut short", 10, 0, broken}} {
		r := &brokenReader{Reader: strings.NewReader(strings.Repeat("x", test.size)), err: test.err}
		body, size, err := readBody(r)
		if len(body) != test.kept || !errors.Is(err, test.err) || err == nil && size != int64(test.size) || !r.closed {
			t.Errorf("%s: %d bytes of %d, %v, closed %v", test.name, len(body), size, err, r.closed)
		}
	}
	if body, size, err := readBody(nil); body != nil || size != 0 || err != nil {
		t.Errorf("no body: %d, %v", size, err)
	}
}
