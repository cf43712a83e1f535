// Package guest is what a guest's functions act on: the state of one invocation, its handles and its log. The families of
// functions themselves are in abi and wasi; they differ in encoding, never in what they do here.
//
// A Call belongs to the goroutine that runs the guest, but for its handles and its context, which fetches touch as they settle.
package guest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tetratelabs/wazero/sys"

	"github.com/sortie-run/sortie/host/fetch"
)

// Request is what came in.
type Request struct {
	Method, Path, RawQuery, Host, RemoteAddr string
	Header                                   http.Header
	Body                                     []byte

	Stream *Queue        // in place of Body: the body as it comes; nil if it's whole
	Source io.ReadCloser // what Stream is filled from; closed in the end, read or not
	Length int64         // of Source, in bytes; below 0: unknown
}

// Response is what the guest answers.
type Response struct {
	Status int
	Header []fetch.Field
	Body   []byte
	Stream *Queue // in place of Body: what the guest writes
}

// Config is the manifest's config in the forms guests read it in.
type Config struct {
	All    []byte            // the whole as a JSON object
	Values map[string][]byte // each top-level key's value as JSON
	Texts  map[string]string // each as Extism has it: strings as they are, all else as JSON text
}

// NewConfig encodes a manifest's config once, for all invocations.
func NewConfig(values map[string]any) (*Config, error) {
	if values == nil {
		values = map[string]any{}
	}
	c := &Config{Values: make(map[string][]byte, len(values)), Texts: make(map[string]string, len(values))}
	var err error
	if c.All, err = json.Marshal(values); err != nil {
		return nil, err
	}
	for k, v := range values {
		if c.Values[k], err = json.Marshal(v); err != nil {
			return nil, err
		}
		c.Texts[k] = string(c.Values[k])
		if s, ok := v.(string); ok {
			c.Texts[k] = s
		}
	}
	return c, nil
}

// Limits are those that guest functions enforce themselves.
type Limits struct {
	Output       int64 // bytes of the response's body
	RequestBytes int64 // bytes of a fetch's body
	Held         int64 // bytes of all bodies of fetches that haven't settled
}

// Call is one invocation as its guest sees it.
type Call struct {
	Session *fetch.Session // nil while an instance is being made: nothing can be fetched then
	Request Request
	Limits  Limits
	Config  *Config
	Log     *Log
	// Memory returns the guest's linear memory as it is now; it may be gone with the next growth.
	Memory func() []byte

	Handles Handles

	// Meter measures the guest's CPU time. OnOver is called when it has passed its limit, which must end the call's context.
	Meter  Meter
	OnOver func()

	Head []byte // the request's head, encoded at the guest's first call for it

	// Until is when the limit that runs ends: the wall limit, and from Begin on the stream limit. Zero: never.
	Until time.Time
	// Describe tells the code and the message for a request's body that can't be read.
	Describe func(error) (code, message string)
	// OnBegin is called when the guest begins a streamed response.
	OnBegin func(*Response)

	// StreamsRequest is what a guest asks for while it is initialised: to be entered before its request's body is there.
	StreamsRequest bool
	// RequestError is why the request's body couldn't be read, once the guest has met with it.
	RequestError error

	// What the guest has said.
	Response  *Response // nil until it answers
	Failure   string    // why it says it failed
	OverLimit string    // the code of a limit that was passed and ends the invocation: limit_output
	Detail    string    // and the sentence for it

	// Settling is set while the guest is to come to rest before its memory is saved; Busy says that a timer of it still runs then.
	Settling, Busy bool

	// Blocks are those of Extism's memory that the guest may write to. The SDK takes all back whenever it enters a guest.
	Blocks Blocks

	// Vars are Extism's variables, and VarBytes what they take.
	Vars     map[string][]byte
	VarBytes int

	// LastHTTP is the state behind Extism's http_status_code and http_headers.
	LastHTTP struct {
		Status int
		Header []fetch.Field
	}

	ctx     context.Context
	waited  time.Duration
	read    int   // of the request's body
	opened  bool  // the request's body has a handle
	written int64 // of the response's stream
}

// Start readies a call for a run under ctx, whose end stops the guest.
func (c *Call) Start(ctx context.Context) { c.ctx = ctx }

// Stop ends the guest's time. Further calls do nothing.
func (c *Call) Stop() { c.Meter.Pause() }

// Context is the invocation's.
func (c *Call) Context() context.Context { return c.ctx }

// Left returns the time left of the limit that runs, at least 0, or -1 where there is none.
func (c *Call) Left() time.Duration {
	if c.Until.IsZero() {
		return -1
	}
	return max(time.Until(c.Until), 0)
}

// Blocking runs what waits, so that the time isn't taken for the guest's own. When the invocation has ended meanwhile it doesn't
// return: the guest is stopped where it stands, since nothing it could still do would be seen.
func (c *Call) Blocking(wait func()) {
	c.Meter.Pause()
	start := time.Now()
	wait()
	c.waited += time.Since(start)
	c.StopIfDone()
	c.Meter.Resume()
}

// Tick is called by the guest's own code at least every so many instructions: the moment to stop it, and for Go to run something else.
func (c *Call) Tick() {
	if c.Meter.Over() && c.OnOver != nil {
		c.OnOver()
	}
	c.StopIfDone()
}

// StopIfDone ends the guest if the invocation has ended.
func (c *Call) StopIfDone() {
	if c.ctx.Err() != nil {
		panic(sys.NewExitError(sys.ExitCodeContextCanceled))
	}
}

// Waited is the time the guest spent waiting in host functions.
func (c *Call) Waited() time.Duration { return c.waited }

// View returns the n bytes of the guest's memory at ptr, or false if they aren't all inside it. They are the guest's own:
// written to by what runs next in it.
func (c *Call) View(ptr, n uint32) ([]byte, bool) {
	mem := c.Memory()
	if uint64(ptr)+uint64(n) > uint64(len(mem)) {
		return nil, false
	}
	return mem[ptr : uint64(ptr)+uint64(n) : uint64(ptr)+uint64(n)], true
}

// Answer takes the response, copying its body, unless the body is over the limit: then the invocation has failed.
func (c *Call) Answer(r *Response, body []byte) bool {
	if int64(len(body)) > c.Limits.Output {
		c.tooLong(int64(len(body)))
		return false
	}
	r.Body = append([]byte(nil), body...)
	c.Response = r
	return true
}

func (c *Call) tooLong(n int64) {
	c.OverLimit = "limit_output"
	c.Detail = fmt.Sprintf("the response's body has %d bytes, limits.output is %d", n, c.Limits.Output)
}
