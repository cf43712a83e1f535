package cache

import (
	"strings"
	"testing"
	"time"
)

// TestRefresh: a 304 renews what it speaks of and leaves the rest (RFC 9111, section 4.3.4).
func TestRefresh(t *testing.T) {
	t.Parallel()
	const stored = `Cache-Control: max-age=60 | Etag: "a" | Content-Type: text/plain | Content-Encoding: gzip | Content-Length: 4 | X-Old: 1 | Age: 5 | Date: {-5}`
	for _, c := range []struct {
		name, answer string
		want         string // "name value" of what is to be found in the answer, by comma; without a value: nothing
		later        int
		state        State
	}{
		{"nothing in it", "", "X-Old 1, Content-Type text/plain, Age 0", 59, Fresh},
		{"and then it is stale again", "", "", 60, Stale},
		{"another lifetime", "Cache-Control: max-age=10", "Cache-Control max-age=10", 10, Stale},
		{"an Expires beside the max-age that was stored", "Expires: {1}", "Cache-Control max-age=60", 59, Fresh},
		{"its own Age", "Age: 50", "Age 50", 10, Stale},
		{"its own Date", "Date: {-50}", "Age 50", 10, Stale},
		{"fields that are new", "X-New: 2", "X-New 2, X-Old 1", 0, Fresh},
		{"fields that were there", "X-Old: 2 | X-Old: 3", "X-Old 2", 0, Fresh},
		{"the body's own are kept", "Content-Encoding: br | Content-Length: 0 | Content-Range: bytes 0-1/2", "Content-Encoding gzip, Content-Length 4, Content-Range", 0, Fresh},
		{"the type isn't one of those", "Content-Type: text/html", "Content-Type text/html", 0, Fresh},
		{"the connection's are dropped", "Connection: X-Hop | X-Hop: 1 | Transfer-Encoding: chunked", "Connection, X-Hop, Transfer-Encoding", 0, Fresh},
		{"the same Etag", `Etag: "a"`, `Etag "a"`, 0, Fresh},
		{"the same Etag, weak", `Etag: W/"a" | X-New: 1`, "X-New 1", 0, Fresh},
		{"another Etag says nothing about it", `Etag: "b" | X-New: 1`, `Etag "a", X-New`, 0, Miss},
		{"no-store is the last answer from it", "Cache-Control: no-store", "X-Old 1, Age 0", 0, Miss},
		{"Set-Cookie too", "Set-Cookie: a=b", "Set-Cookie a=b, X-Old 1", 0, Miss},
		{"Vary: * too", "Vary: *", "X-Old 1", 0, Miss},
		{"no-cache", "Cache-Control: no-cache", "X-Old 1", 0, Stale},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			e, ok := b.Store(b.request(""), 200, head(b.t, stored), []byte("body"), 7, b.t, b.t)
			if !ok {
				t.Fatal("not stored")
			}
			before := strings.Join(e.Header["X-Old"], "") + e.Header.Get("Date")
			b.pass(3600)
			got := b.Refresh(b.request(""), e, head(b.t, c.answer), b.t, b.t)
			if string(got.Body) != "body" || got.Note != 7 || got.Status != 200 {
				t.Errorf("%+v", got)
			}
			header := got.Answer(b.t)
			for want := range strings.SplitSeq(c.want, ", ") {
				name, value, _ := strings.Cut(want, " ")
				if name != "" && header.Get(name) != value {
					t.Errorf("%s is %q", name, header.Get(name))
				}
			}
			if strings.Join(e.Header["X-Old"], "")+e.Header.Get("Date") != before || e.Header["X-New"] != nil {
				t.Error("the entry itself was changed")
			}
			b.pass(c.later)
			if l := b.lookup(""); l.State != c.state {
				t.Errorf("then it is %s", l.State)
			}
		})
	}
}

// TestRefreshVariant: a 304 renews one variant, and may change what it varies by.
func TestRefreshVariant(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	vary := `Cache-Control: max-age=60 | Vary: Accept | Etag: "a"`
	b.Store(b.request("Accept: x"), 200, head(b.t, vary), nil, nil, b.t, b.t)
	b.Store(b.request("Accept: y"), 200, head(b.t, vary), nil, nil, b.t, b.t)
	b.pass(60)
	e := b.lookup("Accept: x").Entry
	b.Refresh(b.request("Accept: x"), e, nil, b.t, b.t)
	if b.lookup("Accept: x").State != Fresh || b.lookup("Accept: y").State != Stale {
		t.Error("it has to be one")
	}
	b.Refresh(b.request("Accept: x | X-A: 1"), e, head(b.t, "Vary: X-A"), b.t, b.t)
	if b.lookup("Accept: z | X-A: 1").State != Fresh || b.lookup("Accept: z | X-A: 2").State != Miss || b.lookup("Accept: y").State != Stale {
		t.Error("another Vary")
	}
}

