package cache

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests move.
type clock struct{ t time.Time }

func (k *clock) now() time.Time { return k.t }

func (k *clock) pass(seconds int) { k.t = k.t.Add(time.Duration(seconds) * time.Second) }

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// head reads "Name: value | Name: value". {-60} in place of a value is the date a minute before now.
func head(now time.Time, text string) http.Header {
	h := http.Header{}
	for field := range strings.SplitSeq(text, "|") {
		name, value, ok := strings.Cut(field, ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		var offset int
		if _, err := fmt.Sscanf(value, "{%d}", &offset); err == nil {
			value = now.Add(time.Duration(offset) * time.Second).UTC().Format(http.TimeFormat)
		}
		h.Add(strings.TrimSpace(name), value)
	}
	return h
}

// bed is a cache with a clock, and one URL.
type bed struct {
	*clock
	*Cache
}

func newBed(t testing.TB) bed {
	k := &clock{epoch}
	c := New(Config{Bytes: 1 << 20, Now: k.now})
	t.Cleanup(c.Close)
	return bed{k, c}
}

// request is a GET with a header as of [head].
func (b bed) request(header string) *Request {
	return &Request{Method: "GET", URL: "http://a/", Header: head(b.t, header), Credentials: []string{"x-key"}}
}

// put stores a response to a GET without a header of its own.
func (b bed) put(response string) (*Entry, bool) {
	return b.Store(b.request(""), 200, head(b.t, response), []byte("body"), nil, b.t, b.t)
}

func (b bed) lookup(header string) Lookup { return b.Lookup(b.request(header)) }

func (s State) String() string {
	return [...]string{"pass", "miss", "fresh", "stale", "usable", "revalidate", "unavailable"}[s]
}

// TestPrivacy: the key is URL and credentials, and neither is there in clear.
func TestPrivacy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, stored, asked string
		found               bool
	}{
		{"nothing, nothing", "", "", true},
		{"one Authorization, another", "Authorization: a", "Authorization: b", false},
		{"one Authorization, none", "Authorization: a", "", false},
		{"no Authorization, one", "", "Authorization: a", false},
		{"an empty Authorization, none", "Authorization: ", "", false},
		{"the same Authorization", "Authorization: a", "Authorization: a", true},
		{"the same Authorization, and a Cookie", "Authorization: a", "Authorization: a | Cookie: a", false},
		{"one Cookie, another", "Cookie: a", "Cookie: b", false},
		{"a Cookie as long as an Authorization", "Cookie: a", "Authorization: a", false},
		{"one secret, another", "X-Key: a", "X-Key: b", false},
		{"one secret, none", "X-Key: a", "", false},
		{"the same secret", "X-Key: a", "X-Key: a", true},
		{"one value, split into two", "X-Key: a, b", "X-Key: a | X-Key: b", false},
		{"a secret that moves to the Cookie", "X-Key: a | Cookie: b", "X-Key: b | Cookie: a", false},
		{"another field", "X-Other: a", "X-Other: b", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			if _, ok := b.Store(b.request(c.stored), 200, head(b.t, "Cache-Control: max-age=60, public"), nil, nil, b.t, b.t); !ok {
				t.Fatal("not stored")
			}
			if found := b.lookup(c.asked).Entry != nil; found != c.found {
				t.Errorf("found: %v", found)
			}
			if b.key(b.request(c.stored)) == newBed(t).key(b.request(c.stored)) {
				t.Error("two caches have the same key")
			}
		})
	}
}

// TestPass: what isn't for a cache passes by it, and what it brings isn't stored.
func TestPass(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, method, header string }{
		{"HEAD", "HEAD", ""},
		{"POST", "POST", ""},
		{"no method", "", ""},
		{"Range", "GET", "Range: bytes=0-1"},
		{"If-Range", "GET", "If-Range: x"},
		{"If-None-Match", "GET", `If-None-Match: "a"`},
		{"If-Match", "GET", `If-Match: "a"`},
		{"If-Modified-Since", "GET", "If-Modified-Since: {0}"},
		{"If-Unmodified-Since", "GET", "If-Unmodified-Since: {0}"},
		{"no-store", "GET", "Cache-Control: no-store"},
		{"no-store among others", "GET", "Cache-Control: max-age=5 | Cache-Control: only-if-cached;no-store"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			r := b.request(c.header)
			r.Method = c.method
			if e, ok := b.Store(r, 200, head(b.t, "Cache-Control: max-age=60"), nil, nil, b.t, b.t); ok || e != nil {
				t.Error("stored")
			}
			b.put("Cache-Control: max-age=60")
			if l := b.Lookup(r); l.State != Pass || l.Entry != nil {
				t.Errorf("got %s", l.State)
			}
			if turn, e, err := b.Join(t.Context(), r); turn != nil || e != nil || err != nil {
				t.Error("collapsed")
			}
		})
	}
}

