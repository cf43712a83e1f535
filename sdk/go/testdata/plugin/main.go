// Command plugin is a plugin that calls every function of the core, to see what such a one weighs and imports.
package main

import (
	"context"
	"errors"
	"io"
	"net/url"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

func init() {
	sortie.Warmup(func() {})
	sortie.Handle(handle)
	sortie.HandleStream(handle) // in its place: a plugin has one handler
}

func handle(ctx context.Context, req *sortie.Request) (*sortie.Response, error) {
	base, ok := sortie.Config("base")
	var config struct{ Names []string }
	if err := sortie.ConfigInto(&config); err != nil || !ok {
		return nil, errors.Join(err, errors.New("no config"))
	}
	reqs := make([]*sortie.Request, 0, len(config.Names))
	for _, name := range config.Names {
		reqs = append(reqs, (&sortie.Request{URL: base}).With(sortie.WithQuery("name", name), sortie.WithHeader("a", "b"),
			sortie.WithRetry(sortie.Retry{Attempts: 2}), sortie.WithHedge(time.Second), sortie.WithBasicAuth("u", "p")))
	}
	sortie.Log.Info("start", "n", len(reqs), "random", sortie.Rand.IntN(10))
	if _, err := sortie.Post(ctx, base, "text/plain", req.Body, sortie.WithForm(url.Values{}), sortie.WithJSON(1)); errors.Is(err, sortie.ErrTimeout) {
		return nil, err
	}
	switch req.Query().Get("mode") {
	case "any":
		return sortie.Any(ctx, reqs, sortie.WithTimeout(time.Second), sortie.WithAttemptTimeout(time.Second))
	case "race":
		r := sortie.Race(ctx, reqs, sortie.WithExpect("2xx"), sortie.WithRedirect(sortie.RedirectManual))
		return r.Response, r.Err
	case "quorum":
		responses, err := sortie.Quorum(ctx, 2, reqs)
		return sortie.JSON(200, responses), err
	case "completed":
		for _, r := range sortie.AsCompleted(ctx, reqs, sortie.WithConcurrency(2)) {
			if r.Err == nil {
				return r.Response, r.Response.Check()
			}
		}
	case "settled":
		return sortie.JSON(200, sortie.AllSettled(ctx, reqs)), nil
	case "through": // up and down, piece by piece
		return sortie.Fetch(ctx, &sortie.Request{Method: "POST", URL: base, BodyReader: req.BodyReader}, sortie.WithStream())
	case "written":
		return sortie.Stream("text/plain", func(w io.Writer) error {
			_, err := io.WriteString(w, base)
			return err
		}), nil
	case "all":
		responses, err := sortie.All(ctx, reqs)
		return sortie.JSON(200, responses), err
	}
	resp, err := sortie.Get(ctx, base)
	if err != nil {
		return nil, err
	}
	return sortie.Text(resp.Text()), resp.JSON(new(any))
}

func main() {}
