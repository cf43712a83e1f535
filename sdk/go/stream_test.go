package sortie_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

// bubble runs f as an invocation in fake time.
func bubble(t *testing.T, h func(*sortietest.Host), f func(ctx context.Context, h *sortietest.Host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fake := sortietest.New(t)
		h(fake)
		fake.Do(func(ctx context.Context) { f(ctx, fake) })
	})
}

// chunked registers https://x.example/, which takes a second for its head and each of three chunks.
func chunked(h *sortietest.Host) {
	h.Reply("https://x.example/*", sortietest.Reply{Delay: time.Second, Chunks: []string{"one", "two", "three"}, ChunkDelay: time.Second})
}

// pieces reads a body and tells when each piece of it came.
func pieces(t *testing.T, r io.Reader, start time.Time) (got string, err error) {
	t.Helper()
	p := make([]byte, 100)
	for {
		n, err := r.Read(p)
		if n > 0 {
			got += string(p[:n]) + " " + time.Since(start).String() + "; "
		}
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}

func TestStreamIsReadAsItComes(t *testing.T) {
	bubble(t, chunked, func(ctx context.Context, _ *sortietest.Host) {
		start := time.Now()
		resp, err := sortie.Get(ctx, "https://x.example/", sortie.WithStream())
		if err != nil || resp.Body != nil || resp.Elapsed != time.Second || time.Since(start) != time.Second {
			t.Fatalf("the head: %+v, %v after %s", resp, err, time.Since(start))
		}
		got, err := pieces(t, resp.BodyReader, start)
		if want := "one 2s; two 3s; three 4s; "; got != want || err != nil {
			t.Errorf("got %s, %v", got, err)
		}
	})
}

func TestWholeBodyOfChunks(t *testing.T) {
	bubble(t, chunked, func(ctx context.Context, _ *sortietest.Host) {
		resp, err := sortie.Get(ctx, "https://x.example/")
		if err != nil || resp.Text() != "onetwothree" || resp.BodyReader != nil || resp.Elapsed != 4*time.Second {
			t.Errorf("got %+v, %v", resp, err)
		}
	})
}

func TestStreamReader(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Reply("https://x.example/", sortietest.Reply{Body: "piece by piece"})
	h.Do(func(ctx context.Context) {
		resp, err := sortie.Get(ctx, "https://x.example/", sortie.WithStream())
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(resp.BodyReader, []byte("piece by piece")); err != nil {
			t.Error(err)
		}
		resp, err = sortie.Get(ctx, "https://x.example/", sortie.WithStream())
		if err != nil || resp.Text() != "piece by piece" || resp.Text() != "piece by piece" {
			t.Errorf("Text twice of a stream: %q, %v", resp.Text(), err)
		}
		resp, err = sortie.Get(ctx, "https://x.example/", sortie.WithStream())
		if err != nil || resp.BodyReader.(io.Closer).Close() != nil {
			t.Fatal(err)
		}
		if n, err := resp.BodyReader.Read(make([]byte, 9)); n != 0 || err == nil || err == io.EOF {
			t.Errorf("read %d after Close, %v", n, err)
		}
	})
}

func TestStreamsInGroups(t *testing.T) {
	bubble(t, chunked, func(ctx context.Context, h *sortietest.Host) {
		start := time.Now()
		reqs := []*sortie.Request{{URL: "https://x.example/a"}, (&sortie.Request{URL: "https://x.example/b"}).With(sortie.WithStream())}
		for i, r := range sortie.AsCompleted(ctx, reqs) {
			if i == 1 && (r.Response.BodyReader == nil || time.Since(start) != time.Second) || i == 0 && time.Since(start) != 4*time.Second {
				t.Errorf("%d: %+v after %s", i, r, time.Since(start))
			}
		}
		start = time.Now()
		responses, err := sortie.All(ctx, reqs, sortie.WithStream())
		if err != nil || time.Since(start) != time.Second {
			t.Fatalf("All: %v after %s", err, time.Since(start))
		}
		for _, r := range responses { // both go on, though their group is over
			if r.Text() != "onetwothree" {
				t.Error(r.Text())
			}
		}
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("the bodies took %s", took)
		}
	})
}

