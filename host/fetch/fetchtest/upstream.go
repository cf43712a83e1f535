package fetchtest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// upstream is a server that does what its targets say, word by word:
//
//	/echo              answers with the method, the target and, after them, the body; of the fields that ?show= names, a line each
//	/count             answers with how often it was asked for this path
//	/status/404        answers so
//	/bytes/10          answers with so many bytes and their number; /chunks/10 without
//	/enc/gzip,br       answers with an encoded body, of ?n= bytes; ?broken= is the body's last byte changed, ?cut= is it left out
//	/fields/10         answers with so many fields
//	/etag/v            answers with an entity tag, or that nothing has changed
//	/to/302/x          redirects to /x, or where ?at= says; /loop redirects to ever longer paths
//	/fail/2/503/x      answers so the first two times, once it has read the request's body, and then as /x
//	/late/x            answers as /x the first time, and then that it can't
//	/abort/2/x         breaks off the first two times, before it answers
//	/hang              lets wait until the client has gone; /hang/2/x the first two times
//	/head              answers with a head and the beginning of a body, and lets wait for the rest; /cut breaks off there
//	/drip              answers with a body that goes on for ever, a byte at a time
//	/deaf              doesn't read the request's body, and lets wait
//	/met/2/x           as /x, once two requests hang
//	/after/20ms/x      as /x, after that time; /v1/x is as /x too
//
// Anywhere, ?set=name:value is a field of the answer.
type upstream struct {
	port  string
	seen  atomic.Int32 // requests
	gone  atomic.Int32 // requests that were given up while they waited
	hangs atomic.Int32 // requests that wait, or did
	now   atomic.Int32 // requests at the moment
	most  atomic.Int32 // requests at once, so far
	quit  chan struct{}

	mu     sync.Mutex
	counts map[string]int
}

func newUpstream(t testing.TB, w wire) *upstream {
	u := &upstream{quit: make(chan struct{}), counts: map[string]int{}}
	s := start(t, w, u)
	_, u.port, _ = strings.Cut(s.Listener.Addr().String(), ":")
	t.Cleanup(func() {
		close(u.quit)
		s.CloseClientConnections()
		s.Close()
	})
	return u
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.seen.Add(1)
	now := u.now.Add(1)
	defer u.now.Add(-1)
	for most := u.most.Load(); now > most && !u.most.CompareAndSwap(most, now); most = u.most.Load() {
	}
	for _, line := range query(r, "set") {
		name, value, _ := strings.Cut(line, ":")
		w.Header()[http.CanonicalHeaderKey(name)] = append(w.Header()[http.CanonicalHeaderKey(name)], value)
	}
	u.serve(w, r, strings.TrimPrefix(r.URL.EscapedPath(), "/"))
}

