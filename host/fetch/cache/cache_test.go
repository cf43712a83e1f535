package cache

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// head reads "Name: value | Name: value". {-60} in a value is the date a minute before now.
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

var stateNames = map[State]string{Pass: "pass", Miss: "miss", Fresh: "fresh", Stale: "stale", Usable: "usable", Revalidate: "revalidate", Unavailable: "unavailable"}

// TestRules stores a response and asks for it again, later and maybe with another header.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		status   int
		response string
		first    string // the header of the request that was answered
		later    int    // seconds
		second   string // that of the request that asks
		want     string
	}{
		{"max-age, within", 200, "Cache-Control: max-age=60", "", 59, "", "fresh"},
		{"max-age, past, with a validator", 200, `Cache-Control: max-age=60 | ETag: "a"`, "", 60, "", "stale"},
		{"max-age beats Expires", 200, "Cache-Control: max-age=60 | Expires: {-1}", "", 30, "", "fresh"},
		{"s-maxage means nothing here", 200, "Cache-Control: max-age=60, s-maxage=1", "", 30, "", "fresh"},
		{"private is stored", 200, "Cache-Control: private, max-age=60", "", 30, "", "fresh"},
		{"immutable is nothing special", 200, "Cache-Control: immutable, max-age=60", "", 30, "", "fresh"},
		{"no-store", 200, "Cache-Control: no-store, max-age=60", "", 0, "", "miss"},
		{"no-cache is asked about", 200, `Cache-Control: no-cache, max-age=60 | ETag: "a"`, "", 0, "", "stale"},
		{"no-cache with fields is asked about whole", 200, `Cache-Control: no-cache="set-cookie", max-age=60 | ETag: "a"`, "", 0, "", "stale"},
		{"Expires", 200, "Date: {0} | Expires: {60}", "", 59, "", "fresh"},
		{"Expires against a Date of its own", 200, "Date: {-30} | Expires: {60}", "", 59, "", "fresh"},
		{"Expires: 0", 200, "Expires: 0", "", 0, "", "miss"},
		{"Expires twice", 200, "Expires: {60} | Expires: {60}", "", 0, "", "miss"},
		{"Age counts", 200, `Cache-Control: max-age=60 | Age: 50 | ETag: "a"`, "", 10, "", "stale"},
		{"an old Date counts", 200, `Cache-Control: max-age=60 | Date: {-50} | ETag: "a"`, "", 10, "", "stale"},
		{"a tenth of the time since Last-Modified", 200, "Last-Modified: {-1000}", "", 99, "", "fresh"},
		{"and no more", 200, "Last-Modified: {-1000}", "", 100, "", "stale"},
		{"a day at most", 200, "Last-Modified: {-100000000}", "", 86400, "", "stale"},
		{"Last-Modified in the future", 200, "Last-Modified: {1000}", "", 0, "", "stale"},
		{"nothing at all", 200, "", "", 0, "", "miss"},
		{"an ETag alone is worth asking with", 200, `ETag: "a"`, "", 0, "", "stale"},
		{"404", 404, "Cache-Control: max-age=60", "", 30, "", "fresh"},
		{"500 only if it says how long", 500, "Cache-Control: max-age=60", "", 30, "", "fresh"},
		{"500", 500, `ETag: "a"`, "", 0, "", "miss"},
		{"206", 206, "Cache-Control: max-age=60", "", 0, "", "miss"},
		{"302", 302, "Cache-Control: max-age=60", "", 0, "", "miss"},
		{"Set-Cookie", 200, "Cache-Control: max-age=60 | Set-Cookie: a=b", "", 0, "", "miss"},
		{"huge max-age", 200, "Cache-Control: max-age=99999999999999999999", "", 3600, "", "fresh"},
		{"a max-age that is none", 200, "Cache-Control: max-age=soon", "", 0, "", "miss"},
		{"a quotation that doesn't end", 200, `Cache-Control: max-age=60, private="`, "", 0, "", "miss"},
		{"directives over several lines", 200, "Cache-Control: max-age=60 | Cache-Control: no-store", "", 0, "", "miss"},
		{"upper case", 200, "Cache-Control: MAX-AGE=60", "", 30, "", "fresh"},

		{"Vary, the same", 200, "Cache-Control: max-age=60 | Vary: Accept", "Accept: a", 0, "Accept: a", "fresh"},
		{"Vary, the same but for whitespace and lines", 200, "Cache-Control: max-age=60 | Vary: accept", "Accept: a, b", 0, "Accept: a | Accept: b", "fresh"},
		{"Vary, another", 200, "Cache-Control: max-age=60 | Vary: Accept", "Accept: a", 0, "Accept: b", "miss"},
		{"Vary, none", 200, "Cache-Control: max-age=60 | Vary: Accept", "Accept: a", 0, "", "miss"},
		{"Vary, both none", 200, "Cache-Control: max-age=60 | Vary: Accept", "", 0, "", "fresh"},
		{"Vary: *", 200, "Cache-Control: max-age=60 | Vary: Accept, *", "", 0, "", "miss"},

		{"other credentials", 200, "Cache-Control: max-age=60, public", "Authorization: a", 0, "Authorization: b", "miss"},
		{"no credentials", 200, "Cache-Control: max-age=60, public", "Authorization: a", 0, "", "miss"},
		{"the same credentials", 200, "Cache-Control: max-age=60", "Authorization: a", 0, "Authorization: a", "fresh"},
		{"another cookie", 200, "Cache-Control: max-age=60", "Cookie: a", 0, "Cookie: b", "miss"},
		{"another secret", 200, "Cache-Control: max-age=60", "X-Key: a", 0, "X-Key: b", "miss"},

		{"request: no-cache", 200, "Cache-Control: max-age=60", "", 0, "Cache-Control: no-cache", "stale"},
		{"request: Pragma", 200, "Cache-Control: max-age=60", "", 0, "Pragma: no-cache", "stale"},
		{"request: Pragma beside Cache-Control", 200, "Cache-Control: max-age=60", "", 0, "Pragma: no-cache | Cache-Control: max-age=10", "fresh"},
		{"request: no-store", 200, "Cache-Control: max-age=60", "", 0, "Cache-Control: no-store", "pass"},
		{"request: no-store isn't stored", 200, "Cache-Control: max-age=60", "Cache-Control: no-store", 0, "", "miss"},
		{"request: max-age", 200, "Cache-Control: max-age=60", "", 20, "Cache-Control: max-age=10", "stale"},
		{"request: max-age=0", 200, "Cache-Control: max-age=60", "", 1, "Cache-Control: max-age=0", "stale"},
		{"request: min-fresh", 200, "Cache-Control: max-age=60", "", 30, "Cache-Control: min-fresh=31", "stale"},
		{"request: max-stale, within", 200, `Cache-Control: max-age=60 | ETag: "a"`, "", 70, "Cache-Control: max-stale=10", "usable"},
		{"request: max-stale, past", 200, `Cache-Control: max-age=60 | ETag: "a"`, "", 71, "Cache-Control: max-stale=10", "stale"},
		{"request: max-stale, any", 200, `Cache-Control: max-age=60 | ETag: "a"`, "", 9999, "Cache-Control: max-stale", "usable"},
		{"must-revalidate beats max-stale", 200, `Cache-Control: max-age=60, must-revalidate | ETag: "a"`, "", 70, "Cache-Control: max-stale", "stale"},
		{"request: only-if-cached, there", 200, "Cache-Control: max-age=60", "", 0, "Cache-Control: only-if-cached", "fresh"},
		{"request: only-if-cached, not there", 200, "Cache-Control: no-store", "", 0, "Cache-Control: only-if-cached", "unavailable"},
		{"request: only-if-cached, stale", 200, `Cache-Control: max-age=60 | ETag: "a"`, "", 70, "Cache-Control: only-if-cached", "unavailable"},
		{"request: nonsense", 200, "Cache-Control: max-age=60", "", 0, "Cache-Control: max-age=x", "pass"},
		{"request: Range", 200, "Cache-Control: max-age=60", "", 0, "Range: bytes=0-1", "pass"},
		{"request: a condition of its own", 200, "Cache-Control: max-age=60", "", 0, `If-None-Match: "a"`, "pass"},

		{"stale-while-revalidate, within", 200, "Cache-Control: max-age=60, stale-while-revalidate=30", "", 90, "", "revalidate"},
		{"stale-while-revalidate, past", 200, "Cache-Control: max-age=60, stale-while-revalidate=30", "", 91, "", "stale"},
		{"must-revalidate beats stale-while-revalidate", 200, "Cache-Control: max-age=60, stale-while-revalidate=30, must-revalidate", "", 70, "", "stale"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := &clock{epoch}
			cache := New(Config{Bytes: 1 << 20, Now: k.now})
			first := &Request{Method: "GET", URL: "http://a/", Header: head(k.t, c.first), Credentials: []string{"X-Key"}}
			cache.Store(first, c.status, head(k.t, c.response), []byte("body"), nil, k.t, k.t)
			k.t = k.t.Add(time.Duration(c.later) * time.Second)
			l := cache.Lookup(&Request{Method: "GET", URL: "http://a/", Header: head(k.t, c.second), Credentials: []string{"X-Key"}})
			if got := stateNames[l.State]; got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if hasEntry := l.Entry != nil; hasEntry != strings.Contains("fresh stale usable revalidate", c.want) {
				t.Errorf("entry: %v", l.Entry)
			}
			if l := cache.Lookup(&Request{Method: "GET", URL: "http://a/other", Header: http.Header{}}); l.State != Miss {
				t.Error("another URL has it too")
			}
			if l := cache.Lookup(&Request{Method: "POST", URL: "http://a/", Header: http.Header{}}); l.State != Pass {
				t.Error("a POST has it too")
			}
		})
	}
}

