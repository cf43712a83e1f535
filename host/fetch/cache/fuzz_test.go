package cache

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzHeaders: whatever headers say, what mustn't be stored isn't, nobody gets what was fetched with other credentials, nothing is fresh
// forever or before its time, and a change of the request that the response varies by is seen.
func FuzzHeaders(f *testing.F) {
	f.Add("max-age=60", "Accept", "", "", "", int64(30))
	f.Add("no-store, max-age=1", "*", "0", "max-stale", "", int64(0))
	f.Add(`private="a, no-cache=`, "a,,b", "Thu, 01 Jan 1970 00:00:00 GMT", "only-if-cached", "Mon, 01 Jan 0001 00:00:00 GMT", int64(-5))
	f.Add("stale-while-revalidate=99999999999, max-age=00", "accept", "-1", "min-fresh=9", "99", int64(1<<40))
	f.Add("private=x,no-store;max-age=9", "X-A,accept", "Fri, 31 Dec 9999 23:59:59 GMT", "stale-if-error", "Fri, 02 Jan 2026 03:04:05 GMT", int64(1<<62))
	f.Fuzz(func(t *testing.T, control, vary, expires, want, date string, later int64) {
		b := newBed(t)
		response := http.Header{
			"Cache-Control": strings.Split(control, "\n"), "Vary": {vary}, "Expires": {expires}, "Age": {expires}, "Date": {date}, "Last-Modified": {date}, "Etag": {`"a"`},
		}
		own := http.Header{"Authorization": {"mine"}, "Accept": {want}}
		r := &Request{Method: "GET", URL: "http://a/", Header: own}
		e, stored := b.Store(r, 200, response, []byte("body"), nil, b.t, b.t)
		if stored && !strings.Contains(control, `"`) {
			for _, part := range strings.FieldsFunc(control, func(r rune) bool { return strings.ContainsRune(separators+"\n", r) }) {
				if strings.EqualFold(part, "no-store") {
					t.Errorf("stored: %q", control)
				}
			}
		}
		if stored && strings.ContainsRune(","+strings.ReplaceAll(vary, " ", "")+",", '*') && strings.Contains(","+strings.ReplaceAll(vary, " ", "")+",", ",*,") {
			t.Errorf("stored: %q", vary)
		}
		b.t = b.t.Add(time.Duration(later))
		l := b.Lookup(r)
		if l.Entry != nil {
			if !stored || l.Entry != e {
				t.Error("found what wasn't stored")
			}
			l.Entry.Answer(b.t)
			l.Entry.ServesErrorsTo(r, b.t)
			if l.State == Fresh && (e.says.noCache || e.ageAt(b.t) < 0 || e.ageAt(b.t) >= longest || e.lifetime <= e.age) {
				t.Errorf("fresh: %+v", e)
			}
			if (l.State == Usable || l.State == Revalidate) && e.says.mustRevalidate {
				t.Errorf("served stale: %+v", e)
			}
		}
		for _, other := range []http.Header{{}, {"Authorization": {"yours"}}, {"Authorization": {"mine"}, "Cookie": {"a=b"}}, {"Cookie": {"mine"}}} {
			other["Accept"] = own["Accept"]
			if b.Lookup(&Request{Method: "GET", URL: "http://a/", Header: other}).Entry != nil {
				t.Errorf("%v got another's", other)
			}
		}
		changed := http.Header{"Authorization": {"mine"}, "Accept": {want + "x"}}
		if got := b.Lookup(&Request{Method: "GET", URL: "http://a/", Header: changed}).Entry; got != nil && strings.EqualFold(vary, "accept") {
			t.Error("Vary was ignored")
		}
		asking := http.Header{"Authorization": {"mine"}, "Accept": {want}, "Cache-Control": {want}, "Pragma": {want}}
		asked := &Request{Method: "GET", URL: "http://a/", Header: asking}
		b.Lookup(asked)
		if turn, _, err := b.Join(t.Context(), asked); err != nil {
			t.Error(err)
		} else if turn != nil {
			turn.Share(asked, 200, response, nil, nil, b.t, b.t)
		}
		if l.Entry != nil {
			b.Refresh(r, l.Entry, http.Header{"Cache-Control": {want}, "Vary": {want}, "Date": {date}, "Age": {want}}, b.t, b.t)
		}
		b.Invalidate(&Request{Method: "PUT", URL: vary, Header: own}, 200, http.Header{"Location": {control}, "Content-Location": {want}})
		if n := b.Bytes(); n < 0 || n > 1<<20 {
			t.Errorf("%d bytes", n)
		}
	})
}
