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
	upload   *upload // in place of body; may be nil
	decision policy.Decision
	number   int         // from 0
	onward   atomic.Bool // led to by a redirect and not sent yet
}

// idempotent tells whether sending the hop's request twice does what sending it once does.
func (h *hop) idempotent() bool {
	return failure.Idempotent(h.method) || hasIdempotencyKey(h.header)
}

// whole tells whether all of the request can still be sent, and sees to it that the exchange that had it doesn't begin with its body now.
func (h *hop) whole() bool { return h.upload == nil || h.upload.reclaim() }

// replayable tells whether the hop's request may be sent more than once.
func (h *hop) replayable() bool { return h.idempotent() && h.whole() }

// reply is a response whose head was judged.
type reply struct {
	verdict  verdict
	status   int
	header   http.Header
	body     []byte  // with final
	stream   *stream // in place of body
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
	client  *Client
	flight  *flight
	hop     *hop
	trace   *trace // nil: not recorded
	number  uint64 // unique in its client, from 1
	cancel  context.CancelCauseFunc
	ctx     context.Context // the scope
	scope   scope
	hooks   httptrace.ClientTrace
	watch   watch
	conn    atomic.Pointer[conn] // HTTP/1.1 only
	phase   atomic.Uint32
	headers atomic.Int32 // times that the head of a request without a body went out
	paid    int32        // of those, before this one; RoundTrip's goroutine only

	reused   atomic.Bool // the connection has served another request before
	answered atomic.Bool // a byte of the response has come

	base     [2]int64        // bytes the connection had sent and received before
	released atomic.Bool     // the connection is no longer its
	moved    [2]atomic.Int64 // with released: what it sent and received
	content  source          // the response's body, once there is one
}

// scope is an exchange's context, in which a dial finds the exchange that wants it. net/http keeps a request's values for the dial but
// cuts it off from the request's end, hoping for another request to use the connection; no such dial may outlive its slot and its session.
type scope struct {
	context.Context
	exchange *exchange
}

type exchangeKey struct{}

// Value implements context.Context.
func (s *scope) Value(key any) any {
	if key == (exchangeKey{}) {
		return s.exchange
	}
	return s.Context.Value(key)
}

// The phases of an exchange, to know what an I/O error interrupted.
const (
	connecting uint32 = iota
	sending
	receiving
)

// exchange sends a hop's request, as one attempt unless the connection turns out to be none. It is charged to the budget, unless the first
// charge was made beforehand, and waits for its slots.
func (f *flight) exchange(ctx context.Context, h *hop, hedge bool) (*reply, *failure.Error) {
	if hedge || !f.prepaid.CompareAndSwap(true, false) { // which is the first's, even where its hedge comes to run before it
		if fail := f.session.budget.takeRequest(); fail != nil {
			return nil, fail
		}
	}
	t := f.trace(h, hedge)
	a, fail := f.admit(ctx, h)
	if fail != nil {
		f.session.budget.refundRequest()
		t.end(fail.Code, 0, 0, 0)
		return nil, fail
	}
	f.entry.run()
	if !h.onward.CompareAndSwap(true, false) { // the first request of a later hop goes on with the attempt of the one before
		f.entry.attempts.Add(1)
	}
	if f.tries == 1 && !hedge {
		a.origin.Requested()
	}
	for sent := 1; ; sent++ {
		t.attempted(f.entry.attempts.Load())
		start := f.clock.now()
		r, fail, again := f.send(ctx, h, t)
		if again < sent || f.session.budget.takeRequest() != nil {
			a.sent(r, fail, f.clock.now()-start)
			if r != nil && r.stream != nil {
				r.stream.held = a.held
			} else {
				a.held.release()
			}
			return r, fail
		}
		f.entry.attempts.Add(1)
		t = f.trace(h, hedge)
	}
}

// newExchange begins an exchange; [exchange.end] ends it.
func (f *flight) newExchange(ctx context.Context, h *hop, trace *trace) *exchange {
	x := &exchange{client: f.client, flight: f, hop: h, trace: trace, number: f.client.exchanges.Add(1)}
	ctx, x.cancel = context.WithCancelCause(ctx)
	x.scope = scope{ctx, x}
	x.ctx = &x.scope
	w := &x.watch
	w.clock, w.cancel, w.read, w.write = &f.clock, x.cancel, f.client.limits.read, f.client.limits.write
	w.attempt = f.attemptTimeout
	w.start()
	return x
}

