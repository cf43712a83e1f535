// Command streams is the plugin that the host's tests of streams run. Its request's body comes in pieces.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sortie-run/sortie/sdk/go"
)

func main() {}

func init() { sortie.HandleStream(handle) }

func handle(ctx context.Context, req *sortie.Request) (*sortie.Response, error) {
	q := req.Query()
	url := q.Get("url")
	switch req.Path {
	case "/pass": // what an upstream sends, as it comes
		return sortie.Get(ctx, url, sortie.WithStream())
	case "/up": // what the caller sends, to an upstream
		return sortie.Fetch(ctx, &sortie.Request{Method: "POST", URL: url, BodyReader: req.BodyReader})
	case "/echo": // what the caller sends, back
		return &sortie.Response{BodyReader: req.BodyReader}, nil
	case "/count":
		n, err := io.Copy(io.Discard, req.BodyReader)
		return sortie.Text(fmt.Sprint(n, " ", err)), nil
	case "/ignore": // what the caller sends
		_, err := sortie.Get(ctx, url)
		return sortie.Text("ignored"), err
	case "/merge":
		return merge(ctx, url), nil
	case "/cut": // reading a stream that breaks off
		resp, err := sortie.Get(ctx, url, sortie.WithStream())
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(resp.BodyReader)
		e, _ := errors.AsType[*sortie.Error](err)
		return sortie.JSON(200, []any{string(b), e}), nil
	case "/close": // a stream before its end
		resp, err := sortie.Get(ctx, url, sortie.WithStream())
		if err != nil {
			return nil, err
		}
		_, err = io.ReadFull(resp.BodyReader, make([]byte, 5))
		return sortie.Text("closed"), errors.Join(err, resp.BodyReader.(io.Closer).Close())
	case "/ticks": // for as long as it may
		return sortie.Stream("text/event-stream", func(w io.Writer) error {
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil {
					return err
				}
				time.Sleep(20 * time.Millisecond)
			}
		}), nil
	case "/hold": // the answer, until an upstream has answered
		return sortie.Stream("", func(w io.Writer) error {
			fmt.Fprint(w, "first")
			_, err := sortie.Get(ctx, url)
			return err
		}), nil
	case "/deadline": // before and after the head
		before, _ := ctx.Deadline()
		return sortie.Stream("", func(w io.Writer) error {
			after, ok := ctx.Deadline()
			_, err := fmt.Fprint(w, ok, after.Sub(before).Round(time.Second))
			return err
		}), nil
	default:
		return failing(req.Path)
	}
}

// merge answers the lines of two streams in the order in which they come, while a third fetch is in flight.
func merge(ctx context.Context, url string) *sortie.Response {
	return sortie.Stream("", func(w io.Writer) error {
		var mu sync.Mutex
		var wg sync.WaitGroup
		errs := make([]error, 3)
		for i, path := range []string{"/a", "/b"} {
			wg.Go(func() {
				resp, err := sortie.Get(ctx, url+path, sortie.WithStream())
				if err != nil {
					errs[i] = err
					return
				}
				buf := make([]byte, 100)
				for err == nil {
					var n int
					n, err = resp.BodyReader.Read(buf)
					mu.Lock()
					_, _ = w.Write(buf[:n])
					mu.Unlock()
				}
				if err != io.EOF {
					errs[i] = err
				}
			})
		}
		wg.Go(func() { _, errs[2] = sortie.Get(ctx, url+"/c") })
		wg.Wait()
		return errors.Join(errs...)
	})
}

func failing(path string) (*sortie.Response, error) {
	switch path {
	case "/fail":
		return sortie.Stream("", func(w io.Writer) error {
			fmt.Fprint(w, "some")
			return errors.New("no more")
		}), nil
	case "/panic":
		return sortie.Stream("", func(w io.Writer) error {
			fmt.Fprint(w, "some")
			panic("at the disco")
		}), nil
	case "/panic-elsewhere":
		return sortie.Stream("", func(w io.Writer) error {
			fmt.Fprint(w, "some")
			go panic("in a goroutine")
			select {}
		}), nil
	case "/too-long":
		return sortie.Stream("", func(w io.Writer) error {
			for {
				if _, err := fmt.Fprint(w, strings.Repeat("x", 1000)); err != nil {
					return err
				}
			}
		}), nil
	}
	return &sortie.Response{Status: 404}, nil
}
