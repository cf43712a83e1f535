package cache

import (
	"strings"
	"testing"
)

// TestRules stores a response and asks for it again, later and maybe with another header.
func TestRules(t *testing.T) {
	t.Parallel()
	const tag = ` | Etag: "a"`
	for _, c := range []struct {
		name     string
		status   int
		response string
		first    string // the header of the request that was answered
		later    int    // seconds
		second   string // that of the request that asks
		want     State
	}{
		{"max-age, within", 200, "Cache-Control: max-age=60", "", 59, "", Fresh},
		{"max-age, past, with a validator", 200, "Cache-Control: max-age=60" + tag, "", 60, "", Stale},
		{"max-age beats Expires", 200, "Cache-Control: max-age=60 | Expires: {-1}", "", 30, "", Fresh},
		{"max-age=0 beats Expires", 200, "Cache-Control: max-age=0 | Expires: {60}" + tag, "", 0, "", Stale},
		{"max-age quoted", 200, `Cache-Control: max-age="60"`, "", 59, "", Fresh},
		{"max-age in upper case", 200, "Cache-Control: MAX-AGE=60", "", 30, "", Fresh},
		{"s-maxage means nothing here, be it less", 200, "Cache-Control: max-age=60, s-maxage=1", "", 30, "", Fresh},
		{"s-maxage means nothing here, be it more", 200, "Cache-Control: max-age=10, s-maxage=100" + tag, "", 30, "", Stale},
		{"s-maxage alone isn't a lifetime", 200, "Cache-Control: s-maxage=100", "", 0, "", Miss},
		{"proxy-revalidate means nothing here", 200, "Cache-Control: max-age=1, proxy-revalidate, stale-while-revalidate=9", "", 5, "", Revalidate},
		{"private is stored", 200, "Cache-Control: private, max-age=60", "", 30, "", Fresh},
		{"private with fields is stored", 200, `Cache-Control: private="x-a, x-b", max-age=60`, "", 30, "", Fresh},
		{"immutable, within", 200, "Cache-Control: immutable, max-age=60", "", 30, "", Fresh},
		{"immutable, past", 200, "Cache-Control: immutable, max-age=60" + tag, "", 60, "", Stale},
		{"immutable, when the request insists", 200, "Cache-Control: immutable, max-age=60", "", 30, "Cache-Control: no-cache", Stale},
		{"no-store", 200, "Cache-Control: no-store, max-age=60", "", 0, "", Miss},
		{"no-store beside must-understand", 200, "Cache-Control: must-understand, no-store, max-age=60", "", 0, "", Miss},
		{"must-understand, understood", 200, "Cache-Control: must-understand, max-age=60", "", 0, "", Fresh},
		{"must-understand, not understood", 299, "Cache-Control: must-understand, max-age=60", "", 0, "", Miss},
		{"no-cache is asked about", 200, "Cache-Control: no-cache, max-age=60" + tag, "", 0, "", Stale},
		{"no-cache with fields is asked about whole", 200, `Cache-Control: no-cache="set-cookie", max-age=60` + tag, "", 0, "", Stale},
		{"no-cache isn't served stale", 200, "Cache-Control: no-cache, stale-while-revalidate=60" + tag, "", 0, "Cache-Control: max-stale", Stale},
		{"an unknown directive", 200, "Cache-Control: max-age=60, community=\"UCI, no-store\"", "", 0, "", Fresh},
		{"a response's Pragma means nothing", 200, "Cache-Control: max-age=60 | Pragma: no-cache", "", 0, "", Fresh},

		{"Expires, within", 200, "Date: {0} | Expires: {60}", "", 59, "", Fresh},
		{"Expires, past", 200, "Date: {0} | Expires: {60}" + tag, "", 60, "", Stale},
		{"Expires without a Date", 200, "Expires: {60}", "", 59, "", Fresh},
		{"Expires by a clock that is behind", 200, "Date: {-3600} | Expires: {-3540}" + tag, "", 0, "", Stale},
		{"Expires by a clock that is ahead", 200, "Date: {3600} | Expires: {3660}", "", 59, "", Fresh},
		{"and no longer", 200, "Date: {3600} | Expires: {3660}" + tag, "", 60, "", Stale},
		{"Expires: 0", 200, "Expires: 0", "", 0, "", Miss},
		{"Expires: 0 with a validator", 200, "Expires: 0" + tag, "", 0, "", Stale},
		{"Expires isn't guessed at with Last-Modified", 200, "Expires: -1 | Last-Modified: {-100000}", "", 0, "", Stale},
		{"Expires twice", 200, "Expires: {60} | Expires: {60}", "", 0, "", Miss},
		{"Expires in the old form", 200, "Expires: Friday, 02-Jan-26 03:05:05 GMT", "", 59, "", Fresh},
		{"Expires in the oldest form", 200, "Expires: Fri Jan  2 03:05:05 2026", "", 59, "", Fresh},

		{"Age counts", 200, "Cache-Control: max-age=60 | Age: 50" + tag, "", 10, "", Stale},
		{"Age, not yet", 200, "Cache-Control: max-age=60 | Age: 50", "", 9, "", Fresh},
		{"Age, the first of several", 200, "Cache-Control: max-age=60 | Age: 10, 500", "", 49, "", Fresh},
		{"Age that is none", 200, "Cache-Control: max-age=60 | Age: -50", "", 59, "", Fresh},
		{"Age that is huge", 200, "Cache-Control: max-age=60 | Age: 99999999999999999999" + tag, "", 0, "", Stale},
		{"Age that is as huge as max-age", 200, "Cache-Control: max-age=99999999999 | Age: 99999999999" + tag, "", 0, "", Stale},
		{"an old Date counts", 200, "Cache-Control: max-age=60 | Date: {-50}" + tag, "", 10, "", Stale},
		{"a Date in the future doesn't", 200, "Cache-Control: max-age=60 | Date: {500}" + tag, "", 60, "", Stale},
		{"a Date from the beginning of time", 200, "Cache-Control: max-age=60 | Date: Mon, 01 Jan 0001 00:00:00 GMT" + tag, "", 100, "", Stale},
		{"a Date that is none", 200, "Cache-Control: max-age=60 | Date: yesterday", "", 59, "", Fresh},

		{"a tenth of the time since Last-Modified", 200, "Last-Modified: {-1000}", "", 99, "", Fresh},
		{"and no more", 200, "Last-Modified: {-1000}", "", 100, "", Stale},
		{"a day at most", 200, "Last-Modified: {-100000000}", "", 86400, "", Stale},
		{"nearly a day", 200, "Last-Modified: {-100000000}", "", 86399, "", Fresh},
		{"Last-Modified in the future", 200, "Last-Modified: {1000}", "", 0, "", Stale},
		{"Last-Modified that is none", 200, "Last-Modified: long ago", "", 0, "", Miss},
		{"nothing at all", 200, "", "", 0, "", Miss},
		{"an Etag alone is worth asking with", 200, `Etag: "a"`, "", 0, "", Stale},

		{"404 with a lifetime", 404, "Cache-Control: max-age=60", "", 30, "", Fresh},
		{"404 by guess", 404, "Last-Modified: {-1000}", "", 30, "", Fresh},
		{"500 with a lifetime", 500, "Cache-Control: max-age=60", "", 30, "", Fresh},
		{"500 by guess", 500, "Last-Modified: {-1000}", "", 0, "", Miss},
		{"500 with an Etag", 500, `Etag: "a"`, "", 0, "", Miss},
		{"an unknown status with a lifetime", 299, "Cache-Control: max-age=60", "", 30, "", Fresh},
		{"206", 206, "Cache-Control: max-age=60", "", 0, "", Miss},
		{"304", 304, "Cache-Control: max-age=60", "", 0, "", Miss},
		{"103", 103, "Cache-Control: max-age=60", "", 0, "", Miss},
		{"600", 600, "Cache-Control: max-age=60", "", 0, "", Miss},
		{"301", 301, "Cache-Control: max-age=60", "", 0, "", Miss},
		{"302", 302, "Cache-Control: max-age=60", "", 0, "", Miss},
		{"Set-Cookie", 200, "Cache-Control: max-age=60 | Set-Cookie: a=b", "", 0, "", Miss},
		{"Set-Cookie, though public", 200, "Cache-Control: public, max-age=60 | Set-Cookie: a=b", "", 0, "", Miss},
		{"to an Authorization, without public", 200, "Cache-Control: max-age=60", "Authorization: a", 0, "Authorization: a", Fresh},

		{"huge max-age", 200, "Cache-Control: max-age=99999999999999999999", "", 3600, "", Fresh},
		{"a max-age that is none", 200, "Cache-Control: max-age=soon" + tag, "", 0, "", Stale},
		{"a max-age without a number", 200, "Cache-Control: max-age" + tag, "", 0, "", Stale},
		{"a negative max-age", 200, "Cache-Control: max-age=-1" + tag, "", 0, "", Stale},
		{"a max-age with a fraction", 200, "Cache-Control: max-age=1.5" + tag, "", 0, "", Stale},
		{"a max-age with blanks", 200, "Cache-Control: max-age = 60" + tag, "", 0, "", Stale},
		{"a max-age that is none isn't made up for", 200, "Cache-Control: max-age=soon | Expires: {60}" + tag, "", 0, "", Stale},
		{"two max-ages, the first less", 200, "Cache-Control: max-age=10, max-age=60" + tag, "", 30, "", Stale},
		{"two max-ages, the second less", 200, "Cache-Control: max-age=60 | Cache-Control: max-age=10" + tag, "", 30, "", Stale},
		{"directives over several lines", 200, "Cache-Control: max-age=60 | Cache-Control: no-store", "", 0, "", Miss},
		{"no-store behind a mistake", 200, "Cache-Control: max-age=soon, no-store" + tag, "", 0, "", Miss},
		{"no-store behind an unquoted list", 200, "Cache-Control: private=x,no-store, max-age=60", "", 0, "", Miss},
		{"no-store behind a quotation that doesn't end", 200, `Cache-Control: max-age=60, private="x, no-store`, "", 0, "", Miss},
		{"no-store behind an escaped quote", 200, `Cache-Control: max-age=60, private="x\", no-store`, "", 0, "", Miss},
		{"no-store behind a semicolon", 200, "Cache-Control: max-age=60; no-store", "", 0, "", Miss},
		{"no-store behind a blank", 200, "Cache-Control: max-age=60 no-store", "", 0, "", Miss},
		{"no-store with an argument", 200, "Cache-Control: max-age=60, no-store=x", "", 0, "", Miss},
		{"no-store in a quotation is none", 200, `Cache-Control: max-age=60, x="no-store"`, "", 0, "", Fresh},
		{"commas and nothing else", 200, "Cache-Control: ,, ,=, max-age=60,", "", 0, "", Fresh},

		{"Vary, the same", 200, "Cache-Control: max-age=60 | Vary: Accept", "Accept: a", 0, "Accept: a", Fresh},
		{"Vary, the same but for blanks and lines", 200, "Cache-Control: max-age=60 | Vary: accept", "Accept: a ,  b", 0, "Accept: a | Accept: b", Fresh},
		{"Vary, but blanks in quotations count", 200, "Cache-Control: max-age=60 | Vary: accept", `Accept: "a, b"`, 0, `Accept: "a,b"`, Miss},
		{"Vary, and so do those within a value", 200, "Cache-Control: max-age=60 | Vary: accept", "Accept: a b", 0, "Accept: ab", Miss},
		{"Vary, another", 200, "Cache-Control: max-age=60 | Vary: Accept", "Accept: a", 0, "Accept: b", Miss},
		{"Vary, another order", 200, "Cache-Control: max-age=60 | Vary: Accept", "Accept: a, b", 0, "Accept: b, a", Miss},
		{"Vary, none", 200, "Cache-Control: max-age=60 | Vary: Accept", "Accept: a", 0, "", Miss},
		{"Vary, an empty one isn't none", 200, "Cache-Control: max-age=60 | Vary: Accept", "Accept: ", 0, "", Miss},
		{"Vary, both none", 200, "Cache-Control: max-age=60 | Vary: Accept", "", 0, "", Fresh},
		{"Vary, a field it doesn't name", 200, "Cache-Control: max-age=60 | Vary: Accept", "X-A: 1", 0, "X-A: 2", Fresh},
		{"Vary, two fields", 200, "Cache-Control: max-age=60 | Vary: X-A, X-B", "X-A: 1 | X-B: 2", 0, "X-A: 1 | X-B: 3", Miss},
		{"Vary, two fields whose values change places", 200, "Cache-Control: max-age=60 | Vary: X-A, X-B", "X-A: 1 | X-B: 2", 0, "X-A: 2 | X-B: 1", Miss},
		{"Vary, two lines", 200, "Cache-Control: max-age=60 | Vary: X-A | Vary: X-B", "X-A: 1 | X-B: 2", 0, "X-A: 1 | X-B: 3", Miss},
		{"Vary: Accept-Encoding", 200, "Cache-Control: max-age=60 | Vary: Accept-Encoding", "Accept-Encoding: gzip", 0, "Accept-Encoding: br", Miss},
		{"Vary: *", 200, "Cache-Control: max-age=60 | Vary: *", "", 0, "", Miss},
		{"Vary: * among others", 200, "Cache-Control: max-age=60 | Vary: Accept, *", "", 0, "", Miss},
		{"Vary: * on a line of its own", 200, "Cache-Control: max-age=60 | Vary: Accept | Vary: *", "", 0, "", Miss},
		{"Vary, empty", 200, "Cache-Control: max-age=60 | Vary: ,", "Accept: a", 0, "Accept: b", Fresh},
		{"Vary by too much", 200, "Cache-Control: max-age=60 | Vary: " + manyNames(33), "", 0, "", Miss},

		{"request: no-cache", 200, "Cache-Control: max-age=60", "", 0, "Cache-Control: no-cache", Stale},
		{"request: Pragma", 200, "Cache-Control: max-age=60", "", 0, "Pragma: No-Cache", Stale},
		{"request: Pragma among others", 200, "Cache-Control: max-age=60", "", 0, "Pragma: x, no-cache", Stale},
		{"request: another Pragma", 200, "Cache-Control: max-age=60", "", 0, "Pragma: no-cached, no-store", Fresh},
		{"request: Pragma beside Cache-Control", 200, "Cache-Control: max-age=60", "", 0, "Pragma: no-cache | Cache-Control: max-age=10", Fresh},
		{"request: no-store isn't stored", 200, "Cache-Control: max-age=60", "Cache-Control: no-store", 0, "", Miss},
		{"request: max-age, within", 200, "Cache-Control: max-age=60", "", 10, "Cache-Control: max-age=10", Fresh},
		{"request: max-age, past", 200, "Cache-Control: max-age=60", "", 11, "Cache-Control: max-age=10", Stale},
		{"request: max-age beyond the response's", 200, "Cache-Control: max-age=60" + tag, "", 61, "Cache-Control: max-age=100", Stale},
		{"request: max-age=0", 200, "Cache-Control: max-age=60", "", 0, "Cache-Control: max-age=0", Stale},
		{"request: max-age that is none", 200, "Cache-Control: max-age=60", "", 0, "Cache-Control: max-age=x", Stale},
		{"request: min-fresh, enough", 200, "Cache-Control: max-age=60", "", 30, "Cache-Control: min-fresh=30", Fresh},
		{"request: min-fresh, too much", 200, "Cache-Control: max-age=60", "", 30, "Cache-Control: min-fresh=31", Stale},
		{"request: min-fresh that is none", 200, "Cache-Control: max-age=60", "", 0, "Cache-Control: min-fresh", Stale},
		{"request: max-stale, within", 200, "Cache-Control: max-age=60" + tag, "", 70, "Cache-Control: max-stale=10", Usable},
		{"request: max-stale, past", 200, "Cache-Control: max-age=60" + tag, "", 71, "Cache-Control: max-stale=10", Stale},
		{"request: max-stale, any", 200, "Cache-Control: max-age=60" + tag, "", 999999, "Cache-Control: max-stale", Usable},
		{"request: max-stale, any and not", 200, "Cache-Control: max-age=60" + tag, "", 71, "Cache-Control: max-stale, max-stale=10", Stale},
		{"request: max-stale that is none", 200, "Cache-Control: max-age=60" + tag, "", 61, "Cache-Control: max-stale=x", Stale},
		{"request: max-stale within a max-age", 200, "Cache-Control: max-age=60" + tag, "", 61, "Cache-Control: max-stale, max-age=60", Stale},
		{"request: only-if-cached, there", 200, "Cache-Control: max-age=60", "", 0, "Cache-Control: only-if-cached", Fresh},
		{"request: only-if-cached, not there", 200, "Cache-Control: no-store", "", 0, "Cache-Control: only-if-cached", Unavailable},
		{"request: only-if-cached, stale", 200, "Cache-Control: max-age=60" + tag, "", 70, "Cache-Control: only-if-cached", Unavailable},
		{"request: only-if-cached, stale but usable", 200, "Cache-Control: max-age=60" + tag, "", 70, "Cache-Control: only-if-cached, max-stale", Usable},

		{"must-revalidate, within", 200, "Cache-Control: max-age=60, must-revalidate", "", 59, "", Fresh},
		{"must-revalidate beats max-stale", 200, "Cache-Control: max-age=60, must-revalidate" + tag, "", 70, "Cache-Control: max-stale", Stale},
		{"must-revalidate beats stale-while-revalidate", 200, "Cache-Control: max-age=60, stale-while-revalidate=30, must-revalidate", "", 70, "", Stale},
		{"stale-while-revalidate, fresh", 200, "Cache-Control: max-age=60, stale-while-revalidate=30", "", 59, "", Fresh},
		{"stale-while-revalidate, from", 200, "Cache-Control: max-age=60, stale-while-revalidate=30", "", 60, "", Revalidate},
		{"stale-while-revalidate, to", 200, "Cache-Control: max-age=60, stale-while-revalidate=30", "", 90, "", Revalidate},
		{"stale-while-revalidate, past", 200, "Cache-Control: max-age=60, stale-while-revalidate=30", "", 91, "", Stale},
		{"stale-while-revalidate, twice", 200, "Cache-Control: max-age=60, stale-while-revalidate=30, stale-while-revalidate=90", "", 91, "", Stale},
		{"stale-while-revalidate that is none", 200, "Cache-Control: max-age=60, stale-while-revalidate=yes" + tag, "", 61, "", Stale},
		{"stale-while-revalidate of a heuristic", 200, "Cache-Control: stale-while-revalidate=30 | Last-Modified: {-1000}", "", 120, "", Revalidate},
		{"stale-while-revalidate, the request insists", 200, "Cache-Control: max-age=60, stale-while-revalidate=30", "", 70, "Cache-Control: max-age=5", Stale},
		{"stale-while-revalidate before max-stale", 200, "Cache-Control: max-age=60, stale-while-revalidate=30", "", 70, "Cache-Control: max-stale", Revalidate},
		{"stale-if-error alone keeps an entry", 200, "Cache-Control: max-age=0, stale-if-error=30", "", 1, "", Stale},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			b.Store(b.request(c.first), c.status, head(b.t, c.response), []byte("body"), nil, b.t, b.t)
			b.pass(c.later)
			l := b.lookup(c.second)
			if l.State != c.want {
				t.Errorf("got %s, want %s", l.State, c.want)
			}
			if has := l.Entry != nil; has != (c.want == Fresh || c.want == Stale || c.want == Usable || c.want == Revalidate) {
				t.Errorf("entry: %v", l.Entry)
			}
			other := b.request(c.second)
			other.URL = "http://a/?"
			if b.Lookup(other).Entry != nil {
				t.Error("another URL has it too")
			}
		})
	}
}