// TestAnswer: an answer from the cache tells its age, and the entry stays as it is.
func TestAnswer(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	given := head(b.t, "Cache-Control: max-age=600 | Age: 7 | Connection: X-Hop, close | X-Hop: 1 | Keep-Alive: 5 | X-Mine: 1")
	body := make([]byte, 3, 100)
	e, ok := b.Store(b.request(""), 200, given, body, "note", b.t.Add(-2*time.Second), b.t)
	if !ok {
		t.Fatal("not stored")
	}
	b.pass(60)
	h := e.Answer(b.t)
	if h.Get("Age") != "69" { // 7, 2 under way, 60 here
		t.Errorf("age %q", h.Get("Age"))
	}
	for _, name := range []string{"Connection", "Keep-Alive", "X-Hop"} {
		if h[name] != nil {
			t.Errorf("%s was stored", name)
		}
	}
	if h.Get("X-Mine") != "1" || h.Get("Date") != epoch.Format(http.TimeFormat) {
		t.Errorf("header %v", h)
	}
	if e.Note != "note" || &e.Body[0] != &body[0] || e.size < 100 {
		t.Errorf("entry %+v", e)
	}
	if e.Header.Get("Age") != "7" || given.Get("Connection") == "" || given["Date"] != nil {
		t.Error("an answer, or storing, has changed what was given")
	}
}

// TestReplace: the answer to what was asked last is the one that stays.
func TestReplace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		status   int
		response string
		sent     int // seconds after the first
		want     string
	}{
		{"a newer one", 200, "Cache-Control: max-age=60", 1, "new"},
		{"one at the same time", 200, "Cache-Control: max-age=60", 0, "new"},
		{"one that was asked for earlier", 200, "Cache-Control: max-age=60", -1, "old"},
		{"one with no-store", 200, "Cache-Control: no-store", 1, "none"},
		{"one with no-store that was asked for earlier", 200, "Cache-Control: no-store", -1, "old"},
		{"one with a cookie", 200, "Set-Cookie: a=b", 1, "none"},
		{"403", 403, "", 1, "none"},
		{"500", 500, "", 1, "old"},
		{"503", 503, "Retry-After: 1", 1, "old"},
		{"429", 429, "Retry-After: 1", 1, "old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			b.Store(b.request(""), 200, head(b.t, "Cache-Control: max-age=60"), []byte("old"), nil, b.t, b.t)
			b.pass(5)
			b.Store(b.request(""), c.status, head(b.t, c.response), []byte("new"), nil, epoch.Add(time.Duration(c.sent)*time.Second), b.t)
			got := "none"
			if e := b.lookup("").Entry; e != nil {
				got = string(e.Body)
			}
			if got != c.want {
				t.Errorf("there is %s", got)
			}
		})
	}
}

// TestVariants: there are a few variants of a URL, the newest; together they take no more than one entry may.
func TestVariants(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	accept := func(i int) *Request { return b.request(fmt.Sprint("Accept: ", i)) }
	store := func(i, size int) {
		b.Store(accept(i), 200, head(b.t, "Cache-Control: max-age=60 | Vary: Accept"), make([]byte, size), nil, b.t, b.t)
	}
	count := func() (n int) {
		for i := range 100 {
			if b.Lookup(accept(i)).State == Fresh {
				n++
			}
		}
		return n
	}
	for i := range 100 {
		store(i, 0)
		if b.Lookup(accept(i)).State != Fresh {
			t.Fatalf("%d isn't there", i)
		}
	}
	if n := count(); n != maxVariants {
		t.Errorf("%d variants", n)
	}
	store(99, 1) // in place of itself
	if n := count(); n != maxVariants {
		t.Errorf("%d variants", n)
	}
	for i := range 3 {
		store(i, 120<<10) // nearly half of what a URL may take
	}
	if n := count(); n != 2 {
		t.Errorf("%d variants", n)
	}
	b.Store(accept(2), 200, head(b.t, "Vary: Accept"), nil, nil, b.t, b.t)
	if b.Lookup(accept(2)).State != Miss || b.Lookup(accept(1)).State != Fresh {
		t.Error("to forget one has to leave the other")
	}
}

