package main

import (
	"bytes"
	"html"
	"strings"
)

// Bounds of what is read of a page, so that none can cost more than it may.
const (
	maxScan       = 2 << 20 // of a page
	maxAttributes = 64      // of a tag; further ones are passed over
	maxName       = 32      // of an attribute, or a character reference
	maxTitle      = 300     // characters
)

// tag is a start tag. Names are lower-case; of several attributes with one name the first counts.
type tag struct {
	name       string
	attributes []attribute
}

type attribute struct{ name, value string }

func (t *tag) get(name string) (string, bool) {
	for _, a := range t.attributes {
		if a.name == name {
			return a.value, true
		}
	}
	return "", false
}

// scanHTML finds the start tags of a page that a crawler knows, in their order, as the HTML Standard's tokenizer would on the pages
// there are: comments, declarations, end tags and the insides of scripts and the like are passed over, and nothing that a page
// holds makes it fail. visit is called for each, with the text inside for a title, until it tells false. There is no tree, so tags are seen also
// where a parser would drop them. Tags of other names cost no memory.
func scanHTML(page []byte, visit func(t *tag, text string) bool) {
	page = page[:min(len(page), maxScan)]
	for {
		i := bytes.IndexByte(page, '<')
		if i < 0 || i+1 == len(page) {
			return
		}
		page = page[i+1:]
		switch c := page[0]; {
		case c == '!' || c == '?':
			page = skipDeclaration(page)
		case c == '/':
			page = after(page, ">")
		case isLetter(c):
			name, whole := "", false
			name, page = cutName(page)
			var attributes []attribute
			if attributes, page, whole = readAttributes(page, name != "" && !isRawText(name)); !whole {
				return // cut in the middle
			}
			text := ""
			if isRawText(name) {
				text, page = readRawText(page, name)
			}
			if name != "" && !visit(&tag{name, attributes}, text) {
				return
			}
		}
	}
}

// skipDeclaration passes over a comment, a document type or a processing instruction.
func skipDeclaration(page []byte) []byte {
	if !bytes.HasPrefix(page, []byte("!--")) {
		return after(page, ">")
	}
	page = page[len("!--"):]
	if bytes.HasPrefix(page, []byte(">")) || bytes.HasPrefix(page, []byte("->")) {
		return after(page, ">") // <!--> and <!---> are whole comments
	}
	return after(page, "-->")
}

// after cuts up to and including the mark; without one nothing is left.
func after(page []byte, mark string) []byte {
	_, rest, _ := bytes.Cut(page, []byte(mark))
	return rest
}

// cutName cuts a tag's name. It is empty unless it is one that is known: in lower case then.
func cutName(page []byte) (name string, rest []byte) {
	end := 0
	for end < len(page) && !endsName(page[end]) {
		end++
	}
	var lowered [len("textarea")]byte // the longest that is known
	if end > len(lowered) {
		return "", page[end:]
	}
	for i, c := range page[:end] {
		lowered[i] = lower(c)
	}
	switch known := string(lowered[:end]); known {
	case "a", "area", "base", "meta", "title", "script", "style", "textarea", "iframe", "noembed", "noframes", "xmp":
		return known, page[end:]
	}
	return "", page[end:]
}

// isRawText tells the elements that hold no tags.
func isRawText(name string) bool {
	switch name {
	case "script", "style", "title", "textarea", "iframe", "noembed", "noframes", "xmp":
		return true
	}
	return false
}

// readRawText reads up to the element's end tag.
func readRawText(page []byte, name string) (text string, rest []byte) {
	for i := 0; ; i += len("</") {
		at := bytes.Index(page[i:], []byte("</"))
		if at < 0 {
			return string(page), nil
		}
		i += at
		end := i + len("</") + len(name)
		if end < len(page) && isName(page[i+len("</"):end], name) && endsName(page[end]) {
			return string(page[:i]), after(page[end:], ">")
		}
	}
}

// lower lower-cases ASCII and nothing else: no other letter is equal to one of a name's.
func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

func isName(text []byte, name string) bool {
	for i, c := range text {
		if lower(c) != name[i] {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isSpace(c byte) bool  { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }
func endsName(c byte) bool { return isSpace(c) || c == '/' || c == '>' }

// readAttributes reads a start tag from behind its name to behind its end, and keeps what it reads if told to. It tells false if the page
// ends inside.
func readAttributes(page []byte, keep bool) (attributes []attribute, rest []byte, whole bool) {
	for {
		for len(page) > 0 && (isSpace(page[0]) || page[0] == '/') {
			page = page[1:]
		}
		if len(page) == 0 {
			return nil, nil, false
		}
		if page[0] == '>' {
			return attributes, page[1:], true
		}
		var name, value []byte
		name, value, page = cutAttribute(page)
		if keep && len(attributes) < maxAttributes {
			lowered := bytes.Clone(name[:min(len(name), maxName)])
			for i, c := range lowered {
				lowered[i] = lower(c)
			}
			attributes = append(attributes, attribute{string(lowered), unescape(value)})
		}
	}
}

// cutAttribute cuts `name`, `name=value`, `name='value'` or `name="value"`.
func cutAttribute(page []byte) (name, value, rest []byte) {
	end := 1 // an attribute's name may begin with anything, an equals sign too
	for end < len(page) && page[end] != '=' && !endsName(page[end]) {
		end++
	}
	name, page = page[:end], bytes.TrimLeft(page[end:], " \t\n\r\f")
	if len(page) == 0 || page[0] != '=' {
		return name, nil, page
	}
	page = bytes.TrimLeft(page[1:], " \t\n\r\f")
	if len(page) == 0 {
		return name, nil, nil
	}
	if quote := page[0]; quote == '"' || quote == '\'' {
		end = bytes.IndexByte(page[1:], quote)
		if end < 0 {
			return name, nil, nil
		}
		return name, page[1 : 1+end], page[end+2:]
	}
	end = 0
	for end < len(page) && !isSpace(page[end]) && page[end] != '>' {
		end++
	}
	return name, page[:end], page[end:]
}

// unescape decodes an attribute's character references. Only those with a semicolon: without one `&copy=` in a link would become a
// sign, which is why the HTML Standard exempts attributes from its leniency too. Values beyond any use are cut.
func unescape(raw []byte) string {
	value := string(raw[:min(len(raw), 2*maxURL)])
	if !strings.Contains(value, "&") {
		return value
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(value, '&')
		if i < 0 {
			b.WriteString(value)
			return b.String()
		}
		b.WriteString(value[:i])
		value = value[i:]
		end := 1
		for end < len(value) && end < maxName && (isLetter(value[end]) || value[end] == '#' || value[end] >= '0' && value[end] <= '9') {
			end++
		}
		if end < len(value) && value[end] == ';' {
			b.WriteString(html.UnescapeString(value[:end+1]))
			value = value[end+1:]
			continue
		}
		b.WriteString(value[:end])
		value = value[end:]
	}
}
