package sortie_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

// The tests here register handlers, as those of handle_test.go do.

// streams invokes a handler in fake time and tells how its answer came.
func streams(t *testing.T, handler func(context.Context, *sortie.Request) (*sortie.Response, error), h func(*sortietest.Host)) (got string, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sortie.Handle(handler)
		fake := sortietest.New(t)
		h(fake)
		start := time.Now()
		resp, fail := fake.InvokeStream("GET", "/")
		if fail != nil {
			err = fail
			return
		}
		got, err = pieces(t, resp.BodyReader, start)
	})
	return got, err
}

func TestStreamedAnswer(t *testing.T) {
	got, err := streams(t, func(ctx context.Context, _ *sortie.Request) (*sortie.Response, error) {
		return sortie.Stream("text/plain", func(w io.Writer) error {
			for i := range 3 {
				time.Sleep(time.Second)
				fmt.Fprint(w, i)
			}
			return ctx.Err() // the handler has returned, but its context is alive
		}), nil
	}, chunked)
	if want := "0 1s; 1 2s; 2 3s; "; got != want || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestFetchedStreamAsAnswer(t *testing.T) {
	got, err := streams(t, func(ctx context.Context, _ *sortie.Request) (*sortie.Response, error) {
		return sortie.Get(ctx, "https://x.example/", sortie.WithStream())
	}, chunked)
	if want := "one 2s; two 3s; three 4s; "; got != want || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestStreamedAnswerGathered(t *testing.T) {
	_, resp, err := serve(t, func(context.Context, *sortie.Request) (*sortie.Response, error) {
		r := sortie.Stream("text/a", func(w io.Writer) error {
			_, err := io.WriteString(w, "gathered")
			return err
		})
		r.Status = 201
		return r, nil
	})
	if err != nil || resp.Status != 201 || resp.Text() != "gathered" || resp.Header.Get("content-type") != "text/a" {
		t.Errorf("got %+v, %v", resp, err)
	}
}

func TestStreamedAnswerFailures(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name, code, want string
		body             io.Reader
	}{
		{"reader", "plugin_error", "broken", io.MultiReader(strings.NewReader("a"), iotest.ErrReader(broken))},
		{"write", "plugin_error", "broken", sortie.Stream("", func(io.Writer) error { return broken }).BodyReader},
		{"panic", "plugin_error", "panic: oh no", sortie.Stream("", func(io.Writer) error { panic("oh no") }).BodyReader},
		{"panic in a pipe", "plugin_error", "panic: oh no", struct{ io.Reader }{sortie.Stream("", func(io.Writer) error { panic("oh no") }).BodyReader}},
		{"limit", "limit_output", "16777216", endlessly{}},
		{"limit, unheard", "limit_output", "16777216", sortie.Stream("", func(w io.Writer) error {
			for range 17 {
				_, _ = w.Write(make([]byte, 1<<20))
			}
			return nil
		}).BodyReader},
	} {
		t.Run(c.name, func(t *testing.T) {
			var lives context.Context
			body := &closing{Reader: c.body}
			h, _, err := serve(t, func(ctx context.Context, _ *sortie.Request) (*sortie.Response, error) {
				lives = ctx
				return &sortie.Response{BodyReader: body}, nil
			})
			var f *sortietest.Failure
			if !errors.As(err, &f) || f.Code != c.code || !strings.Contains(f.Detail, c.want) {
				t.Errorf("got %v, want %s with %q", err, c.code, c.want)
			}
			if c.want == "broken" && !errors.Is(err, broken) {
				t.Errorf("the error is lost: %v", err)
			}
			if body.closed != 1 || lives.Err() == nil {
				t.Errorf("closed %d times; the context: %v", body.closed, lives.Err())
			}
			if strings.HasPrefix(c.name, "panic") {
				logs := h.Logs()
				if len(logs) != 1 || logs[0].Level != slog.LevelError || !strings.Contains(logs[0].Text, "answer_test.go") {
					t.Errorf("the log is %v", logs)
				}
			}
		})
	}
}

// The answer's limit is another than the handler's, and whatever is in flight ends with the answer.
func TestContextOfStreamedAnswer(t *testing.T) {
	limits := func(h *sortietest.Host) {
		h.Limit(sortietest.Limits{Wall: 3 * time.Second, Stream: 20 * time.Second, Timeout: time.Hour})
		h.Reply("https://x.example/", sortietest.Reply{Delay: time.Minute})
	}
	left := func(ctx context.Context) time.Duration {
		deadline, _ := ctx.Deadline()
		return time.Until(deadline)
	}
	got, err := streams(t, func(ctx context.Context, _ *sortie.Request) (*sortie.Response, error) {
		inner, cancel := context.WithTimeout(ctx, time.Hour)
		context.AfterFunc(inner, cancel)
		time.Sleep(time.Second)
		before := left(ctx)
		go func() {
			if _, err := sortie.Get(ctx, "https://x.example/"); !errors.Is(err, context.Canceled) {
				t.Errorf("what was in flight: %v", err)
			}
		}()
		return sortie.Stream("", func(w io.Writer) error {
			fmt.Fprint(w, before, " ", left(ctx), " ", left(inner))
			time.Sleep(10 * time.Second) // well over the wall limit
			return inner.Err()
		}), nil
	}, limits)
	if want := "2s 20s 20s 1s; "; got != want || err != nil {
		t.Errorf("got %s, %v", got, err)
	}

	got, err = streams(t, func(ctx context.Context, _ *sortie.Request) (*sortie.Response, error) {
		return sortie.Stream("", func(w io.Writer) error {
			fmt.Fprint(w, "begun")
			_, err := sortie.Get(ctx, "https://x.example/")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the fetch: %v", err)
			}
			return nil
		}), nil
	}, limits)
	var f *sortietest.Failure
	if !errors.As(err, &f) || f.Code != "limit_wall" || !strings.Contains(f.Detail, "stream") || got != "begun 0s; " {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestClientGoneWhileStreaming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		sortie.Handle(func(ctx context.Context, _ *sortie.Request) (*sortie.Response, error) {
			return sortie.Stream("", func(w io.Writer) error {
				for {
					if _, err := w.Write([]byte("tick ")); err != nil {
						ended <- ctx.Err()
						return err
					}
					time.Sleep(time.Second)
				}
			}), nil
		})
		resp, err := sortietest.New(t).InvokeStream("GET", "/")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.BodyReader, make([]byte, 15)); err != nil {
			t.Fatal(err)
		}
		resp.BodyReader.(io.Closer).Close()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the context: %v", err)
		}
	})
}