// TestBound: whatever is stored, the cache stays within its bytes, and so does the memory, nearly. It isn't parallel, so that what it
// measures is its own.
func TestBound(t *testing.T) {
	k := &clock{epoch}
	const bytes = 2 << 20
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for _, c := range []struct {
		name, vary      string
		body, rooms     int // bytes, and how many more there is room for
		header          int // fields
		urls, responses int
	}{
		{"tiny entries", "", 0, 0, 0, 5000, 5000},
		{"tiny variants", "Accept", 0, 0, 0, 500, 5000},
		{"large bodies", "", 100 << 10, 0, 0, 100, 100},
		{"bodies with room left", "", 100, 20 << 10, 0, 500, 500},
		{"many fields", "", 0, 0, 100, 500, 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := heap()
			cache := New(Config{Bytes: bytes, Now: k.now})
			defer cache.Close()
			for i := range c.responses {
				r := &Request{Method: "GET", URL: fmt.Sprint("http://a/", i%c.urls), Header: http.Header{"Accept": {fmt.Sprint(i)}}}
				h := http.Header{"Cache-Control": {"max-age=60"}, "Vary": {c.vary}}
				for n := range c.header {
					h.Add(fmt.Sprint("X-", i, "-", n), fmt.Sprint(n))
				}
				cache.Store(r, 200, h, make([]byte, c.body, c.body+c.rooms), nil, k.t, k.t)
				if n := cache.Bytes(); n > bytes {
					t.Fatalf("%d bytes after %d", n, i)
				}
			}
			if n := cache.Bytes(); n < bytes/2 {
				t.Errorf("only %d bytes are used", n)
			}
			took := heap() - before
			t.Logf("%d bytes of heap, %d counted", took, cache.Bytes())
			if took > bytes*3/2 {
				t.Errorf("%d bytes of heap", took)
			}
		})
	}
}

// TestTooLarge: an entry takes a quarter of the bound at most, and what was there before goes all the same.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.put("Cache-Control: max-age=60")
	if _, ok := b.Store(b.request(""), 200, head(b.t, "Cache-Control: max-age=60"), make([]byte, 1<<18), nil, b.t, b.t); ok {
		t.Error("stored")
	}
	if s := b.lookup("").State; s != Miss {
		t.Errorf("the one before is %s", s)
	}
	none := New(Config{})
	if _, ok := none.Store(b.request(""), 200, head(b.t, "Cache-Control: max-age=60"), nil, nil, b.t, b.t); ok {
		t.Error("a cache without room has stored something")
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.put("Cache-Control: max-age=60")
	b.Close()
	b.Close()
	if b.lookup("").State != Miss || b.Bytes() != 0 {
		t.Error("something is left")
	}
	if _, ok := b.put("Cache-Control: max-age=60"); ok || b.lookup("").State != Miss {
		t.Error("something was stored")
	}
	if turn, e, err := b.Join(t.Context(), b.request("")); turn != nil || e != nil || err != nil {
		t.Error("collapsed")
	}
}

// TestConcurrency does everything at once. It is for the race detector.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	c := New(Config{Bytes: 64 << 10})
	defer c.Close()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				now := time.Now()
				r := &Request{Method: "GET", URL: fmt.Sprint("http://a/", i%7), Header: http.Header{"Accept": {fmt.Sprint(i % 3)}}}
				h := head(now, `Cache-Control: max-age=0, stale-while-revalidate=60 | Vary: Accept | Etag: "a"`)
				switch (i + g) % 5 {
				case 0:
					c.Store(r, 200, h, make([]byte, i), nil, now, now)
				case 1:
					c.Invalidate(&Request{Method: "POST", URL: r.URL, Header: r.Header}, 200, nil)
				case 2:
					turn, _, _ := c.Join(t.Context(), r)
					if turn != nil {
						turn.Share(r, 200, h, nil, nil, now, now)
					}
				default:
					if l := c.Lookup(r); l.Entry != nil {
						l.Entry.Answer(now)
						c.Refresh(r, l.Entry, head(now, "X-New: 1"), now, now)
					}
				}
			}
		})
	}
	wg.Wait()
}
