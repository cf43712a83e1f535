package cache

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Entry is a stored response. Nothing of it is to be changed.
type Entry struct {
	Status int
	Header http.Header // without the fields that were about the connection; Date was added if there was none
	Body   []byte
	Note   any // the caller's own

	vary      []string
	selecting digest // what the request had in the fields of vary
	size      int64

	says     directives
	explicit bool          // the response says itself for how long it is fresh
	lifetime time.Duration // for how long it was fresh when it was made
	age      time.Duration // how old it was when it came
	sent     time.Time
	received time.Time

	claimed atomic.Int64 // until when, in nanoseconds after received, a caller is asking the upstream in the background
}

// The costs of what isn't text, as measured; they are rather high than low.
const (
	entryOverhead = 1024 // an entry with its place in the store and the header's map
	fieldOverhead = 96   // a field's name and list of values in that map
	valueOverhead = 16
)

// newEntry makes an entry of a response, if it may be stored (RFC 9111, section 3).
func (c *Cache) newEntry(r *Request, status int, header http.Header, body []byte, sent, received time.Time) (*Entry, bool) {
	if status < 200 || status > 599 || status == http.StatusPartialContent || status == http.StatusNotModified || redirects(status) {
		return nil, false
	}
	if _, ok := header["Set-Cookie"]; ok {
		return nil, false
	}
	e := &Entry{Status: status, Body: body, sent: sent, received: received, says: readDirectives(header["Cache-Control"])}
	if e.says.noStore || e.says.mustUnderstand && http.StatusText(status) == "" {
		return nil, false
	}
	var ok bool
	if e.vary, ok = varies(header); !ok {
		return nil, false
	}
	if len(e.vary) > 0 {
		e.selecting = c.selecting(r.Header, e.vary)
	}
	e.calculate(header)
	if !e.explicit && !heuristic(status) {
		return nil, false
	}
	e.Header = storable(header, received)
	e.size = e.weight(r)
	return e, true
}

// heuristic tells whether a status may be stored without being told for how long (RFC 9110, section 15.1).
func heuristic(status int) bool {
	switch status {
	case 200, 203, 204, 300, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

func redirects(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// worthwhile tells whether the entry can be of use.
func (e *Entry) worthwhile() bool {
	return e.lifetime > e.age || e.says.whileRevalidate > 0 || e.says.ifError > 0 || len(e.Validators()) > 0
}

// connection are the fields that aren't stored since they are about the connection that a response came over (RFC 9111, section 3.1).
var connection = [...]string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade",
}

// storable is a copy of a header without what isn't stored, and with a Date (RFC 9110, section 6.6.1).
func storable(header http.Header, received time.Time) http.Header {
	h := maps.Clone(header)
	if h == nil {
		h = make(http.Header, 1)
	}
	for _, line := range header["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			delete(h, http.CanonicalHeaderKey(strings.Trim(name, " \t")))
		}
	}
	for _, name := range connection {
		delete(h, name)
	}
	if len(h["Date"]) == 0 {
		h["Date"] = []string{received.UTC().Format(http.TimeFormat)}
	}
	return h
}

// weight is about what the entry takes in memory.
func (e *Entry) weight(r *Request) int64 {
	size := int64(cap(e.Body)) + int64(len(r.URL)) + entryOverhead
	for name, values := range e.Header {
		size += int64(len(name)) + fieldOverhead
		for _, v := range values {
			size += int64(len(v)) + valueOverhead
		}
	}
	for _, name := range e.vary {
		size += int64(len(name)) + valueOverhead
	}
	return size
}

// Validators are the fields that ask the upstream whether the entry is still right (RFC 9111, section 4.3.1); none: it can't be asked, and the
// request goes out as it is. The fields are the caller's.
func (e *Entry) Validators() http.Header {
	v := http.Header{}
	if tag := e.Header.Get("Etag"); tag != "" {
		v["If-None-Match"] = []string{tag}
	}
	if modified := e.Header.Get("Last-Modified"); modified != "" {
		if _, err := http.ParseTime(modified); err == nil {
			v["If-Modified-Since"] = []string{modified}
		}
	}
	return v
}

// Answer is the header that the entry is answered with: its own, and its age. It is the caller's; its values are not.
func (e *Entry) Answer(now time.Time) http.Header {
	header := maps.Clone(e.Header)
	header["Age"] = []string{strconv.FormatInt(int64(e.ageAt(now)/time.Second), 10)}
	return header
}

// variants are the responses to one URL and credentials that differ by what they vary by, newest first. They aren't changed once stored.
type variants struct{ entries []*Entry }

const (
	maxVariants = 8
	maxWeight   = 1 << 30 // of one key's entries, since otter counts in 32 bits
)

func (v *variants) size() (n int64) {
	for _, e := range v.entries {
		n += e.size
	}
	return n
}

// with is these and a new entry, which takes the place of old. The last of them go when there are too many, or when they take more than
// most. v may be nil, and old too.
func (v *variants) with(e, old *Entry, most int64) *variants {
	next := &variants{append(make([]*Entry, 0, maxVariants), e)}
	if v == nil {
		return next
	}
	size := e.size
	for _, o := range v.entries {
		if size += o.size; o == old {
			size -= o.size
		} else if len(next.entries) == maxVariants || size > most {
			break
		} else {
			next.entries = append(next.entries, o)
		}
	}
	return next
}

// without is these but for one; nil: there are no others.
func (v *variants) without(e *Entry) *variants {
	rest := slices.DeleteFunc(slices.Clone(v.entries), func(o *Entry) bool { return o == e })
	if len(rest) == 0 {
		return nil
	}
	return &variants{rest}
}
