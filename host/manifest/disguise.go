package manifest

import (
	"strings"
	"unicode/utf8"
)

// maxDecodings is how often a path is decoded in search of what it hides.
const maxDecodings = 3

// Disguise says what in a path a server may read as another path, or returns "".
// Such a path matches no rule that has a path.
//
// Slashes, backslashes and dots count however often they are encoded, since a
// proxy in front of the server may decode once and the server again. The rest is
// known ways around rules: servlet containers take "..;x" for "..", what decodes
// first and splits then takes "..%3fx" for it, Windows "..%20"; C ends a string at
// NUL, lax decoders take %c0%af for a slash, and Windows' HTTP.sys %u002f.
func Disguise(path string) string {
	if strings.IndexByte(path, '%') < 0 && strings.IndexByte(path, ';') < 0 { // what else ends a segment is encoded in a parsed URL
		return ""
	}
	text := path
	for depth := range maxDecodings {
		switch {
		case hasEncodedDelimiter(text) && depth == 0:
			return "an encoded slash, backslash or dot"
		case hasEncodedDelimiter(text):
			return "a slash, backslash or dot that is encoded twice"
		case hasWideEscape(text):
			return "an escape of the form %uXXXX"
		case hasDotsAndMore(text):
			return "a dot segment with more behind it"
		}
		decoded := decodeOnce(text)
		switch {
		case decoded == text:
			return ""
		case strings.IndexByte(decoded, 0) >= 0:
			return "an encoded NUL"
		case depth == 0 && !utf8.ValidString(decoded), hasOverlong(decoded): // what is encoded twice may be anything, but for that
			return "percent-encoded bytes that are not UTF-8"
		}
		text = decoded
	}
	if decodeOnce(text) != text {
		return "text that is percent-encoded too many times"
	}
	return ""
}

// hasEncodedDelimiter finds %2f, %2e and %5c, in either case.
func hasEncodedDelimiter(path string) bool {
	for i := 0; i+2 < len(path); i++ {
		if path[i] != '%' {
			continue
		}
		switch [2]byte{path[i+1], path[i+2] | 0x20} {
		case [2]byte{'2', 'f'}, [2]byte{'2', 'e'}, [2]byte{'5', 'c'}:
			return true
		}
	}
	return false
}

// hasWideEscape finds what no standard has, and some servers decode all the same.
func hasWideEscape(path string) bool {
	for i := 0; i+5 < len(path); i++ {
		if path[i] == '%' && path[i+1]|0x20 == 'u' && isHex(path[i+2]) && isHex(path[i+3]) && isHex(path[i+4]) && isHex(path[i+5]) {
			return true
		}
	}
	return false
}

// hasDotsAndMore finds segments such as "..;" and ".;x=y", and what is a dot
// segment up to where a query or a fragment begins or blanks are cut off.
func hasDotsAndMore(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		i := strings.IndexFunc(segment, func(r rune) bool { return r == ';' || r == '?' || r == '#' || r <= ' ' || r == 0x7f })
		if i == 1 && segment[:1] == "." || i == 2 && segment[:2] == ".." {
			return true
		}
	}
	return false
}

// hasOverlong finds bytes that begin an encoding of a character which UTF-8 has
// a shorter one for (RFC 3629, section 3), or more than Unicode has.
func hasOverlong(text string) bool {
	for i := 0; i < len(text); i++ {
		next := byte(0)
		if i+1 < len(text) {
			next = text[i+1]
		}
		switch c := text[i]; {
		case c == 0xc0 || c == 0xc1, c >= 0xf8 && c <= 0xfd, c == 0xe0 && next >= 0x80 && next < 0xa0, c == 0xf0 && next >= 0x80 && next < 0x90:
			return true
		}
	}
	return false
}

// decodeOnce undoes one layer of percent-encoding. A "%" that starts no escape
// stays, as it does in URLs.
func decodeOnce(text string) string {
	if strings.IndexByte(text, '%') < 0 {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]) {
			out = append(out, unhex(text[i+1])<<4|unhex(text[i+2]))
			i += 2
			continue
		}
		out = append(out, text[i])
	}
	return string(out)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
