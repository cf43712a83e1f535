package cache

import (
	"net/http"
	"strings"
	"time"
)

const (
	// mostHeuristic bounds how long a response is taken for fresh that doesn't say.
	mostHeuristic = 24 * time.Hour
	// longest is what any longer time counts as, so that sums of a few of them can be held.
	longest = time.Duration(1<<31) * time.Second
	// claimFor is how long a revalidation in the background is waited for before another caller is asked to make one.
	claimFor = 10 * time.Second
)

// bounded is a time of neither less than nothing nor more than can be added to others.
func bounded(d time.Duration) time.Duration { return min(max(d, 0), longest) }

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

// calculate works out for how long the response is fresh and how old it is already (RFC 9111, sections 4.2.1 to 4.2.3).
func (e *Entry) calculate(header http.Header) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		date = e.received
	}
	e.age = max(bounded(e.received.Sub(date)), givenAge(header)+bounded(e.received.Sub(e.sent)))

	switch expires := header["Expires"]; {
	case e.says.maxAge >= 0:
		e.lifetime, e.explicit = seconds(e.says.maxAge), true
	case len(expires) > 0:
		e.explicit = true
		if at, err := http.ParseTime(expires[0]); err == nil && len(expires) == 1 {
			e.lifetime = bounded(at.Sub(date))
		}
	case heuristic(e.Status):
		if modified, err := http.ParseTime(header.Get("Last-Modified")); err == nil {
			e.lifetime = min(bounded(date.Sub(modified))/10, mostHeuristic)
		}
	}
}

// givenAge reads Age, of which the first counts if there are several (RFC 9111, section 5.1).
func givenAge(header http.Header) time.Duration {
	first, _, _ := strings.Cut(header.Get("Age"), ",")
	return seconds(secondsOr(strings.Trim(first, " \t"), 0))
}

// ageAt is how old the response is.
func (e *Entry) ageAt(now time.Time) time.Duration { return e.age + bounded(now.Sub(e.received)) }

// staleBy is for how long the response hasn't been fresh; negative: it still is.
func (e *Entry) staleBy(now time.Time) time.Duration { return e.ageAt(now) - e.lifetime }

// stateFor tells what an entry is to a request (RFC 9111, sections 4.2.4 and 5.2.1; RFC 5861, section 3).
func (e *Entry) stateFor(want *directives, now time.Time) State {
	stale := e.staleBy(now)
	switch {
	case want.noCache, want.maxAge == 0, e.says.noCache:
		return Stale
	case want.maxAge >= 0 && e.ageAt(now) > seconds(want.maxAge):
		return Stale
	case want.minFresh > 0 && -stale < seconds(want.minFresh):
		return Stale
	case stale < 0:
		return Fresh
	case e.says.mustRevalidate:
		return Stale
	case e.says.whileRevalidate > 0 && stale <= seconds(e.says.whileRevalidate):
		return Revalidate
	case want.maxStale >= 0 && stale <= seconds(want.maxStale):
		return Usable
	}
	return Stale
}

// claim tells whether it is this caller's to ask the upstream in the background. It is only one's at a time.
func (e *Entry) claim(now time.Time) bool {
	at := bounded(now.Sub(e.received))
	until := e.claimed.Load()
	return int64(at) >= until && e.claimed.CompareAndSwap(until, int64(at+claimFor))
}

// Unclaim lets the next caller have [Revalidate] at once. It is for a caller that doesn't ask the upstream after all.
func (e *Entry) Unclaim() { e.claimed.Store(0) }

// ServesErrors tells whether a stale entry may still be the answer to any request when the upstream can't be reached or answers with an error
// in the sense of [IsError] (RFC 5861, section 4).
func (e *Entry) ServesErrors(now time.Time) bool {
	return !e.says.mustRevalidate && !e.says.noCache && e.says.ifError > 0 && e.staleBy(now) <= seconds(e.says.ifError)
}

// ServesErrorsTo is [Entry.ServesErrors] for a request that may have a stale-if-error of its own, or a no-cache, which forbids it.
func (e *Entry) ServesErrorsTo(r *Request, now time.Time) bool {
	want := requestDirectives(r.Header)
	if want.noCache || want.noStore || e.says.mustRevalidate || e.says.noCache {
		return false
	}
	return e.ServesErrors(now) || want.ifError > 0 && e.staleBy(now) <= seconds(want.ifError)
}

// IsError tells whether a status is one in whose place a stale response may serve (RFC 5861, section 4).
func IsError(status int) bool {
	switch status {
	case 500, 502, 503, 504:
		return true
	}
	return false
}
