package sortietest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

// In a plugin this is in its own package, and in an init function; `sortie.Handle(handle)` is all that connects it.
func handle(ctx context.Context, req *sortie.Request) (*sortie.Response, error) {
	region, _ := sortie.Config("region")
	resp, err := sortie.Get(ctx, "https://api.example.com/prices", sortie.WithQuery("region", region), sortie.WithTimeout(time.Second))
	if errors.Is(err, sortie.ErrTimeout) {
		return &sortie.Response{Status: 504}, nil
	}
	return resp, err
}

func Example() {
	t := &testing.T{} // a test is given it

	sortie.Handle(handle)
	h := sortietest.New(t)
	h.Config(map[string]any{"region": "eu"})
	h.Reply("GET https://api.example.com/prices", sortietest.Reply{JSON: map[string]int{"tea": 3}})

	resp, err := h.Invoke("GET", "/?q=tea")
	fmt.Println(resp.Status, resp.Text(), err)
	fmt.Println(h.Requests()[0].URL)
	// Output:
	// 200 {"tea":3} <nil>
	// https://api.example.com/prices?region=eu
}

// What an upstream does wrong is a reply too.
func ExampleHost_Reply_failure() {
	t := &testing.T{}

	sortie.Handle(handle)
	h := sortietest.New(t)
	h.Reply("https://api.example.com/*", sortietest.Reply{Code: "timeout"})

	resp, err := h.Invoke("GET", "/")
	fmt.Println(resp.Status, err)
	// Output: 504 <nil>
}
