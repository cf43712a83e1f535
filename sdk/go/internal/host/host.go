// Package host is the seam between package sortie and whatever runs a plugin: in a Wasm guest the functions of `sortie:host/v1`
// (package internal/guest), in `go test` the fake of package sortietest. It holds shapes only, no behaviour of its own.
package host

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// Host is what one invocation is given by the side that runs it. Its methods may be called from any goroutine.
type Host interface {
	// Send starts one fetch. settled is closed when the fetch has settled; nothing is ever sent on it.
	// A failure says that the fetch couldn't even be started.
	Send(f *Fetch, settled chan<- int) (Calls, *Failure)
	// Group starts g's fetches in one crossing. Each member's index is sent on settled when that member settles, in that order, and
	// settled is closed when all have. Its capacity must be len(g.Fetches) at least, for the host never waits for a receiver. If g is Whole
	// all of that may come at the end.
	Group(g *Group, settled chan<- int) (Calls, *Failure)
	// Config returns one value of the manifest's `config` as JSON; the whole of it for the empty key.
	Config(key string) (value []byte, ok bool)
	// Log writes one line to the invocation's log; levels are those of log/slog.
	Log(level int, line string)
	// Deadline is when the limit that runs now is over: the wall limit, and once a streamed answer has begun, the stream limit.
	// The zero time: never.
	Deadline() time.Time
}

// Calls are the fetches that one Send or Group started.
type Calls interface {
	// Outcome tells what became of fetch i (0 for Send). It must be called once at most for each, and only after the fetch has
	// settled. If the fetch has Stream, a response has a Reader in place of its Body.
	Outcome(i int) Outcome
	// Cancel cancels what hasn't settled yet; settled is closed soon after.
	Cancel()
	// Drop cancels and forgets; outcomes that weren't asked for are lost. Streams handed out stay readable.
	Drop()
}

// State is a fetch's state, numbered as in the ABI.
type State uint8

// The states, in the ABI's order.
const (
	Pending State = iota
	Running
	Fulfilled
	Rejected
	Cancelled
)

// Mode says when a group is decided, numbered as in the ABI.
type Mode uint8

// The modes, in the ABI's order.
const (
	All Mode = iota
	AllSettled
	Any
	Race
	Quorum
)

// Redirect says what becomes of a redirecting answer, numbered as in the ABI.
type Redirect uint8

// The redirect modes, in the ABI's order.
const (
	Follow Redirect = iota
	Manual
	Refuse
)

// Fetch is one fetch as it crosses. Zero durations and a nil Retry are the policy's own.
type Fetch struct {
	Method, URL    string // URL as the plugin wrote it: only the host parses it
	Header         map[string][]string
	Body           []byte
	BodyReader     io.Reader // the body in pieces, where Body is nil: read by a goroutine of the host's; if it fails the fetch is cancelled
	BodyLength     int64     // of BodyReader; 0 or less: not known
	Stream         bool      // the fetch settles with the response's head
	Timeout        time.Duration
	AttemptTimeout time.Duration
	Hedge          time.Duration
	Redirect       Redirect
	Expect         string
	Retry          *Retry
}

// Retry is a fetch's own retry policy.
type Retry struct {
	Attempts            int
	Backoff, MaxBackoff time.Duration
	Statuses            []int
}

// Group is a group as it crosses.
type Group struct {
	Mode               Mode
	Count, Concurrency int
	Timeout            time.Duration
	Whole              bool // nobody looks at a member before the group has settled
	Fetches            []*Fetch
}

// NoCompare makes a struct one that can't be compared, and so spares every plugin the code that would do it.
type NoCompare [0]func()

// Outcome is what became of a fetch: a Response if fulfilled, else a Failure.
type Outcome struct {
	_        NoCompare
	State    State
	Response *Response
	Failure  *Failure
}

// Response is a fetched response. Header names are lower-case. A stream has a Reader in place of Body: it waits for what the upstream sends,
// its errors but io.EOF are a *Failure or say that it was closed, and Close, which ends the fetch, may be called while it waits.
type Response struct {
	Status     int
	URL        string
	Redirected bool
	Attempts   int
	Elapsed    time.Duration
	Header     map[string][]string
	Body       []byte
	Reader     io.ReadCloser
}

// Failure is why a fetch has no response, or one that wasn't expected. It is an error for readers of streams only.
type Failure struct {
	_                  NoCompare
	Code, Message, URL string
	Attempts           int
	Retryable          bool
	Response           *Response
}

func (f *Failure) Error() string { return f.Code + ": " + f.Message }

// Inbound is the request that an invocation serves.
type Inbound struct {
	Method, Path, RawQuery, Host, RemoteAddr string
	Header                                   map[string][]string
	Body                                     []byte
	BodyReader                               io.ReadCloser // in place of Body, as it arrives, if the plugin streams requests
}

// Outbound is the answer to it. With a BodyReader, the body is what that gives, each piece sent as it comes. The handler's context lives until
// the reader is closed, so it always must be.
type Outbound struct {
	Status     int
	Header     map[string][]string
	Body       []byte
	BodyReader io.ReadCloser
}

// Entry runs one invocation: handler, recovery from its panics, the answer's checks.
type Entry func(ctx context.Context, h Host, in *Inbound) (*Outbound, error)

type registered struct {
	entry   Entry
	streams bool
}

var (
	plugin  atomic.Pointer[registered]
	current atomic.Pointer[Host]
)

// SetEntry is called by sortie.Handle and sortie.HandleStream; streams says that the request's body is to be a BodyReader.
func SetEntry(e Entry, streams bool) { plugin.Store(&registered{e, streams}) }

// Registered returns what SetEntry was given last, or nil.
func Registered() (e Entry, streams bool) {
	if r := plugin.Load(); r != nil {
		return r.entry, r.streams
	}
	return nil, false
}

// Use makes h the host of calls whose context carries none, and returns a function that restores the former one.
// A Wasm instance runs one invocation at a time; package sortietest takes care that this holds natively too.
func Use(h Host) (restore func()) {
	before := current.Swap(&h)
	return func() { current.Store(before) }
}

// Current returns the host in use, or nil outside any invocation.
func Current() Host {
	if h := current.Load(); h != nil {
		return *h
	}
	return nil
}

type key struct{}

// With gives ctx's calls a host of their own. Only package sortietest does so, to keep parallel invocations apart.
func With(ctx context.Context, h Host) context.Context { return context.WithValue(ctx, key{}, h) }

// From returns ctx's host, else the current one, else nil.
func From(ctx context.Context) Host {
	if h, ok := ctx.Value(key{}).(Host); ok {
		return h
	}
	return Current()
}
