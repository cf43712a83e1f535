package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// overloadConfig is Sortie's configuration under overload: its defaults, but for the slots, since every fetch here goes to one origin.
const overloadConfig = `private: ["http://127.0.0.1:*"]
ceilings: {fetch: {limits: {requests: 1000, concurrency: 256, timeout: 120s}}, limits: {wall: 300s}}
process: {fetches: 12000, per_origin: 12000, drain: 1s}
log: {level: warn}
`

const (
	// slower is how much slower the median at twice the capacity may be than at half of it.
	slower = 5.0
	// again is how near the median has to be to that at half the capacity to be back.
	again = 1.5
	// recovery is how soon it has to be back, in seconds.
	recovery = 2.0
)

// overloadSeen is what came of it.
type overloadSeen struct {
	Machine  string       `json:"machine"`
	Capacity float64      `json:"capacity"` // right answers a second
	Closed   []closedSeen `json:"closed"`
	Half     phaseSeen    `json:"half"`
	Twice    phaseSeen    `json:"twice"`
	After    phaseSeen    `json:"after"`
	Slower   float64      `json:"slower"`               // the median at twice the capacity, by that at half
	Back     *float64     `json:"back_after,omitempty"` // seconds
	Failures []string     `json:"failures"`
}

// overload measures what Sortie can do, gives it half of that, twice of that and half of it again, and fails if it doesn't keep its promises.
func overload(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench overload", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "6 s of each load instead of 30 s")
	n := flags.Int("n", 10, "fetches of each request; 0: a trivial request")
	delay := flags.Int("delay", 20, "of each fetch, in milliseconds")
	config := flags.String("config", "", "the server's sortie.yaml is `FILE` instead of the defaults with more slots")
	program := flags.String("sortie", "", sortieUsage)
	file := flags.String("json", "", "write everything measured to `FILE` as JSON")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	yaml := overloadConfig
	if *config != "" {
		data, err := os.ReadFile(*config)
		if err != nil {
			return err
		}
		yaml = string(data)
	}
	w, err := newWorkshop(*program, stderr)
	if err != nil {
		return err
	}
	defer w.close()
	s := &siege{workshop: w, n: *n, delay: *delay, long: 30 * time.Second}
	if *quick {
		s.long = 6 * time.Second
	}
	seen, err := s.run(ctx, yaml)
	if err != nil {
		return err
	}
	if err := writeJSON(*file, seen); err != nil {
		return err
	}
	return seen.write(stdout)
}

// siege is one overload.
type siege struct {
	*workshop
	n, delay int
	long     time.Duration
	target   *target
	upstream *target
}

func (s *siege) run(ctx context.Context, config string) (*overloadSeen, error) {
	if _, err := prepareSortie(ctx, s.workshop); err != nil {
		return nil, err
	}
	var err error
	if s.upstream, err = launch(ctx, command{name: "upstream", args: []string{s.self, "upstream"}}, ""); err != nil {
		return nil, err
	}
	defer s.upstream.stop()
	if s.target, err = launchSortieWith(ctx, s.workshop, s.temp, config); err != nil {
		return nil, err
	}
	defer s.target.stop()
	if err := deploySortie(ctx, s.workshop, s.target); err != nil {
		return nil, err
	}
	seen := &overloadSeen{Machine: newReport().machine()}
	if err := s.capacity(ctx, seen); err != nil {
		return nil, err
	}
	half, twice := seen.Capacity/2, seen.Capacity*2
	s.say("%.0f requests a second, then %.0f, then %.0f again, %s each", half, twice, half, s.long)
	var phases []phaseSeen
	plan := fmt.Sprintf("%g:%s,%g:%s,%g:%s", half, s.long, twice, s.long, half, s.long/3)
	if err := s.generate(ctx, &phases, "--phases", plan); err != nil {
		return nil, err
	}
	if len(phases) != 3 {
		return nil, fmt.Errorf("the generator told of %d phases", len(phases))
	}
	seen.Half, seen.Twice, seen.After = phases[0], phases[1], phases[2]
	seen.judge()
	return seen, s.target.ended()
}

