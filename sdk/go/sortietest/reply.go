package sortietest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

// Reply is a canned answer.
type Reply struct {
	Status     int               // 0: 200
	Header     map[string]string // with Location and a 3xx status it is a redirect
	Body       string
	JSON       any           // the body instead, with its content type
	Chunks     []string      // the body instead, in pieces: what sortie.WithStream reads one by one
	ChunkDelay time.Duration // how long each of Chunks takes
	Delay      time.Duration // how long the head takes
	Code       string        // fail with this code of the contract's instead, "connect_error" for one; with Chunks, after them
	Times      int           // how often it is given, then the next that matches; 0: always
}

// responder answers a request that matched. ctx is the attempt's; a body may be read under it.
type responder func(ctx context.Context, req *sortie.Request) (*sortie.Response, error)

type rule struct {
	pattern  string // as given, for messages
	method   string // "": any
	url      string // normalised; ends in "*" for any rest
	delay    time.Duration
	left     int // how often still; -1: always
	answer   responder
	unsent   bool // it fails before anything of the request is sent
	anyQuery bool
}

// Reply registers an answer. The pattern is a URL, maybe after a method: "https://api.example.com/a", "POST https://api.example.com/*".
// One without "?" matches whatever the query; a final "*" matches any rest, and "*" alone everything. The first that matches, in the order registered, answers. The
// test fails on a pattern that isn't one.
func (h *Host) Reply(pattern string, r Reply) {
	h.t.Helper()
	body := []byte(r.Body)
	header := make(sortie.Header, len(r.Header)+1)
	if r.JSON != nil {
		var err error
		if body, err = json.Marshal(r.JSON); err != nil {
			h.t.Fatalf("sortietest: reply for %s: %v", pattern, err)
		}
		header.Set("content-type", "application/json")
	}
	for name, value := range r.Header {
		header.Set(name, value)
	}
	left := r.Times
	if left <= 0 {
		left = -1
	}
	var fail error
	if r.Code != "" {
		fail = &sortie.Error{Code: r.Code, Message: "as the test has it"}
	}
	rule := &rule{pattern: pattern, delay: r.Delay, left: left, unsent: connecting(r.Code)}
	rule.answer = func(ctx context.Context, _ *sortie.Request) (*sortie.Response, error) {
		switch {
		case r.Chunks != nil:
			return &sortie.Response{Status: r.Status, Header: header, BodyReader: newChunks(ctx, &r, fail)}, nil
		case fail != nil:
			return nil, fail
		}
		return &sortie.Response{Status: r.Status, Header: header, Body: body}, nil
	}
	h.add(rule)
}

// Func registers a function that answers; pattern as with Reply. It is called once for each attempt and hop, maybe from several
// goroutines at once. An error that is a *sortie.Error is what the plugin gets; any other one becomes a connect_error. A response's
// BodyReader is read as the plugin reads it, and closed in the end if it is an io.Closer; its errors are as the function's, but others than
// a *sortie.Error a read_error.
func (h *Host) Func(pattern string, answer func(*sortie.Request) (*sortie.Response, error)) {
	h.t.Helper()
	h.add(&rule{pattern: pattern, left: -1, answer: func(_ context.Context, req *sortie.Request) (*sortie.Response, error) { return answer(req) }})
}

func (h *Host) add(r *rule) {
	h.t.Helper()
	raw := strings.TrimSpace(r.pattern)
	if method, rest, ok := strings.Cut(raw, " "); ok {
		r.method, raw = strings.ToUpper(method), strings.TrimSpace(rest)
	}
	raw, star := strings.CutSuffix(raw, "*")
	if star && (raw == "" || raw == "http://" || raw == "https://") {
		r.url = raw + "*"
	} else {
		u, err := parseURL(raw)
		if err != nil {
			h.t.Fatalf("sortietest: the pattern %q has no absolute URL: %v", r.pattern, err)
		}
		r.anyQuery = u.RawQuery == "" && !u.ForceQuery
		r.url = normal(u)
		if star {
			r.url += "*"
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rules = append(h.rules, r)
}

// match finds the rule for a request and uses it once.
func (h *Host) match(method string, u *url.URL) *rule {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.rules {
		if r.left != 0 && r.matches(method, u) {
			if r.left > 0 {
				r.left--
			}
			return r
		}
	}
	return nil
}

func (r *rule) matches(method string, u *url.URL) bool {
	if r.method != "" && r.method != method {
		return false
	}
	full := normal(u)
	if prefix, ok := strings.CutSuffix(r.url, "*"); ok {
		return strings.HasPrefix(full, prefix)
	}
	if r.anyQuery {
		full, _, _ = strings.Cut(full, "?")
	}
	return full == r.url
}

func (h *Host) patterns() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.rules) == 0 {
		return "none"
	}
	names := make([]string, len(h.rules))
	for i, r := range h.rules {
		names[i] = r.pattern
		if r.left == 0 {
			names[i] += " (used up)"
		}
	}
	return strings.Join(names, ", ")
}

// parseURL parses what the real host would take.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme == "":
		return nil, fmt.Errorf("%q has no scheme", raw)
	case u.User != nil:
		return nil, fmt.Errorf("%q has user information", raw)
	case u.Hostname() == "" && (u.Scheme == "http" || u.Scheme == "https"):
		return nil, fmt.Errorf("%q has no host", raw)
	}
	return u, nil
}

// normal is the form in which URLs are compared: host in lower case, no default port, a path, no fragment.
func normal(u *url.URL) string {
	n := *u
	n.Scheme, n.Host = strings.ToLower(n.Scheme), strings.ToLower(n.Host)
	switch n.Scheme {
	case "http":
		n.Host = strings.TrimSuffix(n.Host, ":80")
	case "https":
		n.Host = strings.TrimSuffix(n.Host, ":443")
	}
	if n.Path == "" {
		n.Path = "/"
	}
	n.Fragment, n.RawFragment = "", ""
	return n.String()
}
