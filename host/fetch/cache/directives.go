package cache

import (
	"math"
	"net/http"
	"strings"
)

// directives are what a Cache-Control says, a request's or a response's (RFC 9111, section 5.2; RFC 5861). Numbers are seconds; -1 is none.
//
// They are read here rather than by a library because a mistake in one directive mustn't hide another: `private=x,no-store` is to be
// read as no-store, and of `max-age=soon, no-cache` the second half counts.
type directives struct {
	noStore, noCache, mustRevalidate, mustUnderstand, onlyIfCached bool

	maxAge, minFresh, maxStale int32
	whileRevalidate, ifError   int32
}

// requestDirectives reads a request's Cache-Control, and Pragma where there is none (RFC 9111, section 5.4).
func requestDirectives(header http.Header) directives {
	lines, ok := header["Cache-Control"]
	if ok {
		return readDirectives(lines)
	}
	d := readDirectives(nil)
	for _, line := range header["Pragma"] {
		d.noCache = d.noCache || readDirectives([]string{line}).noCache
	}
	return d
}

// readDirectives reads the lines of a Cache-Control. Whatever they hold, there is a meaning to it.
func readDirectives(lines []string) directives {
	d := directives{maxAge: -1, minFresh: -1, maxStale: -1, whileRevalidate: -1, ifError: -1}
	for _, line := range lines {
		for line != "" {
			var name, value string
			var valued bool
			name, value, valued, line = nextDirective(line)
			d.take(strings.ToLower(name), value, valued)
		}
	}
	return d
}

// take adds a directive. What is there already stays unless the new one is more restrictive (RFC 9111, section 4.2.1).
func (d *directives) take(name, value string, valued bool) {
	switch name {
	case "no-store":
		d.noStore = true
	case "no-cache":
		d.noCache = true
	case "must-revalidate":
		d.mustRevalidate = true
	case "must-understand":
		d.mustUnderstand = true
	case "only-if-cached":
		d.onlyIfCached = true
	case "max-age":
		d.maxAge = smaller(d.maxAge, secondsOr(value, 0))
	case "stale-while-revalidate":
		d.whileRevalidate = smaller(d.whileRevalidate, secondsOr(value, 0))
	case "stale-if-error":
		d.ifError = smaller(d.ifError, secondsOr(value, 0))
	case "min-fresh":
		d.minFresh = max(d.minFresh, secondsOr(value, math.MaxInt32))
	case "max-stale":
		if !valued {
			value = "2147483647" // stale by any time
		}
		d.maxStale = smaller(d.maxStale, secondsOr(value, 0))
	}
}

// smaller is the smaller of two, of which the first may be none.
func smaller(a, b int32) int32 {
	if a < 0 {
		return b
	}
	return min(a, b)
}

// secondsOr reads delta-seconds (RFC 9111, section 1.2.2): digits, of which too many are as many as there can be. What is no number is bad.
func secondsOr(text string, bad int32) int32 {
	n := int64(0)
	for _, b := range []byte(text) {
		if b < '0' || b > '9' {
			return bad
		}
		n = min(n*10+int64(b-'0'), math.MaxInt32)
	}
	if text == "" {
		return bad
	}
	return int32(n)
}

// nextDirective cuts the first directive off a line. Blanks and semicolons separate them as commas do; a quotation that doesn't begin right
// after the equals sign, or doesn't end, is none.
func nextDirective(line string) (name, value string, valued bool, rest string) {
	line = strings.TrimLeft(line, separators)
	end := strings.IndexAny(line, separators+"=")
	if end < 0 {
		return line, "", false, ""
	}
	name, rest = line[:end], line[end:]
	if rest[0] != '=' {
		return name, "", false, rest
	}
	rest = rest[1:]
	if quoted, after, ok := quotation(rest); ok {
		return name, quoted, true, after
	}
	if end = strings.IndexAny(rest, separators); end < 0 {
		end = len(rest)
	}
	return name, rest[:end], true, rest[end:]
}

const separators = " \t,;"

// quotation cuts a quoted string off, its escapes left as they are.
func quotation(s string) (text, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", s, false
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[1:i], s[i+1:], true
		}
	}
	return "", s, false
}
