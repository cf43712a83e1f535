package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// loadMain generates load in a process of its own and prints what it saw as JSON.
func loadMain(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	base := flags.String("base", "", "the endpoints' `URL`")
	up := flags.String("upstream", "", "the upstream's `URL`")
	n := flags.Int("n", 10, "fetches of each request; 0: the trivial request")
	delay := flags.Int("delay", 20, "of each fetch, in milliseconds")
	phases := flags.String("phases", "", "open loop: requests a second and how long, `RATE:DURATION,…`, one after the other")
	callers := flags.Int("callers", 0, "closed loop instead: so many callers, each the next request when the last one is answered")
	long := flags.Duration("for", 5*time.Second, "how long the closed loop goes on")
	timeout := flags.Duration("timeout", 30*time.Second, "when a request has failed")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	var request ask = trivial{}
	if *n > 0 {
		request = fanOut{n: *n, path: fmt.Sprintf("/delay/%d/%d", *delay, fetched)}
	}
	g := &generator{client: pooled(*timeout), request: request, base: *base, upstream: *up}
	defer g.client.CloseIdleConnections()
	var seen any
	if *callers > 0 {
		seen = g.closed(ctx, *callers, *long)
	} else {
		plan, err := parsePhases(*phases)
		if err != nil {
			return usageError{err}
		}
		seen = g.open(ctx, plan)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(seen)
}

// phase is a stretch of constant arrivals.
type phase struct {
	rate float64 // requests a second
	long time.Duration
}

// parsePhases reads "150:30s,600:30s".
func parsePhases(text string) ([]phase, error) {
	var plan []phase
	for part := range strings.SplitSeq(text, ",") {
		rate, long, _ := strings.Cut(part, ":")
		var p phase
		var err error
		if p.rate, err = strconv.ParseFloat(rate, 64); err != nil || p.rate <= 0 || math.IsInf(p.rate, 0) || math.IsNaN(p.rate) {
			return nil, fmt.Errorf("phase %q: the rate is a number of requests a second", part)
		}
		if p.long, err = time.ParseDuration(long); err != nil || p.long <= 0 {
			return nil, fmt.Errorf("phase %q: a duration follows the rate, as in 150:30s", part)
		}
		plan = append(plan, p)
	}
	return plan, nil
}

// arrival is when a request is due, from the start on, and in which phase.
type arrival struct {
	due   time.Duration
	phase int
}

// schedule is every arrival of the plan, at fixed distances: when requests are sent doesn't depend on when others are answered.
func schedule(plan []phase) []arrival {
	var all []arrival
	var begin time.Duration
	for i, p := range plan {
		n := int(math.Round(p.rate * p.long.Seconds()))
		for j := range n {
			all = append(all, arrival{begin + time.Duration(float64(j)/p.rate*float64(time.Second)), i})
		}
		begin += p.long
	}
	return all
}

// generator sends requests and checks the answers.
type generator struct {
	client   *http.Client
	request  ask
	base     string
	upstream string
}

// open sends each request when it's due, or at once if it's late already. Latency counts from when it was due, so that a
// generator that is held up can't hide what a caller would have waited.
func (g *generator) open(ctx context.Context, plan []phase) []phaseSeen {
	book := newBook(plan)
	var wg sync.WaitGroup
	begun := time.Now()
	for i, a := range schedule(plan) {
		if wait := a.due - time.Since(begun); wait > 0 && !sleep(ctx, wait) {
			break
		}
		wg.Go(func() {
			sent := time.Since(begun)
			err := send(ctx, g.client, g.request, g.base, g.upstream, strconv.Itoa(i))
			book.enter(a, sent, time.Since(begun), err)
		})
	}
	wg.Wait()
	return book.close()
}

// closedSeen is what a closed loop saw.
type closedSeen struct {
	Callers int     `json:"callers"`
	Rate    float64 `json:"rate"` // right answers a second
	OK      int     `json:"ok"`
	P50     float64 `json:"p50_ms"`
	Failed  string  `json:"failed,omitempty"` // the first that wasn't right
}

func (g *generator) closed(ctx context.Context, callers int, long time.Duration) closedSeen {
	seen := closedSeen{Callers: callers}
	var mu sync.Mutex
	var latencies []float64
	var wg sync.WaitGroup
	begun := time.Now()
	for caller := range callers {
		wg.Go(func() {
			for i := 0; time.Since(begun) < long && ctx.Err() == nil; i++ {
				sent := time.Now()
				err := send(ctx, g.client, g.request, g.base, g.upstream, fmt.Sprintf("%d-%d", caller, i))
				if outcomeOf(err) == shed { // that many callers are an overload, which is an answer
					_ = sleep(ctx, 10*time.Millisecond)
					continue
				}
				mu.Lock()
				if err == nil {
					latencies = append(latencies, milliseconds(time.Since(sent)))
				} else if seen.Failed == "" {
					seen.Failed = err.Error()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	seen.OK, seen.Rate = len(latencies), float64(len(latencies))/time.Since(begun).Seconds()
	if len(latencies) > 0 {
		seen.P50 = median(latencies)
	}
	return seen
}

// outcome is what became of a request.
type outcome int

const (
	answered outcome = iota // with what was right
	shed                    // 503 with Retry-After
	bare                    // 503 without
	wrong                   // 200, but not the right body
	failed                  // anything else
)

func outcomeOf(err error) outcome {
	var status *statusError
	switch {
	case err == nil:
		return answered
	case errors.As(err, &status):
		switch {
		case status.status != http.StatusServiceUnavailable:
			return failed
		case status.retryAfter == "":
			return bare
		default:
			return shed
		}
	case errors.As(err, new(*wrongError)):
		return wrong
	default:
		return failed
	}
}
