package fetch_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

func caching() fetch.Policy {
	p := loopback()
	p.Cache.Bytes = 1 << 20
	return p
}

// TestCache fetches the same twice, by two sessions, from an upstream that counts.
func TestCache(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		path    string
		second  fetch.Request
		state   fetch.CacheState
		sent    int32 // requests that the upstream saw
		charged int   // to the second session
		status  int
	}{
		{"a fresh response isn't asked for again", "/fresh", fetch.Request{}, fetch.CacheHit, 1, 0, 200},
		{"nor when it is streamed", "/fresh", fetch.Request{Stream: true}, fetch.CacheHit, 1, 0, 200},
		{"one with no-store is", "/no-store", fetch.Request{}, fetch.CacheMiss, 2, 1, 200},
		{"a stale one is confirmed", "/etag", fetch.Request{}, fetch.CacheFresh, 2, 1, 200},
		{"a stale one that has changed is replaced", "/changing", fetch.Request{}, fetch.CacheMiss, 2, 1, 200},
		{"a stale one is the answer when the upstream fails", "/failing", fetch.Request{}, fetch.CacheStale, 2, 1, 200},
		{"other credentials get nothing of it", "/fresh", fetch.Request{Header: []fetch.Field{{Name: "authorization", Value: "b"}}}, fetch.CacheMiss, 2, 1, 200},
		{"a request that says no-cache asks", "/fresh", fetch.Request{Header: []fetch.Field{{Name: "cache-control", Value: "no-cache"}}}, fetch.CacheMiss, 2, 1, 200},
		{"only-if-cached doesn't", "/no-store", fetch.Request{Header: []fetch.Field{{Name: "cache-control", Value: "only-if-cached"}}}, fetch.CacheMiss, 1, 0, 504},
		{"a POST passes by", "/fresh", fetch.Request{Method: "POST"}, fetch.CacheUnused, 2, 1, 200},
		{"a hop of a redirect is answered from it", "/to", fetch.Request{}, fetch.CacheHit, 3, 1, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			up := serve(t, func(w http.ResponseWriter, r *http.Request) {
				count := n.Add(1)
				h := w.Header()
				switch r.URL.Path {
				case "/fresh":
					h.Set("Cache-Control", "max-age=600")
				case "/no-store":
					h.Set("Cache-Control", "no-store")
				case "/etag":
					h.Set("Cache-Control", "max-age=0")
					h.Set("Etag", `"v"`)
					if r.Header.Get("If-None-Match") == `"v"` {
						w.WriteHeader(304)
						return
					}
				case "/changing":
					h.Set("Cache-Control", "max-age=0")
					h.Set("Etag", fmt.Sprintf(`"%d"`, count))
				case "/failing":
					h.Set("Cache-Control", "max-age=0, stale-if-error=600")
					if count > 1 {
						w.WriteHeader(503)
						return
					}
				case "/to":
					http.Redirect(w, r, "/fresh", 302)
					return
				}
				io.WriteString(w, "answer")
			})
			b := open(t, fetch.Config{}, caching())
			wantOK(t, b.do(&fetch.Request{URL: up.URL + c.path}))
			first := b.session.Records()[0]
			if first.Cache != fetch.CacheMiss {
				t.Errorf("the first is a %s", first.Cache)
			}
			s := b.client.Session(t.Context())
			defer s.Close()
			c.second.URL = up.URL + c.path
			resp := wantOK(t, s.Do(t.Context(), &c.second))
			if resp.Stream {
				resp.Body, _ = io.ReadAll(resp.BodyReader)
			}
			if resp.Status != c.status || c.status == 200 && string(resp.Body) != "answer" {
				t.Errorf("status %d, body %q", resp.Status, resp.Body)
			}
			if r := s.Records()[0]; r.Cache != c.state || r.Status != c.status || r.State != fetch.Fulfilled {
				t.Errorf("record %+v", r)
			}
			if (c.state == fetch.CacheHit || c.state == fetch.CacheStale) != (header(resp, "age") != "") && c.state != fetch.CacheFresh {
				t.Errorf("age %q", header(resp, "age"))
			}
			if n.Load() != c.sent || s.Usage().Requests != c.charged {
				t.Errorf("the upstream saw %d, %d were charged", n.Load(), s.Usage().Requests)
			}
			if want := int64(len("answer")); c.status == 200 && s.Usage().Bytes != want {
				t.Errorf("%d bytes were charged", s.Usage().Bytes)
			}
		})
	}
}

