// Command lean is a plugin such as most are: it fetches, alone and together, and answers JSON.
package main

import (
	"context"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

func init() { sortie.Handle(handle) }

func handle(ctx context.Context, req *sortie.Request) (*sortie.Response, error) {
	resp, err := sortie.Get(ctx, "https://api.example.com/shops")
	if err != nil {
		return nil, err
	}
	var shops []string
	if err := resp.JSON(&shops); err != nil {
		return nil, err
	}
	reqs := make([]*sortie.Request, 0, len(shops))
	for _, shop := range shops {
		reqs = append(reqs, &sortie.Request{URL: shop})
	}
	responses, err := sortie.All(ctx, reqs)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, r := range responses {
		found[r.URL] = r.Text()
	}
	sortie.Log.Info("found", "shops", len(found), "path", req.Path)
	return sortie.JSON(200, found), nil
}

func main() {}
