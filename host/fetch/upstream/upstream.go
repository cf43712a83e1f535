// Package upstream keeps what is known of origins, for their sake and their callers': a circuit breaker, a rate, a concurrency that adapts
// to latency, a budget for retries, and how long answers take.
//
//	origins := upstream.NewOrigins()          // one for each client, so that none can open a breaker for another
//	rates := upstream.NewRates()              // one for all of them: a quota is the upstream's
//	o := origins.Get("https://api.example.com", settings)
//	permit, fail := o.Admit(ctx)              // circuit_open; or a wait
//	…
//	permit.Done(upstream.Success, elapsed)
//
// Breaker and adaptive limiter are failsafe-go's. Its rate limiter can't take a permit back from one who stops waiting, so rates are those
// of golang.org/x/time/rate; its retry budget bounds retries under way at once and not their share of a window, so that is written here.
//
// How many origins are remembered is bounded. Those that are neither in use nor in a state that matters are forgotten first; when all
// matter, newcomers share one state, so that naming many origins neither takes memory nor resets anything.
package upstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// Settings say how an origin is treated.
type Settings struct {
	Breaker  *Breaker  // nil: none
	Adaptive *Adaptive // nil: none
	Retries  RetryBudget
}

// Breaker opens when too many requests fail, and then lets none through for a while.
type Breaker struct {
	Failures float64       // the share of requests, over 0 up to 1, that opens it
	Requests int           // of at least so many
	Window   time.Duration // within so long
	Pause    time.Duration // how long it stays open; then a few requests try
}

// probes is how many requests try after a pause; it takes that many successes to close the breaker.
const probes = 2

// Adaptive is a limit of requests in flight that follows the origin's latency.
type Adaptive struct{ Initial, Min, Max int }

// Outcome is what a request says about the origin's health.
type Outcome uint8

// The outcomes.
const (
	Success Outcome = iota // it answered
	Failure                // it failed: no connection, no answer in time, a 5xx
	Nothing                // neither, such as a request that was cancelled
)

// Origin is what one client knows of one origin. Get it from [Origins.Get].
type Origin struct {
	breaker  circuitbreaker.CircuitBreaker[any]   // nil: none
	adaptive adaptivelimiter.AdaptiveLimiter[any] // nil: none
	retries  retries
	latency  latency

	users    int // guarded by Origins.mu
	lastUsed time.Time
	name     string
}

func newOrigin(name string, s Settings) *Origin {
	o := &Origin{name: name, retries: retries{budget: s.Retries}}
	if b := s.Breaker; b != nil {
		o.breaker = circuitbreaker.NewBuilder[any]().
			WithFailureRateThreshold(b.Failures, uint(max(b.Requests, 1)), b.Window).
			WithSuccessThreshold(probes).WithDelay(b.Pause).Build()
	}
	if a := s.Adaptive; a != nil {
		o.adaptive = adaptivelimiter.NewBuilder[any]().WithLimits(uint(a.Min), uint(a.Max), uint(a.Initial)).Build()
	}
	return o
}

// Permit is one request that was let through. Its zero value is of an origin without a breaker or limiter.
type Permit struct {
	origin  *Origin
	probing bool
	limited adaptivelimiter.Permit
}

// Admit lets a request through, which [Permit.Done] must end. It fails with circuit_open, or waits for the adaptive limit until ctx ends and
// then returns its cause.
func (o *Origin) Admit(ctx context.Context) (Permit, error) {
	p := Permit{origin: o}
	if o.adaptive != nil {
		var err error
		if p.limited, err = o.adaptive.AcquirePermit(ctx); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return Permit{}, err
		}
	}
	if o.breaker != nil {
		if !o.breaker.TryAcquirePermit() {
			p.drop()
			return Permit{}, o.open()
		}
		p.probing = o.breaker.IsHalfOpen()
	}
	return p, nil
}

// open explains a breaker that lets nothing through.
func (o *Origin) open() *failure.Error {
	if left := o.breaker.RemainingDelay(); left > 0 {
		return failure.New(failure.CircuitOpen, "too many requests to %s have failed; the breaker is open for another %s", o.name, left.Round(time.Millisecond))
	}
	return failure.New(failure.CircuitOpen, "too many requests to %s have failed; the breaker is waiting for what a few others come to", o.name)
}

// Done ends a request. elapsed is how long the answer took; it counts for a success only.
func (p Permit) Done(outcome Outcome, elapsed time.Duration) {
	o := p.origin
	if o == nil {
		return
	}
	if outcome == Success {
		o.latency.observe(elapsed)
	}
	if o.breaker != nil {
		switch {
		case outcome == Success:
			o.breaker.RecordSuccess()
		case outcome == Failure, p.probing: // a place to try in can't be given back, and must not stay taken
			o.breaker.RecordFailure()
		}
	}
	if p.limited != nil {
		if outcome == Success {
			p.limited.Record()
		} else {
			p.limited.Drop()
		}
	}
}

func (p Permit) drop() {
	if p.limited != nil {
		p.limited.Drop()
	}
}

// Requested counts a request that isn't a retry, of which the retry budget is a share.
func (o *Origin) Requested() { o.retries.request() }

// Retry takes one retry from the budget, if there is one.
func (o *Origin) Retry() bool { return o.retries.take() }

// P95 is the 95th percentile of what the origin's answers took lately, and whether enough of them were seen to tell.
func (o *Origin) P95() (time.Duration, bool) { return o.latency.quantile(0.95) }

var errSettings = errors.New("upstream: settings out of range")

// Check tells whether settings can be used.
func (s Settings) Check() error {
	if b := s.Breaker; b != nil && (b.Failures <= 0 || b.Failures > 1 || b.Requests < 1 || b.Window < time.Millisecond || b.Pause <= 0) {
		return errSettings
	}
	if a := s.Adaptive; a != nil && (a.Min < 1 || a.Initial < a.Min || a.Max < a.Initial) {
		return errSettings
	}
	if r := s.Retries; r.Ratio < 0 || r.Minimum < 0 || r.Window < 0 {
		return errSettings
	}
	return nil
}

// maxOrigins bounds how many origins are remembered.
const maxOrigins = 1024

// Origins are those of one client.
type Origins struct {
	mu       sync.Mutex
	known    map[string]*Origin
	overflow *Origin
}

// NewOrigins returns none.
func NewOrigins() *Origins { return &Origins{known: make(map[string]*Origin)} }

// Get returns what is known of an origin, to be given back by [Origins.Put]. Settings count when it becomes known.
func (s *Origins) Get(name string, settings Settings) *Origin {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.known[name]
	if o == nil {
		if len(s.known) >= maxOrigins && !s.evict() {
			if s.overflow == nil {
				s.overflow = newOrigin("the origins past those that are remembered", settings)
			}
			return s.overflow
		}
		o = newOrigin(name, settings)
		s.known[name] = o
	}
	o.users++
	return o
}

// Put gives back what Get gave.
func (s *Origins) Put(o *Origin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o != s.overflow {
		o.users--
		o.lastUsed = time.Now()
	}
}

// evict forgets origins that nothing is lost with: not in use, not lately, and with nothing that was to be remembered against them.
func (s *Origins) evict() bool {
	before := len(s.known)
	recent := time.Now().Add(-unusedFor)
	for name, o := range s.known {
		if o.users == 0 && o.lastUsed.Before(recent) && (o.breaker == nil || o.breaker.IsClosed()) && !o.retries.matters() {
			delete(s.known, name)
		}
	}
	return len(s.known) < before
}

// unusedFor is how long an origin is remembered at least once it isn't in use.
const unusedFor = time.Second
