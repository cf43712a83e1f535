package cache

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
)

func newSalt() (salt [16]byte) {
	_, _ = rand.Read(salt[:]) // it never fails
	return salt
}

// key is URL and credentials; the latter only as a hash that nobody else can make.
func (c *Cache) key(r *Request) string {
	if r.key == "" {
		r.key = r.URL + "\x00" + c.digest(r.Header, func(name string) bool {
			return name == "Authorization" || name == "Cookie" || slices.Contains(r.Credentials, name)
		})
	}
	return r.key
}

// wholeKey has all of the request's header.
func (c *Cache) wholeKey(r *Request) string {
	return c.key(r) + c.digest(r.Header, func(string) bool { return true })
}

// digest hashes the fields that are chosen; without any it is empty.
func (c *Cache) digest(header http.Header, chosen func(name string) bool) string {
	var names []string
	for name := range header {
		if chosen(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	h := sha256.New()
	h.Write(c.salt[:])
	for _, name := range names {
		for _, v := range header[name] {
			// Neither holds a NUL, so nothing can be read in two ways.
			h.Write([]byte(name + "\x00" + v + "\x00\x00"))
		}
	}
	return string(h.Sum(nil)[:16])
}

// varies reads Vary: the names, canonical and sorted, and whether a cache can know all there is to it.
func varies(header http.Header) (names []string, ok bool) {
	for _, line := range header["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			switch name = strings.TrimSpace(name); name {
			case "":
			case "*":
				return nil, false
			default:
				names = append(names, http.CanonicalHeaderKey(name))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), true
}

// selected is what a request has in a field that a response varies by. Whitespace and how the values are spread over lines don't matter.
func selected(header http.Header, name string) string {
	values := header[name]
	if len(values) == 0 {
		return ""
	}
	parts := strings.Split(strings.Join(values, ","), ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return "=" + strings.Join(parts, ",")
}
