package cache

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
)

// digest stands for texts that nobody can find out or imitate without the cache's salt, and never collides by accident.
type digest [sha256.Size]byte

func newSalt() (salt [32]byte) {
	_, _ = rand.Read(salt[:]) // it never fails
	return salt
}

// room is what most of what is hashed fits in, so that it stays on the stack.
const room = 1024

// key is URL and credentials.
func (c *Cache) key(r *Request) digest {
	var space [room]byte
	b := append(space[:0], c.salt[:]...)
	b = appendText(append(b, 'k'), r.URL)
	b = appendField(b, r.Header, "Authorization")
	b = appendField(b, r.Header, "Cookie")
	for _, name := range r.Credentials {
		b = appendField(b, r.Header, http.CanonicalHeaderKey(name))
	}
	return sha256.Sum256(b)
}

// wholeKey is URL and all of the request's header, and which of it are credentials.
func (c *Cache) wholeKey(key digest, r *Request) digest {
	var space [room]byte
	var first [24]string
	names := first[:0]
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	b := append(append(space[:0], c.salt[:]...), 'w')
	b = append(b, key[:]...)
	for _, name := range names {
		b = appendField(b, r.Header, name)
	}
	return sha256.Sum256(b)
}

// appendText adds a text so that where it ends can be told.
func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// appendField adds a field if the header has it.
func appendField(b []byte, header http.Header, name string) []byte {
	values, ok := header[name]
	if !ok {
		return b
	}
	b = binary.AppendUvarint(appendText(b, name), uint64(len(values)))
	for _, v := range values {
		b = appendText(b, v)
	}
	return b
}

// maxVary bounds how many fields a response may vary by.
const maxVary = 32

// varies reads Vary: the names, canonical and sorted, and whether a cache can know all there is to it.
func varies(header http.Header) (names []string, ok bool) {
	for _, line := range header["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			switch name = strings.Trim(name, " \t"); name {
			case "":
			case "*":
				return nil, false
			default:
				names = append(names, http.CanonicalHeaderKey(name))
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names, len(names) <= maxVary
}

// selecting stands for what a request has in the fields that a response varies by (RFC 9111, section 4.1).
func (c *Cache) selecting(header http.Header, vary []string) digest {
	var space [room]byte
	b := append(append(space[:0], c.salt[:]...), 'v')
	for _, name := range vary {
		values, ok := header[name]
		if !ok {
			b = append(b, 0)
			continue
		}
		start := len(b)
		b = appendNormal(b, values)
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(b)-start)), 1) // to be told apart from the end
	}
	return sha256.Sum256(b)
}

// appendNormal adds a field's value such that neither the blanks around commas nor how it is spread over lines make a difference. Within
// quotations they do.
func appendNormal(b []byte, values []string) []byte {
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		quoted, member := false, len(b)
		v = strings.Trim(v, " \t")
		for j := 0; j < len(v); j++ {
			switch {
			case quoted && v[j] == '\\' && j+1 < len(v):
				b = append(b, v[j])
				j++
			case v[j] == '"':
				quoted = !quoted
			case !quoted && v[j] == ',':
				for len(b) > member && blank(b[len(b)-1]) {
					b = b[:len(b)-1]
				}
				for j+1 < len(v) && blank(v[j+1]) {
					j++
				}
				b = append(b, ',')
				member = len(b)
				continue
			}
			b = append(b, v[j])
		}
	}
	return b
}

func blank(b byte) bool { return b == ' ' || b == '\t' }

// selected is the entry that a request selects: the newest of those that match.
func (c *Cache) selected(entries []*Entry, header http.Header) *Entry {
	var vary []string
	var is digest
	for _, e := range entries {
		if len(e.vary) == 0 {
			return e
		}
		if vary == nil || !slices.Equal(vary, e.vary) {
			vary, is = e.vary, c.selecting(header, e.vary)
		}
		if is == e.selecting {
			return e
		}
	}
	return nil
}
