package fetch

import (
	"context"
	"errors"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/fetch/upstream"
)

// admission is what a request has to have before it may be sent: the breaker's consent, its turn by the rate, and its slots.
type admission struct {
	client *Client
	origin *upstream.Origin
	permit upstream.Permit
	held   hold
}

// admit waits for an admission, within pool_timeout in all.
func (f *flight) admit(ctx context.Context, h *hop) (a admission, _ *failure.Error) {
	engine, limit := f.client.engine, f.client.limits.pool
	name, care := h.url.Origin(), engine.upstreams.of(h.url)
	waiting, done := context.Context(nil), func() {}
	defer func() { done() }()
	patient := func() context.Context {
		if waiting == nil {
			scope, leave := f.scope(ctx)
			bounded, cancel := context.WithTimeoutCause(scope, limit, poolStop(limit))
			waiting, done = bounded, func() { cancel(); leave() }
		}
		return waiting
	}
	a = admission{client: f.client, origin: f.client.origins.Get(name, care.settings)}
	if err := a.consent(ctx, care, patient); err != nil {
		f.client.origins.Put(a.origin)
		return a, refusal(err)
	}
	if care.rate != nil {
		if err := engine.rates.Wait(patient(), name, *care.rate, limit); err != nil {
			a.abandon()
			return a, refusal(err)
		}
	}
	a.held = hold{party: party{f.client, f.session.slots}, origins: engine.origins, origin: name, process: engine.fetches}
	if err := a.held.acquire(patient); err != nil {
		a.abandon()
		return a, refusal(err)
	}
	// What ends many fetches reaches one after the other, and the slots of the first mustn't pass to one that it hasn't reached yet.
	fail := f.stopped()
	for _, c := range [...]context.Context{f.session.ctx, f.parent, ctx} {
		if fail == nil {
			fail = stopped(c)
		}
	}
	if fail != nil {
		a.held.release()
		a.abandon()
	}
	return a, fail
}

// consent asks the breaker and the adaptive limit.
func (a *admission) consent(ctx context.Context, care *care, patient func() context.Context) (err error) {
	if care.settings.Adaptive != nil {
		ctx = patient()
	}
	a.permit, err = a.origin.Admit(ctx)
	return err
}

// abandon gives everything but the slots back without anything having been sent.
func (a *admission) abandon() {
	a.permit.Done(upstream.Nothing, 0)
	a.client.origins.Put(a.origin)
}

// sent tells what became of the request, and keeps the slots.
func (a *admission) sent(r *reply, fail *failure.Error, head time.Duration) {
	a.permit.Done(outcomeOf(r, fail), head)
	a.client.origins.Put(a.origin)
}

// outcomeOf is what an exchange says about the upstream. An answer that the policy has no room for is one nevertheless.
func outcomeOf(r *reply, fail *failure.Error) upstream.Outcome {
	if fail == nil {
		if r.status >= 500 {
			return upstream.Failure
		}
		return upstream.Success
	}
	switch fail.Code {
	case failure.DNSError, failure.ConnectError, failure.ConnectTimeout, failure.TLSError, failure.ProxyError, failure.WriteTimeout, failure.WriteError,
		failure.ReadTimeout, failure.ReadError, failure.ProtocolError, failure.Timeout:
		return upstream.Failure
	}
	return upstream.Nothing
}

// refusal is the failure that an error of waiting stands for.
func refusal(err error) *failure.Error {
	if fail, ok := errors.AsType[*failure.Error](err); ok {
		return fail
	}
	return asStop(err)
}

// mayRetry takes one more attempt from the origin's budget for them.
func (f *flight) mayRetry(h *hop) bool {
	o := f.client.origins.Get(h.url.Origin(), f.client.engine.upstreams.of(h.url).settings)
	defer f.client.origins.Put(o)
	return o.Retry()
}

// p95 is the origin's, as far as this client knows.
func (f *flight) p95(h *hop) (time.Duration, bool) {
	o := f.client.origins.Get(h.url.Origin(), f.client.engine.upstreams.of(h.url).settings)
	defer f.client.origins.Put(o)
	return o.P95()
}
