package fetch

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/fetch/policy"
)

// hop is one URL of a fetch, allowed and ready to be sent, as often as retries and hedges want.
type hop struct {
	url      *policy.URL
	method   string
	header   http.Header // what goes out, secrets and all; not changed any more
	own      http.Header // what the guest gave, for the next hop
	secret   []string    // names of the fields in header that are secrets
	body     []byte
	decision policy.Decision
	onward   atomic.Bool // led to by a redirect and not sent yet
}

// replayable tells whether the hop's request may be sent more than once.
func (h *hop) replayable() bool {
	return failure.Idempotent(h.method) || hasIdempotencyKey(h.header)
}

// reply is a response whose head was judged.
type reply struct {
	verdict  verdict
	status   int
	header   http.Header
	body     []byte // with final
	decoded  bool
	location string        // with redirect
	delay    time.Duration // with again: how long to wait before
}

// verdict is what becomes of a response.
type verdict uint8

const (
	final    verdict = iota // it is the answer
	redirect                // it names the next hop
	again                   // it asks for another attempt, and there is one
)

// exchange is one request and its response: one attempt at one hop.
type exchange struct {
	client *Client
	flight *flight
	hop    *hop
	cancel context.CancelCauseFunc
	ctx    context.Context
	watch  watch
	conn   atomic.Pointer[conn] // HTTP/1.1 only
	phase  atomic.Uint32
	sent   atomic.Int32 // times the head went out over HTTP/2

	reused   atomic.Bool // the connection has served another request before
	answered atomic.Bool // a byte of the response has come
}

// The phases of an exchange, to know what an I/O error interrupted.
const (
	connecting uint32 = iota
	sending
	receiving
)

// exchange sends a hop's request, as one attempt unless the connection turns out to be none. It is charged to the budget, unless the first
// charge was made beforehand, and waits for its slots.
func (f *flight) exchange(ctx context.Context, h *hop) (*reply, *failure.Error) {
	if !f.prepaid.CompareAndSwap(true, false) {
		if fail := f.session.budget.takeRequest(); fail != nil {
			return nil, fail
		}
	}
	engine := f.client.engine
	held := hold{session: f.session.slots, origins: engine.origins, origin: h.url.Origin(), process: engine.fetches}
	if err := held.acquire(ctx, f.waiting); err != nil {
		f.session.budget.refundRequest()
		return nil, asStop(err)
	}
	defer held.release()
	// What ends many fetches reaches one after the other, and the slots of the first mustn't pass to one that it hasn't reached yet.
	for _, c := range [...]context.Context{f.session.ctx, f.parent, ctx} {
		if fail := stopped(c); fail != nil {
			f.session.budget.refundRequest()
			return nil, fail
		}
	}
	f.entry.state.Store(uint32(Running))
	if !h.onward.CompareAndSwap(true, false) { // the first request of a later hop goes on with the attempt of the one before
		f.entry.attempts.Add(1)
	}

	for sent := 1; ; sent++ {
		r, fail, again := f.send(ctx, h)
		if again < sent || f.session.budget.takeRequest() != nil {
			return r, fail
		}
		f.entry.attempts.Add(1)
	}
}

// send does it once, in slots that are held. again is how often what failed in this way may be sent again, each time as an attempt
// that is counted and charged: it says that the connection was at fault, and not what was asked of it.
func (f *flight) send(ctx context.Context, h *hop) (r *reply, fail *failure.Error, again int) {
	x := &exchange{client: f.client, flight: f, hop: h}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	defer x.cancel(nil)
	if f.attemptTimeout > 0 {
		timer := time.AfterFunc(f.attemptTimeout, func() { x.cancel(attemptStop(f.attemptTimeout)) })
		defer timer.Stop()
	}
	x.watch = watch{cancel: x.cancel, read: f.client.limits.read, write: f.client.limits.write}
	defer x.settle()
	t, err := f.client.transport(h.decision)
	if err != nil {
		return nil, asStop(stopSession), 0
	}
	r, fail = x.run(t)
	switch {
	case fail == nil || x.ctx.Err() != nil:
		return r, fail, 0
	case neverProcessed(fail.Err):
		return nil, fail, maxUnprocessed
	case x.stale(fail):
		t.http.CloseIdleConnections() // those of its age are likely to be gone too, and the next must not meet one of them
		return nil, fail, maxStale
	}
	return nil, fail, 0
}

// stale tells whether a kept-alive connection of HTTP/1.1 has broken before any answer, most likely because the server had just closed
// it, and whether the request may be repeated: the server might have read it all the same.
func (x *exchange) stale(fail *failure.Error) bool {
	return (fail.Code == failure.ReadError || fail.Code == failure.WriteError) &&
		x.conn.Load() != nil && x.reused.Load() && !x.answered.Load() && x.hop.replayable()
}

