package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// memory is what a process has in memory, in bytes.
type memory struct {
	Pss       int64 `json:"pss"` // shared pages in proportion: what it really takes
	Rss       int64 `json:"rss"`
	Anonymous int64 `json:"anonymous"`
	Peak      int64 `json:"peak_rss"`
	Threads   int64 `json:"threads"`
}

// held is what a competitor took while its invocations waited for their fetches.
type held struct {
	Invocations int    `json:"invocations"`
	InFlight    int64  `json:"fetches_in_flight"`
	Partial     bool   `json:"partial"` // it hadn't sent all its fetches when its time was up
	Before      memory `json:"before"`  // after a warm-up
	During      memory `json:"during"`
}

// each is what one invocation takes, in bytes.
func (h held) each() float64 {
	n := float64(h.Invocations)
	if h.Partial {
		n = float64(h.InFlight) / memoryFetches
	}
	return float64(h.During.Pss-h.Before.Pss) / n
}

const (
	memoryFetches = 10 // of each invocation
	// patience is how long a competitor has to send its fetches.
	patience = 45 * time.Second
	// sparedFiles are the descriptors that a process needs beside its connections.
	sparedFiles = 500
	// sparedMemory is what the machine must have left, in bytes; otherwise what is held is let go.
	sparedMemory = 1 << 30
)

// memory measures what it takes to hold invocations that wait for their fetches.
func (c *contest) memory(ctx context.Context) error {
	n := min(c.effort.invocations, (openFiles()-sparedFiles)/(memoryFetches+1))
	if n < c.effort.invocations {
		c.report.note("This machine lets a process open %d files, so the memory scenario has %d invocations instead of %d.",
			openFiles(), n, c.effort.invocations)
	}
	result := c.report.add("memory", fmt.Sprintf("memory of an invocation, %d × %d fetches in flight", n, memoryFetches), "KiB")
	for round := range c.effort.memoryRounds {
		for _, one := range c.competitors {
			cell := result.cell(one.name)
			if cell.Failed != "" || len(cell.Held) > 0 && cell.Held[0].Partial {
				continue
			}
			c.say("memory: round %d of %d: %s", round+1, c.effort.memoryRounds, one.title)
			h, err := c.hold(ctx, one, n)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				c.say("failed: %s, memory: %v", one.title, err)
				cell.Failed = err.Error()
				continue
			}
			cell.Time = append(cell.Time, h.each()/1024)
			cell.Held = append(cell.Held, h)
			c.say("memory: %s: %.0f MiB before, %.0f MiB with %d fetches in flight", one.title,
				float64(h.Before.Pss)/(1<<20), float64(h.During.Pss)/(1<<20), h.InFlight)
		}
	}
	return nil
}

// hold starts a competitor, gives it n invocations whose fetches aren't answered, measures, lets them go and checks every answer.
func (c *contest) hold(ctx context.Context, one competitor, n int) (held, error) {
	// An upstream of its own, on a port of its own: connections to another one that were just closed leave too few ports for so many.
	upstream, err := launch(ctx, command{name: "upstream", args: []string{c.self, "upstream"}}, "")
	if err != nil {
		return held{}, err
	}
	defer upstream.stop()
	t, err := c.start(ctx, one)
	if err != nil {
		return held{}, err
	}
	defer t.stop()
	client := pooled(5 * time.Minute)
	defer client.CloseIdleConnections()
	warm := fanOut{n: memoryFetches, path: "/delay/0/" + strconv.Itoa(fetched)}
	if err := send(ctx, client, warm, t.base, upstream.root, "warm"); err != nil {
		return held{}, err
	}
	h := held{Invocations: n}
	if h.Before, err = memoryOf(t.pid()); err != nil {
		return held{}, err
	}
	if _, err := c.call(ctx, http.MethodPost, upstream.root+"/shut"); err != nil {
		return held{}, err
	}
	calling, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := callAll(calling, client, t, upstream, n)
	err = c.settled(ctx, t, upstream, n, &h, answers)
	if err == nil {
		h.During, err = memoryOf(t.pid())
	}
	if h.Partial || err != nil {
		cancel() // what is missing might take as long again
	}
	if _, opened := c.call(ctx, http.MethodPost, upstream.root+"/open"); opened != nil {
		return held{}, opened
	}
	answers.Wait()
	if err == nil && !h.Partial {
		err = answers.err
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, t.out.tail())
	}
	return h, err
}

// calls are requests that are under way.
type calls struct {
	sync.WaitGroup
	mu  sync.Mutex
	err error // the first
}

func (a *calls) failed() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

func callAll(ctx context.Context, client *http.Client, t, upstream *target, n int) *calls {
	request := fanOut{n: memoryFetches, path: "/hold/" + strconv.Itoa(fetched)}
	a := &calls{}
	for i := range n {
		a.Go(func() {
			err := send(ctx, client, request, t.base, upstream.root, strconv.Itoa(i))
			for outcomeOf(err) == shed && sleep(ctx, 50*time.Millisecond) { // so many at once are an overload: those refused come again until they are in
				err = send(ctx, client, request, t.base, upstream.root, strconv.Itoa(i))
			}
			if err != nil {
				a.mu.Lock()
				defer a.mu.Unlock()
				if a.err == nil {
					a.err = err
				}
			}
		})
	}
	return a
}

// settled waits until all fetches are in flight, or as many as there will be: Extism's SDK has one an invocation.
func (c *contest) settled(ctx context.Context, t, upstream *target, n int, h *held, answers *calls) error {
	const still = 3 * time.Second
	changed, deadline := time.Now(), time.Now().Add(patience)
	for {
		s, err := c.stats(ctx, upstream.root)
		if err != nil {
			return err
		}
		if s.InFlight != h.InFlight {
			h.InFlight, changed = s.InFlight, time.Now()
		}
		if h.InFlight == int64(n*memoryFetches) || h.InFlight >= int64(n) && time.Since(changed) > still {
			return nil
		}
		if err := cmp.Or(answers.failed(), t.ended()); err != nil {
			return err
		}
		if left, err := available(); err == nil && left < sparedMemory {
			return fmt.Errorf("the machine had no memory left with %d fetches in flight", h.InFlight)
		}
		if time.Now().After(deadline) {
			if h.Partial = h.InFlight >= int64(n); h.Partial {
				return nil
			}
			return fmt.Errorf("after %s %d fetches are in flight", patience, h.InFlight)
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}
