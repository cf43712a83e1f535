package sortie_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

// invocation runs an example as the host would, with canned answers.
func invocation(f func(ctx context.Context)) {
	h := sortietest.New(&testing.T{})
	h.Reply("https://a.example/", sortietest.Reply{Body: "from a", Delay: 300 * time.Millisecond}) // long enough for a machine that is busy
	h.Reply("https://b.example/", sortietest.Reply{Body: "from b"})
	h.Reply("https://slow.example/", sortietest.Reply{Chunks: []string{"from ", "slow"}, ChunkDelay: 300 * time.Millisecond})
	h.Reply("https://down.example/", sortietest.Reply{Code: "connect_error"})
	h.Do(f)
}

// A whole plugin. Its main stays empty.
func ExampleHandle() {
	// func init() {
	sortie.Handle(func(ctx context.Context, req *sortie.Request) (*sortie.Response, error) {
		resp, err := sortie.Get(ctx, "https://a.example/", sortie.WithQuery("q", req.Query().Get("q")))
		if err != nil {
			return nil, err
		}
		return sortie.Text("it said: " + resp.Text()), nil
	})
	// }
}

func ExampleAll() {
	invocation(func(ctx context.Context) {
		responses, err := sortie.All(ctx, []*sortie.Request{{URL: "https://a.example/"}, {URL: "https://b.example/"}})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(responses[0].Text(), responses[1].Text())
	})
	// Output: from a from b
}

func ExampleAsCompleted() {
	invocation(func(ctx context.Context) {
		reqs := []*sortie.Request{{URL: "https://a.example/"}, {URL: "https://b.example/"}}
		for i, r := range sortie.AsCompleted(ctx, reqs, sortie.WithConcurrency(8)) {
			fmt.Println(i, r.State, r.Response.Text())
		}
	})
	// Output:
	// 1 fulfilled from b
	// 0 fulfilled from a
}

func ExampleError() {
	invocation(func(ctx context.Context) {
		_, err := sortie.Get(ctx, "https://down.example/")
		var e *sortie.Error
		if errors.As(err, &e) {
			fmt.Println(e.Code, e.Retryable, errors.Is(err, sortie.ErrNetwork))
		}
	})
	// Output: connect_error true true
}

// Server-sent events, one for each fetch as it settles.
func ExampleStream() {
	sortie.Handle(func(ctx context.Context, _ *sortie.Request) (*sortie.Response, error) {
		reqs := []*sortie.Request{{URL: "https://a.example/"}, {URL: "https://b.example/"}}
		return sortie.Stream("text/event-stream", func(w io.Writer) error {
			for i, r := range sortie.AsCompleted(ctx, reqs) {
				if _, err := fmt.Fprintf(w, "data: %d %s\n\n", i, r.State); err != nil {
					return err
				}
			}
			return nil
		}), nil
	})
}

func ExampleWithStream() {
	invocation(func(ctx context.Context) {
		resp, err := sortie.Get(ctx, "https://slow.example/", sortie.WithStream())
		if err != nil {
			fmt.Println(err)
			return
		}
		piece := make([]byte, 100)
		for {
			n, err := resp.BodyReader.Read(piece)
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Printf("%q\n", piece[:n])
		}
	})
	// Output:
	// "from "
	// "slow"
	// EOF
}

func ExampleRequest_With() {
	invocation(func(ctx context.Context) {
		a := (&sortie.Request{URL: "https://a.example/"}).With(sortie.WithTimeout(time.Second))
		b := &sortie.Request{URL: "https://b.example/"}
		for _, r := range sortie.AllSettled(ctx, []*sortie.Request{a, b}, sortie.WithTimeout(200*time.Millisecond)) {
			fmt.Println(r.State)
		}
	})
	// Output:
	// fulfilled
	// fulfilled
}
