package upstream

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// Rate is how many requests an origin gets in a time, after as many at once at most.
type Rate struct {
	N   int
	Per time.Duration
}

// Rates are the limiters of all clients.
type Rates struct {
	mu       sync.Mutex
	known    map[string]*limiter
	overflow *limiter
}

type limiter struct {
	*rate.Limiter
	per      time.Duration
	lastUsed time.Time // guarded by Rates.mu
}

// NewRates returns none.
func NewRates() *Rates { return &Rates{known: make(map[string]*limiter)} }

// Wait waits for the origin's turn until ctx ends, and then returns its cause. If the turn comes later than ctx's deadline or than most, it
// fails at once, with rate_limited. A turn that isn't waited for is the next one's.
func (r *Rates) Wait(ctx context.Context, origin string, limit Rate, most time.Duration) error {
	now := time.Now()
	reservation := r.get(origin, limit, now).ReserveN(now, 1)
	delay := reservation.DelayFrom(now)
	if delay <= 0 && reservation.OK() {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, deadline.Sub(now))
	}
	if !reservation.OK() || delay > most {
		reservation.CancelAt(now)
		return failure.New(failure.RateLimited, "the operator lets %d requests in %s go to %s, and the next turn is in %s", limit.N, limit.Per, origin,
			delay.Round(time.Millisecond))
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		reservation.Cancel()
		return context.Cause(ctx)
	}
}

func (r *Rates) get(origin string, limit Rate, now time.Time) *limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.known[origin]
	if l == nil {
		if len(r.known) >= maxOrigins && !r.evict(now) {
			if r.overflow == nil {
				r.overflow = newLimiter(limit)
			}
			return r.overflow
		}
		l = newLimiter(limit)
		r.known[origin] = l
	}
	l.lastUsed = now
	return l
}

func newLimiter(limit Rate) *limiter {
	return &limiter{Limiter: rate.NewLimiter(rate.Limit(float64(limit.N)/limit.Per.Seconds()), limit.N), per: limit.Per}
}

// evict forgets limiters that are full again, so that a new one is the same.
func (r *Rates) evict(now time.Time) bool {
	before := len(r.known)
	for origin, l := range r.known {
		if now.Sub(l.lastUsed) > l.per && l.TokensAt(now) >= float64(l.Burst()) {
			delete(r.known, origin)
		}
	}
	return len(r.known) < before
}