func manyNames(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = "X-" + strings.Repeat("a", i+1)
	}
	return strings.Join(names, ", ")
}

// TestRevalidateOnce: a stale answer has one caller at a time ask the upstream.
func TestRevalidateOnce(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	e, _ := b.put("Cache-Control: max-age=60, stale-while-revalidate=600")
	b.pass(60)
	want := func(why string, states ...State) {
		t.Helper()
		for i, s := range states {
			if got := b.lookup("").State; got != s {
				t.Errorf("%s, the %d.: got %s", why, i+1, got)
			}
		}
	}
	want("at first", Revalidate, Usable, Usable)
	b.pass(9)
	want("while it may be under way", Usable)
	b.pass(1)
	want("when it has taken too long", Revalidate, Usable)
	e.Unclaim()
	want("when it was given up", Revalidate, Usable)
	b.Refresh(b.request(""), e, nil, b.t, b.t)
	want("when it is done", Fresh)
	b.pass(60)
	want("later", Revalidate, Usable)
}

func TestServesErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, control, request string
		later                  int
		any, this              bool // request
	}{
		{"within", "max-age=60, stale-if-error=30", "", 90, true, true},
		{"past", "max-age=60, stale-if-error=30", "", 91, false, false},
		{"without", "max-age=60, stale-while-revalidate=100", "", 61, false, false},
		{"still fresh", "max-age=60, stale-if-error=30", "Cache-Control: max-age=0", 1, true, true},
		{"must-revalidate", "max-age=60, stale-if-error=30, must-revalidate", "Cache-Control: stale-if-error=100", 61, false, false},
		{"no-cache", "no-cache, stale-if-error=30", "Cache-Control: stale-if-error=100", 1, false, false},
		{"the request's no-cache", "max-age=60, stale-if-error=30", "Cache-Control: no-cache", 61, true, false},
		{"the request's Pragma", "max-age=60, stale-if-error=30", "Pragma: no-cache", 61, true, false},
		{"the request's window, within", "max-age=60", "Cache-Control: stale-if-error=30", 90, false, true},
		{"the request's window, past", "max-age=60", "Cache-Control: stale-if-error=30", 91, false, false},
		{"huge", "max-age=60, stale-if-error=99999999999", "", 1 << 30, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			e, ok := b.put(`Etag: "a" | Cache-Control: ` + c.control)
			if !ok {
				t.Fatal("not stored")
			}
			b.pass(c.later)
			if got := e.ServesErrors(b.t); got != c.any {
				t.Errorf("any request: %v", got)
			}
			if got := e.ServesErrorsTo(b.request(c.request), b.t); got != c.this {
				t.Errorf("this request: %v", got)
			}
		})
	}
	for status, want := range map[int]bool{499: false, 500: true, 501: false, 502: true, 503: true, 504: true, 505: false, 429: false} {
		if IsError(status) != want {
			t.Errorf("%d: %v", status, !want)
		}
	}
}
