// Command plugin is what Sortie runs in the comparison: the same three endpoints that every competitor has.
package main

import (
	"context"
	"strconv"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

func init() {
	sortie.Handle(handle)
	// encoding/json looks at each type once; the manifest's sample request does so with the others.
	sortie.Warmup(func() { sortie.JSON(200, map[string]string{"id": ""}) })
}

func main() {}

func handle(ctx context.Context, req *sortie.Request) (*sortie.Response, error) {
	query := req.Query()
	switch req.Path {
	case "/fan":
		n, err := strconv.Atoi(query.Get("n"))
		if err != nil {
			return sortie.JSON(400, map[string]string{"error": "n must be a number"}), nil
		}
		return fan(ctx, query.Get("id"), query.Get("url"), n), nil
	case "/pass":
		return sortie.Get(ctx, query.Get("url")) // what was fetched is the answer, as it is
	case "/trivial":
		return sortie.JSON(200, map[string]string{"id": query.Get("id")}), nil
	case "/which":
		return sortie.JSON(200, map[string]uint64{"which": which()}), nil
	default:
		return sortie.JSON(404, map[string]string{"error": "no such path"}), nil
	}
}

// which is a constant that bench restart looks for in the compiled code and replaces, to have plugins whose code differs.
//
//go:noinline
func which() uint64 { return 0x5AFE_0000_0C0D_E000 }

// fanned is what became of a fan-out: how many fetches answered 200, and the bytes of their bodies together.
type fanned struct {
	ID    string `json:"id"`
	OK    int    `json:"ok"`
	Bytes int    `json:"bytes"`
	Error string `json:"error,omitempty"` // of the first that failed
}

// fan fetches the URL n times at once.
func fan(ctx context.Context, id, url string, n int) *sortie.Response {
	requests := make([]*sortie.Request, n)
	for i := range requests {
		requests[i] = &sortie.Request{URL: url}
	}
	sum := fanned{ID: id}
	for _, result := range sortie.AllSettled(ctx, requests) {
		if result.Err == nil && result.Response.Status == 200 {
			sum.OK++
			sum.Bytes += len(result.Response.Body)
		} else if result.Err != nil && sum.Error == "" {
			sum.Error = result.Err.Error()
		}
	}
	return sortie.JSON(200, sum)
}