// TestOnlyTheLastHopIsFromTheCache: a redirect is never stored, so a stored response ends a fetch, and the record's exchanges are the hops
// before it, each as it was sent.
func TestOnlyTheLastHopIsFromTheCache(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		if to := map[string]string{"/a": "/b", "/b": "/end"}[r.URL.Path]; to != "" {
			http.Redirect(w, r, to, http.StatusMovedPermanently)
		}
	})
	p := caching()
	p.Cache.Coalesce = true
	b := open(t, fetch.Config{}, p)
	wantOK(t, b.do(&fetch.Request{URL: up.URL + "/a", Redirect: fetch.Manual}))
	wantOK(t, b.do(&fetch.Request{URL: up.URL + "/a"}))
	wantOK(t, b.do(&fetch.Request{URL: up.URL + "/a"}))
	wantOK(t, b.do(&fetch.Request{URL: up.URL + "/end"}))
	for i, want := range []struct {
		cache     fetch.CacheState
		hops      int
		exchanges []string
	}{
		{fetch.CacheMiss, 0, []string{"/a"}},
		{fetch.CacheMiss, 2, []string{"/a", "/b", "/end"}},
		{fetch.CacheHit, 2, []string{"/a", "/b"}},
		{fetch.CacheHit, 0, nil},
	} {
		r := b.session.Records()[i]
		var sent []string
		for hop, x := range r.Exchanges {
			sent = append(sent, strings.TrimPrefix(x.URL, up.URL))
			if x.Hop != hop {
				t.Errorf("fetch %d: hop %d in place %d", i, x.Hop, hop)
			}
		}
		if r.Cache != want.cache || r.Hops != want.hops || !slices.Equal(sent, want.exchanges) {
			t.Errorf("fetch %d: %s, %d hops, sent %q; want %+v", i, r.Cache, r.Hops, sent, want)
		}
	}
}

// TestCacheKeepsToLimits: a stored response is charged like another, and what isn't allowed isn't served.
func TestCacheKeepsToLimits(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		io.WriteString(w, "0123456789")
	})
	p := caching()
	p.Limits.TotalBytes = 25
	b := open(t, fetch.Config{}, p)
	wantOK(t, b.do(&fetch.Request{URL: up.URL}))
	wantOK(t, b.do(&fetch.Request{URL: up.URL}))
	wantCode(t, b.do(&fetch.Request{URL: up.URL}), failure.LimitBytes)
	if u := b.session.Usage(); u.Requests != 1 || u.Bytes != 20 {
		t.Errorf("usage %+v", u)
	}
	other := open(t, fetch.Config{}, caching())
	wantOK(t, other.do(&fetch.Request{URL: up.URL}))
	if r := other.session.Records()[0]; r.Cache != fetch.CacheMiss {
		t.Errorf("another client's cache had it: %+v", r)
	}
}

// TestStaleWhileRevalidate: the stale answer comes at once, and the upstream is asked all the same, once the session is over too.
func TestStaleWhileRevalidate(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	held := make(chan bool)
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		if n.Add(1) == 1 {
			w.Header().Set("Cache-Control", "max-age=0, stale-while-revalidate=600")
		} else {
			<-held
			io.WriteString(w, "new")
			return
		}
		io.WriteString(w, "old")
	})
	b := open(t, fetch.Config{}, caching())
	wantOK(t, b.do(&fetch.Request{URL: up.URL}))
	s := b.client.Session(t.Context())
	if resp := wantOK(t, s.Do(t.Context(), &fetch.Request{URL: up.URL})); string(resp.Body) != "old" || s.Records()[0].Cache != fetch.CacheStale {
		t.Errorf("got %s, %s", resp.Body, s.Records()[0].Cache)
	}
	if s.Usage().Requests != 1 {
		t.Errorf("%d requests were charged for it", s.Usage().Requests)
	}
	s.Close()
	close(held)
	eventually(t, "the new answer", func() bool { return string(wantOK(t, b.do(&fetch.Request{URL: up.URL})).Body) == "new" })
}

