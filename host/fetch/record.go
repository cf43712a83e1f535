package fetch

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Record is what is remembered of one fetch for the invocation's report. Texts are bounded; no bodies.
type Record struct {
	Method   string // at most 64 bytes of it
	URL      string // as asked for; at most 1 KiB of it
	State    State
	Status   int           // of the last response; 0: there was none
	Code     Code          // empty if fulfilled, unless the body failed while the caller was reading it
	Message  string        // likewise
	Rule     string        // of the policy, that allowed the last hop or was the nearest to it
	Attempts int           // retries and hedges included
	Hops     int           // redirects followed, to a request that was sent or an answer of the cache
	Bytes    int64         // decoded bytes of the response
	Cache    CacheState    // of the last hop
	Start    time.Duration // since the session began
	Elapsed  time.Duration // from the call until it settled and its body was read, or until now

	// The states it has been in, in order: Pending from its call, Running from its first slot, then the one it settled in. What never had a
	// slot (a denial, an answer of the cache, a member of a group that was over before its turn) never ran. The waits between attempts
	// aren't told of here, their exchanges' times show them; a body that is read by the caller is read after the last of these.
	States []StateAt

	Exchanges []Exchange // what was sent, in the order of its sending; not a last hop that the cache answered: Cache tells of that
}

// StateAt is when a fetch came into a state.
type StateAt struct {
	State State
	At    time.Duration // since the session began
}

// MarshalJSON writes the time as at_ms, in fractions of milliseconds.
func (s StateAt) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		State State   `json:"state"`
		At    float64 `json:"at_ms"`
	}{s.State, milliseconds(s.At)})
}

// CacheState says what the cache had to do with a response.
type CacheState string

// The cache states. A policy without a cache has none of them.
const (
	CacheUnused CacheState = ""            // the cache wasn't asked
	CacheHit    CacheState = "hit"         // a stored response, or one that another fetch was just getting
	CacheMiss   CacheState = "miss"        // nothing that could be used was stored
	CacheFresh  CacheState = "revalidated" // the upstream confirmed a stored response (304)
	CacheStale  CacheState = "stale"       // a stored response past its time, as stale-while-revalidate or stale-if-error allow
)

// Exchange is what is remembered of one request that was sent, or was about to be: one attempt at one hop.
type Exchange struct {
	Method   string
	URL      string        // without fragment
	Attempt  int           // of the fetch, from 1
	Hop      int           // from 0
	Hedge    bool          // the second of two attempts side by side
	Status   int           // 0: no response came
	Code     Code          // why it failed; empty: it didn't
	Rule     string        // of the policy, that allowed it
	Protocol string        // HTTP/1.1 or HTTP/2.0; empty: it never got a connection
	Reused   bool          // the connection had served another request before
	Start    time.Duration // since the session began
	Elapsed  time.Duration // until it was over, or until now
	Phases   Phases

	Sent     int64 // bytes on the wire; over HTTP/2 of the body alone
	Received int64 // likewise
	Decoded  int64 // bytes of the body, decoded

	// The header fields, names in lower case and sorted; credentials and secrets read [redacted]. Nil where a session's records
	// would take too much memory with them.
	RequestHeader, ResponseHeader []Field
}

// Phases are how long an exchange spent in what. One that did not take place is negative: a connection that is used again has no DNS,
// Connect and TLS.
type Phases struct {
	Blocked time.Duration // waiting for the breaker, the rate, a slot, and a connection that another exchange was opening
	DNS     time.Duration
	Connect time.Duration // to the upstream or its proxy, the proxy's own handshake included
	TLS     time.Duration
	Send    time.Duration
	Wait    time.Duration // from the last byte sent to the first received
	Receive time.Duration
}

