package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// urlTemplate is a URL with references in its path and query. Values are percent-encoded for the place where they stand, all but
// the unreserved characters (RFC 3986, section 2.3), so none can leave its segment or parameter. Where percent-encoding is no
// protection, because servers and URL parsers look through it, the value is refused: dot segments, also behind an encoded
// slash.
//
// Scheme, host and port are fixed when the configuration is read; only constants may give them.
type urlTemplate struct {
	origin   string     // up to the path: "https://api.example.com"
	segments []template // of the path, between the slashes; the first is empty
	query    []template // its parameters, each with name and value
}

func parseURLTemplate(text string, vars map[string]any) (*urlTemplate, error) {
	parts, err := parseTemplate(text)
	if err != nil {
		return nil, err
	}
	parts, err = fixOrigin(parts, vars)
	if err != nil {
		return nil, err
	}
	origin, rest := splitOrigin(parts[0].literal)
	if err := checkOrigin(origin); err != nil {
		return nil, err
	}
	parts[0].literal = rest
	u := &urlTemplate{origin: origin}
	var current template
	inQuery := false
	end := func() {
		if inQuery {
			u.query = append(u.query, current)
		} else {
			u.segments = append(u.segments, current)
		}
		current = nil
	}
	for _, p := range parts {
		if p.ref != nil {
			current = append(current, p)
			continue
		}
		literal := p.literal
		for {
			i := strings.IndexAny(literal, separators(inQuery))
			if i < 0 {
				break
			}
			if i > 0 {
				current = append(current, part{literal: literal[:i]})
			}
			end()
			switch literal[i] {
			case '?':
				inQuery = true
			case '#':
				return nil, errors.New("a fragment (#) is never sent")
			case '\\':
				return nil, errors.New("a backslash counts as a slash in a URL; write the slash")
			}
			literal = literal[i+1:]
		}
		if literal != "" {
			current = append(current, part{literal: literal})
		}
	}
	end()
	return u, nil
}

// separators are the characters that end a segment or parameter, or mustn't be there at all.
func separators(inQuery bool) string {
	if inQuery {
		return "&#"
	}
	return `/?#\`
}

// fixOrigin replaces constants with their values up to the path, so that the first part is literal and holds the origin.
func fixOrigin(parts template, vars map[string]any) (template, error) {
	var prefix strings.Builder
	for i, p := range parts {
		if p.ref == nil {
			prefix.WriteString(p.literal)
			continue
		}
		if origin, rest := splitOrigin(prefix.String()); origin != "" && rest != "" {
			return append(template{{literal: prefix.String()}}, parts[i:]...), nil
		}
		if p.ref.source != fromVars {
			return nil, fmt.Errorf("{%s} stands in the scheme or host, where only constants (vars) may", p.ref.text)
		}
		value, err := (&scope{vars: vars}).text(p.ref)
		if err != nil {
			return nil, err
		}
		prefix.WriteString(value)
	}
	return template{{literal: prefix.String()}}, nil
}

// splitOrigin cuts a URL before its path. The origin is empty if there is none yet.
func splitOrigin(text string) (origin, rest string) {
	start := strings.Index(text, "://")
	if start < 0 {
		return "", text
	}
	start += len("://")
	end := strings.IndexAny(text[start:], `/?#\`)
	if end < 0 {
		return text, ""
	}
	return text[:start+end], text[start+end:]
}

func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	switch {
	case err != nil:
		return err
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("must begin with https:// or http://")
	case u.Hostname() == "":
		return errors.New("has no host")
	case u.User != nil:
		return errors.New("holds a user name; credentials belong in a header, or better in the manifest's secrets")
	case strings.Contains(origin, "%"):
		return errors.New("has a percent sign in its host")
	}
	return nil
}

// refs lists the template's references.
func (u *urlTemplate) refs() []*reference {
	var refs []*reference
	for _, t := range append(u.segments[:len(u.segments):len(u.segments)], u.query...) {
		refs = append(refs, t.refs()...)
	}
	return refs
}

// expand fills in the URL. isRest tells which path parameters hold several segments, whose slashes stay. A query parameter that is
// nothing but one missing reference, as in `page={query.page}`, is left out. more are query parameters to be added, encoded
// already.
func (u *urlTemplate) expand(s *scope, isRest func(*reference) bool, more []string) (string, error) {
	var b strings.Builder
	b.WriteString(u.origin)
	for i, segment := range u.segments {
		if i > 0 {
			b.WriteByte('/')
		}
		text, err := expandSegment(segment, s, isRest)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	params := make([]string, 0, len(u.query)+len(more))
	for _, parameter := range u.query {
		text, err := parameter.text(s, escape)
		if missing, ok := errors.AsType[*valueError](err); ok && missing.missing && optionalParameter(parameter) {
			continue
		}
		if err != nil {
			return "", err
		}
		params = append(params, text)
	}
	if params = append(params, more...); len(params) > 0 {
		b.WriteByte('?')
		b.WriteString(strings.Join(params, "&"))
	}
	return b.String(), nil
}

// optionalParameter tells whether the parameter is `name={reference}`.
func optionalParameter(t template) bool {
	return len(t) == 2 && t[1].ref != nil && strings.HasSuffix(t[0].literal, "=")
}

func expandSegment(t template, s *scope, isRest func(*reference) bool) (string, error) {
	refs := t.refs()
	if len(refs) == 0 {
		return t.text(s, verbatim)
	}
	encode := escape
	if ref := t.sole(); ref != nil && isRest(ref) {
		encode = escapeSegments
	}
	text, err := t.text(s, encode)
	if err != nil {
		return "", err
	}
	decoded, err := url.PathUnescape(text)
	if err != nil {
		return "", &valueError{refs[0], "stands beside an incomplete percent-encoding", false}
	}
	if decoded == "" && !isRest(refs[0]) {
		return "", &valueError{refs[0], "is empty, and so would be a segment of the path", true}
	}
	if hasDotSegment(decoded) {
		return "", &valueError{refs[0], "would make a dot segment (. or ..) of the path", false}
	}
	return text, nil
}

// hasDotSegment looks for dot segments as a server would that decodes before it splits, maybe twice, on either slash.
func hasDotSegment(decoded string) bool {
	for range 2 {
		for segment := range strings.FieldsFuncSeq(decoded, func(c rune) bool { return c == '/' || c == '\\' }) {
			segment, _, _ = strings.Cut(segment, ";") // a parameter to some servers, which drop it
			if segment == "." || segment == ".." {
				return true
			}
		}
		again, err := url.PathUnescape(decoded)
		if err != nil {
			return false
		}
		decoded = again
	}
	return false
}

const upperHex = "0123456789ABCDEF"

// escape percent-encodes all but the unreserved characters.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}

func escapeSegments(s string) string {
	segments := strings.Split(s, "/")
	for i, segment := range segments {
		segments[i] = escape(segment)
	}
	return strings.Join(segments, "/")
}