// Streams that the caller of a group doesn't get are closed: they'd take slots.
func TestStreamsOfLosersEnd(t *testing.T) {
	endless := func(h *sortietest.Host) {
		h.Limit(sortietest.Limits{Concurrency: 3})
		h.Reply("https://x.example/fails", sortietest.Reply{Code: "dns_error", Delay: 2 * time.Second})
		h.Func("https://x.example/*", func(*sortie.Request) (*sortie.Response, error) {
			return &sortie.Response{BodyReader: endlessly{}}, nil
		})
	}
	bubble(t, endless, func(ctx context.Context, _ *sortietest.Host) {
		req := &sortie.Request{URL: "https://x.example/a"}
		three := []*sortie.Request{req, req, req}
		for range 3 {
			if r, err := sortie.Any(ctx, three, sortie.WithStream()); err != nil {
				t.Fatal(err)
			} else {
				r.BodyReader.(io.Closer).Close()
			}
			if r := sortie.Race(ctx, three, sortie.WithStream()); r.Err != nil {
				t.Fatal(r.Err)
			} else {
				r.Response.BodyReader.(io.Closer).Close()
			}
			if rs, err := sortie.Quorum(ctx, 1, three, sortie.WithStream()); err != nil {
				t.Fatal(err)
			} else {
				rs[0].BodyReader.(io.Closer).Close()
			}
			_, err := sortie.All(ctx, []*sortie.Request{req, req, {URL: "https://x.example/fails"}}, sortie.WithStream())
			if !errors.Is(err, sortie.ErrNetwork) {
				t.Errorf("All: %v", err)
			}
		}
	})
}

type endlessly struct{}

func (endlessly) Read(p []byte) (int, error) { return len(p), nil }

func TestStreamFailures(t *testing.T) {
	for _, c := range []struct {
		name, want string
		reply      sortietest.Reply
		opts       []sortie.Option
		read       string
	}{
		{"cut", "read_error", sortietest.Reply{Code: "read_error"}, nil, "0123456789"},
		{"time-out", "timeout", sortietest.Reply{ChunkDelay: 2 * time.Second}, []sortie.Option{sortie.WithTimeout(3 * time.Second)}, "01234"},
		{"attempt's time-out", "timeout", sortietest.Reply{ChunkDelay: 2 * time.Second}, []sortie.Option{sortie.WithAttemptTimeout(3 * time.Second)}, "01234"},
		{"too long", "response_too_large", sortietest.Reply{Chunks: []string{"0123456789", "0123456789"}}, nil, "0123456789"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.reply.Chunks == nil {
				c.reply.Chunks = []string{"01234", "56789"}
			}
			reply := func(h *sortietest.Host) {
				h.Limit(sortietest.Limits{ResponseBytes: 15})
				h.Reply("https://x.example/", c.reply)
			}
			bubble(t, reply, func(ctx context.Context, _ *sortietest.Host) {
				resp, err := sortie.Get(ctx, "https://x.example/", append(c.opts, sortie.WithStream())...)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.BodyReader)
				var e *sortie.Error
				if !errors.As(err, &e) || e.Code != c.want || e.URL != "https://x.example/" || e.Attempts != 1 || string(got) != c.read {
					t.Errorf("got %q, %+v", got, err)
				}
			})
		})
	}
}

func TestStreamEndsWithItsContext(t *testing.T) {
	bubble(t, chunked, func(ctx context.Context, h *sortietest.Host) {
		cause := errors.New("enough")
		inner, cancel := context.WithCancelCause(ctx)
		resp, err := sortie.Get(inner, "https://x.example/", sortie.WithStream())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(1500*ms, func() { cancel(cause) })
		got, err := io.ReadAll(resp.BodyReader)
		if string(got) != "one" || !errors.Is(err, sortie.ErrCancelled) || !errors.Is(err, cause) {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestStreamOfUnexpectedStatus(t *testing.T) {
	reply := func(h *sortietest.Host) {
		h.Reply("https://x.example/", sortietest.Reply{Status: 500, Chunks: []string{"it ", "hurts"}, ChunkDelay: time.Second})
	}
	bubble(t, reply, func(ctx context.Context, _ *sortietest.Host) {
		_, err := sortie.Get(ctx, "https://x.example/", sortie.WithStream(), sortie.WithExpect("2xx"))
		var e *sortie.Error
		if !errors.As(err, &e) || e.Response.Text() != "it hurts" {
			t.Errorf("got %v", err)
		}
	})
}

func TestStreamIsSlowedDown(t *testing.T) {
	var sent atomic.Int64
	reply := func(h *sortietest.Host) {
		h.Func("https://x.example/", func(*sortie.Request) (*sortie.Response, error) {
			return &sortie.Response{BodyReader: io.TeeReader(io.LimitReader(endlessly{}, 1<<20), (*counts)(&sent))}, nil
		})
	}
	bubble(t, reply, func(ctx context.Context, _ *sortietest.Host) {
		resp, err := sortie.Get(ctx, "https://x.example/", sortie.WithStream())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := sent.Load(); n < 64<<10 || n > 128<<10 {
			t.Errorf("%d bytes were sent to a plugin that reads none", n)
		}
		if n, err := io.Copy(io.Discard, resp.BodyReader); n != 1<<20 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
	})
	if n := sent.Load(); n != 1<<20 {
		t.Errorf("%d bytes were sent", n)
	}
}

type counts atomic.Int64

func (c *counts) Write(p []byte) (int, error) {
	(*atomic.Int64)(c).Add(int64(len(p)))
	return len(p), nil
}
