package sortie_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

const ms = time.Millisecond

// upstream is a host where https://x.example/I answers "I" or fails, each after its time.
func upstream(t *testing.T, replies ...sortietest.Reply) (*sortietest.Host, []*sortie.Request) {
	h := sortietest.New(t)
	reqs := make([]*sortie.Request, len(replies))
	for i, r := range replies {
		reqs[i] = &sortie.Request{URL: fmt.Sprintf("https://x.example/%d", i)}
		r.Body = fmt.Sprint(i)
		h.Reply(reqs[i].URL, r)
	}
	return h, reqs
}

// in runs f as an invocation in fake time, and says how long it took.
func in(t *testing.T, replies []sortietest.Reply, f func(ctx context.Context, h *sortietest.Host, reqs []*sortie.Request)) (took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		h, reqs := upstream(t, replies...)
		start := time.Now()
		h.Do(func(ctx context.Context) { f(ctx, h, reqs) })
		took = time.Since(start)
	})
	return took
}

func same(n int, r sortietest.Reply) []sortietest.Reply {
	return slices.Repeat([]sortietest.Reply{r}, n)
}

func texts(responses []*sortie.Response) string {
	s := ""
	for _, r := range responses {
		s += r.Text() + " "
	}
	return s
}

func TestAll(t *testing.T) {
	took := in(t, []sortietest.Reply{{Delay: 30 * ms}, {Delay: 10 * ms}, {Delay: 20 * ms}},
		func(ctx context.Context, h *sortietest.Host, reqs []*sortie.Request) {
			responses, err := sortie.All(ctx, reqs)
			if err != nil || texts(responses) != "0 1 2 " {
				t.Errorf("got %s %v", texts(responses), err)
			}
			if n := h.MaxInFlight(); n != 3 {
				t.Errorf("%d in flight at most, want 3", n)
			}
		})
	if took != 30*ms {
		t.Errorf("took %s", took)
	}
}

func TestAllFirstErrorCancels(t *testing.T) {
	took := in(t, []sortietest.Reply{{Delay: time.Second}, {Delay: 20 * ms, Code: "connect_error"}, {Delay: 30 * ms, Code: "dns_error"}},
		func(ctx context.Context, h *sortietest.Host, reqs []*sortie.Request) {
			responses, err := sortie.All(ctx, reqs)
			var e *sortie.Error
			if responses != nil || !errors.As(err, &e) || e.Code != "connect_error" || e.URL != reqs[1].URL {
				t.Errorf("got %v, %v", responses, err)
			}
		})
	if took != 20*ms {
		t.Errorf("took %s: the rest wasn't cancelled", took)
	}
}

func TestConcurrency(t *testing.T) {
	took := in(t, same(20, sortietest.Reply{Delay: 200 * ms}), func(ctx context.Context, h *sortietest.Host, reqs []*sortie.Request) {
		if _, err := sortie.All(ctx, reqs, sortie.WithConcurrency(5)); err != nil {
			t.Error(err)
		}
		if n := h.MaxInFlight(); n != 5 {
			t.Errorf("%d in flight at most, want 5", n)
		}
	})
	if took != 800*ms {
		t.Errorf("took %s, want four rounds of 200ms", took)
	}
}

func TestAllSettled(t *testing.T) {
	in(t, []sortietest.Reply{{Delay: 30 * ms}, {Code: "dns_error"}, {Status: 500}}, func(ctx context.Context, _ *sortietest.Host, reqs []*sortie.Request) {
		got := ""
		for _, r := range sortie.AllSettled(ctx, reqs) {
			got += r.State.String() + " "
			if (r.Response == nil) == (r.Err == nil) {
				t.Errorf("response %v and error %v", r.Response, r.Err)
			}
		}
		if got != "fulfilled rejected fulfilled " {
			t.Error(got)
		}
	})
}

func TestAllSettledKeepsWhatArrivedInTime(t *testing.T) {
	took := in(t, []sortietest.Reply{{Delay: 10 * ms}, {Delay: time.Second}}, func(ctx context.Context, _ *sortietest.Host, reqs []*sortie.Request) {
		ctx, cancel := context.WithTimeout(ctx, 50*ms)
		defer cancel()
		results := sortie.AllSettled(ctx, reqs)
		if results[0].State != sortie.Fulfilled {
			t.Errorf("the one in time: %+v", results[0])
		}
		if results[1].State != sortie.Rejected || !errors.Is(results[1].Err, sortie.ErrTimeout) || !errors.Is(results[1].Err, context.DeadlineExceeded) {
			t.Errorf("the one too late: %v", results[1].Err)
		}
	})
	if took != 50*ms {
		t.Errorf("took %s", took)
	}
}

func TestAny(t *testing.T) {
	took := in(t, []sortietest.Reply{{Delay: 5 * ms, Code: "dns_error"}, {Delay: 500 * ms}, {Delay: 20 * ms}, {Delay: 500 * ms}},
		func(ctx context.Context, _ *sortietest.Host, reqs []*sortie.Request) {
			resp, err := sortie.Any(ctx, reqs)
			if err != nil || resp.Text() != "2" {
				t.Errorf("got %v, %v", resp, err)
			}
		})
	if took != 20*ms {
		t.Errorf("took %s: the rest wasn't cancelled", took)
	}
}

func TestAnyWithoutOne(t *testing.T) {
	in(t, []sortietest.Reply{{Code: "dns_error", Delay: ms}, {Code: "tls_error"}}, func(ctx context.Context, _ *sortietest.Host, reqs []*sortie.Request) {
		_, err := sortie.Any(ctx, reqs)
		several, ok := err.(interface{ Unwrap() []error })
		if !ok || len(several.Unwrap()) != 2 {
			t.Fatalf("got %v", err)
		}
		var first *sortie.Error
		if !errors.As(err, &first) || first.Code != "dns_error" || !errors.Is(err, sortie.ErrNetwork) {
			t.Errorf("the first by request is %v", first)
		}
		if _, err := sortie.Any(ctx, nil); !errors.Is(err, sortie.ErrInvalid) {
			t.Errorf("Any of nothing: %v", err)
		}
	})
}

