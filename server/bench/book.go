package main

import (
	"sync"
	"time"
)

// window is how finely a phase is looked at.
const window = 250 * time.Millisecond

// book counts what became of an open loop's requests.
type book struct {
	mu      sync.Mutex
	plan    []phase
	starts  []time.Duration // of the phases, from the start on
	entries []entry
	errs    []string // by phase: the first that was neither right nor shed
}

// entry is one request that has ended.
type entry struct {
	arrival
	late    float64 // milliseconds from when it was due until it was sent
	latency float64 // milliseconds from when it was due until it was answered
	outcome outcome
}

// phaseSeen is what became of the requests of one phase.
type phaseSeen struct {
	Rate    float64      `json:"rate"`
	Seconds float64      `json:"seconds"`
	Sent    int          `json:"sent"`
	OK      int          `json:"ok"`
	Shed    int          `json:"shed"`                     // 503 with Retry-After
	Bare    int          `json:"shed_without_retry_after"` // 503 without
	Wrong   int          `json:"wrong"`                    // 200 with a body that isn't right
	Failed  int          `json:"failed"`                   // anything else
	Error   string       `json:"error,omitempty"`
	Latency *percentiles `json:"latency_ms,omitempty"` // of the right answers, from when they were due
	Shedded *percentiles `json:"shed_ms,omitempty"`    // of the refusals
	Late    *percentiles `json:"late_ms,omitempty"`    // how late the generator was
	Windows []windowSeen `json:"windows"`
}

// windowSeen is what became of the requests that were due in one window.
type windowSeen struct {
	At   float64 `json:"at"` // seconds from the phase's start to the window's
	OK   int     `json:"ok"`
	Shed int     `json:"shed"`
	P50  float64 `json:"p50_ms"` // of the right answers; 0: there was none
}

type percentiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func percentilesOf(values []float64) *percentiles {
	if len(values) == 0 {
		return nil
	}
	return &percentiles{median(values), quantile(values, 0.9), quantile(values, 0.99), quantile(values, 1)}
}

func newBook(plan []phase) *book {
	b := &book{plan: plan, errs: make([]string, len(plan))}
	var begin time.Duration
	for _, p := range plan {
		b.starts = append(b.starts, begin)
		begin += p.long
	}
	return b
}

// enter counts a request that was due at a, sent and answered at the given times from the start on. It may be called by several at
// once.
func (b *book) enter(a arrival, sent, done time.Duration, err error) {
	e := entry{a, milliseconds(sent - a.due), milliseconds(done - a.due), outcomeOf(err)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, e)
	if e.outcome != answered && e.outcome != shed && b.errs[a.phase] == "" {
		b.errs[a.phase] = err.Error()
	}
}

// close sums up by phase.
func (b *book) close() []phaseSeen {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]phaseSeen, len(b.plan))
	for i, p := range b.plan {
		all[i] = b.phase(i, p)
	}
	return all
}

func (b *book) phase(i int, p phase) phaseSeen {
	seen := phaseSeen{Rate: p.rate, Seconds: p.long.Seconds(), Error: b.errs[i]}
	var right, refused, late []float64
	latencies := make([][]float64, (p.long+window-1)/window)
	seen.Windows = make([]windowSeen, len(latencies))
	for _, e := range b.entries {
		if e.phase != i {
			continue
		}
		seen.Sent++
		late = append(late, e.late)
		w := min(int((e.due-b.starts[i])/window), len(latencies)-1)
		switch e.outcome {
		case answered:
			seen.OK++
			right = append(right, e.latency)
			latencies[w] = append(latencies[w], e.latency)
		case shed:
			seen.Shed++
			refused = append(refused, e.latency)
			seen.Windows[w].Shed++
		case bare:
			seen.Bare++
		case wrong:
			seen.Wrong++
		case failed:
			seen.Failed++
		}
	}
	for w := range latencies {
		seen.Windows[w].At, seen.Windows[w].OK = (time.Duration(w) * window).Seconds(), len(latencies[w])
		if len(latencies[w]) > 0 {
			seen.Windows[w].P50 = median(latencies[w])
		}
	}
	seen.Latency, seen.Shedded, seen.Late = percentilesOf(right), percentilesOf(refused), percentilesOf(late)
	return seen
}

// backAfter is how many seconds after the phase's start the median of a window is at most limit (milliseconds), and stays there for
// a second; false: it never is.
func (p phaseSeen) backAfter(limit float64) (float64, bool) {
	const hold = int(time.Second / window)
	for i, w := range p.Windows {
		back := true
		for _, next := range p.Windows[i:min(i+hold, len(p.Windows))] {
			back = back && next.OK > 0 && next.P50 <= limit
		}
		if back {
			return w.At, true
		}
	}
	return 0, false
}
