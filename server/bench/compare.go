package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are what compare can be told.
type options struct {
	quick          bool
	only, skip     string
	markdown, json string
	sortie         string
	rounds         int
}

// effort is how much is measured.
type effort struct {
	rounds       int
	batch        time.Duration // of one competitor in one round
	coldRounds   int
	memoryRounds int
	invocations  int // at once, in the memory scenario
}

func (o options) effort() effort {
	e := effort{rounds: 7, batch: time.Second, coldRounds: 7, memoryRounds: 3, invocations: 1000}
	if o.quick {
		e = effort{rounds: 3, batch: 300 * time.Millisecond, coldRounds: 3, memoryRounds: 1, invocations: 100}
	}
	if o.rounds > 0 {
		e.rounds, e.coldRounds, e.memoryRounds = o.rounds, o.rounds, min(o.rounds, e.memoryRounds)
	}
	return e
}

// flags are the options as they are given, but for where things are on this machine.
func (o options) flags() []string {
	var flags []string
	if o.quick {
		flags = append(flags, "--quick")
	}
	if o.only != "" {
		flags = append(flags, "--only", o.only)
	}
	if o.skip != "" {
		flags = append(flags, "--skip", o.skip)
	}
	if o.rounds > 0 {
		flags = append(flags, "--rounds", strconv.Itoa(o.rounds))
	}
	return flags
}

// compare runs every scenario with every competitor.
func compare(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	var o options
	flags.BoolVar(&o.quick, "quick", false, "fewer and shorter rounds, and a tenth of the invocations in the memory scenario")
	flags.StringVar(&o.only, "only", "", "run these `scenarios` alone, comma-separated: "+strings.Join(scenarioNames(), ", "))
	flags.StringVar(&o.skip, "skip", "", "leave these `competitors` out, comma-separated: workerd, httpx, extism, sortie")
	flags.StringVar(&o.markdown, "markdown", "", "write the tables to `FILE` as Markdown")
	flags.StringVar(&o.json, "json", "", "write everything measured to `FILE` as JSON")
	flags.StringVar(&o.sortie, "sortie", "", sortieUsage)
	flags.IntVar(&o.rounds, "rounds", 0, "so many rounds instead of 7 (--quick: 3)")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	chosen, err := names(o.only, scenarioNames())
	if err != nil {
		return err
	}
	skipped, err := names(o.skip, competitorNames())
	if err != nil {
		return err
	}
	if slices.Contains(skipped, yardstick) {
		return usageError{errors.New("native can't be left out: the ratios are to it")}
	}
	w, err := newWorkshop(o.sortie, stderr)
	if err != nil {
		return err
	}
	defer w.close()
	c := &contest{workshop: w, effort: o.effort(), chosen: chosen, report: newReport(o.flags()...)}
	if err := c.run(ctx, skipped); err != nil {
		return err
	}
	c.report.finish()
	return c.report.write(stdout, o.markdown, o.json)
}

// names splits a list of names that must be known.
func names(list string, known []string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	split := strings.Split(list, ",")
	for _, name := range split {
		if !slices.Contains(known, name) {
			return nil, usageError{fmt.Errorf("unknown name %q: there are %s", name, strings.Join(known, ", "))}
		}
	}
	return split, nil
}

func scenarioNames() []string {
	var all []string
	for _, s := range scenarios() {
		all = append(all, s.name)
	}
	return append(all, "cold", "memory")
}

func competitorNames() []string {
	var all []string
	for _, c := range competitors() {
		all = append(all, c.name)
	}
	return all
}

// contest is one comparison.
type contest struct {
	*workshop
	effort      effort
	chosen      []string // scenarios; nil: all
	competitors []competitor
	upstream    *target
	report      *report
}

func (c *contest) wants(name string) bool { return c.chosen == nil || slices.Contains(c.chosen, name) }

func (c *contest) run(ctx context.Context, skipped []string) error {
	if err := c.prepare(ctx, skipped); err != nil {
		return err
	}
	upstream, err := launch(ctx, command{name: "upstream", args: []string{c.self, "upstream"}}, "")
	if err != nil {
		return err
	}
	defer upstream.stop()
	c.upstream = upstream
	if slices.ContainsFunc(scenarios(), func(s scenario) bool { return c.wants(s.name) }) {
		if err := c.timed(ctx); err != nil {
			return err
		}
	}
	if c.wants("cold") {
		if err := c.coldStarts(ctx); err != nil {
			return err
		}
	}
	if c.wants("memory") {
		return c.memory(ctx)
	}
	return nil
}

// prepare builds and installs, and leaves out what can't be.
func (c *contest) prepare(ctx context.Context, skipped []string) error {
	for _, one := range competitors() {
		if slices.Contains(skipped, one.name) {
			c.report.leaveOut(one, "as asked")
			continue
		}
		version, err := one.prepare(ctx, c.workshop)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			if one.name == yardstick || one.name == "sortie" {
				return err
			}
			c.say("left out: %s: %v", one.title, err)
			c.report.leaveOut(one, err.Error())
			continue
		}
		c.competitors = append(c.competitors, one)
		c.report.enter(one, version)
	}
	return nil
}