func TestInvokeStreamOfWholeAnswers(t *testing.T) {
	for _, c := range []struct {
		handler func(context.Context, *sortie.Request) (*sortie.Response, error)
		want    string
	}{
		{func(context.Context, *sortie.Request) (*sortie.Response, error) { return sortie.Text("whole"), nil }, "whole 0s; "},
		{func(context.Context, *sortie.Request) (*sortie.Response, error) { return nil, nil }, "plugin_error"},
	} {
		got, err := streams(t, c.handler, chunked)
		if f := new(sortietest.Failure); errors.As(err, &f) {
			got = f.Code
		}
		if got != c.want {
			t.Errorf("got %s, %v", got, err)
		}
	}
}

func TestStreamedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sortie.HandleStream(func(_ context.Context, req *sortie.Request) (*sortie.Response, error) {
			if req.Body != nil || req.Header.Get("a") != "b" {
				t.Errorf("the request is %+v", req)
			}
			return &sortie.Response{BodyReader: req.BodyReader}, nil // an echo, while it comes
		})
		r, w := io.Pipe()
		go func() {
			for i := range 3 {
				time.Sleep(time.Second)
				fmt.Fprint(w, i)
			}
			w.Close()
		}()
		start := time.Now()
		h := sortietest.New(t)
		resp, err := h.InvokeStream("POST", "/", sortietest.BodyReader(r), sortietest.Header("a", "b"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := pieces(t, resp.BodyReader, start)
		if want := "0 1s; 1 2s; 2 3s; "; got != want || err != nil {
			t.Errorf("got %s, %v", got, err)
		}
		resp, err = h.Invoke("POST", "/", sortietest.Body("whole"), sortietest.Header("a", "b"))
		if err != nil || resp.Text() != "whole" {
			t.Errorf("got %v, %v", resp, err)
		}
		_, err = h.Invoke("POST", "/", sortietest.BodyReader(iotest.ErrReader(io.ErrUnexpectedEOF)), sortietest.Header("a", "b"))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a body that breaks off: %v", err)
		}
	})
}

// A plugin without HandleStream gets the whole body.
func TestWholeRequest(t *testing.T) {
	_, resp, err := serve(t, func(_ context.Context, req *sortie.Request) (*sortie.Response, error) {
		if req.BodyReader != nil {
			t.Error("there is a BodyReader")
		}
		return sortie.Text(string(req.Body)), nil
	}, sortietest.BodyReader(iotest.OneByteReader(strings.NewReader("whole"))))
	if err != nil || resp.Text() != "whole" {
		t.Errorf("got %v, %v", resp, err)
	}
}

// A fetch's request body may be the request's own: all the way through, nothing is held whole.
func TestThrough(t *testing.T) {
	sortie.HandleStream(func(ctx context.Context, req *sortie.Request) (*sortie.Response, error) {
		return sortie.Fetch(ctx, &sortie.Request{Method: "POST", URL: "https://x.example/", BodyReader: req.BodyReader}, sortie.WithStream())
	})
	h := sortietest.New(t)
	h.Func("https://x.example/", func(req *sortie.Request) (*sortie.Response, error) {
		return &sortie.Response{BodyReader: strings.NewReader(strings.ToUpper(string(req.Body)))}, nil
	})
	resp, err := h.Invoke("POST", "/", sortietest.BodyReader(iotest.HalfReader(strings.NewReader(strings.Repeat("loud ", 50_000)))))
	if err != nil || resp.Text() != strings.Repeat("LOUD ", 50_000) {
		t.Errorf("got %v", err)
	}
}

func TestStreamAsReader(t *testing.T) {
	t.Parallel()
	write := func(w io.Writer) error {
		_, err := io.WriteString(w, "read, not written")
		return err
	}
	if err := iotest.TestReader(sortie.Stream("", write).BodyReader, []byte("read, not written")); err != nil {
		t.Error(err)
	}
	var text strings.Builder
	if n, err := sortie.Stream("", write).BodyReader.(io.WriterTo).WriteTo(&text); n != 17 || err != nil || text.Len() != 17 {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
	if got := sortie.Stream("", write).Text(); got != "read, not written" {
		t.Error(got)
	}
}
