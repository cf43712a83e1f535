package abi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/guest"
)

// fetch_all: a whole group in one call, JSON in and out, for plugins of any Extism PDK (the contract's section 5).

type allRequest struct {
	Mode        string      `json:"mode"`
	Count       int         `json:"count"`
	Concurrency int         `json:"concurrency"`
	TimeoutMS   float64     `json:"timeout_ms"`
	Requests    allRequests `json:"requests"`
}

// allRequests stops reading at what a group can hold: a few bytes of text make a request, which takes a hundred times as much.
type allRequests []allOneCall

// UnmarshalJSON implements json.Unmarshaler.
func (a *allRequests) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.New(`"requests" is no array`)
	}
	out := allRequests{}
	for d.More() {
		if len(out) == guest.MaxHandles-1 {
			return fmt.Errorf(`"requests" has more than %d entries`, guest.MaxHandles-1)
		}
		var one allOneCall
		if err := d.Decode(&one); err != nil {
			return fmt.Errorf("requests[%d]: %w", len(out), err)
		}
		out = append(out, one)
	}
	*a = out
	return nil
}

type allOneCall struct {
	URL              string      `json:"url"`
	Method           string      `json:"method"`
	Headers          [][2]string `json:"headers"`
	Body             *string     `json:"body"`
	BodyBase64       []byte      `json:"body_base64"`
	TimeoutMS        float64     `json:"timeout_ms"`
	AttemptTimeoutMS float64     `json:"attempt_timeout_ms"`
	HedgeMS          float64     `json:"hedge_ms"`
	Redirect         string      `json:"redirect"`
	Expect           string      `json:"expect"`
	Retry            *struct {
		Attempts     int     `json:"attempts"`
		BackoffMS    float64 `json:"backoff_ms"`
		MaxBackoffMS float64 `json:"max_backoff_ms"`
		Statuses     []int   `json:"statuses"`
	} `json:"retry"`
}

type allAnswer struct {
	Results []allResult `json:"results,omitzero"`
	Usage   *allUsage   `json:"usage,omitempty"`
	Error   *allError   `json:"error,omitempty"`
}

type allUsage struct {
	Requests int   `json:"requests"`
	Bytes    int64 `json:"bytes"`
}

type allResult struct {
	Status   string       `json:"status"`
	Response *allResponse `json:"response,omitempty"`
	Error    *allError    `json:"error,omitempty"`
}

type allResponse struct {
	Status     int         `json:"status"`
	Headers    [][2]string `json:"headers"`
	Body       *string     `json:"body,omitempty"`
	BodyBase64 *string     `json:"body_base64,omitempty"`
	URL        string      `json:"url"`
	Redirected bool        `json:"redirected"`
	Attempts   int         `json:"attempts"`
	ElapsedMS  float64     `json:"elapsed_ms"`
}

type allError struct {
	Code      string       `json:"code"`
	Message   string       `json:"message"`
	Retryable *bool        `json:"retryable,omitempty"`
	Attempts  *int         `json:"attempts,omitempty"`
	Response  *allResponse `json:"response,omitempty"`
}

// fetchAll: stack [block with the request] -> block with the answer, or 0 if not even an error fits
func fetchAll(c *guest.Call, blocks Blocks, stack []uint64) {
	in := blocks.Read(stack[0])
	if len(in) > maxJSON {
		in = nil
	}
	out, err := json.Marshal(runAll(c, in))
	if err != nil {
		out = []byte(`{"error":{"code":"invalid_request","message":"the answer can't be encoded"}}`)
	}
	offset, ok := blocks.Write(out)
	if !ok {
		out, _ = json.Marshal(refuse("response_too_large", "the answer's %d bytes don't fit the plugin's memory (limits.memory)", len(out)))
		offset, _ = blocks.Write(out)
	}
	stack[0] = offset
}

func refuse(code, format string, args ...any) allAnswer {
	return allAnswer{Error: &allError{Code: code, Message: fmt.Sprintf(format, args...)}}
}