func get(k *clock, header string) *Request {
	return &Request{Method: "GET", URL: "http://a/", Header: head(k.t, header)}
}

func TestServesErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, control string
		later         int
		want          bool
	}{
		{"within", "max-age=60, stale-if-error=30", 90, true},
		{"past", "max-age=60, stale-if-error=30", 91, false},
		{"without", "max-age=60, stale-while-revalidate=100", 61, false},
		{"must-revalidate", "max-age=60, stale-if-error=30, must-revalidate", 61, false},
		{"no-cache", "no-cache, stale-if-error=30", 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &clock{epoch}
			e, _ := New(Config{Bytes: 1 << 20, Now: k.now}).Store(get(k, ""), 200, head(k.t, "Cache-Control: "+c.control), nil, nil, k.t, k.t)
			if got := e.ServesErrors(k.t.Add(time.Duration(c.later) * time.Second)); got != c.want {
				t.Error(got)
			}
		})
	}
}

// TestRefresh: a 304 renews what it speaks of and leaves the rest.
func TestRefresh(t *testing.T) {
	t.Parallel()
	k := &clock{epoch}
	c := New(Config{Bytes: 1 << 20, Now: k.now})
	e, ok := c.Store(get(k, ""), 200, head(k.t, `Cache-Control: max-age=60 | ETag: "a" | Last-Modified: {-9} | Content-Type: text/plain | X-Old: 1 | Age: 5`), []byte("body"), 7, k.t, k.t)
	if !ok {
		t.Fatal("not stored")
	}
	if v := e.Validators(); v.Get("If-None-Match") != `"a"` || v.Get("If-Modified-Since") == "" {
		t.Errorf("validators %v", v)
	}
	k.t = k.t.Add(time.Hour)
	got := c.Refresh(get(k, ""), e, head(k.t, "Cache-Control: max-age=30 | Content-Type: text/html | X-New: 2"), k.t, k.t)
	if got.Header.Get("Content-Type") != "text/plain" || got.Header.Get("X-Old") != "1" || got.Header.Get("X-New") != "2" || string(got.Body) != "body" || got.Note != 7 {
		t.Errorf("%+v", got)
	}
	k.t = k.t.Add(29 * time.Second)
	if l := c.Lookup(get(k, "")); l.State != Fresh || l.Entry.Answer(k.t).Get("Age") != "29" {
		t.Errorf("%+v", l)
	}
	if e.Header.Get("X-New") != "" {
		t.Error("the entry itself was changed")
	}
	// One that says it mustn't be stored is the answer once more.
	got = c.Refresh(get(k, ""), got, head(k.t, "Cache-Control: no-store"), k.t, k.t)
	if string(got.Body) != "body" || c.Lookup(get(k, "")).State != Miss {
		t.Error("a 304 with no-store")
	}
}

func TestInvalidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method, header string
		status               int
		gone                 string // of /a /b /c, which
	}{
		{"POST", "POST", "", 200, "/a"},
		{"DELETE with Location", "DELETE", "Location: /b", 303, "/a /b"},
		{"PUT with Content-Location", "PUT", "Content-Location: http://host/c#x", 201, "/a /c"},
		{"another origin's isn't touched", "PUT", "Location: http://other/b | Content-Location: https://host/c", 201, "/a"},
		{"an error changes nothing", "POST", "", 500, ""},
		{"GET changes nothing", "GET", "", 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &clock{epoch}
			cache := New(Config{Bytes: 1 << 20, Now: k.now})
			request := func(method, path string) *Request {
				return &Request{Method: method, URL: "http://host" + path, Header: http.Header{}}
			}
			for _, path := range []string{"/a", "/b", "/c"} {
				cache.Store(request("GET", path), 200, head(k.t, "Cache-Control: max-age=60"), nil, nil, k.t, k.t)
			}
			cache.Invalidate(request(c.method, "/a"), c.status, head(k.t, c.header))
			var gone []string
			for _, path := range []string{"/a", "/b", "/c"} {
				if cache.Lookup(request("GET", path)).State == Miss {
					gone = append(gone, path)
				}
			}
			if got := strings.Join(gone, " "); got != c.gone {
				t.Errorf("gone: %s", got)
			}
		})
	}
}

