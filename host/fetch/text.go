package fetch

import (
	"cmp"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// quote makes a guest's text fit for a message: one line, printable, bounded, in quotation marks.
func quote(text string) string { return `"` + bounded(text, maxQuoted) + `"` }

// foreign makes an upstream's text fit for a message. It may echo a secret, which has to go before the text is cut.
func (c *Client) foreign(text string) string { return bounded(c.Redact(text), maxQuoted) }

// bounded replaces what isn't printable and cuts text to at most limit bytes.
func bounded(text string, limit int) string {
	cut := len(text) > limit
	if cut {
		text = text[:limit]
	}
	if cut || strings.ContainsFunc(text, unprintable) {
		text = strings.Map(func(r rune) rune {
			if unprintable(r) {
				return '?'
			}
			return r
		}, strings.ToValidUTF8(text, "?"))
	}
	if cut {
		text += "…"
	}
	return text
}

func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

// redactor replaces the values of secrets, and what stands behind a scheme in them ("Bearer x"), wherever they show up.
func redactor(secrets []string) *strings.Replacer {
	var values []string
	for _, s := range secrets {
		values = append(values, s, s[strings.LastIndexByte(s, ' ')+1:])
	}
	values = slices.DeleteFunc(values, func(v string) bool { return strings.TrimSpace(v) == "" })
	if len(values) == 0 {
		return nil
	}
	for _, v := range values {
		values = append(values, spellings(v)...)
	}
	// The longest first: a replacer takes the first that matches.
	slices.SortFunc(values, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, v := range values {
		pairs = append(pairs, v, "[secret]")
	}
	return strings.NewReplacer(pairs...)
}

// spellings are the ways in which a text stands in URLs and in JSON, itself among them.
func spellings(text string) (all []string) {
	if strings.IndexFunc(text, func(r rune) bool { return !unreserved(r) }) < 0 {
		return []string{text} // all are the same: most tokens are of that kind
	}
	for _, s := range []string{text, url.QueryEscape(text), url.PathEscape(text), (&url.URL{Path: text}).EscapedPath()} {
		for _, s := range []string{s, escapes.ReplaceAllStringFunc(s, strings.ToLower)} {
			quoted, _ := json.Marshal(s) // a string can't fail
			all = append(all, s, string(quoted[1:len(quoted)-1]), strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// unreserved reports whether a character stands for itself everywhere (RFC 3986, section 2.3; and - in JSON).
func unreserved(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' || r == '~'
}

var escapes = regexp.MustCompile(`%[0-9A-F]{2}`)

// Redact replaces the client's secrets in a text that others will see. An upstream may send one back, and what the guest makes of that is its
// own: a line of its log, say.
func (c *Client) Redact(text string) string {
	if len(c.secretFields) == 0 {
		return text
	}
	r := c.resolved().redactor
	if r == nil {
		return text
	}
	return r.Replace(text)
}

// clean is the last thing that happens to a message.
func (c *Client) clean(message string) string { return bounded(c.Redact(message), maxMessage) }
