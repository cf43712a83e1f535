package fetch

import (
	"context"
	"maps"
	"net/http"
	"time"

	"github.com/sortie-run/sortie/host/fetch/cache"
	"github.com/sortie-run/sortie/host/fetch/failure"
)

// Cache is a policy's HTTP cache (RFC 9111). It is private to the client, and within it to credentials. A stored response costs none of the
// session's requests, but its bytes like any other's. Streamed responses aren't stored, but stored ones are streamed.
type Cache struct {
	Bytes    int64 // the most it takes; 0: nothing is stored
	Coalesce bool  // whether identical GETs under way at the same time share one response, stored or not
}

// enabled tells whether there is anything to it.
func (c Cache) enabled() bool { return c.Bytes > 0 || c.Coalesce }

// cached answers a hop from the client's cache, or gets and stores the answer.
func (f *flight) cached(h *hop) (*reply, *failure.Error) {
	c := f.client.cache
	if c == nil || h.upload != nil {
		return f.retried(h)
	}
	r := &cache.Request{Method: h.method, URL: h.url.String(), Header: h.header, Credentials: f.client.secretFields}
	l := c.Lookup(r)
	if f.request.revalidate && l.Entry != nil {
		l.State = cache.Stale
	}
	switch l.State {
	case cache.Fresh:
		return f.stored(h, l.Entry, CacheHit)
	case cache.Usable:
		return f.stored(h, l.Entry, CacheStale)
	case cache.Revalidate:
		if !f.revalidateLater(h) {
			l.Entry.Unclaim() // for the next who gets it
		}
		return f.stored(h, l.Entry, CacheStale)
	case cache.Stale:
		return f.confirmed(h, r, l.Entry)
	case cache.Unavailable:
		f.unsent(h)
		f.entry.setCache(CacheMiss)
		f.entry.status.Store(http.StatusGatewayTimeout)
		return &reply{status: http.StatusGatewayTimeout, header: http.Header{}}, nil // RFC 9111, section 5.2.1.7
	case cache.Miss:
		f.entry.setCache(CacheMiss)
		return f.coalesced(h, r)
	}
	f.entry.setCache(CacheUnused)
	reply, fail := f.retried(h)
	if fail == nil {
		c.Invalidate(r, reply.status, reply.header)
	}
	return reply, fail
}

// coalesced gets an answer together with others who want the same.
func (f *flight) coalesced(h *hop, r *cache.Request) (*reply, *failure.Error) {
	if !f.client.coalesce || f.request.Stream {
		return f.stores(h, r, nil)
	}
	ctx, leave := f.scope(f.base)
	turn, e, err := f.client.cache.Join(ctx, r)
	leave()
	switch {
	case err != nil:
		return nil, asStop(err)
	case e != nil:
		return f.stored(h, e, CacheHit)
	}
	if turn == nil {
		return f.stores(h, r, nil)
	}
	defer turn.Fail() // unless it has ended before
	reply, fail := f.stores(h, r, turn)
	if fail != nil && f.ownEnd(fail) {
		turn.Leave()
	}
	return reply, fail
}

// ownEnd tells whether a failure is this fetch's and not one that others who want the same would have too.
func (f *flight) ownEnd(fail *failure.Error) bool {
	switch fail.Code {
	case failure.LimitRequests, failure.LimitBytes, failure.PoolTimeout:
		return true
	}
	return f.stopped() != nil
}

// stores gets an answer and keeps it, and gives it to those who wait for it.
func (f *flight) stores(h *hop, r *cache.Request, turn *cache.Turn) (*reply, *failure.Error) {
	sent := time.Now()
	reply, fail := f.retried(h)
	if fail != nil {
		return nil, fail
	}
	if reply.verdict != final || reply.stream != nil {
		return reply, nil
	}
	received := time.Now()
	f.client.cache.Store(r, reply.status, reply.header, reply.body, reply.decoded, sent, received)
	if turn != nil {
		turn.Share(r, reply.status, reply.header, reply.body, reply.decoded, sent, received)
	}
	return reply, nil
}

