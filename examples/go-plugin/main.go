// Command go-plugin is the smallest plugin that does something: it asks several addresses at once and answers with what each of them
// said, failures included.
package main

import (
	"context"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

func init() { sortie.Handle(handle) }

func main() {}

// answer is what became of one address.
type answer struct {
	URL   string `json:"url"`
	Body  string `json:"body,omitempty"`
	Error string `json:"error,omitempty"`
}

func handle(ctx context.Context, _ *sortie.Request) (*sortie.Response, error) {
	var config struct {
		URLs []string `json:"urls"`
	}
	if err := sortie.ConfigInto(&config); err != nil {
		return nil, err
	}
	requests := make([]*sortie.Request, len(config.URLs))
	for i, url := range config.URLs {
		requests[i] = &sortie.Request{URL: url}
	}
	answers := make([]answer, len(requests))
	for i, result := range sortie.AllSettled(ctx, requests, sortie.WithExpect("2xx")) {
		answers[i].URL = config.URLs[i]
		if result.Err != nil {
			answers[i].Error = result.Err.Error()
			continue
		}
		answers[i].Body = result.Response.Text()
	}
	return sortie.JSON(200, answers), nil
}