// TestBound: whatever is stored, the cache stays within its bytes.
func TestBound(t *testing.T) {
	t.Parallel()
	k := &clock{epoch}
	const bytes = 256 << 10
	c := New(Config{Bytes: bytes, Now: k.now})
	for i := range 20000 {
		r := &Request{Method: "GET", URL: fmt.Sprint("http://a/", i%3000), Header: http.Header{"Accept": {fmt.Sprint(i)}}}
		c.Store(r, 200, head(k.t, "Cache-Control: max-age=60 | Vary: Accept"), make([]byte, i%2000), nil, k.t, k.t)
		if i%1000 == 0 && c.Bytes() > bytes {
			t.Fatalf("%d bytes after %d", c.Bytes(), i)
		}
	}
	if n := c.Bytes(); n > bytes || n < bytes/8 {
		t.Errorf("%d bytes", n)
	}
	if _, ok := c.Store(get(k, ""), 200, head(k.t, "Cache-Control: max-age=60"), make([]byte, bytes/4), nil, k.t, k.t); ok {
		t.Error("one entry may take a quarter")
	}
}

// TestCollapse: of identical requests one goes out; what becomes of the others depends on its answer.
func TestCollapse(t *testing.T) {
	for _, c := range []struct {
		name   string
		end    func(t *Turn, r *Request)
		out    int32 // how many of ten went out
		shared int32
	}{
		{"an answer without directives is everybody's", func(t *Turn, r *Request) { t.Share(r, 200, http.Header{}, nil, nil, epoch, epoch) }, 1, 9},
		{"one with no-store is its own", func(t *Turn, r *Request) {
			t.Share(r, 200, http.Header{"Cache-Control": {"no-store"}}, nil, nil, epoch, epoch)
		}, 10, 0},
		{"one with no-cache is its own", func(t *Turn, r *Request) {
			t.Share(r, 200, http.Header{"Cache-Control": {"no-cache"}}, nil, nil, epoch, epoch)
		}, 10, 0},
		{"one with a cookie is its own", func(t *Turn, r *Request) {
			t.Share(r, 200, http.Header{"Set-Cookie": {"a=b"}}, nil, nil, epoch, epoch)
		}, 10, 0},
		{"one with a 503 is its own", func(t *Turn, r *Request) { t.Share(r, 503, http.Header{}, nil, nil, epoch, epoch) }, 10, 0},
		{"a failure is its own", func(t *Turn, _ *Request) { t.Fail() }, 10, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cache := New(Config{Bytes: 1 << 20})
				r := &Request{Method: "GET", URL: "http://a/", Header: http.Header{"Accept": {"x"}}}
				var out, shared atomic.Int32
				var wg sync.WaitGroup
				first, _, _ := cache.Join(context.Background(), r)
				out.Add(1)
				for range 9 {
					wg.Go(func() {
						own := *r
						turn, e, err := cache.Join(context.Background(), &own)
						switch {
						case err != nil:
							t.Error(err)
						case e != nil:
							shared.Add(1)
						default:
							if out.Add(1); turn != nil {
								c.end(turn, r)
							}
						}
					})
				}
				synctest.Wait()
				c.end(first, r)
				wg.Wait()
				if out.Load() != c.out || shared.Load() != c.shared {
					t.Errorf("%d went out, %d shared", out.Load(), shared.Load())
				}
				if len(cache.collapsing.turns) != 0 {
					t.Error("a turn is left")
				}
			})
		})
	}
}