// confirmed asks the upstream whether a stored response is still right.
func (f *flight) confirmed(h *hop, r *cache.Request, e *cache.Entry) (*reply, *failure.Error) {
	f.entry.setCache(CacheMiss)
	asking := h
	validators := e.Validators()
	if len(validators) > 0 {
		header := maps.Clone(h.header)
		maps.Copy(header, validators)
		asking = h.with(header)
	}
	sent := time.Now()
	reply, fail := f.retried(asking)
	h.onward.Store(asking.onward.Load())
	if fail == nil && reply.status == http.StatusNotModified && len(validators) > 0 {
		if e.Confirms(reply.header) {
			return f.stored(h, f.client.cache.Refresh(r, e, reply.header, sent, time.Now()), CacheFresh)
		}
		sent = time.Now() // it is about another version: what there is now has to be asked for
		reply, fail = f.retried(h)
	}
	switch {
	case e.ServesErrorsTo(r, time.Now()) && (fail != nil && fail.Code.Retryable(http.MethodGet) || fail == nil && cache.IsError(reply.status)):
		if fail == nil && reply.stream != nil {
			reply.stream.abandon()
		}
		return f.stored(h, e, CacheStale)
	case fail == nil && reply.verdict == final && reply.stream == nil:
		f.client.cache.Store(r, reply.status, reply.header, reply.body, reply.decoded, sent, time.Now())
	}
	return reply, fail
}

// with is the same hop with another header.
func (h *hop) with(header http.Header) *hop {
	n := &hop{
		url: h.url, method: h.method, header: header, own: h.own, secret: h.secret, body: h.body, decision: h.decision, number: h.number,
	}
	n.onward.Store(h.onward.Load())
	return n
}

// unsent tells that a hop needed no request.
func (f *flight) unsent(h *hop) {
	h.onward.Store(false)
	if f.prepaid.CompareAndSwap(true, false) {
		f.session.budget.refundRequest()
	}
}

// stored answers with an entry. It leaves no exchange on the record, since nothing was sent; what the record says of the cache tells of it,
// for redirects aren't stored and so no hop comes after this one.
func (f *flight) stored(h *hop, e *cache.Entry, state CacheState) (*reply, *failure.Error) {
	f.unsent(h)
	f.entry.setCache(state)
	f.entry.status.Store(int32(e.Status))
	n := int64(len(e.Body))
	if most := f.client.limits.responseBytes; n > most {
		return nil, failure.New(failure.ResponseTooLarge, "response_bytes is %d; the response's body has %d", most, n)
	}
	if fail := f.session.budget.takeBytes(n); fail != nil {
		return nil, fail
	}
	decoded, _ := e.Note.(bool)
	return &reply{status: e.Status, header: e.Answer(time.Now()), body: e.Body, decoded: decoded}, nil
}

// revalidateLater asks the upstream on behalf of the next fetches, once. It is charged to this session, which needn't wait for it. It is
// false if that can't be done now.
func (f *flight) revalidateLater(h *hop) bool {
	c := f.client
	if f.session.budget.takeRequest() != nil {
		return false
	}
	if !c.background.TryAcquire(1) {
		f.session.budget.refundRequest()
		return false
	}
	fields := make([]Field, 0, len(h.own))
	for name, values := range h.own {
		for _, v := range values {
			fields = append(fields, Field{name, v})
		}
	}
	url := h.url.String()
	session := c.Session(c.ctx)
	go func() {
		defer c.background.Release(1)
		defer session.Close()
		session.Do(context.Background(), &Request{
			URL: url, Header: fields, Redirect: Manual, Retry: &Retry{Attempts: 1}, Hedge: HedgeNever, revalidate: true,
		})
	}()
	return true
}