// waiting bounds the wait for slots.
func (f *flight) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	d := f.client.limits.pool
	return context.WithTimeoutCause(ctx, d, poolStop(d))
}

// settle lets go of what the exchange watched.
func (x *exchange) settle() {
	x.watch.end()
	if c := x.conn.Load(); c != nil {
		c.watch.CompareAndSwap(&x.watch, nil)
	}
}

func (x *exchange) run(t *transport) (*reply, *failure.Error) {
	resp, err := t.http.RoundTrip(x.request())
	if err != nil {
		return nil, x.failed(err)
	}
	defer resp.Body.Close()
	x.receive()
	x.flight.entry.status.Store(int32(resp.StatusCode))
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, failure.New(failure.ProtocolError, "the server switched protocols without being asked to")
	}
	if fail := checkResponseHeader(resp.Header); fail != nil {
		return nil, fail
	}
	r := &reply{status: resp.StatusCode, header: resp.Header}
	if fail := x.flight.judge(x.hop, r); fail != nil {
		return nil, fail
	}
	if r.verdict != final {
		x.discard(resp)
		return r, nil
	}
	var fail *failure.Error
	if r.body, r.decoded, fail = x.body(resp); fail != nil {
		return nil, fail
	}
	return r, nil
}

// identity, as a transfer coding, is no coding.
var identity = []string{"identity"}

// request builds what net/http sends. Its transport would send a request a second time, on its own, if a kept-alive connection dies
// under it and it could be repeated; that attempt would be nobody's, so it is for [flight.exchange] to do. A body that can't be had twice
// prevents it, so requests without one get an empty body, and `identity` keeps the length of it off the wire. Where the length has
// to be there, it is the spelling of the keys that say a request could be repeated.
func (x *exchange) request() *http.Request {
	h := x.hop
	req := &http.Request{
		Method: h.method, URL: h.url.Request(), Header: h.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	switch n := len(h.body); {
	case n > watchedBody:
		req.ContentLength, req.Body = int64(n), io.NopCloser(&watchedReader{bytes.NewReader(h.body), &x.watch})
	case n > 0:
		req.ContentLength, req.Body = int64(n), io.NopCloser(bytes.NewReader(h.body))
	case h.method == http.MethodPost || h.method == http.MethodPut || h.method == http.MethodPatch:
		req.Header = disguiseKeys(h.header)
	default:
		req.ContentLength, req.Body, req.TransferEncoding = -1, io.NopCloser(bytes.NewReader(nil)), identity
	}
	ctx := context.WithValue(x.ctx, exchangeKey{}, x.ctx)
	return req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              x.gotConn,
		WroteHeaders:         x.wroteHeaders,
		WroteRequest:         x.wroteRequest,
		GotFirstResponseByte: x.gotFirstByte,
	}))
}

// exchangeKey is where a dial finds the context of the exchange that wants it. net/http keeps a request's values for the dial but
// cuts it off from the request's end, hoping for another request to use the connection; no such dial may outlive its slot and its session.
type exchangeKey struct{}

func (x *exchange) gotConn(info httptrace.GotConnInfo) {
	x.reused.Store(info.Reused)
	x.phase.Store(sending)
	x.watch.begin(true)
	if c := exclusive(info.Conn); c != nil {
		x.conn.Store(c)
		c.watch.Store(&x.watch)
	}
}

// disguiseKeys writes the names by which net/http knows a repeatable request in lower case, in which it doesn't.
func disguiseKeys(header http.Header) http.Header {
	for _, name := range [...]string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := header[name]; ok {
			header = maps.Clone(header)
			delete(header, name)
			header[strings.ToLower(name)] = values
		}
	}
	return header
}

// wroteHeaders counts what is sent again nevertheless: over HTTP/2, a request without a body that the server refused to look at.
func (x *exchange) wroteHeaders() {
	if x.conn.Load() != nil || x.sent.Add(1) == 1 {
		return
	}
	x.flight.entry.attempts.Add(1)
	if fail := x.flight.session.budget.takeRequest(); fail != nil {
		x.cancel(&stop{code: fail.Code, message: fail.Message})
	}
}

func (x *exchange) wroteRequest(info httptrace.WroteRequestInfo) {
	if info.Err == nil {
		x.receive()
	}
}

func (x *exchange) gotFirstByte() {
	x.answered.Store(true)
	x.receive()
}

// receive changes from sending to receiving, be it that the request is out or that the response came first.
func (x *exchange) receive() {
	if x.phase.Swap(receiving) != receiving {
		x.watch.begin(false)
	}
}

// watchedReader shows the progress of a long body where the connection can't: over HTTP/2. Only Read is promoted, so that it is
// copied piece by piece.
type watchedReader struct {
	r     io.Reader
	watch *watch
}

func (w *watchedReader) Read(p []byte) (int, error) {
	w.watch.touch()
	return w.r.Read(p)
}