// serve does what a path says.
func (u *upstream) serve(w http.ResponseWriter, r *http.Request, path string) {
	word, rest, _ := strings.Cut(path, "/")
	first, after, _ := strings.Cut(rest, "/")
	switch word {
	case "hang":
		if first == "" || u.count(r.URL.Path) <= number(first) {
			u.hang(r)
			return
		}
		u.serve(w, r, after)
	case "fail":
		status, then, _ := strings.Cut(after, "/")
		if u.count(r.URL.Path) <= number(first) {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(number(status))
			fmt.Fprint(w, status)
			return
		}
		u.serve(w, r, then)
	case "v1":
		u.serve(w, r, rest)
	case "late":
		if u.count(r.URL.Path) > 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		u.serve(w, r, rest)
	case "abort":
		if u.count(r.URL.Path) <= number(first) {
			panic(http.ErrAbortHandler)
		}
		u.serve(w, r, after)
	case "met":
		if !settles(func() bool { return int(u.hangs.Load()) >= number(first) }) {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		u.serve(w, r, after)
	case "after":
		d, _ := time.ParseDuration(first)
		select {
		case <-time.After(d):
			u.serve(w, r, after)
		case <-r.Context().Done():
			u.gone.Add(1)
		}
	default:
		u.answer(w, r, word, rest)
	}
}

// answer does what the last word of a path says.
func (u *upstream) answer(w http.ResponseWriter, r *http.Request, word, rest string) {
	switch word {
	case "count":
		fmt.Fprint(w, u.count(r.URL.Path))
	case "status":
		w.WriteHeader(number(rest))
		fmt.Fprint(w, rest)
	case "to":
		redirect(w, r, rest)
	case "loop":
		w.Header().Set("Location", r.URL.Path+"/x")
		w.WriteHeader(http.StatusFound)
	case "bytes":
		w.Header().Set("Content-Length", rest)
		zeros(w, number(rest))
	case "chunks":
		flush(w)
		zeros(w, number(rest))
	case "enc":
		encodedBody(w, r, rest)
	case "fields":
		for i := range number(rest) {
			w.Header().Set("X-"+strconv.Itoa(i), "x")
		}
	case "etag":
		w.Header().Set("Etag", `"`+rest+`"`)
		if r.Header.Get("If-None-Match") == `"`+rest+`"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(w, u.count(r.URL.Path))
	case "head", "cut":
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "begun")
		flush(w)
		if word == "cut" {
			panic(http.ErrAbortHandler)
		}
		u.hang(r)
	case "drip":
		u.drip(w, r)
	case "deaf":
		u.hang(r)
	default:
		u.echo(w, r)
	}
}

func (u *upstream) echo(w http.ResponseWriter, r *http.Request) {
	text := r.Method + " " + strings.SplitN(r.RequestURI, "?", 2)[0]
	for _, name := range query(r, "show") {
		if values := r.Header.Values(name); values != nil {
			text += "\n" + name + ": " + strings.Join(values, ", ")
		}
		switch {
		case name == "host":
			text += "\nhost: " + strings.SplitN(r.Host, ":", 2)[0]
		case name == "content-length" && r.ContentLength >= 0 && r.Header.Get(name) == "":
			text += "\ncontent-length: " + strconv.FormatInt(r.ContentLength, 10)
		}
	}
	if q := query(r, "query"); len(q) > 0 {
		text += "\n" + r.URL.RawQuery
	}
	if body, err := io.ReadAll(r.Body); err == nil && len(body) > 0 {
		text += "\n" + string(body)
	}
	fmt.Fprint(w, text)
}

// count counts what is asked for a path.
func (u *upstream) count(path string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.counts[path]++
	return u.counts[path]
}

func (u *upstream) hang(r *http.Request) {
	u.hangs.Add(1)
	select {
	case <-r.Context().Done():
		u.gone.Add(1)
	case <-u.quit:
	}
}

func (u *upstream) drip(w http.ResponseWriter, r *http.Request) {
	for {
		fmt.Fprint(w, "x")
		flush(w)
		select {
		case <-time.After(2 * time.Millisecond):
		case <-r.Context().Done():
			u.gone.Add(1)
			return
		case <-u.quit:
			return
		}
	}
}

func redirect(w http.ResponseWriter, r *http.Request, rest string) {
	status, path, _ := strings.Cut(rest, "/")
	locations := query(r, "at")
	if locations == nil && path != "" {
		locations = []string{"/" + path}
		if r.URL.RawQuery != "" {
			locations[0] += "?" + r.URL.RawQuery
		}
	}
	for _, l := range locations {
		w.Header().Add("Location", l)
	}
	w.WriteHeader(number(status))
	fmt.Fprint(w, "elsewhere")
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// query is what a target's query says of a name; unlike net/url's it has no objection to semicolons.
func query(r *http.Request, name string) []string {
	var values []string
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if value, ok := strings.CutPrefix(part, name+"="); ok {
			if text, err := url.PathUnescape(value); err == nil {
				value = text
			}
			values = append(values, value)
		}
	}
	return values
}

func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// zeros writes so many of them, as far as anybody wants them.
func zeros(w io.Writer, n int) { io.Copy(w, io.LimitReader(endless{}, int64(n))) }

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}