// MarshalJSON writes the record in snake case, durations as start_ms and elapsed_ms, fractions of milliseconds.
func (r Record) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Method    string     `json:"method"`
		URL       string     `json:"url"`
		State     string     `json:"state"`
		Status    int        `json:"status,omitempty"`
		Code      Code       `json:"code,omitempty"`
		Message   string     `json:"message,omitempty"`
		Rule      string     `json:"rule,omitempty"`
		Attempts  int        `json:"attempts"`
		Hops      int        `json:"hops"`
		Bytes     int64      `json:"bytes"`
		Cache     CacheState `json:"cache,omitempty"`
		Start     float64    `json:"start_ms"`
		Elapsed   float64    `json:"elapsed_ms"`
		States    []StateAt  `json:"states"`
		Exchanges []Exchange `json:"exchanges"`
	}{
		r.Method, r.URL, r.State.String(), r.Status, r.Code, r.Message, r.Rule, r.Attempts, r.Hops, r.Bytes, r.Cache,
		milliseconds(r.Start), milliseconds(r.Elapsed), append([]StateAt{}, r.States...), append([]Exchange{}, r.Exchanges...), // [] if there are none
	})
}

// MarshalJSON writes the exchange as [Record.MarshalJSON] writes a record. Phases that did not take place are left out, and so are the
// headers.
func (x Exchange) MarshalJSON() ([]byte, error) {
	phase := func(d time.Duration) *float64 {
		if d < 0 {
			return nil
		}
		ms := milliseconds(d)
		return &ms
	}
	return json.Marshal(struct {
		Method   string   `json:"method"`
		URL      string   `json:"url"`
		Attempt  int      `json:"attempt"`
		Hop      int      `json:"hop"`
		Hedge    bool     `json:"hedge,omitempty"`
		Status   int      `json:"status,omitempty"`
		Code     Code     `json:"code,omitempty"`
		Rule     string   `json:"rule,omitempty"`
		Protocol string   `json:"protocol,omitempty"`
		Reused   bool     `json:"reused"`
		Start    float64  `json:"start_ms"`
		Elapsed  float64  `json:"elapsed_ms"`
		Blocked  *float64 `json:"blocked_ms,omitempty"`
		DNS      *float64 `json:"dns_ms,omitempty"`
		Connect  *float64 `json:"connect_ms,omitempty"`
		TLS      *float64 `json:"tls_ms,omitempty"`
		Send     *float64 `json:"send_ms,omitempty"`
		Wait     *float64 `json:"wait_ms,omitempty"`
		Receive  *float64 `json:"receive_ms,omitempty"`
		Sent     int64    `json:"sent"`
		Received int64    `json:"received"`
		Decoded  int64    `json:"decoded"`
	}{
		x.Method, x.URL, x.Attempt, x.Hop, x.Hedge, x.Status, x.Code, x.Rule, x.Protocol, x.Reused, milliseconds(x.Start), milliseconds(x.Elapsed),
		phase(x.Phases.Blocked), phase(x.Phases.DNS), phase(x.Phases.Connect), phase(x.Phases.TLS), phase(x.Phases.Send), phase(x.Phases.Wait),
		phase(x.Phases.Receive), x.Sent, x.Received, x.Decoded,
	})
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// entry is the record of a fetch that may still be under way. The first fields may change at any time; the record is complete
// when the state is one of the last three.
type entry struct {
	attempts atomic.Int32
	status   atomic.Int32
	state    atomic.Uint32
	ran      atomic.Int64 // when it first had a slot, in nanoseconds since started; 0: it hasn't yet
	started  time.Time

	settled   time.Duration // when it settled, since started; guarded by mu
	streaming bool          // the body is still being read; guarded by mu
	kept      bool          // its session keeps it for a report; set before anybody else knows it
	mu        sync.Mutex
	record    Record
	first     trace  // of its requests, in the order of their sending: most fetches have just one
	last      *trace // nil: there is none yet
}

// add puts one more request on the record. The caller holds mu and fills it in.
func (e *entry) add() *trace {
	t := &e.first
	if e.last != nil {
		t = &trace{}
		e.last.next = t
	}
	e.last = t
	return t
}

// run notes that the fetch has a slot. Only for its first one is the clock asked.
func (e *entry) run() {
	if e.ran.Load() == 0 {
		e.ran.CompareAndSwap(0, int64(max(time.Since(e.started), 1))) // of two hedged attempts, one may have been first
	}
	e.state.Store(uint32(Running))
}

// setCache notes what the cache had to do with the fetch.
func (e *entry) setCache(c CacheState) {
	e.mu.Lock()
	e.record.Cache = c
	e.mu.Unlock()
}

// streamed completes the record of a fetch whose body was read by the caller.
func (e *entry) streamed(code Code, message string, decoded int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.streaming = false
	e.record.Elapsed, e.record.Bytes = time.Since(e.started), decoded
	if code != "" {
		e.record.Code, e.record.Message = code, message
	}
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
	e.settled = time.Since(e.started)
	r.Elapsed, r.Hops = e.settled, hops
	if res.Err != nil {
		r.Code, r.Message = res.Err.Code, res.Err.Message
	}
	if resp := res.Received(); resp != nil {
		r.Bytes = resp.decoded
	}
	e.streaming = res.stream() != nil
	e.state.Store(uint32(res.State))
}

// snapshot copies the record as it is now.
func (e *entry) snapshot(s *Session, known *spelled) Record {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.record
	var own []string
	if e.last != nil {
		for t := &e.first; t != nil; t = t.next {
			r.Exchanges = append(r.Exchanges, t.snapshot(s.client, s.started))
			own = append(own, s.client.credentials(t.fields(), known)...)
		}
	}
	if len(own) > 0 {
		r.hide(own)
	}
	r.State, r.Status, r.Attempts = State(e.state.Load()), int(e.status.Load()), int(e.attempts.Load())
	if r.State < Fulfilled || e.streaming {
		r.Elapsed = time.Since(e.started)
	}
	r.States = e.states(r.State, r.Start)
	return r
}

// minCredential is the length from which on a text is taken for a credential wherever it stands.
const minCredential = 8

// spelled remembers the spellings of texts. The zero value knows none.
type spelled struct{ known map[string][]string }

func (s *spelled) of(text string) []string {
	all, ok := s.known[text]
	if !ok {
		if s.known == nil { // not in the callers' frames: they are on the way of every fetch
			s.known = make(map[string][]string)
		}
		all = spellings(text)
		s.known[text] = all
	}
	return all
}

// credentials are the parts of what a request's fields carry that records hide, in all their spellings. known has those that were worked
// out before: fetches of one plugin mostly carry the same.
func (c *Client) credentials(header http.Header, known *spelled) (all []string) {
	var parts []string
	for name, values := range header {
		if !c.hides(name) {
			continue
		}
		for _, v := range values {
			for _, part := range strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ';' }) {
				_, value, _ := strings.Cut(part, "=") // a cookie's
				parts = append(parts, part, value)
			}
		}
	}
	for _, p := range parts {
		if len(p) < minCredential {
			continue
		}
		all = append(all, known.of(p)...)
	}
	return all
}

