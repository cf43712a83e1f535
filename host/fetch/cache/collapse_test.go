package cache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// crowd are requests that join. Each tells what it got.
type crowd struct {
	turns   chan *Turn
	entries chan *Entry // nil: it goes out by itself
	errs    chan error
}

func (b bed) crowd(ctx context.Context, n int, header string) crowd {
	c := crowd{make(chan *Turn, n), make(chan *Entry, n), make(chan error, n)}
	for range n {
		go func() {
			turn, e, err := b.Join(ctx, b.request(header))
			switch {
			case err != nil:
				c.errs <- err
			case turn != nil:
				c.turns <- turn
			default:
				c.entries <- e
			}
		}()
	}
	synctest.Wait()
	return c
}

func (c crowd) want(t *testing.T, turns, entries, errs int) {
	t.Helper()
	synctest.Wait()
	if len(c.turns) != turns || len(c.entries) != entries || len(c.errs) != errs {
		t.Errorf("%d turns, %d have gone on, %d have left; want %d, %d, %d", len(c.turns), len(c.entries), len(c.errs), turns, entries, errs)
	}
}

func (b bed) lead(t *testing.T) *Turn {
	t.Helper()
	turn, e, err := b.Join(context.Background(), b.request(""))
	if turn == nil || e != nil || err != nil {
		t.Fatalf("no turn: %v, %v", e, err)
	}
	return turn
}

func (b bed) share(turn *Turn, status int, header string) {
	turn.Share(b.request(""), status, head(b.t, header), []byte("body"), "note", b.t, b.t)
}

func (b bed) empty(t *testing.T) {
	t.Helper()
	if n := len(b.collapsing.queues); n != 0 {
		t.Errorf("%d queues are left", n)
	}
}

// TestShare: one of ten goes out; what becomes of the others, and of those after them, depends on its answer.
func TestShare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		header string
		shared bool
		alone  bool // afterwards
	}{
		{"an answer without directives is everybody's", 200, "", true, false},
		{"one with a lifetime", 200, "Cache-Control: max-age=60", true, false},
		{"one that is stale but may be used", 200, "Cache-Control: max-age=0, stale-while-revalidate=9", true, false},
		{"a 404", 404, "", true, false},
		{"a 500 with a lifetime", 500, "Cache-Control: max-age=60", true, false},
		{"one with no-store is its own", 200, "Cache-Control: no-store", false, true},
		{"one with no-cache", 200, "Cache-Control: no-cache", false, true},
		{"one with max-age=0", 200, "Cache-Control: max-age=0", false, true},
		{"one with an Expires in the past", 200, "Expires: 0", false, true},
		{"one that came too late", 200, "Cache-Control: max-age=60 | Age: 60", false, true},
		{"one with a cookie", 200, "Set-Cookie: a=b", false, true},
		{"one that varies by anything", 200, "Vary: *", false, true},
		{"a redirect", 302, "", false, true},
		{"a part", 206, "", false, true},
		{"a 403", 403, "", false, true},
		{"a 503", 503, "", false, false},
		{"a 501", 501, "", false, false},
		{"a 429", 429, "", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				first := b.lead(t)
				rest := b.crowd(t.Context(), 9, "")
				rest.want(t, 0, 0, 0)
				b.share(first, c.status, c.header)
				rest.want(t, 0, 9, 0)
				for range 9 {
					e := <-rest.entries
					if (e != nil) != c.shared || e != nil && (string(e.Body) != "body" || e.Note != "note" || e.Status != c.status) {
						t.Fatalf("got %+v", e)
					}
				}
				b.empty(t)
				turn, e, _ := b.Join(t.Context(), b.request("Accept: other"))
				if (turn == nil) != c.alone || e != nil {
					t.Errorf("the next has a turn: %v", turn != nil)
				}
				turn.fail()
				b.pass(10)
				b.lead(t).Fail()
				b.empty(t)
			})
		})
	}
}