// send does it once, in slots that are held. again is how often what failed in this way may be sent again, each time as an attempt
// that is counted and charged: it says that the connection was at fault, and not what was asked of it.
func (f *flight) send(ctx context.Context, h *hop, trace *trace) (r *reply, fail *failure.Error, again int) {
	x := f.newExchange(ctx, h, trace)
	t, err := f.client.transport(h.decision)
	if err != nil {
		fail = asStop(stopSession)
		x.end(fail, 0)
		return nil, fail, 0
	}
	r, fail = x.run(t)
	if fail == nil && r.stream != nil {
		return r, nil, 0
	}
	defer func() {
		decoded := 0
		if r != nil {
			decoded = len(r.body)
		}
		x.end(fail, int64(decoded))
	}()
	switch {
	case fail == nil || x.ctx.Err() != nil || !h.whole():
		return r, fail, 0
	case neverProcessed(fail.Err):
		return nil, fail, maxUnprocessed
	case x.stale(fail) || x.overfull(fail):
		t.closeIdle() // those of its age are likely to be gone too, and the next must not meet one of them
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

// overfull tells whether a connection of HTTP/2 that others use was most likely given a stream too many, and whether the request may be repeated.
// PROTOCOL_ERROR is what servers say then, net/http's own among them; it would try again, had the body let it.
func (x *exchange) overfull(fail *failure.Error) bool {
	return x.reused.Load() && !x.answered.Load() && refusedStream(fail.Err) && x.hop.replayable()
}

// end lets go of what the exchange holds, and completes its record.
func (x *exchange) end(fail *failure.Error, decoded int64) {
	x.watch.end()
	sent, received := int64(len(x.hop.body)), x.content.wire.total
	if x.hop.upload != nil {
		sent = x.hop.upload.sent.Load()
	}
	if c := x.conn.Load(); c != nil {
		if !x.released.Load() {
			x.part(c)
		}
		sent, received = x.moved[0].Load(), x.moved[1].Load()
	}
	code := Code("")
	if fail != nil {
		code = fail.Code
	}
	x.trace.end(code, sent, received, decoded)
	x.cancel(nil)
}

// part is the end of what the exchange and its connection have to do with each other.
func (x *exchange) part(c *conn) {
	c.watch.CompareAndSwap(&x.watch, nil)
	x.moved[0].Store(c.written.Load() - x.base[0])
	x.moved[1].Store(c.read.Load() - x.base[1])
}

func (x *exchange) run(t *transport) (r *reply, fail *failure.Error) {
	resp, err := x.roundTrip(t)
	if err != nil {
		return nil, x.failed(err)
	}
	defer func() {
		if r == nil || r.stream == nil {
			resp.Body.Close()
		}
	}()
	x.receive()
	x.trace.head(x.flight.session, resp)
	x.flight.entry.status.Store(int32(resp.StatusCode))
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, failure.New(failure.ProtocolError, "the server switched protocols without being asked to")
	}
	if fail := checkResponseHeader(resp.Header); fail != nil {
		return nil, fail
	}
	r = &reply{status: resp.StatusCode, header: resp.Header}
	if fail := x.flight.judge(x.hop, r); fail != nil {
		return nil, fail
	}
	if r.verdict != final {
		x.discard(resp)
		return r, nil
	}
	return x.answer(r, resp)
}

// answer gets the body of a response that is the answer.
func (x *exchange) answer(r *reply, resp *http.Response) (*reply, *failure.Error) {
	src, fail := x.source(resp)
	if fail != nil || src == nil {
		return r, fail
	}
	r.decoded = src.decoder != nil
	if x.flight.request.Stream {
		x.watch.pause(false)
		r.stream = &stream{flight: x.flight, exchange: x, hop: x.hop, source: src, body: resp.Body}
		return r, nil
	}
	if r.body, fail = x.body(src); fail != nil {
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
	case h.upload != nil:
		req.ContentLength, req.Body = h.upload.length, h.upload.send(x)
	case n > watchedBody:
		req.ContentLength, req.Body = int64(n), io.NopCloser(&watchedReader{bytes.NewReader(h.body), &x.watch})
	case n > 0:
		req.ContentLength, req.Body = int64(n), io.NopCloser(bytes.NewReader(h.body))
	case h.method == http.MethodPost || h.method == http.MethodPut || h.method == http.MethodPatch:
		req.Header, x.hooks.WroteHeaders = disguiseKeys(h.header), x.wroteHeaders
	default:
		req.ContentLength, req.Body, req.TransferEncoding = -1, empty{}, identity
	}
	x.hooks.GotConn, x.hooks.WroteRequest, x.hooks.GotFirstResponseByte = x.gotConn, x.wroteRequest, x.gotFirstByte
	return req.WithContext(httptrace.WithClientTrace(x.ctx, &x.hooks))
}

// empty is a body without a byte. It is written by itself since copying it would take a buffer.
type empty struct{}

func (empty) Read([]byte) (int, error)         { return 0, io.EOF }
func (empty) WriteTo(io.Writer) (int64, error) { return 0, nil }
func (empty) Close() error                     { return nil }

func (x *exchange) gotConn(info httptrace.GotConnInfo) {
	x.again()
	x.reused.Store(info.Reused)
	x.phase.Store(sending)
	x.watch.begin(true)
	c, exclusive := below(info.Conn)
	if c == nil {
		return
	}
	x.trace.connected(c.opener == x.number && !info.Reused, info.Reused)
	if exclusive {
		x.base = [2]int64{c.written.Load(), c.read.Load()}
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

// wroteHeaders counts how often the request went out.
func (x *exchange) wroteHeaders() { x.headers.Add(1) }

// again pays for what net/http sends again nevertheless: over HTTP/2, a request without a body that the server refused to look at. It would go on
// doing so for ever if the server blames the protocol for it, each time over a new connection. It looks at the context once more before it writes.
func (x *exchange) again() {
	n := x.headers.Load()
	if n == x.paid {
		return
	}
	x.paid = n
	fail := failure.New(failure.ReadError, "the server refuses the request again and again")
	if n <= maxUnprocessed {
		if fail = x.flight.session.budget.takeRequest(); fail == nil {
			x.flight.entry.attempts.Add(1)
			return
		}
	}
	x.cancel(&stop{code: fail.Code, message: fail.Message})
}

func (x *exchange) wroteRequest(info httptrace.WroteRequestInfo) {
	if info.Err == nil {
		x.trace.requestSent()
		x.receive()
	}
}

func (x *exchange) gotFirstByte() {
	x.answered.Store(true)
	x.trace.firstByte()
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
