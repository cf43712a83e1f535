package fetch

import (
	"io"
	"time"
)

// Field is one header field line.
type Field struct{ Name, Value string }

// Request is one fetch to be made. It and what it points to must not be changed once it has been handed over, not even after
// the fetch has settled: a transport may still be looking at the body.
type Request struct {
	Method string  // empty: GET; get, post and the like are put in upper case as the Fetch standard says (section 2.2.1)
	URL    string  // absolute; parsed here and nowhere before
	Header []Field // those the host owns (Host, Content-Length, Connection, Sortie-…) are dropped
	Body   []byte

	// BodyReader gives the body in pieces, in place of Body. It is read by another goroutine and closed once, when the fetch has no more use for
	// it; Close must make a Read that waits return. A body that was begun can't be sent again, so neither retries nor hedges nor redirects
	// that keep the body go past it.
	BodyReader io.ReadCloser
	BodyLength int64 // of BodyReader, in bytes; 0 or less: unknown, and sent in chunks

	// Stream has the response's body left for the caller to read, who must read it to its end or close it. The fetch settles with the head.
	Stream bool

	Timeout        time.Duration // the whole fetch; 0, or more than the policy's: the policy's
	AttemptTimeout time.Duration // one attempt at one hop, once it has its slot; 0: the policy's
	Hedge          time.Duration // after this long without an answer a second attempt, idempotent methods only; 0: the policy's; [HedgeP95]
	Retry          *Retry        // nil: the policy's
	Redirect       Redirect
	revalidate     bool   // whether what the cache has is to be confirmed in any case
	Expect         string // as [ParseExpect] reads it; empty: any status fulfils
}

// HedgeP95, as a hedge's delay, is the 95th percentile of what the origin's answers took. Until enough of them were seen there's no hedge.
// HedgeNever is none, whatever the policy says.
const (
	HedgeP95   time.Duration = -1
	HedgeNever time.Duration = -2
)

// Retry says how often and when an idempotent request is tried again. Zero values, and nil Statuses, mean the policy's.
type Retry struct {
	Attempts   int           // all of them, the first too
	Backoff    time.Duration // longest wait before the second attempt; doubles from there
	MaxBackoff time.Duration // longest wait at all
	Statuses   []int         // tried again, beside failures to connect or to exchange; empty but not nil: none
}

// Redirect says what becomes of 301, 302, 303, 307 and 308.
type Redirect uint8

// The redirect modes, as in the Fetch standard (section 2.2.5).
const (
	Follow Redirect = iota // follow, each hop under the policy; without a Location it is the answer
	Manual                 // answer the 3xx itself
	Refuse                 // reject as redirect_blocked; "error" in the Fetch standard
)