// capacity is the most that any number of callers got done. The first try warms up.
func (s *siege) capacity(ctx context.Context, seen *overloadSeen) error {
	long := min(s.long/2, 6*time.Second)
	for i, callers := range []int{32, 16, 32, 64, 128} {
		s.say("capacity: %d callers for %s", callers, long)
		var c closedSeen
		if err := s.generate(ctx, &c, "--callers", strconv.Itoa(callers), "--for", long.String()); err != nil {
			return err
		}
		if c.Failed != "" {
			return fmt.Errorf("%d callers: %s", callers, c.Failed)
		}
		s.say("capacity: %.0f requests a second, median %s ms", c.Rate, number(c.P50))
		if i > 0 {
			seen.Closed, seen.Capacity = append(seen.Closed, c), max(seen.Capacity, c.Rate)
		}
	}
	return nil
}

// generate runs the generator to its end and decodes what it printed.
func (s *siege) generate(ctx context.Context, v any, args ...string) error {
	p, err := spawn(ctx, command{name: "load", args: append([]string{
		s.self, "load", "--base", s.target.base, "--upstream", s.upstream.root, "--n", strconv.Itoa(s.n), "--delay", strconv.Itoa(s.delay),
	}, args...)})
	if err != nil {
		return err
	}
	defer p.stop()
	<-p.done // it is killed when ctx ends
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if p.err != nil {
		return p.ended()
	}
	return json.Unmarshal(p.printed(), v)
}

// judge holds it against what is promised.
func (o *overloadSeen) judge() {
	fail := func(format string, args ...any) { o.Failures = append(o.Failures, fmt.Sprintf(format, args...)) }
	for name, p := range o.phases() {
		if other := p.Bare + p.Wrong + p.Failed; other > 0 {
			fail("%s: %d 503s without Retry-After, %d wrong answers, %d other failures: %s", name, p.Bare, p.Wrong, p.Failed, p.Error)
		}
	}
	if o.Half.Shed > o.Half.Sent/100 {
		fail("at 0.5 ×: %d of %d were refused", o.Half.Shed, o.Half.Sent)
	}
	if o.Half.Latency == nil || o.Twice.Latency == nil {
		fail("there was no right answer")
		return
	}
	if o.Slower = o.Twice.Latency.P50 / o.Half.Latency.P50; o.Slower > slower {
		fail("at 2 ×: the median is ×%s of that at 0.5 ×, not ×%g", number(o.Slower), slower)
	}
	if after, ok := o.After.backAfter(again * o.Half.Latency.P50); !ok {
		fail("after: the median never came back")
	} else if o.Back = &after; after > recovery {
		fail("after: the median was back after %g s, not %g s", after, recovery)
	}
}

func (o *overloadSeen) phases() func(func(string, phaseSeen) bool) {
	return func(yield func(string, phaseSeen) bool) {
		_ = yield("at 0.5 ×", o.Half) && yield("at 2 ×", o.Twice) && yield("after", o.After)
	}
}

func (o *overloadSeen) write(w io.Writer) error {
	fmt.Fprintf(w, "\ncapacity: %.0f requests a second (%s)\n", o.Capacity, o.Machine)
	for name, p := range o.phases() {
		fmt.Fprintf(w, "%-9s %.0f/s for %gs: %d sent, %d right, %d shed with Retry-After, %d without, %d wrong, %d failed\n",
			name, p.Rate, p.Seconds, p.Sent, p.OK, p.Shed, p.Bare, p.Wrong, p.Failed)
		for _, l := range []struct {
			what string
			*percentiles
		}{{"right answers", p.Latency}, {"refusals", p.Shedded}, {"generator late", p.Late}} {
			if l.percentiles != nil {
				fmt.Fprintf(w, "          %-14s p50 %s, p90 %s, p99 %s, max %s ms\n", l.what, number(l.P50), number(l.P90), number(l.P99), number(l.Max))
			}
		}
	}
	if o.Slower > 0 {
		fmt.Fprintf(w, "median at 2 × is ×%s of that at 0.5 × (at most ×%g)\n", number(o.Slower), slower)
	}
	if o.Back != nil {
		fmt.Fprintf(w, "median back (×%g of that at 0.5 ×, for a second) %g s after the overload (at most %g s)\n", again, *o.Back, recovery)
	}
	if len(o.Failures) > 0 {
		return errors.New("overload: " + strings.Join(o.Failures, "; "))
	}
	_, err := fmt.Fprintln(w, "overload: passed")
	return err
}
