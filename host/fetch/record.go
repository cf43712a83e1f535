package fetch

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"
)

// Record is what is remembered of one fetch for the invocation's report. Texts are bounded; no headers and no bodies.
type Record struct {
	Method   string // at most 64 bytes of it
	URL      string // as asked for; at most 1 KiB of it
	State    State
	Status   int           // of the last response; 0: there was none
	Code     Code          // empty if fulfilled
	Message  string        // empty if fulfilled
	Rule     string        // of the policy, that allowed the last hop or was the nearest to it
	Attempts int           // retries and hedges included
	Hops     int           // redirects followed, to a request that was sent
	Bytes    int64         // decoded bytes of the response
	Start    time.Duration // since the session began
	Elapsed  time.Duration // from the call until it settled, or until now
}

// MarshalJSON writes the record in snake case, durations as start_ms and elapsed_ms, fractions of milliseconds.
func (r Record) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Method   string  `json:"method"`
		URL      string  `json:"url"`
		State    string  `json:"state"`
		Status   int     `json:"status,omitempty"`
		Code     Code    `json:"code,omitempty"`
		Message  string  `json:"message,omitempty"`
		Rule     string  `json:"rule,omitempty"`
		Attempts int     `json:"attempts"`
		Hops     int     `json:"hops"`
		Bytes    int64   `json:"bytes"`
		Start    float64 `json:"start_ms"`
		Elapsed  float64 `json:"elapsed_ms"`
	}{
		r.Method, r.URL, r.State.String(), r.Status, r.Code, r.Message, r.Rule, r.Attempts, r.Hops, r.Bytes,
		milliseconds(r.Start), milliseconds(r.Elapsed),
	})
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// entry is the record of a fetch that may still be under way. The first fields may change at any time; the record is complete
// when the state is one of the last three.
type entry struct {
	attempts atomic.Int32
	status   atomic.Int32
	state    atomic.Uint32
	started  time.Time

	mu     sync.Mutex
	record Record
}

func (e *entry) setMethod(method string) {
	e.mu.Lock()
	e.record.Method = method
	e.mu.Unlock()
}

func (e *entry) setRule(rule string) {
	e.mu.Lock()
	e.record.Rule = bounded(rule, maxRecordURL)
	e.mu.Unlock()
}

// settle writes down the outcome.
func (e *entry) settle(res Result, hops int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := &e.record
	r.Elapsed, r.Hops = time.Since(e.started), hops
	resp := res.Response
	if res.Err != nil {
		r.Code, r.Message = res.Err.Code, res.Err.Message
		resp = res.Err.Response
	}
	if resp != nil {
		r.Bytes = int64(len(resp.Body))
	}
	e.state.Store(uint32(res.State))
}

// snapshot copies the record as it is now.
func (e *entry) snapshot() Record {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.record
	r.State, r.Status, r.Attempts = State(e.state.Load()), int(e.status.Load()), int(e.attempts.Load())
	if r.State < Fulfilled {
		r.Elapsed = time.Since(e.started)
	}
	return r
}
