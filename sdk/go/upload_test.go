package sortie_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

func TestUploads(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name   string
		from   io.Reader
		length int // what the reader says; below 0: nothing
		body   string
		err    error
	}{
		{"known length", strings.NewReader("hello"), 5, "hello", nil},
		{"wrong length", strings.NewReader("hello"), 4, "", sortie.ErrInvalid},
		{"known to be empty", iotest.ErrReader(broken), 0, "", nil},
		{"unknown length", iotest.OneByteReader(strings.NewReader("hello")), -1, "hello", nil},
		{"empty, but nobody knows", strings.NewReader(""), -1, "", nil},
		{"fails", io.MultiReader(strings.NewReader("he"), iotest.ErrReader(broken)), -1, "", broken},
		{"too long", endlessly{}, -1, "", sortie.ErrLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := sortietest.New(t)
			h.Reply("POST https://x.example/", sortietest.Reply{})
			h.Do(func(ctx context.Context) {
				body := &closing{Reader: c.from}
				req := &sortie.Request{Method: "POST", URL: "https://x.example/", BodyReader: body}
				if c.length >= 0 {
					req.BodyReader = measured{body, c.length}
				}
				_, err := sortie.Fetch(ctx, req)
				if !errors.Is(err, c.err) || c.err == broken && (!errors.Is(err, sortie.ErrInvalid) || !strings.Contains(err.Error(), "broken")) {
					t.Errorf("got %v, want %v", err, c.err)
				}
				if body.closed != 1 {
					t.Errorf("the reader was closed %d times", body.closed)
				}
				if got := h.Requests()[0]; string(got.Body) != c.body {
					t.Errorf("sent %q, want %q", got.Body, c.body)
				}
			})
		})
	}
}

type measured struct {
	*closing
	n int
}

func (m measured) Len() int { return m.n }

type closing struct {
	io.Reader
	closed int
}

func (c *closing) Close() error {
	c.closed++
	return nil
}

// A body that fails is a failure of its member, and decides its group.
func TestUploadFailsInAGroup(t *testing.T) {
	broken := errors.New("broken")
	took := in(t, same(1, sortietest.Reply{Delay: time.Minute}), func(ctx context.Context, h *sortietest.Host, reqs []*sortie.Request) {
		h.Reply("https://x.example/up", sortietest.Reply{})
		if _, err := sortie.All(ctx, append(reqs, post("up", iotest.ErrReader(broken)))); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	})
	if took != 0 {
		t.Errorf("took %s", took)
	}
}

// A plugin may write into a pipe: it must not be left alone with it.
func TestUploadIsClosedHoweverItEnds(t *testing.T) {
	reply := func(h *sortietest.Host) {
		h.Reply("https://x.example/slow", sortietest.Reply{Delay: time.Minute})
		h.Reply("https://x.example/down", sortietest.Reply{Code: "connect_error"})
	}
	bubble(t, reply, func(ctx context.Context, _ *sortietest.Host) {
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		over, cancel2 := context.WithCancel(ctx)
		cancel2()
		for name, fetch := range map[string]func(r io.Reader) error{
			"down":      func(r io.Reader) error { _, err := sortie.Fetch(ctx, post("down", r)); return err },
			"cancelled": func(r io.Reader) error { _, err := sortie.Fetch(short, post("slow", r)); return err },
			"not sent":  func(r io.Reader) error { _, err := sortie.Fetch(over, post("slow", r)); return err },
			"wrong": func(r io.Reader) error {
				_, err := sortie.Fetch(ctx, post("slow", r), sortie.WithTimeout(-1))
				return err
			},
			"in a group": func(r io.Reader) error {
				_, err := sortie.All(ctx, []*sortie.Request{post("slow", r), {URL: "https://x.example/down"}})
				return err
			},
			"in one that isn't sent": func(r io.Reader) error {
				_, err := sortie.All(ctx, []*sortie.Request{post("slow", r), nil})
				return err
			},
		} {
			r, w := io.Pipe()
			if err := fetch(r); err == nil {
				t.Errorf("%s: no error", name)
			}
			if _, err := w.Write([]byte("a")); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%s: the writer is told %v", name, err)
			}
		}
	})
}

func post(path string, r io.Reader) *sortie.Request {
	return &sortie.Request{Method: "PUT", URL: "https://x.example/" + path, BodyReader: r}
}

func TestUploadIsSentOnce(t *testing.T) {
	h := sortietest.New(t)
	h.Reply("https://x.example/moved", sortietest.Reply{Status: 307, Header: map[string]string{"location": "/"}})
	h.Reply("https://x.example/see", sortietest.Reply{Status: 303, Header: map[string]string{"location": "/"}})
	h.Reply("https://x.example/busy", sortietest.Reply{Status: 503})
	h.Reply("https://x.example/down", sortietest.Reply{Code: "connect_error", Times: 1})
	h.Func("https://x.example/*", func(req *sortie.Request) (*sortie.Response, error) {
		return sortie.Text(req.Method + " " + string(req.Body)), nil
	})
	retry := sortie.WithRetry(sortie.Retry{Attempts: 3, Backoff: 1, MaxBackoff: 1})
	for path, want := range map[string]string{"moved": "redirect_blocked", "see": "GET ", "busy": "503 after 1", "down": "PUT hello"} {
		h.Do(func(ctx context.Context) {
			resp, err := sortie.Fetch(ctx, post(path, strings.NewReader("hello")), retry)
			var e *sortie.Error
			got := ""
			switch {
			case errors.As(err, &e):
				got = e.Code
			case resp.Status == 503:
				got = "503 after " + string('0'+rune(resp.Attempts))
			default:
				got = resp.Text()
			}
			if got != want {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		})
	}
}