// TestRevalidationIsCharged: what is sent in the background for a session is no more than what it was charged for it.
func TestRevalidationIsCharged(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if w.Header().Set("Cache-Control", "max-age=0, stale-while-revalidate=600"); n.Add(1) > 1 {
			w.WriteHeader(503)
		}
	})
	p := caching()
	p.Retry, p.Hedge = manifest.Retry{Attempts: 5, Backoff: 1, MaxBackoff: 1}, time.Nanosecond
	b := open(t, fetch.Config{}, p)
	wantOK(t, b.do(&fetch.Request{URL: up.URL, Hedge: fetch.HedgeNever}))
	wantOK(t, b.do(&fetch.Request{URL: up.URL}))
	eventually(t, "the revalidation", func() bool { return n.Load() > 1 })
	b.client.Close() // which waits for it
	if u := b.session.Usage().Requests; int(n.Load()) != u || u != 2 {
		t.Errorf("the upstream saw %d, %d were charged", n.Load(), u)
	}
}

// TestOddConfirmation: a 304 about another version isn't the answer, nor is one that nobody asked for taken for a confirmation.
func TestOddConfirmation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		again  int // the status without a condition
		status int
	}{{"then the new version is", 200, 200}, {"then a 304 is what it is", 304, 304}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			up := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", "max-age=0")
				switch n.Add(1) {
				case 1:
					w.Header().Set("Etag", `"1"`)
					io.WriteString(w, "old")
				case 2:
					w.Header().Set("Etag", `"2"`)
					w.WriteHeader(304)
				default:
					if w.WriteHeader(c.again); c.again == 200 {
						io.WriteString(w, "new")
					}
				}
			})
			b := open(t, fetch.Config{}, caching())
			wantOK(t, b.do(&fetch.Request{URL: up.URL}))
			resp := wantOK(t, b.do(&fetch.Request{URL: up.URL}))
			if resp.Status != c.status || string(resp.Body) == "old" || b.session.Usage().Requests != 3 {
				t.Errorf("status %d, body %q, %d requests", resp.Status, resp.Body, b.session.Usage().Requests)
			}
		})
	}
}

// TestCoalescing: of identical GETs under way one goes out, and when its own session ends another does.
func TestCoalescing(t *testing.T) {
	t.Parallel()
	up := newGate()
	server := serve(t, up.ServeHTTP)
	p := loopback()
	p.Cache.Coalesce = true
	b := open(t, fetch.Config{}, p)
	first := make(chan fetch.Result, 1)
	call := b.session.Start(&fetch.Request{URL: server.URL}, func(r fetch.Result) { first <- r })
	eventually(t, "one in flight", func() bool { return up.inFlight() == 1 })
	results := make(chan fetch.Result, 5)
	for range 5 {
		b.session.Start(&fetch.Request{URL: server.URL}, func(r fetch.Result) { results <- r })
	}
	call.Cancel()
	wantCode(t, within(t, "the first's end", first), failure.Cancelled)
	eventually(t, "another in its place", func() bool { return up.inFlight() == 1 && up.gone.Load() == 1 })
	close(up.opened)
	for range 5 {
		wantOK(t, within(t, "an answer", results))
	}
	hits := 0
	for _, r := range b.session.Records() {
		if r.Cache == fetch.CacheHit {
			hits++
		}
	}
	// Those that hadn't joined yet when the answer came went out by themselves.
	if u := b.session.Usage().Requests; u+hits != 6 {
		t.Errorf("%d requests, %d hits", u, hits)
	}
}

// TestRetryBudget: a dying upstream gets a fifth more than it is asked for, and what the operator adds.
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		w.WriteHeader(503)
	})
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Requests = 10000 }))
	for range 400 {
		r := wantOK(t, b.do(&fetch.Request{URL: up.URL, Retry: &fetch.Retry{Attempts: 4, Backoff: time.Microsecond}}))
		if r.Status != 503 {
			t.Fatal(r.Status)
		}
	}
	// 400, a fifth of them, and the hundred that are allowed in any window; a slow machine has more than one window.
	if seen := n.Load(); seen < 480 || seen > 700 {
		t.Errorf("the upstream saw %d", seen)
	}
}