func (t *Turn) fail() {
	if t != nil {
		t.Fail()
	}
}

// TestFail: with a failure all go out by themselves, and the next are collapsed again.
func TestFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		first := b.lead(t)
		rest := b.crowd(t.Context(), 5, "")
		first.Fail()
		rest.want(t, 0, 5, 0)
		if e := <-rest.entries; e != nil {
			t.Error("they got an answer")
		}
		second := b.lead(t)
		first.Fail() // none of these counts any more
		first.Leave()
		b.share(first, 200, "")
		more := b.crowd(t.Context(), 2, "")
		more.want(t, 0, 0, 0)
		b.share(second, 200, "")
		more.want(t, 0, 2, 0)
		b.empty(t)
	})
}

// TestLeave: one that stops for its own reasons lets the first that waits take the turn, and the rest go on waiting.
func TestLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		first := b.lead(t)
		rest := b.crowd(t.Context(), 5, "")
		first.Leave()
		rest.want(t, 1, 0, 0)
		second := <-rest.turns
		second.Leave()
		second.Leave()
		rest.want(t, 1, 0, 0)
		b.share(<-rest.turns, 200, "")
		rest.want(t, 0, 3, 0)
		b.empty(t)
		b.lead(t).Leave() // nobody waits
		b.empty(t)
	})
}

// TestWaitersLeave: they can at any time, and none is given a turn that it doesn't want.
func TestWaitersLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		why := errors.New("enough")
		first := b.lead(t)
		ctx, cancel := context.WithCancelCause(context.Background())
		gone := b.crowd(ctx, 3, "")
		rest := b.crowd(t.Context(), 2, "")
		cancel(why)
		gone.want(t, 0, 0, 3)
		if err := <-gone.errs; err != why {
			t.Error(err)
		}
		rest.want(t, 0, 0, 0)
		first.Leave()
		rest.want(t, 1, 0, 0)
		(<-rest.turns).Leave()
		rest.want(t, 1, 0, 0)
		(<-rest.turns).Leave()
		b.empty(t)
		if _, _, err := b.Join(ctx, b.request("")); err != nil {
			t.Error("one that needn't wait has no reason to leave")
		}
	})
}

// TestTurnIsPassedOn: one that leaves while it is being given the turn passes it on.
func TestTurnIsPassedOn(t *testing.T) {
	t.Parallel()
	passed := 0
	for i := range 20 {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			first := b.lead(t)
			ctx, cancel := context.WithCancel(context.Background())
			leaving := b.crowd(ctx, 1, "")
			staying := b.crowd(t.Context(), 1, "")
			// Both are ready when the waiter looks.
			b.collapsing.mu.Lock()
			if i%2 == 0 {
				cancel()
				first.pass()
			} else {
				first.pass()
				cancel()
			}
			b.collapsing.mu.Unlock()
			synctest.Wait()
			if len(leaving.turns) == 1 {
				(<-leaving.turns).Leave()
			} else {
				passed++
			}
			staying.want(t, 1, 0, 0)
			(<-staying.turns).Leave()
			b.empty(t)
		})
	}
	if passed == 0 {
		t.Error("it was never passed on")
	}
}

// TestJoin: which requests wait for each other.
func TestJoin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, second string
		waits, turn  bool
	}{
		{"the same", "Accept: a", true, false},
		{"another value", "Accept: b", false, true},
		{"one value in two", "Accept: a | Accept: a", false, true},
		{"a field less", "", false, true},
		{"a field more", "Accept: a | X-A: 1", false, true},
		{"other credentials", "Accept: a | Authorization: a", false, true},
		{"one that wants its own answer", "Accept: a | Cache-Control: no-cache", false, false},
		{"one that wants a new answer", "Accept: a | Cache-Control: max-age=0", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				first, _, _ := b.Join(t.Context(), b.request("Accept: a"))
				second := b.crowd(t.Context(), 1, c.second)
				waits, turn := len(second.turns)+len(second.entries) == 0, len(second.turns) == 1
				if waits != c.waits || turn != c.turn {
					t.Errorf("waits: %v, has a turn: %v", waits, turn)
				}
				first.Fail()
				synctest.Wait()
				for len(second.turns) > 0 {
					(<-second.turns).Fail()
				}
				b.empty(t)
			})
		})
	}
}

