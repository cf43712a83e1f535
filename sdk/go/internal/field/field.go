// Package field holds what HTTP says about header fields: what a name and a value may be (RFC 9110, section 5), and which belong to the
// host.
package field

import "strings"

// ValidName tells whether s is a token (RFC 9110, section 5.6.2), as field names and methods have to be.
func ValidName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// ValidValue tells whether s has no control characters but tabs (RFC 9110, section 5.5).
func ValidValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// Owned tells whether a field of a fetch belongs to the host, which drops it: those of the connection, and Sortie's own.
func Owned(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "host", "content-length", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect", "http2-settings":
		return true
	}
	return strings.HasPrefix(name, "proxy-") || strings.HasPrefix(name, "sortie-")
}