func runAll(c *guest.Call, in []byte) allAnswer {
	if c.Session == nil {
		return refuse("cancelled", "nothing can be fetched while the plugin is being initialised")
	}
	if in == nil {
		return refuse("invalid_request", "the input is no block of 1 to %d bytes", maxJSON)
	}
	var q allRequest
	if err := json.Unmarshal(in, &q); err != nil {
		return refuse("invalid_request", "the input isn't fetch_all's JSON: %v", err)
	}
	g, err := q.group()
	if err != nil {
		return refuse("invalid_request", "%v", err)
	}
	var results []fetch.Result
	if len(g.Requests) > 0 {
		c.Blocking(func() { results = c.Session.Group(c.Context(), g) })
	}
	answer := allAnswer{Results: make([]allResult, len(results))}
	for i, r := range results {
		answer.Results[i] = result(r)
	}
	u := c.Session.Usage()
	answer.Usage = &allUsage{Requests: u.Requests, Bytes: u.Bytes}
	return answer
}

func (q *allRequest) group() (*fetch.Group, error) {
	g := &fetch.Group{Count: q.Count, Concurrency: q.Concurrency, Timeout: ms(q.TimeoutMS)}
	var err error
	if g.Mode, err = fetch.ParseMode(q.Mode); err != nil {
		return nil, err
	}
	switch n := len(q.Requests); {
	case q.Requests == nil:
		return nil, fmt.Errorf(`"requests" is missing`)
	case g.Mode == fetch.Quorum && (q.Count < 1 || q.Count > n):
		return nil, fmt.Errorf(`"count" is %d; a quorum needs one from 1 to the %d requests`, q.Count, n)
	case q.Concurrency < 0:
		return nil, fmt.Errorf(`"concurrency" is below 0`)
	}
	for i := range q.Requests {
		r, err := q.Requests[i].request()
		if err != nil {
			return nil, fmt.Errorf("requests[%d]: %w", i, err)
		}
		g.Requests = append(g.Requests, r)
	}
	return g, nil
}

func (q *allOneCall) request() (*fetch.Request, error) {
	r := &fetch.Request{
		Method: q.Method, URL: q.URL, Body: q.BodyBase64, Expect: q.Expect,
		Timeout: ms(q.TimeoutMS), AttemptTimeout: ms(q.AttemptTimeoutMS), Hedge: ms(q.HedgeMS),
	}
	if q.Body != nil {
		if q.BodyBase64 != nil {
			return nil, fmt.Errorf(`both "body" and "body_base64" are given`)
		}
		r.Body = []byte(*q.Body)
	}
	for _, h := range q.Headers {
		r.Header = append(r.Header, fetch.Field{Name: h[0], Value: h[1]})
	}
	switch q.Redirect {
	case "", "follow":
	case "manual":
		r.Redirect = fetch.Manual
	case "error":
		r.Redirect = fetch.Refuse
	default:
		return nil, fmt.Errorf(`"redirect" is %q; it is follow, manual or error`, q.Redirect)
	}
	if q.Retry != nil {
		r.Retry = q.retry()
	}
	return r, nil
}

// retry leaves zero what the object leaves out: the policy's own.
func (q *allOneCall) retry() *fetch.Retry {
	return &fetch.Retry{
		Attempts: q.Retry.Attempts, Backoff: ms(q.Retry.BackoffMS), MaxBackoff: ms(q.Retry.MaxBackoffMS), Statuses: q.Retry.Statuses,
	}
}

// ms turns milliseconds into a duration; what no duration can hold, and what is below 0, is 0: the policy's own.
func ms(v float64) time.Duration {
	d := v * float64(time.Millisecond)
	if !(d > 0 && d < math.MaxInt64) {
		return 0
	}
	return time.Duration(d)
}

func result(r fetch.Result) allResult {
	out := allResult{Status: r.State.String()}
	if r.Err == nil {
		out.Response = response(r.Response)
		return out
	}
	out.Error = &allError{Code: string(r.Err.Code), Message: r.Err.Message}
	if r.State != fetch.Cancelled {
		out.Error.Retryable, out.Error.Attempts = &r.Err.Retryable, &r.Err.Attempts
	}
	if r.Err.Response != nil {
		out.Error.Response = response(r.Err.Response)
	}
	return out
}

func response(r *fetch.Response) *allResponse {
	out := &allResponse{
		Status: r.Status, Headers: make([][2]string, len(r.Header)), URL: r.URL, Redirected: r.Redirected, Attempts: r.Attempts,
		ElapsedMS: float64(r.Elapsed.Microseconds()) / 1000,
	}
	for i, f := range r.Header {
		out.Headers[i] = [2]string{f.Name, f.Value}
	}
	if utf8.Valid(r.Body) {
		body := string(r.Body)
		out.Body = &body
	} else {
		body := base64.StdEncoding.EncodeToString(r.Body)
		out.BodyBase64 = &body
	}
	return out
}
