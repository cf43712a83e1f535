package fetch

import (
	"maps"
	"net/http"
	"strings"

	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/fetch/policy"
)

// isRedirect tells whether a status names the next hop (Fetch standard, section 2.2.3).
func isRedirect(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// ready makes h what is sent to u, or says why the policy doesn't allow it. own is the guest's header, which it takes over.
func (f *flight) ready(h *hop, u *policy.URL, method string, own http.Header, body []byte) *failure.Error {
	h.decision = f.client.policy.Decide(method, u)
	f.entry.setRule(h.decision.Rule)
	if !h.decision.Allowed {
		return h.decision.Err()
	}
	h.url, h.method, h.own, h.header, h.body = u, method, own, own, body
	cookies := f.cookies.header(u, own)
	if len(f.client.secretFields) > 0 || cookies != "" {
		h.header = maps.Clone(own)
	}
	if cookies != "" {
		h.header["Cookie"] = []string{cookies}
	}
	if len(f.client.secretFields) == 0 {
		return nil
	}
	var fail *failure.Error
	h.secret, fail = f.client.resolved().inject(u, h.header)
	return fail
}

// next makes the hop that a redirect leads to (Fetch standard, section 4.4, "HTTP-redirect fetch").
func (f *flight) next(h *hop, r *reply) (*hop, *failure.Error) {
	if f.request.Redirect == Refuse {
		return nil, failure.New(failure.RedirectBlocked, "the response redirects (status %d), and the request says not to follow", r.status)
	}
	u, fail := h.url.Resolve(r.location)
	if fail != nil {
		return nil, failure.Wrap(fail.Code, fail, "the redirect's Location: %s", f.client.clean(fail.Message))
	}
	if most := f.client.limits.redirects; f.hops >= most {
		return nil, failure.New(failure.TooManyRedirects, "redirects is %d, and the response redirects once more", most)
	}
	f.url = u

	f.cookies.take(h.url, r.header)
	method, body, upload, own := h.method, h.body, h.upload, maps.Clone(h.own)
	if r.status == 303 && method != http.MethodGet && method != http.MethodHead ||
		(r.status == 301 || r.status == 302) && method == http.MethodPost {
		method, body, upload = http.MethodGet, nil, nil
		maps.DeleteFunc(own, func(name string, _ []string) bool { return strings.HasPrefix(name, "Content-") })
	}
	if !sameCredentials(h.url, u) {
		delete(own, "Authorization")
		delete(own, "Cookie")
		// A field that a secret took the place of was meant for where the secret goes.
		for _, name := range h.secret {
			delete(own, name)
		}
	}
	if upload != nil && !h.whole() { // Fetch standard, "HTTP-redirect fetch": a body without a source
		return nil, failure.New(failure.RedirectBlocked, "the response redirects (status %d) with the request's body, which came as a stream and can't be sent again", r.status)
	}
	n := &hop{upload: upload, number: h.number + 1}
	if fail := f.ready(n, u, method, own, body); fail != nil {
		return nil, fail
	}
	n.onward.Store(true)
	f.hops++
	return n, nil
}

// sameCredentials tells whether what was meant for one URL may be sent to another: the same origin, or the same host's move
// from http to https on the default ports, which the policy allows both.
func sameCredentials(from, to *policy.URL) bool {
	if from.Origin() == to.Origin() {
		return true
	}
	return from.Host() == to.Host() && from.Scheme() == "http" && to.Scheme() == "https" && from.Port() == "80" && to.Port() == "443"
}