// start starts a competitor on an empty folder, waits until it answers, and deploys to it.
func (c *contest) start(ctx context.Context, one competitor) (*target, error) {
	data, err := os.MkdirTemp(c.temp, one.name)
	if err != nil {
		return nil, err
	}
	t, err := one.launch(ctx, c.workshop, data)
	if err != nil {
		return nil, err
	}
	if one.deploy != nil {
		if err := one.deploy(ctx, c.workshop, t); err != nil {
			t.stop()
			return nil, err
		}
	}
	if err := c.answers(ctx, t); err != nil {
		t.stop()
		return nil, err
	}
	return t, nil
}

// answers waits for the first right answer.
func (c *contest) answers(ctx context.Context, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := send(ctx, c.client, trivial{}, t.base, c.upstream.root, "first")
		if err == nil {
			return nil
		}
		if ended := t.ended(); ended != nil {
			return ended
		}
		if !sleep(ctx, time.Millisecond) {
			return fmt.Errorf("%s doesn't answer: %w", t.name, err)
		}
	}
}

// timed runs the scenarios with closed-loop callers, in turns.
func (c *contest) timed(ctx context.Context) error {
	targets := make(map[string]*target)
	defer func() {
		for _, t := range targets {
			t.stop()
		}
	}()
	for _, one := range c.competitors {
		c.say("starting %s", one.title)
		t, err := c.start(ctx, one)
		if err != nil {
			return err
		}
		targets[one.name] = t
	}
	for _, s := range scenarios() {
		if !c.wants(s.name) {
			continue
		}
		if err := c.rounds(ctx, s, targets); err != nil {
			return err
		}
	}
	return nil
}

// rounds lets every competitor run the scenario, one after the other, round by round; the first round isn't counted. Who fails is out of
// the scenario.
func (c *contest) rounds(ctx context.Context, s scenario, targets map[string]*target) error {
	client := pooled(2 * time.Minute)
	defer client.CloseIdleConnections()
	result := c.report.add(s.name, s.title, "ms")
	for round := range c.effort.rounds + 1 {
		c.say("%s: round %d of %d", s.title, round, c.effort.rounds)
		for _, one := range c.competitors {
			cell := result.cell(one.name)
			if cell.Failed != "" {
				continue
			}
			b, err := c.counted(ctx, func() (batch, error) {
				return runBatch(ctx, client, s, targets[one.name], c.upstream.root, c.effort.batch)
			}, s)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				c.say("failed: %v", err)
				cell.Failed = err.Error()
				continue
			}
			if round > 0 {
				cell.count(s, b)
			}
		}
	}
	return nil
}

// counted runs a batch and holds that each of its fetches has reached the upstream.
func (c *contest) counted(ctx context.Context, run func() (batch, error), s scenario) (batch, error) {
	before, err := c.stats(ctx, c.upstream.root)
	if err != nil {
		return batch{}, err
	}
	b, err := run()
	if err != nil {
		return b, err
	}
	after, err := c.stats(ctx, c.upstream.root)
	if err != nil {
		return b, err
	}
	if got, want := after.Requests-before.Requests, int64(b.Requests*s.fetches); got != want {
		return b, fmt.Errorf("%s: the upstream saw %d requests, not %d", s.name, got, want)
	}
	return b, nil
}

// coldStarts times from the start of a process to its first right answer.
func (c *contest) coldStarts(ctx context.Context) error {
	result := c.report.add("cold", "cold start, to the first answer", "ms")
	deploys := c.report.add("deploy", "first deploy, to the first answer", "ms")
	folders := make(map[string]string)
	for round := range c.effort.coldRounds {
		c.say("cold start: round %d of %d", round+1, c.effort.coldRounds)
		for _, one := range c.competitors {
			if one.deploy != nil { // a folder that it was deployed to before
				folders[one.name] = filepath.Join(c.temp, fmt.Sprintf("%s-cold-%d", one.name, round))
				took, err := c.deployed(ctx, one, folders[one.name])
				if err != nil {
					return err
				}
				cell := deploys.cell(one.name)
				cell.Time = append(cell.Time, took)
			}
			begun := time.Now()
			t, err := one.launch(ctx, c.workshop, folders[one.name])
			if err != nil {
				return err
			}
			err = c.answers(ctx, t)
			took := time.Since(begun)
			cell := result.cell(one.name)
			cell.Time = append(cell.Time, milliseconds(took))
			if cpu, errCPU := cpuTime(t.pid()); errCPU == nil {
				cell.CPU = append(cell.CPU, milliseconds(cpu))
			}
			t.stop()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// deployed times a first deploy on a new folder to the first answer, in milliseconds.
func (c *contest) deployed(ctx context.Context, one competitor, folder string) (float64, error) {
	if err := os.Mkdir(folder, 0o755); err != nil {
		return 0, err
	}
	t, err := one.launch(ctx, c.workshop, folder)
	if err != nil {
		return 0, err
	}
	defer t.stop()
	begun := time.Now()
	if err := one.deploy(ctx, c.workshop, t); err != nil {
		return 0, err
	}
	err = c.answers(ctx, t)
	return milliseconds(time.Since(begun)), err
}
