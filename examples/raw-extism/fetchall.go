package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// batch is what fetch_all takes, as far as this plugin uses it: only url is required in a request, and nothing in the batch
// but the requests.
type batch struct {
	Mode        string    `json:"mode,omitempty"`
	Concurrency int       `json:"concurrency,omitempty"`
	TimeoutMS   int       `json:"timeout_ms,omitempty"`
	Requests    []request `json:"requests"`
}

type request struct {
	URL     string      `json:"url"`
	Headers [][2]string `json:"headers,omitempty"`
}

var errInput = errors.New(`the input must be a JSON array of URLs, like ["https://api.example.com/a"]`)

// newBatch turns the plugin's input into the batch that fetches every URL in it and keeps the failures beside the successes.
// config looks up an Extism configuration value; `concurrency` and `timeout_ms` are read, both optional whole numbers.
func newBatch(input []byte, config func(key string) (string, bool)) (batch, error) {
	var urls []string
	if err := json.Unmarshal(input, &urls); err != nil {
		return batch{}, errInput
	}
	b := batch{Mode: "all_settled", Requests: make([]request, len(urls))}
	for i, url := range urls {
		b.Requests[i] = request{URL: url, Headers: [][2]string{{"accept", "application/json"}}}
	}
	for key, field := range map[string]*int{"concurrency": &b.Concurrency, "timeout_ms": &b.TimeoutMS} {
		text, ok := config(key)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return batch{}, fmt.Errorf("config %s: %q is not a whole number", key, text)
		}
		*field = n
	}
	return b, nil
}