// TestCollapseHandsOver: one that stops for its own reasons lets another take its turn, and the rest go on waiting.
func TestCollapseHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := New(Config{Bytes: 1 << 20})
		r := &Request{Method: "GET", URL: "http://a/", Header: http.Header{}}
		first, _, _ := cache.Join(context.Background(), r)
		turns, entries := make(chan *Turn, 5), make(chan *Entry, 5)
		for range 5 {
			go func() {
				own := *r
				turn, e, _ := cache.Join(context.Background(), &own)
				if turn != nil {
					turns <- turn
				} else {
					entries <- e
				}
			}()
		}
		synctest.Wait()
		first.Leave()
		second := <-turns
		synctest.Wait()
		if len(turns) != 0 || len(entries) != 0 {
			t.Fatal("more than one took the turn")
		}
		second.Share(r, 200, http.Header{}, nil, nil, epoch, epoch)
		for range 4 {
			if <-entries == nil {
				t.Error("no answer")
			}
		}
		// One who doesn't want to wait any more leaves alone.
		third, _, _ := cache.Join(context.Background(), r)
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(context.Canceled)
		if _, _, err := cache.Join(ctx, r); err != context.Canceled {
			t.Error(err)
		}
		third.Fail()
		// Requests that differ in any field have nothing to do with each other.
		a, _, _ := cache.Join(context.Background(), r)
		b, _, _ := cache.Join(context.Background(), &Request{Method: "GET", URL: "http://a/", Header: http.Header{"Accept": {"b"}}})
		if a == nil || b == nil {
			t.Error("they were collapsed")
		}
		a.Fail()
		b.Fail()
	})
}

// FuzzHeaders: whatever headers say, what mustn't be stored isn't, and nobody gets what was fetched with other credentials.
func FuzzHeaders(f *testing.F) {
	f.Add("max-age=60", "Accept", "", "", int64(30))
	f.Add("no-store, max-age=1", "*", "0", "max-stale", int64(0))
	f.Add(`private="a, no-cache=`, "a,,b", "Thu, 01 Jan 1970 00:00:00 GMT", "only-if-cached", int64(-5))
	f.Add("stale-while-revalidate=99999999999, max-age=00", "x", "-1", "min-fresh=9", int64(1<<40))
	f.Fuzz(func(t *testing.T, control, vary, expires, want string, later int64) {
		k := &clock{epoch}
		c := New(Config{Bytes: 1 << 20, Now: k.now})
		header := http.Header{"Cache-Control": {control}, "Vary": {vary}, "Expires": {expires}, "Age": {expires}, "Etag": {`"a"`}}
		r := &Request{Method: "GET", URL: "http://a/", Header: http.Header{"Authorization": {"mine"}, "Cache-Control": {want}}}
		_, stored := c.Store(r, 200, header, []byte("body"), nil, k.t, k.t)
		for part := range strings.SplitSeq(control, ",") {
			if strings.EqualFold(strings.TrimSpace(part), "no-store") && stored && !strings.Contains(control, `"`) {
				t.Errorf("stored: %q", control)
			}
		}
		k.t = k.t.Add(time.Duration(later % (1 << 40)))
		l := c.Lookup(&Request{Method: "GET", URL: "http://a/", Header: http.Header{"Authorization": {"mine"}}})
		if l.Entry != nil {
			l.Entry.Answer(k.t)
			l.Entry.ServesErrors(k.t)
		}
		for _, other := range []http.Header{{}, {"Authorization": {"yours"}}, {"Authorization": {"mine"}, "Cookie": {"a=b"}}} {
			if l := c.Lookup(&Request{Method: "GET", URL: "http://a/", Header: other}); l.Entry != nil {
				t.Errorf("%v got another's", other)
			}
		}
		turn, _, _ := c.Join(context.Background(), r)
		turn.Share(r, 200, header, nil, nil, k.t, k.t)
	})
}

func BenchmarkHit(b *testing.B) {
	c := New(Config{Bytes: 1 << 20})
	header := http.Header{"Accept": {"*/*"}, "User-Agent": {"sortie"}}
	c.Store(&Request{Method: "GET", URL: "http://a/", Header: header}, 200, http.Header{"Cache-Control": {"max-age=3600"}}, nil, nil, time.Now(), time.Now())
	b.ReportAllocs()
	for b.Loop() {
		if l := c.Lookup(&Request{Method: "GET", URL: "http://a/", Header: header}); l.State != Fresh {
			b.Fatal(l.State)
		}
	}
}