// TestJoinStored: one that comes when the answer has just been stored has it.
func TestJoinStored(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.put("Cache-Control: max-age=60")
	if turn, e, err := b.Join(t.Context(), b.request("")); turn != nil || e == nil || err != nil {
		t.Errorf("%v, %v, %v", turn, e, err)
	}
	b.empty(t)
}

// TestJoinInvalidated: one that comes after a change doesn't wait for an answer from before it.
func TestJoinInvalidated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		first := b.lead(t)
		before := b.crowd(t.Context(), 2, "")
		b.pass(1)
		post := b.request("")
		post.Method = "POST"
		b.Invalidate(post, 200, nil)
		b.pass(1)
		second := b.lead(t)
		after := b.crowd(t.Context(), 3, "")
		b.share(first, 200, "")
		before.want(t, 0, 2, 0)
		last := b.crowd(t.Context(), 1, "")
		after.want(t, 0, 0, 0)
		last.want(t, 0, 0, 0)
		b.share(second, 200, "")
		after.want(t, 0, 3, 0)
		last.want(t, 0, 1, 0)
		b.empty(t)
	})
}

// TestCloseWaiting: nobody waits for a cache that is closed.
func TestCloseWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		first := b.lead(t)
		rest := b.crowd(t.Context(), 3, "")
		b.Close()
		rest.want(t, 0, 3, 0)
		first.Leave()
		b.empty(t)
	})
}

// TestAloneIsBounded: a flood of URLs that can't be shared is remembered in part.
func TestAloneIsBounded(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for i := range 3 * maxAlone {
		r := &Request{Method: "GET", URL: fmt.Sprint("http://a/", i), Header: http.Header{}}
		turn, _, _ := b.Join(t.Context(), r)
		turn.Share(r, 200, head(b.t, "Cache-Control: no-store"), nil, nil, b.t, b.t)
		if turn, _, _ = b.Join(t.Context(), r); turn != nil {
			t.Fatal("the last isn't remembered")
		}
		if n := len(b.collapsing.alone); n > maxAlone {
			t.Fatalf("%d are remembered", n)
		}
	}
	b.empty(t)
}

// TestCollapseStorm: whatever leaders and followers do, nobody is left waiting, and each gets one of what there is.
func TestCollapseStorm(t *testing.T) {
	t.Parallel()
	c := New(Config{Bytes: 1 << 16})
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	var counts [4]atomic.Int32
	for g := range 32 {
		wg.Go(func() {
			for i := range 200 {
				own, stop := context.WithCancel(ctx)
				if i%7 == 3 {
					go stop()
				}
				r := &Request{Method: "GET", URL: fmt.Sprint("http://a/", i%2), Header: http.Header{}}
				turn, e, err := c.Join(own, r)
				switch {
				case err != nil:
					counts[0].Add(1)
				case e != nil:
					counts[1].Add(1)
				case turn == nil:
					counts[2].Add(1)
				default:
					counts[3].Add(1)
					switch (i + g) % 4 {
					case 0:
						turn.Fail()
					case 1:
						turn.Leave()
					default:
						turn.Share(r, 200, http.Header{}, nil, nil, time.Now(), time.Now())
					}
				}
				stop()
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		t.Error("somebody was left waiting")
	}
	total := int32(0)
	for i := range counts {
		total += counts[i].Load()
	}
	if total != 32*200 || len(c.collapsing.queues) != 0 {
		t.Errorf("%d results, %d queues are left", total, len(c.collapsing.queues))
	}
}
