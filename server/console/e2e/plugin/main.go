// Command plugin is what the console's tests deploy: it does what a console has something to show of.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

func init() { sortie.Handle(handle) }

func main() {}

// said is what became of one address, without anything that differs from one run to the next.
type said struct {
	Path string `json:"path"`
	Body string `json:"body,omitempty"`
	Code string `json:"code,omitempty"`
}

func handle(ctx context.Context, r *sortie.Request) (*sortie.Response, error) {
	upstream, _ := sortie.Config("upstream")
	switch r.Path {
	case "/all":
		return all(ctx, upstream, "/item/1", "/item/2", "/item/3", "/item/4", "/missing")
	case "/mixed":
		return mixed(ctx, upstream)
	case "/echo":
		return &sortie.Response{Header: sortie.Header{"content-type": {"text/plain"}, "x-method": {r.Method}, "x-seen": {r.Header.Get("X-Test")}}, Body: r.Body}, nil
	case "/hostile": // markup wherever a plugin can write something
		const markup = `<img src=x onerror="document.title='taken'"><script>document.title='taken'</script>`
		sortie.Log.Warn(markup)
		return &sortie.Response{
			Header: sortie.Header{"content-type": {"text/html"}, "x-markup": {markup}}, Body: []byte("<!doctype html>" + markup),
		}, nil
	case "/redirect":
		return &sortie.Response{Status: 302, Header: sortie.Header{"location": {upstream + "/steal"}}}, nil
	case "/fail":
		return nil, fmt.Errorf("failed as asked: <b>%s</b>", r.Query().Get("why"))
	case "/log":
		sortie.Log.Info(r.Query().Get("line"))
		return sortie.Text("logged"), nil
	}
	return sortie.Text("hello from the plugin\n"), nil
}

// all fetches side by side.
func all(ctx context.Context, upstream string, paths ...string) (*sortie.Response, error) {
	requests := make([]*sortie.Request, len(paths))
	for i, path := range paths {
		requests[i] = &sortie.Request{URL: upstream + path}
	}
	answers := make([]said, len(paths))
	for i, result := range sortie.AllSettled(ctx, requests, sortie.WithExpect("2xx")) {
		answers[i] = outcome(paths[i], result)
	}
	return sortie.JSON(200, answers), nil
}

// mixed makes fetches that end in every way there is.
func mixed(ctx context.Context, upstream string) (*sortie.Response, error) {
	get := func(path string, opts ...sortie.Option) *sortie.Request {
		return (&sortie.Request{URL: upstream + path}).With(opts...)
	}
	sortie.Log.Info("asking for the catalogue first")
	if _, err := sortie.Get(ctx, upstream+"/item/0?wait=40"); err != nil {
		return nil, err
	}
	requests := []*sortie.Request{
		get("/item/1?wait=90"),
		get("/flaky", sortie.WithRetry(sortie.Retry{Attempts: 3, Backoff: 30 * time.Millisecond, Statuses: []int{503}})),
		get("/slow-once", sortie.WithHedge(60*time.Millisecond)),
		get("/redirect/2"),
		get("/missing"),
		{URL: "https://elsewhere.example/private"},
		{URL: upstream + "/item/9", Method: "DELETE"},
		get("/item/8?wait=900", sortie.WithTimeout(150*time.Millisecond)),
	}
	settled := sortie.AllSettled(ctx, requests)
	answers := make([]said, 0, len(requests))
	for i, result := range settled {
		if result.Err != nil {
			sortie.Log.Warn("not fetched", "url", requests[i].URL, "err", result.Err.Error())
		}
		answers = append(answers, outcome(strings.TrimPrefix(requests[i].URL, upstream), result))
	}
	race := sortie.Race(ctx, []*sortie.Request{get("/item/5?wait=40"), get("/item/6?wait=400"), get("/item/7?wait=500")})
	answers = append(answers, outcome("race", race))
	sortie.Log.Info("done", "answers", len(answers))
	return sortie.JSON(200, answers), nil
}

func outcome(path string, result sortie.Result) said {
	if result.Err == nil {
		return said{Path: path, Body: result.Response.Text()}
	}
	var failed *sortie.Error
	if !errors.As(result.Err, &failed) {
		return said{Path: path, Code: "unknown"}
	}
	return said{Path: path, Code: failed.Code}
}
