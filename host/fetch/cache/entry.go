package cache

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/cachecontrol/cacheobject"
)

// Entry is a stored response. Nothing of it is to be changed.
type Entry struct {
	Status int
	Header http.Header
	Body   []byte
	Note   any // the caller's own

	vary      []string
	selecting []string // what the request had in the fields of vary
	size      int64

	directives *cacheobject.ResponseCacheDirectives
	lifetime   time.Duration // for how long it was fresh when it came
	age        time.Duration // how old it was when it came
	received   time.Time
}

// heuristically are the statuses that may be stored without being told for how long (RFC 9110, section 15.1), without those that redirect.
var heuristically = map[int]bool{200: true, 203: true, 204: true, 300: true, 404: true, 405: true, 410: true, 414: true, 501: true}

// newEntry makes an entry of a response, if it may be stored (RFC 9111, section 3).
func newEntry(r *Request, status int, header http.Header, body []byte, sent, received time.Time) (*Entry, bool) {
	e := &Entry{Status: status, Header: header, Body: body, received: received}
	switch {
	case status < 200, status == http.StatusPartialContent, status == http.StatusNotModified, isRedirect(status), header["Set-Cookie"] != nil:
		return nil, false
	}
	var ok bool
	if e.directives, ok = responseDirectives(header); !ok || e.directives.NoStore {
		return nil, false
	}
	if e.vary, ok = varies(header); !ok {
		return nil, false
	}
	for _, name := range e.vary {
		e.selecting = append(e.selecting, selected(r.Header, name))
	}
	explicit := e.fresh(sent)
	if !explicit && !heuristically[status] {
		return nil, false
	}
	e.size = e.weight(r)
	return e, true
}

func isRedirect(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// fresh works out for how long the response is fresh and how old it is already (RFC 9111, sections 4.2.1 to 4.2.3), and tells whether the
// response itself says how long.
func (e *Entry) fresh(sent time.Time) (explicit bool) {
	date, err := http.ParseTime(e.Header.Get("Date"))
	if err != nil {
		date = e.received
	}
	apparent := max(e.received.Sub(date), 0)
	e.age = max(apparent, seconds(e.Header.Get("Age"))+max(e.received.Sub(sent), 0))

	switch expires := e.Header["Expires"]; {
	case e.directives.MaxAge >= 0:
		e.lifetime, explicit = time.Duration(e.directives.MaxAge)*time.Second, true
	case len(expires) > 0:
		explicit = true // one that can't be read is in the past (section 5.3)
		if at, err := http.ParseTime(expires[0]); err == nil && len(expires) == 1 {
			e.lifetime = max(at.Sub(date), 0)
		}
	case heuristically[e.Status]:
		if modified, err := http.ParseTime(e.Header.Get("Last-Modified")); err == nil {
			e.lifetime = min(max(date.Sub(modified)/10, 0), mostHeuristic)
		}
	}
	return explicit
}

// mostHeuristic bounds how long a response is taken for fresh that doesn't say.
const mostHeuristic = 24 * time.Hour

// seconds reads a number of seconds; what can't be read is 0, what is too large is a great deal.
func seconds(text string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31)
	switch {
	case err == nil:
		return time.Duration(n) * time.Second
	case strings.Trim(text, "0123456789 ") == "" && strings.TrimSpace(text) != "":
		return time.Duration(1<<31) * time.Second
	}
	return 0
}

func (e *Entry) weight(r *Request) int64 {
	size := int64(len(e.Body) + len(r.URL) + entryOverhead)
	for name, values := range e.Header {
		size += int64(len(name)) + 64
		for _, v := range values {
			size += int64(len(v)) + 16
		}
	}
	for _, s := range e.selecting {
		size += int64(len(s)) + 32
	}
	return size
}

// ageAt is how old the response is.
func (e *Entry) ageAt(now time.Time) time.Duration { return e.age + max(now.Sub(e.received), 0) }

// staleBy is for how long the response hasn't been fresh; negative: it still is.
func (e *Entry) staleBy(now time.Time) time.Duration { return e.ageAt(now) - e.lifetime }

// stateFor tells what an entry is to a request (RFC 9111, sections 4.2.4 and 5.2.1).
func (e *Entry) stateFor(want *cacheobject.RequestCacheDirectives, now time.Time) State {
	stale := e.staleBy(now)
	if want.NoCache || e.directives.NoCachePresent {
		return Stale
	}
	if limit := want.MaxAge; limit >= 0 && e.ageAt(now) > time.Duration(limit)*time.Second {
		return Stale
	}
	if least := want.MinFresh; least > 0 && -stale < time.Duration(least)*time.Second {
		return Stale
	}
	switch {
	case stale < 0:
		return Fresh
	case e.directives.MustRevalidate:
		return Stale
	case want.MaxStaleSet, want.MaxStale >= 0 && stale <= time.Duration(want.MaxStale)*time.Second:
		return Usable
	case e.directives.StaleWhileRevalidate > 0 && stale <= time.Duration(e.directives.StaleWhileRevalidate)*time.Second:
		return Revalidate
	}
	return Stale
}

// ServesErrors tells whether the entry may still be the answer when the upstream fails or answers with a 5xx (RFC 5861, section 4).
func (e *Entry) ServesErrors(now time.Time) bool {
	limit := e.directives.StaleIfError
	return limit > 0 && !e.directives.MustRevalidate && !e.directives.NoCachePresent && e.staleBy(now) <= time.Duration(limit)*time.Second
}

// Validators are the fields that ask the upstream whether the entry is still right (RFC 9111, section 4.3.1); none: it can't be asked.
func (e *Entry) Validators() http.Header {
	v := http.Header{}
	if tag := e.Header.Get("Etag"); tag != "" {
		v["If-None-Match"] = []string{tag}
	}
	if modified := e.Header.Get("Last-Modified"); modified != "" {
		v["If-Modified-Since"] = []string{modified}
	}
	return v
}

// Answer is the header that the entry is answered with: its own, and its age.
func (e *Entry) Answer(now time.Time) http.Header {
	header := maps.Clone(e.Header)
	header["Age"] = []string{strconv.FormatInt(int64(e.ageAt(now)/time.Second), 10)}
	return header
}

// matches tells whether a request selects this variant.
func (e *Entry) matches(header http.Header) bool {
	for i, name := range e.vary {
		if selected(header, name) != e.selecting[i] {
			return false
		}
	}
	return true
}

// requestDirectives reads a request's Cache-Control, and Pragma where there is none (RFC 9111, section 5.4). ok is false if it can't be.
func requestDirectives(header http.Header) (d *cacheobject.RequestCacheDirectives, ok bool) {
	d, err := cacheobject.ParseRequestCacheControl(strings.Join(header["Cache-Control"], ","))
	if err != nil {
		return nil, false
	}
	if header["Cache-Control"] == nil && strings.Contains(strings.ToLower(header.Get("Pragma")), "no-cache") {
		d.NoCache = true
	}
	return d, true
}

func responseDirectives(header http.Header) (d *cacheobject.ResponseCacheDirectives, ok bool) {
	d, err := cacheobject.ParseResponseCacheControl(strings.Join(header["Cache-Control"], ","))
	return d, err == nil
}
