package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// scenario is one kind of request and how many callers send it, each the next one when the last one is answered.
type scenario struct {
	name, title string
	callers     int
	fetches     int // of each request
	request     ask
}

// fetched is the size of a fan-out's bodies, in bytes.
const fetched = 1024

// scenarios are those that are timed in turns.
func scenarios() []scenario {
	fan := func(n, ms, callers int) scenario {
		s := scenario{
			name: fmt.Sprintf("fan-%d", n), title: fmt.Sprintf("%d × %d ms, 1 caller", n, ms), callers: callers, fetches: n,
			request: fanOut{n: n, path: fmt.Sprintf("/delay/%d/%d", ms, fetched)},
		}
		if callers > 1 {
			s.name, s.title = "fan-10-busy", fmt.Sprintf("%d × %d ms, %d callers", n, ms, callers)
		}
		return s
	}
	return []scenario{
		fan(10, 20, 1), fan(50, 20, 1), fan(200, 20, 1), fan(10, 0, 32),
		{name: "trivial", title: "trivial, 32 callers", callers: 32, request: trivial{}},
		{name: "pass", title: "1 MiB pass-through, 1 caller", callers: 1, fetches: 1, request: pass{}},
	}
}

// ask is a request that every competitor answers alike.
type ask interface {
	// url is the request's, with an id that no other request has.
	url(base, upstream, id string) string
	// check says what is wrong with the answer's body: a *wrongError.
	check(id string, body []byte) error
}

// fanOut fetches the upstream's path n times.
type fanOut struct {
	n    int
	path string
}

func (f fanOut) url(base, upstream, id string) string {
	return base + "/fan?" + url.Values{"id": {id}, "n": {strconv.Itoa(f.n)}, "url": {upstream + f.path}}.Encode()
}

func (f fanOut) check(id string, body []byte) error {
	var got fanned
	if err := json.Unmarshal(body, &got); err != nil {
		return &wrongError{fmt.Sprintf("%.200q isn't JSON: %v", body, err)}
	}
	if want := (fanned{id, f.n, f.n * fetched}); got != want {
		return &wrongError{fmt.Sprintf("got %.300s, want %+v", body, want)}
	}
	return nil
}

// trivial fetches nothing.
type trivial struct{}

func (trivial) url(base, _, id string) string { return base + "/trivial?id=" + url.QueryEscape(id) }

func (trivial) check(id string, body []byte) error {
	var got struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(body, &got); err != nil || got.ID != id {
		return &wrongError{fmt.Sprintf("got %.200q to %q", body, id)}
	}
	return nil
}

// pass answers the largest body as it came.
type pass struct{}

func (pass) url(base, upstream, id string) string {
	return base + "/pass?" + url.Values{"id": {id}, "url": {upstream + "/delay/0/" + strconv.Itoa(largest)}}.Encode()
}

func (pass) check(_ string, body []byte) error {
	if !bytes.Equal(body, pattern) {
		return &wrongError{fmt.Sprintf("got %d bytes that aren't the upstream's", len(body))}
	}
	return nil
}

// wrongError is a 200 whose body isn't right.
type wrongError struct{ text string }

func (e *wrongError) Error() string { return "wrong answer: " + e.text }

// statusError is an answer that isn't a 200.
type statusError struct {
	status     int
	retryAfter string
	body       string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %.300s", e.status, e.body) }

// send sends a request and checks the answer.
func send(ctx context.Context, client *http.Client, a ask, base, upstream, id string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url(base, upstream, id), nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if response.ContentLength > 0 {
		body.Grow(int(min(response.ContentLength, largest)) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(response.Body); err != nil {
		return fmt.Errorf("the answer's body: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return &statusError{response.StatusCode, response.Header.Get("Retry-After"), body.String()}
	}
	return a.check(id, body.Bytes())
}

// batch is what one competitor did in one round.
type batch struct {
	Requests  int
	Wall      time.Duration
	CPU       time.Duration // the competitor's own
	Latencies []float64     // milliseconds
}

// runBatch lets the callers call for that long, each once at least.
func runBatch(ctx context.Context, client *http.Client, s scenario, t *target, upstream string, long time.Duration) (batch, error) {
	cpu, errCPU := cpuTime(t.pid())
	begun := time.Now()
	var (
		ids       atomic.Int64
		mu        sync.Mutex
		latencies []float64
		failed    error
		wg        sync.WaitGroup
	)
	for range s.callers {
		wg.Go(func() {
			var mine []float64
			var err error
			for first := true; err == nil && (first || time.Since(begun) < long); first = false {
				sent := time.Now()
				id := strconv.FormatInt(begun.UnixNano()+ids.Add(1), 36)
				if err = send(ctx, client, s.request, t.base, upstream, id); err == nil {
					mine = append(mine, milliseconds(time.Since(sent)))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, mine...)
			failed = errors.Join(failed, err)
		})
	}
	wg.Wait()
	b := batch{Requests: len(latencies), Wall: time.Since(begun), Latencies: latencies}
	if failed != nil {
		return b, fmt.Errorf("%s, %s: %w", t.name, s.name, firstOf(failed))
	}
	if after, err := cpuTime(t.pid()); err == nil && errCPU == nil {
		b.CPU = after - cpu
	}
	return b, t.ended()
}

// firstOf is the first of joined errors: the others mostly say the same.
func firstOf(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()[0]
	}
	return err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// stats asks the upstream what it has seen.
func (w *workshop) stats(ctx context.Context, upstream string) (upstreamStats, error) {
	var s upstreamStats
	body, err := w.call(ctx, http.MethodGet, upstream+"/stats")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(body, &s)
}

// call sends a request of the harness's own.
func (w *workshop) call(ctx context.Context, method, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := w.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %.200s", method, url, response.Status, body)
	}
	return body, err
}