func TestRace(t *testing.T) {
	in(t, []sortietest.Reply{{Delay: 30 * ms}, {Delay: 10 * ms, Code: "dns_error"}}, func(ctx context.Context, _ *sortietest.Host, reqs []*sortie.Request) {
		if r := sortie.Race(ctx, reqs); r.State != sortie.Rejected || !errors.Is(r.Err, sortie.ErrNetwork) {
			t.Errorf("got %+v", r)
		}
		if r := sortie.Race(ctx, reqs[:1]); r.State != sortie.Fulfilled || r.Response.Text() != "0" {
			t.Errorf("got %+v", r)
		}
		if r := sortie.Race(ctx, nil); !errors.Is(r.Err, sortie.ErrInvalid) {
			t.Errorf("Race of nothing: %+v", r)
		}
	})
}

func TestQuorum(t *testing.T) {
	replies := []sortietest.Reply{{Delay: 30 * ms}, {Delay: 10 * ms}, {Delay: 5 * ms, Code: "dns_error"}, {Delay: time.Second}}
	took := in(t, replies, func(ctx context.Context, _ *sortietest.Host, reqs []*sortie.Request) {
		responses, err := sortie.Quorum(ctx, 2, reqs)
		if err != nil || texts(responses) != "1 0 " {
			t.Errorf("got %s, %v", texts(responses), err)
		}
	})
	if took != 30*ms {
		t.Errorf("took %s", took)
	}
	took = in(t, replies, func(ctx context.Context, _ *sortietest.Host, reqs []*sortie.Request) {
		responses, err := sortie.Quorum(ctx, 4, reqs)
		if !errors.Is(err, sortie.ErrNetwork) || len(responses) > 0 {
			t.Errorf("got %s, %v", texts(responses), err)
		}
		if _, err := sortie.Quorum(ctx, 5, reqs); !errors.Is(err, sortie.ErrInvalid) {
			t.Errorf("a quorum of 5 among 4: %v", err)
		}
	})
	if took != 5*ms {
		t.Errorf("took %s: a quorum that can't be had any more was waited for", took)
	}
}

func TestAsCompleted(t *testing.T) {
	in(t, []sortietest.Reply{{Delay: 30 * ms}, {Delay: 10 * ms, Code: "dns_error"}, {Delay: 20 * ms}},
		func(ctx context.Context, _ *sortietest.Host, reqs []*sortie.Request) {
			start, got := time.Now(), ""
			for i, r := range sortie.AsCompleted(ctx, append(reqs, nil)) {
				got += fmt.Sprint(i, " ", r.State, " ", time.Since(start), "; ")
			}
			if want := "3 rejected 0s; 1 rejected 10ms; 2 fulfilled 20ms; 0 fulfilled 30ms; "; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
}

func TestAsCompletedBreakCancels(t *testing.T) {
	took := in(t, []sortietest.Reply{{Delay: 10 * ms}, {Delay: time.Minute}}, func(ctx context.Context, _ *sortietest.Host, reqs []*sortie.Request) {
		for range sortie.AsCompleted(ctx, reqs) {
			break
		}
	})
	if took != 10*ms {
		t.Errorf("took %s", took)
	}
}

func TestOptionsInGroups(t *testing.T) {
	in(t, []sortietest.Reply{{Delay: 30 * ms}, {Delay: 30 * ms}, {Status: 404}}, func(ctx context.Context, _ *sortietest.Host, reqs []*sortie.Request) {
		reqs[1].With(sortie.WithTimeout(time.Second))
		results := sortie.AllSettled(ctx, reqs, sortie.WithTimeout(10*ms), sortie.WithExpect("2xx"))
		if !errors.Is(results[0].Err, sortie.ErrTimeout) {
			t.Errorf("the group's option: %v", results[0].Err)
		}
		if results[1].Err != nil {
			t.Errorf("the request's own option: %v", results[1].Err)
		}
		var e *sortie.Error
		if !errors.As(results[2].Err, &e) || e.Code != "http_status" || e.Response == nil || e.Response.Text() != "2" {
			t.Errorf("expected 2xx: %v", results[2].Err)
		}
	})
}

func TestBadMembers(t *testing.T) {
	in(t, same(2, sortietest.Reply{Delay: ms}), func(ctx context.Context, h *sortietest.Host, reqs []*sortie.Request) {
		reqs = append(reqs, nil)
		if _, err := sortie.All(ctx, reqs); !errors.Is(err, sortie.ErrInvalid) || len(h.Requests()) > 0 {
			t.Errorf("All: %v, %d sent", err, len(h.Requests()))
		}
		if resp, err := sortie.Any(ctx, reqs); err != nil || resp == nil {
			t.Errorf("Any: %v", err)
		}
		if responses, err := sortie.Quorum(ctx, 3, reqs); !errors.Is(err, sortie.ErrInvalid) || len(responses) > 0 {
			t.Errorf("Quorum: %v", err)
		}
		results := sortie.AllSettled(ctx, reqs)
		if results[0].Err != nil || results[1].Err != nil || !errors.Is(results[2].Err, sortie.ErrInvalid) {
			t.Errorf("AllSettled: %+v", results)
		}
		if all, err := sortie.All(ctx, nil); len(all) > 0 || err != nil {
			t.Errorf("All of nothing: %v, %v", all, err)
		}
	})
}
