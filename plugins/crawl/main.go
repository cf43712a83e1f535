// Command crawl is a plugin that goes through a web site, breadth first, and answers a line of JSON for each page and one for the whole.
//
//	GET /?url=https://docs.example.com/&max_pages=50
//
// Each line is sent as soon as its page has arrived. It stays on the origin that it begins at, fetches no page twice, keeps to robots.txt (RFC 9309) and to what pages say of following
// their links, and ends cleanly, with a summary that says why, when its pages, its time or the host's budget are used up. README.md has
// the reference.
package main

import (
	"context"
	"io"
	"slices"

	"github.com/sortie-run/sortie/plugins/internal/problem"
	sortie "github.com/sortie-run/sortie/sdk/go"
)

func init() { sortie.Handle(handle) }

func main() {}

func handle(ctx context.Context, req *sortie.Request) (*sortie.Response, error) {
	if !slices.Contains([]string{"GET", "HEAD"}, req.Method) {
		refusal := problem.Response(405, "method_not_allowed", "a crawl is asked for with GET", nil)
		refusal.Header.Set("allow", "GET, HEAD")
		return refusal, nil
	}
	var config any
	if err := sortie.ConfigInto(&config); err != nil {
		return nil, err
	}
	options, err := readOptions(config)
	if err != nil {
		return problem.Misconfigured(err), nil
	}
	start, err := options.ask(req.Query())
	if err != nil {
		return problem.Response(400, "bad_request", err.Error(), nil), nil
	}
	return sortie.Stream("application/x-ndjson", func(w io.Writer) error {
		return crawl(ctx, options, start, (&output{to: w}).emit)
	}), nil
}