// fields are those that were sent, if they were kept. They aren't changed any more.
func (t *trace) fields() http.Header {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.request
}

// without is a text without the credentials.
func without(text string, credentials []string) string {
	for _, v := range credentials {
		text = strings.ReplaceAll(text, v, redactedText)
	}
	return text
}

// hide takes out what an upstream has sent back of the request's credentials. The strings of a record are shared, its lists of fields aren't.
func (r *Record) hide(own []string) {
	clean := func(text *string) { *text = without(*text, own) }
	clean(&r.URL)
	clean(&r.Message)
	for i := range r.Exchanges {
		clean(&r.Exchanges[i].URL)
		for j := range r.Exchanges[i].ResponseHeader {
			clean(&r.Exchanges[i].ResponseHeader[j].Value)
		}
	}
}

// states are the ones that the fetch has come through, given the one it is in and when it was called. The caller holds mu.
func (e *entry) states(now State, start time.Duration) []StateAt {
	states := make([]StateAt, 1, 3)
	states[0] = StateAt{Pending, start}
	if ran := e.ran.Load(); ran > 0 {
		states = append(states, StateAt{Running, start + time.Duration(ran)})
	}
	if now >= Fulfilled {
		states = append(states, StateAt{now, start + e.settled})
	}
	return states
}
