package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"time"
)

// pageLine is the line of one page, which is anything that was asked of the site: redirects and failures too.
type pageLine struct {
	Type  string `json:"type"` // "page"
	URL   string `json:"url"`
	Depth int    `json:"depth"` // links from the start; a redirect's target has the depth of the redirect
	// Status is the HTTP status; 0 if there was no answer.
	Status int    `json:"status"`
	Title  string `json:"title"`
	// Links counts the distinct pages that the page refers to, on this site and others, and lets be followed.
	Links     int     `json:"links"`
	Bytes     int64   `json:"bytes"`      // of the body, decoded
	ElapsedMS float64 `json:"elapsed_ms"` // from the call to the last byte
	Redirect  string  `json:"redirect,omitempty"`
	Error     string  `json:"error,omitempty"` // a code
}

// summaryLine is the last line.
type summaryLine struct {
	Type  string `json:"type"` // "summary"
	Start string `json:"start"`
	// Stopped says why the crawl ended: complete, or what kept it from going on.
	Stopped string `json:"stopped"`
	Pages   int    `json:"pages"`  // lines before this one
	Errors  int    `json:"errors"` // of these, those with an error or a status of 400 and above
	Bytes   int64  `json:"bytes"`
	Depth   int    `json:"depth"` // of the deepest page
	// NotVisited counts the pages of the site that were seen in links, may be fetched, and weren't.
	NotVisited int `json:"not_visited"`
	// Excluded counts those that robots.txt excludes.
	Excluded  int     `json:"excluded_by_robots"`
	Robots    string  `json:"robots"` // found, none, or unreachable
	ElapsedMS float64 `json:"elapsed_ms"`
}

// maxOutput bounds the lines of pages, well within the host's default of 16 MiB for an answer.
const maxOutput = 8 << 20

var errOutputFull = errors.New("the answer is full")

// output sends the lines of an answer, one JSON value each (application/x-ndjson), each as soon as there is one. It is the one place that
// lines go through.
type output struct {
	to   io.Writer
	size int
}

// emit sends a line. Lines of pages are refused once the answer is full; the summary always fits.
func (o *output) emit(line any) error {
	if _, last := line.(*summaryLine); !last && o.size > maxOutput {
		return errOutputFull
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(line); err != nil {
		return err
	}
	n, err := o.to.Write(text.Bytes())
	o.size += n
	return err
}

// milliseconds is a duration for people: tenths are enough.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Millisecond)*10) / 10
}
