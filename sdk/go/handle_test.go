package sortie_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

// The tests here register handlers, of which there is one only: none of them is parallel.

// serve invokes a handler once.
func serve(t *testing.T, handler func(context.Context, *sortie.Request) (*sortie.Response, error), with ...sortietest.With) (*sortietest.Host, *sortie.Response, error) {
	t.Helper()
	sortie.Handle(handler)
	h := sortietest.New(t)
	resp, err := h.Invoke("POST", "/a%20b/c?x=1&x=2&bad=%zz", with...)
	return h, resp, err
}

func TestHandlerSeesTheRequest(t *testing.T) {
	_, resp, err := serve(t, func(_ context.Context, req *sortie.Request) (*sortie.Response, error) {
		if req.Method+" "+req.Path != "POST /a%20b/c" || req.URL != "/a%20b/c?x=1&x=2&bad=%zz" || req.Host == "" || req.RemoteAddr == "" {
			t.Errorf("the request is %+v", req)
		}
		if q := req.Query(); len(q["x"]) != 2 || q.Has("bad") {
			t.Errorf("the query is %v", q)
		}
		if req.Header.Get("X-A") != "1" || req.Header.Get("Sortie-Version") != "" {
			t.Errorf("the header is %v", req.Header)
		}
		return &sortie.Response{Header: sortie.Header{"X-Out": {"1", "2"}, "Content-Length": {"9"}}, BodyReader: strings.NewReader("read: " + string(req.Body))}, nil
	}, sortietest.Header("x-a", "1"), sortietest.Header("Sortie-Version", "1"), sortietest.Body("in"))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Status != 200 || resp.Text() != "read: in" || len(resp.Header.Values("x-out")) != 2 || resp.Header.Get("content-length") != "" {
		t.Errorf("the answer is %+v", resp)
	}
}

func TestHandlerFailures(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		resp *sortie.Response
		err  error
		want string
	}{
		{"error", nil, broken, "broken"},
		{"neither", nil, nil, "neither a response nor an error"},
		{"status", &sortie.Response{Status: 199}, nil, "199"},
		{"field name", &sortie.Response{Header: sortie.Header{"a b": {"c"}}}, nil, `"a b"`},
		{"field value", &sortie.Response{Header: sortie.Header{"a": {"b\r\nc"}}}, nil, `"a"`},
		{"json", sortie.JSON(200, math.NaN()), nil, "JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := serve(t, func(context.Context, *sortie.Request) (*sortie.Response, error) { return c.resp, c.err })
			var f *sortietest.Failure
			if !errors.As(err, &f) || f.Code != "plugin_error" || !strings.Contains(f.Detail, c.want) {
				t.Errorf("got %v, want plugin_error with %q", err, c.want)
			}
			if c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("the handler's error is lost: %v", err)
			}
		})
	}
}

func TestPanicIsAFailureWithItsStack(t *testing.T) {
	h, _, err := serve(t, func(context.Context, *sortie.Request) (*sortie.Response, error) { panic("oh no") })
	if err == nil || !strings.Contains(err.Error(), "panic: oh no") {
		t.Errorf("got %v", err)
	}
	logs := h.Logs()
	if len(logs) != 1 || logs[0].Level != slog.LevelError || !strings.Contains(logs[0].Text, "oh no") || !strings.Contains(logs[0].Text, "handle_test.go") {
		t.Errorf("the log is %v", logs)
	}
}

func TestWhatIsInFlightEndsWithTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sortie.Handle(func(ctx context.Context, _ *sortie.Request) (*sortie.Response, error) {
			go func() {
				_, err := sortie.Get(ctx, "https://x.example/")
				if !errors.Is(err, sortie.ErrCancelled) || !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			}()
			time.Sleep(10 * ms)
			return sortie.Text("early"), nil
		})
		h := sortietest.New(t)
		h.Reply("https://x.example/", sortietest.Reply{Delay: time.Minute})
		start := time.Now()
		if resp, err := h.Invoke("GET", "/"); err != nil || resp.Text() != "early" {
			t.Errorf("got %v, %v", resp, err)
		}
		if took := time.Since(start); took != 10*ms {
			t.Errorf("took %s", took)
		}
		synctest.Wait()
	})
}

func TestWallDeadlineIsTheContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sortie.Handle(func(ctx context.Context, _ *sortie.Request) (*sortie.Response, error) {
			deadline, ok := ctx.Deadline()
			if left := time.Until(deadline); !ok || left != 3*time.Second {
				t.Errorf("the deadline is in %s (%v)", left, ok)
			}
			_, err := sortie.Get(ctx, "https://x.example/")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			return nil, err
		})
		h := sortietest.New(t)
		h.Limit(sortietest.Limits{Wall: 3 * time.Second})
		h.Reply("https://x.example/", sortietest.Reply{Delay: time.Minute})
		var f *sortietest.Failure
		if _, err := h.Invoke("GET", "/"); !errors.As(err, &f) || f.Code != "limit_wall" {
			t.Errorf("got %v", err)
		}
	})
}

func TestConfig(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Config(map[string]any{"s": "a\"b", "n": 1.5, "o": map[string]any{"k": []int{1}}, "null": nil})
	h.Do(func(context.Context) {
		for key, want := range map[string]string{"s": `a"b`, "n": "1.5", "o": `{"k":[1]}`, "null": "null"} {
			if got, ok := sortie.Config(key); got != want || !ok {
				t.Errorf("Config(%q) = %q, %v, want %q", key, got, ok, want)
			}
		}
		for _, key := range []string{"none", ""} {
			if got, ok := sortie.Config(key); ok || got != "" {
				t.Errorf("Config(%q) = %q, %v", key, got, ok)
			}
		}
		var v struct {
			S string
			O struct{ K []int }
		}
		if err := sortie.ConfigInto(&v); err != nil || v.S != `a"b` || len(v.O.K) != 1 {
			t.Errorf("ConfigInto: %+v, %v", v, err)
		}
		var wrong struct{ S int }
		if err := sortie.ConfigInto(&wrong); err == nil {
			t.Error("ConfigInto takes text for a number")
		}
	})
	sortietest.New(t).Do(func(context.Context) {
		v := map[string]any{"default": true}
		if err := sortie.ConfigInto(&v); err != nil || len(v) != 1 {
			t.Errorf("without a config: %v, %v", v, err)
		}
	})
}

func TestLog(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Do(func(ctx context.Context) {
		sortie.Log.Debug("plain")
		sortie.Log.With("a", 1).WithGroup("g").With("b", "two words").Warn("attrs", "c", "", slog.Group("h", "d", 1.5), slog.Attr{})
		sortie.Log.WithGroup("").Log(ctx, slog.LevelError+1, "level", "err", io.EOF, "q", `"`, "t", time.Unix(0, 0).UTC())
	})
	want := []sortietest.LogLine{
		{Level: slog.LevelDebug, Text: "plain"},
		{Level: slog.LevelWarn, Text: `attrs a=1 g.b="two words" g.c="" g.h.d=1.5`},
		{Level: slog.LevelError + 1, Text: `level err=EOF q="\"" t=1970-01-01T00:00:00Z`},
	}
	got := h.Logs()
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %v\nwant %v", got[i], want[i])
		}
	}
}

func TestRandDiffers(t *testing.T) {
	seen := map[uint64]bool{}
	for range 3 {
		_, _, err := serve(t, func(context.Context, *sortie.Request) (*sortie.Response, error) {
			seen[sortie.Rand.Uint64()] = true
			return sortie.Text(""), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 3 {
		t.Errorf("three invocations have drawn %v", seen)
	}
}

func TestWarmup(t *testing.T) {
	ran := false
	sortie.Warmup(func() { ran = true })
	if !ran {
		t.Error("the function wasn't run")
	}
}
