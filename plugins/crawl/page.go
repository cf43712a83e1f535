package main

import (
	"bytes"
	"html"
	"io"
	"net/url"
	"strings"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

// page is what a crawler needs to know of an HTML page.
type page struct {
	title string
	links []location // distinct, in the order they stand there, those to other sites too
}

// maxLinks bounds the links taken of one page: what comes after them isn't read.
const maxLinks = 5000

// readPage finds a page's title and the links that may be followed: those of `a` and `area`, relative to the first `base`, but for
// `rel="nofollow"`. None may be if the page says nofollow or none in a robots meta element or the field X-Robots-Tag, to all or to
// this agent.
func readPage(at location, header sortie.Header, body []byte, agent string) *page {
	p := &page{}
	base, err := url.Parse(at.String())
	if err != nil || !isHTML(header, body) {
		return p
	}
	nofollow := headerForbids(header.Values("x-robots-tag"), agent)
	var hrefs []string
	seenBase, seenTitle := false, false
	scanHTML(body, func(t *tag, text string) bool {
		switch t.name {
		case "title":
			if !seenTitle {
				p.title, seenTitle = cleanTitle(text), true
			}
		case "base":
			if href, ok := t.get("href"); ok && !seenBase {
				seenBase = true
				if l, err := resolve(base, href); err == nil {
					base, _ = url.Parse(l.String())
				}
			}
		case "meta":
			nofollow = nofollow || metaForbids(t, agent)
		case "a", "area":
			rel, _ := t.get("rel")
			if href, ok := t.get("href"); ok && !hasWord(rel, "nofollow") {
				hrefs = append(hrefs, href)
			}
		}
		return len(hrefs) < maxLinks
	})
	if !nofollow && base != nil {
		p.links = resolveAll(base, hrefs)
	}
	return p
}

func resolveAll(base *url.URL, hrefs []string) []location {
	var links []location
	seen, tried := map[location]bool{}, map[string]bool{}
	for _, href := range hrefs {
		if tried[href] { // the same text again, as menus have it: no need to parse it
			continue
		}
		tried[href] = true
		if l, err := resolve(base, href); err == nil && !seen[l] {
			seen[l] = true
			links = append(links, l)
		}
	}
	return links
}

// readBody reads as much of a body as is looked at, and counts the rest, which stays with the host: a batch of large pages must not fill
// the plugin's memory.
func readBody(r io.Reader) (body []byte, size int64, err error) {
	if r == nil {
		return nil, 0, nil
	}
	if closer, ok := r.(io.Closer); ok {
		defer closer.Close()
	}
	body, err = io.ReadAll(io.LimitReader(r, maxScan))
	if err != nil {
		return nil, 0, err
	}
	rest, err := io.Copy(io.Discard, r)
	return body, int64(len(body)) + rest, err
}

// isHTML goes by the content type; where there is none, by the look of the body.
func isHTML(header sortie.Header, body []byte) bool {
	contentType, _, _ := strings.Cut(header.Get("content-type"), ";")
	switch strings.ToLower(strings.TrimSpace(contentType)) {
	case "text/html", "application/xhtml+xml":
		return true
	case "":
		return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
	}
	return false
}

// metaForbids tells whether a meta element keeps this agent from following links.
func metaForbids(t *tag, agent string) bool {
	name, _ := t.get("name")
	content, _ := t.get("content")
	name = strings.TrimSpace(name)
	return (strings.EqualFold(name, "robots") || strings.EqualFold(name, agent)) && directivesForbid(content)
}

// headerForbids does so for X-Robots-Tag, whose values may begin with the name of the agent that they are for.
func headerForbids(values []string, agent string) bool {
	for _, value := range values {
		name, directives, named := strings.Cut(value, ":")
		if !named || strings.Contains(name, ",") { // a colon further on belongs to a directive, such as unavailable_after
			directives = value
		} else if !strings.EqualFold(strings.TrimSpace(name), agent) {
			continue
		}
		if directivesForbid(directives) {
			return true
		}
	}
	return false
}

func directivesForbid(directives string) bool {
	for directive := range strings.SplitSeq(directives, ",") {
		switch strings.ToLower(strings.TrimSpace(directive)) {
		case "nofollow", "none":
			return true
		}
	}
	return false
}

// hasWord looks for one of the words in a list such as rel's.
func hasWord(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if strings.EqualFold(w, word) {
			return true
		}
	}
	return false
}

// cleanTitle decodes a title, makes one line of it and cuts it.
func cleanTitle(text string) string {
	text = text[:min(len(text), 8*maxTitle)]
	text = strings.Join(strings.Fields(html.UnescapeString(strings.ToValidUTF8(text, "\uFFFD"))), " ")
	if runes := []rune(text); len(runes) > maxTitle {
		return strings.TrimSpace(string(runes[:maxTitle-1])) + "…"
	}
	return text
}
