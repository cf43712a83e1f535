package fetch

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// with is what r asks for, and from policy what it doesn't say.
func (policy Retry) with(r *Retry) Retry {
	if r == nil {
		return policy
	}
	if r.Attempts > 0 {
		policy.Attempts = r.Attempts
	}
	if r.Backoff > 0 {
		policy.Backoff = r.Backoff
	}
	if r.MaxBackoff > 0 {
		policy.MaxBackoff = r.MaxBackoff
	}
	if r.Statuses != nil {
		policy.Statuses = r.Statuses
	}
	return policy
}

// retried sends a hop's request until there is an answer, an error that no attempt would change, or no attempt left. Attempts are
// the fetch's, over all its hops; what has been repeated is the hop that failed, never the ones before it.
func (f *flight) retried(h *hop) (*reply, *failure.Error) {
	for {
		r, fail := f.hedged(h)
		var delay time.Duration
		switch {
		case fail != nil:
			if !f.mayRepeat(h, fail) {
				return nil, fail
			}
			if delay = f.backoff(); !f.hasTimeFor(delay) || !f.mayRetry(h) {
				return nil, fail
			}
		case r.verdict == again:
			delay = r.delay
		default:
			return r, nil
		}
		f.tries++
		f.entry.state.Store(uint32(Pending))
		if fail := f.pause(delay); fail != nil {
			return nil, fail
		}
	}
}

// judge says what becomes of a response, by its head alone: a body is read only where somebody gets it.
func (f *flight) judge(h *hop, r *reply) *failure.Error {
	if isRedirect(r.status) && f.request.Redirect == Refuse {
		r.verdict = redirect // wherever to, if anywhere (Fetch standard, section 4.3, "HTTP fetch")
		return nil
	}
	if isRedirect(r.status) && f.request.Redirect == Follow {
		switch locations := r.header["Location"]; {
		case len(locations) > 1:
			return failure.New(failure.ProtocolError, "the redirect has %d Location fields", len(locations))
		case len(locations) == 1:
			r.verdict, r.location = redirect, locations[0]
			return nil
		}
	}
	if !slices.Contains(f.retry.Statuses, r.status) || !h.idempotent() || f.tries >= f.retry.Attempts {
		return nil
	}
	delay, given := retryAfter(r.header, time.Now())
	if !given {
		delay = f.backoff()
	}
	// The body is taken back last, since then it can't be sent any more.
	if f.hasTimeFor(delay) && (h.upload == nil || h.upload.untouched()) && f.mayRetry(h) && h.whole() {
		r.verdict, r.delay = again, delay
	}
	return nil
}

// mayRepeat tells whether a failure may be followed by another attempt.
func (f *flight) mayRepeat(h *hop, fail *failure.Error) bool {
	if f.tries >= f.retry.Attempts || !h.replayable() {
		return false
	}
	switch fail.Code {
	case failure.PoolTimeout, failure.RateLimited, failure.CircuitOpen:
		return false // nothing was tried: the host itself is short of something
	}
	return fail.Code.Retryable(http.MethodGet) || isAttemptStop(fail)
}

func isAttemptStop(fail *failure.Error) bool {
	s, ok := errors.AsType[*stop](fail.Err)
	return ok && s.retry && fail.Code == failure.Timeout
}

// backoff is the wait before the next attempt: exponential, with full jitter, so that those who failed together don't come back together.
func (f *flight) backoff() time.Duration {
	most := f.retry.Backoff
	for i := 1; i < f.tries && most < f.retry.MaxBackoff; i++ {
		most += min(most, f.retry.MaxBackoff-most) // doubling could overflow
	}
	most = min(most, f.retry.MaxBackoff)
	if most <= 0 {
		return 0
	}
	return rand.N(most) + 1
}

// hasTimeFor tells whether the fetch would still have time after waiting so long.
func (f *flight) hasTimeFor(delay time.Duration) bool {
	return delay < time.Until(f.deadline)
}

// pause waits, without any slot.
func (f *flight) pause(d time.Duration) *failure.Error {
	if d > 0 {
		ctx, leave := f.scope(f.base)
		defer leave()
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return f.stopped()
}

// retryAfter reads Retry-After in both its forms (RFC 9110, section 10.2.3). What can't be read wasn't given.
func retryAfter(header http.Header, now time.Time) (time.Duration, bool) {
	text := header.Get("Retry-After")
	if text == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}

// outcome is what one of two hedged attempts came to.
type outcome struct {
	reply *reply
	fail  *failure.Error
	first bool
}

// good tells whether the other attempt isn't needed any more.
func (o outcome) good() bool { return o.fail == nil && o.reply.verdict != again }

// hedged sends a hop's request, and once more if there is no answer after the hedge delay. The first answer wins and the other attempt
// is cancelled; both are counted. A failed attempt waits for the other.
func (f *flight) hedged(h *hop) (*reply, *failure.Error) {
	delay := f.hedgeDelay(h)
	if delay <= 0 {
		return f.exchange(f.base, h, false)
	}
	outcomes := make(chan outcome, 2)
	attempt := func(first bool) context.CancelCauseFunc {
		// A context each: the winner's body may be read on when the loser's is over.
		ctx, cancel := context.WithCancelCause(f.base)
		go func() {
			r, fail := f.exchange(ctx, h, !first)
			if r == nil || r.stream == nil { // which is read in it, and ends it with its session
				cancel(nil)
			}
			outcomes <- outcome{r, fail, first}
		}()
		return cancel
	}
	cancelFirst := attempt(true)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case o := <-outcomes:
		return o.reply, o.fail
	case <-timer.C:
	}
	if !f.mayRetry(h) { // a hedge is a retry that doesn't wait
		o := <-outcomes
		return o.reply, o.fail
	}
	cancelSecond := attempt(false)

	o := <-outcomes
	if o.good() {
		loser := cancelFirst
		if o.first {
			loser = cancelSecond
		}
		loser(stopHedge)
		(<-outcomes).drop()
		return o.reply, o.fail
	}
	other := <-outcomes
	if other.good() || other.first && other.fail != nil && o.fail != nil || o.fail != nil && other.fail == nil {
		o = other
	}
	return o.reply, o.fail
}

// drop lets go of an answer that came as it was being cancelled.
func (o outcome) drop() {
	if o.reply != nil && o.reply.stream != nil {
		o.reply.stream.abandon()
	}
}

// hedgeDelay is how long the first attempt has before a second one goes out beside it; 0 or less: there is none.
func (f *flight) hedgeDelay(h *hop) time.Duration {
	delay := f.request.Hedge
	if delay == 0 {
		delay = f.client.hedge
	}
	if delay == 0 || delay == HedgeNever || h.upload != nil || !h.idempotent() {
		return 0
	}
	if delay == HedgeP95 {
		delay, _ = f.p95(h)
	}
	return delay
}