func TestConfirms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, stored, answer string
		want                 bool
	}{
		{"nothing to compare", `Etag: "a"`, "", true},
		{"strong, the same", `Etag: "a"`, `Etag: "a"`, true},
		{"strong, another", `Etag: "a"`, `Etag: "b"`, false},
		{"weak, the same", `Etag: W/"a"`, `Etag: W/"a"`, true},
		{"a date beside the same tag", `Etag: "a" | Last-Modified: {-9}`, `Etag: "a" | Last-Modified: {-5}`, true},
		{"a strong one where there was none", "Last-Modified: {-9}", `Etag: "a" | Last-Modified: {-9}`, false},
		{"a weak one where there was none", "Last-Modified: {-9}", `Etag: W/"a" | Last-Modified: {-9}`, true},
		{"date, the same", "Last-Modified: {-9}", "Last-Modified: {-9}", true},
		{"date, another", "Last-Modified: {-9}", "Last-Modified: {-5}", false},
		{"date, none", "Last-Modified: {-9}", "", true},
	} {
		b := newBed(t)
		e, ok := b.put(c.stored)
		if !ok {
			t.Fatal("not stored")
		}
		if got := e.Confirms(head(b.t, c.answer)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestValidators(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, stored, tag, date string }{
		{"both", `Etag: "a" | Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT`, `"a"`, "Thu, 01 Jan 2026 00:00:00 GMT"},
		{"a weak tag", `Etag: W/"a"`, `W/"a"`, ""},
		{"a date that is none isn't sent", `Etag: "a" | Last-Modified: once`, `"a"`, ""},
		{"none", "Cache-Control: max-age=60", "", ""},
	} {
		b := newBed(t)
		e, _ := b.put(c.stored)
		if v := e.Validators(); v.Get("If-None-Match") != c.tag || v.Get("If-Modified-Since") != c.date || v == nil {
			t.Errorf("%s: %v", c.name, v)
		}
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
		{"PATCH", "PATCH", "", 204, "/a"},
		{"an unknown method", "FROB", "", 200, "/a"},
		{"DELETE with Location", "DELETE", "Location: /b", 303, "/a /b"},
		{"a relative one", "POST", "Location: ./x/../c", 201, "/a /c"},
		{"PUT with Content-Location", "PUT", "Content-Location: http://host/c#x", 201, "/a /c"},
		{"written otherwise", "PUT", "Content-Location: HTTP://HOST:80/c", 201, "/a /c"},
		{"both", "PUT", "Location: /b | Content-Location: /c", 201, "/a /b /c"},
		{"another host's isn't touched", "PUT", "Location: http://other/b", 201, "/a"},
		{"another scheme's isn't touched", "PUT", "Location: https://host/b", 201, "/a"},
		{"another port's isn't touched", "PUT", "Location: http://host:81/b", 201, "/a"},
		{"one that can't be read", "PUT", "Location: http://[ | Content-Location: %", 201, "/a"},
		{"an error changes nothing", "POST", "Location: /b", 500, ""},
		{"nor does a 404", "DELETE", "", 404, ""},
		{"GET changes nothing", "GET", "Location: /b", 200, ""},
		{"HEAD changes nothing", "HEAD", "", 200, ""},
		{"OPTIONS changes nothing", "OPTIONS", "", 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			request := func(method, path, header string) *Request {
				return &Request{Method: method, URL: "http://host" + path, Header: head(b.t, header)}
			}
			paths := []string{"/a", "/b", "/c"}
			credentials := []string{"", "Authorization: x"}
			for _, path := range paths {
				for _, header := range credentials {
					b.Store(request("GET", path, header), 200, head(b.t, "Cache-Control: max-age=600"), nil, nil, b.t, b.t)
				}
			}
			b.pass(1)
			b.Invalidate(request(c.method, "/a", ""), c.status, head(b.t, c.header))
			for _, header := range credentials {
				var gone []string
				for _, path := range paths {
					if b.Lookup(request("GET", path, header)).State == Miss {
						gone = append(gone, path)
					}
				}
				if got := strings.Join(gone, " "); got != c.gone {
					t.Errorf("gone, with %q: %s", header, got)
				}
			}
		})
	}
}

// TestInvalidateUnderWay: what was asked before a change isn't stored after it.
func TestInvalidateUnderWay(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	old, _ := b.put(`Cache-Control: max-age=60 | Etag: "a"`)
	sent := b.t
	b.pass(1)
	post := b.request("")
	post.Method = "POST"
	b.Invalidate(post, 200, nil)
	if _, ok := b.Store(b.request(""), 200, head(b.t, "Cache-Control: max-age=60"), nil, nil, b.t, b.t); ok {
		t.Error("an answer from the same moment was stored")
	}
	b.pass(1)
	if _, ok := b.Store(b.request(""), 200, head(b.t, "Cache-Control: max-age=60"), nil, nil, sent, b.t); ok || b.lookup("").State != Miss {
		t.Error("an answer from before was stored")
	}
	if e := b.Refresh(b.request(""), old, head(b.t, "X-New: 1"), sent, b.t); e.Header.Get("X-New") != "1" || b.lookup("").State != Miss {
		t.Error("a confirmation from before was stored, or wasn't the answer")
	}
	if _, ok := b.Store(b.request(""), 200, head(b.t, "Cache-Control: max-age=60"), nil, nil, b.t.Add(-time.Millisecond), b.t); !ok || b.lookup("").State != Fresh {
		t.Error("an answer from after wasn't stored")
	}
}
