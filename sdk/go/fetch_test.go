package sortie_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

func TestOutsideAnInvocation(t *testing.T) {
	// Not parallel: no invocation of another test may be running.
	ctx, reqs := context.Background(), []*sortie.Request{{URL: "https://x.example/"}}
	_, get := sortie.Get(ctx, reqs[0].URL)
	_, all := sortie.All(ctx, reqs)
	_, anyOf := sortie.Any(ctx, reqs)
	race := sortie.Race(ctx, reqs).Err
	settled := sortie.AllSettled(ctx, reqs)[0].Err
	var completed error
	for _, r := range sortie.AsCompleted(ctx, reqs) {
		completed = r.Err
	}
	var into struct{}
	for name, err := range map[string]error{"Get": get, "All": all, "Any": anyOf, "Race": race, "AllSettled": settled, "AsCompleted": completed, "ConfigInto": sortie.ConfigInto(&into)} {
		if err == nil || !strings.Contains(err.Error(), "sortietest") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, ok := sortie.Config("a"); ok {
		t.Error("Config has a value")
	}
}

func TestGoroutinesOverlap(t *testing.T) {
	took := in(t, same(10, sortietest.Reply{Delay: 100 * ms}), func(ctx context.Context, h *sortietest.Host, reqs []*sortie.Request) {
		var wg sync.WaitGroup
		for _, req := range reqs {
			wg.Go(func() {
				if _, err := sortie.Fetch(ctx, req); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := h.MaxInFlight(); n != 10 {
			t.Errorf("%d in flight at most", n)
		}
	})
	if took != 100*ms {
		t.Errorf("took %s", took)
	}
}

func TestCancellation(t *testing.T) {
	cause := errors.New("no longer wanted")
	took := in(t, same(1, sortietest.Reply{Delay: time.Minute}), func(ctx context.Context, h *sortietest.Host, reqs []*sortie.Request) {
		ctx, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(20*ms, func() { cancel(cause) })
		_, err := sortie.Fetch(ctx, reqs[0])
		for _, want := range []error{sortie.ErrCancelled, context.Canceled, cause} {
			if !errors.Is(err, want) {
				t.Errorf("%v isn't %v", err, want)
			}
		}
		if errors.Is(err, sortie.ErrTimeout) {
			t.Errorf("%v is a time-out", err)
		}
		// One that is cancelled beforehand isn't sent.
		for _, r := range append(sortie.AllSettled(ctx, reqs), sortie.Race(ctx, reqs)) {
			if r.State != sortie.Cancelled || !errors.Is(r.Err, context.Canceled) {
				t.Errorf("got %+v", r)
			}
		}
		if n := len(h.Requests()); n != 1 {
			t.Errorf("%d requests were sent", n)
		}
	})
	if took != 20*ms {
		t.Errorf("took %s", took)
	}
}

func TestDeadlines(t *testing.T) {
	in(t, same(1, sortietest.Reply{Delay: time.Minute}), func(ctx context.Context, _ *sortietest.Host, reqs []*sortie.Request) {
		check := func(name string, took time.Duration, err error) {
			var e *sortie.Error
			if !errors.Is(err, sortie.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || e.Code != "timeout" || took != 50*ms {
				t.Errorf("%s: %v after %s", name, err, took)
			}
		}
		start := time.Now()
		_, err := sortie.Fetch(ctx, reqs[0], sortie.WithTimeout(50*ms))
		check("option", time.Since(start), err)

		start = time.Now()
		deadline, cancel := context.WithTimeout(ctx, 50*ms)
		_, err = sortie.Fetch(deadline, reqs[0], sortie.WithTimeout(time.Second))
		cancel()
		check("context", time.Since(start), err)

		start = time.Now()
		_, err = sortie.Fetch(ctx, reqs[0], sortie.WithAttemptTimeout(50*ms))
		check("attempt", time.Since(start), err)

		start = time.Now()
		deadline, cancel = context.WithTimeout(ctx, 50*ms)
		_, err = sortie.All(deadline, reqs)
		cancel()
		check("group", time.Since(start), err)
	})
}

func TestResponseMethods(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Reply("POST https://x.example/", sortietest.Reply{Status: 503, JSON: map[string]int{"n": 7}})
	h.Do(func(ctx context.Context) {
		resp, err := sortie.Post(ctx, "https://x.example/", "text/plain", []byte("hi"))
		if err != nil {
			t.Fatal(err)
		}
		var v struct{ N int }
		if err := resp.JSON(&v); err != nil || v.N != 7 || resp.Text() != `{"n":7}` {
			t.Errorf("JSON: %v, %v; Text: %s", v, err, resp.Text())
		}
		if err := resp.JSON(&[]int{}); err == nil || !strings.Contains(err.Error(), resp.URL) {
			t.Errorf("JSON into the wrong type: %v", err)
		}
		var e *sortie.Error
		if err := resp.Check(); !errors.As(err, &e) || e.Code != "http_status" || e.Response != resp || !e.Retryable {
			t.Errorf("Check: %v", err)
		}
		for status, fails := range map[int]bool{200: false, 304: false, 399: false, 400: true, 404: true} {
			err := (&sortie.Response{Status: status}).Check()
			if (err != nil) != fails || fails && errors.As(err, &e) && e.Retryable {
				t.Errorf("Check of %d: %v", status, err)
			}
		}
	})
	sent := h.Requests()[0]
	if sent.Header.Get("Content-Type") != "text/plain" || string(sent.Body) != "hi" {
		t.Errorf("Post has sent %+v", sent)
	}
}

func TestStateNames(t *testing.T) {
	t.Parallel()
	got := ""
	for s := sortie.Pending; s <= sortie.Cancelled+1; s++ {
		got += s.String() + " "
	}
	if got != "pending running fulfilled rejected cancelled unknown " {
		t.Error(got)
	}
}

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := sortietest.New(t)
		h.Reply("https://x.example/", sortietest.Reply{Code: "connect_error", Times: 1})
		h.Reply("https://x.example/", sortietest.Reply{Status: 503, Times: 1})
		h.Reply("https://x.example/", sortietest.Reply{Body: "at last"})
		start := time.Now()
		h.Do(func(ctx context.Context) {
			resp, err := sortie.Get(ctx, "https://x.example/", sortie.WithRetry(sortie.Retry{Attempts: 3}))
			if err != nil || resp.Attempts != 3 || resp.Text() != "at last" || resp.Elapsed != time.Since(start) {
				t.Errorf("got %+v, %v", resp, err)
			}
		})
		if took := time.Since(start); took != 300*ms {
			t.Errorf("took %s, want 100ms and then 200ms", took)
		}
	})
}
