package fetch

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sortie-run/sortie/host/fetch/policy"
)

// trace is the Exchange of one request that may still be under way. It holds no more of the request than an Exchange tells, since it
// lives as long as the session.
type trace struct {
	began  time.Time
	url    *policy.URL
	method string
	rule   string
	hop    int
	hedge  bool
	next   *trace // of its fetch; guarded by the entry's mutex

	mu       sync.Mutex
	attempt  int
	dns      time.Duration // of the dial that was made for this request; negative: none
	connect  time.Duration
	tls      time.Duration
	got      time.Duration // when it had a connection, since began; 0: not yet, as for the next three
	wrote    time.Duration // when the request was out
	first    time.Duration // when the first byte of the response came
	ended    time.Duration
	reused   bool
	protocol string
	status   int
	code     Code
	sent     int64
	received int64
	decoded  int64
	request  http.Header // what went out; nil: too much to keep
	response http.Header
}

// trace begins the record of one request. It is nil, which all its methods put up with, past the records that are kept.
func (f *flight) trace(h *hop, hedge bool) *trace {
	e := f.entry
	if !e.kept || f.session.traces.Add(1) > maxRecords {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.add()
	t.began, t.url, t.method, t.rule, t.hop, t.hedge = time.Now(), h.url, h.method, h.decision.Rule, h.number, hedge
	t.attempt = int(e.attempts.Load()) + 1
	t.dns, t.connect, t.tls = -1, -1, -1
	if f.session.keep(h.header) {
		t.request = h.header
	}
	return t
}

// attempted gives the attempt its number.
func (t *trace) attempted(n int32) {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.attempt = int(n)
	t.mu.Unlock()
}

// since is the time since the request began, and never 0.
func (t *trace) since() time.Duration { return max(time.Since(t.began), 1) }

// dialled tells how long the stages of opening a connection took.
func (t *trace) dialled(dns, connect, tls time.Duration) {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.dns, t.connect, t.tls = dns, connect, tls
	t.mu.Unlock()
}

// connected tells that there's a connection, and whether it is the one that was opened for this request.
func (t *trace) connected(own, reused bool) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.got, t.reused = t.since(), reused
	if !own {
		t.dns, t.connect, t.tls = -1, -1, -1
	}
}

func (t *trace) requestSent() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wrote == 0 {
		t.wrote = t.since()
	}
}

func (t *trace) firstByte() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first == 0 {
		t.first = t.since()
	}
}

// head notes the head of the response. It isn't changed any more.
func (t *trace) head(s *Session, resp *http.Response) {
	if t == nil {
		return
	}
	keep := s.keep(resp.Header)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status, t.protocol = resp.StatusCode, resp.Proto
	if keep {
		t.response = resp.Header
	}
}

// end completes the record; what comes after counts for nothing.
func (t *trace) end(code Code, sent, received, decoded int64) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended == 0 {
		t.ended, t.code, t.sent, t.received, t.decoded = t.since(), code, sent, received, decoded
	}
}

// snapshot is the record as it is now.
func (t *trace) snapshot(c *Client, session time.Time) Exchange {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.ended
	if now == 0 {
		now = t.since()
	}
	return Exchange{
		Method: t.method, URL: c.cleanURL(t.url.String()), Attempt: t.attempt, Hop: t.hop, Hedge: t.hedge, Status: t.status, Code: t.code, Rule: t.rule,
		Protocol: t.protocol, Reused: t.reused, Start: t.began.Sub(session), Elapsed: now, Phases: t.phases(now),
		Sent: t.sent, Received: t.received, Decoded: t.decoded,
		RequestHeader: c.redacted(t.request), ResponseHeader: c.redacted(t.response),
	}
}

// phases divides the time until now. Phases follow each other: what comes before its time, such as the answer to a request that isn't
// out yet, ends the one before.
func (t *trace) phases(now time.Duration) Phases {
	p := Phases{DNS: t.dns, Connect: t.connect, TLS: t.tls, Send: -1, Wait: -1, Receive: -1}
	got := t.got
	if got == 0 {
		got = now
	}
	p.Blocked = max(got-max(t.dns, 0)-max(t.connect, 0)-max(t.tls, 0), 0)
	if t.got == 0 {
		return p
	}
	first := t.first
	if first == 0 {
		first = now
	}
	wrote := t.wrote
	if wrote == 0 || wrote > first {
		wrote = first
	}
	p.Send = max(wrote-got, 0)
	if t.wrote != 0 || t.first != 0 {
		p.Wait = first - wrote
	}
	if t.first != 0 {
		p.Receive = max(now-first, 0)
	}
	return p
}

// maxKeptHeaders bounds the headers that a session's records hold on to.
const maxKeptHeaders = 1 << 20

// keep tells whether the session's records may hold a header.
func (s *Session) keep(header http.Header) bool {
	size := int64(0)
	for name, values := range header {
		size += int64(len(name)) + 64
		for _, v := range values {
			size += int64(len(v)) + 16
		}
	}
	return s.headers.Add(size) <= maxKeptHeaders
}

// redactedText stands for a value that a report mustn't show.
const redactedText = "[redacted]"

// redacted is a header as records show it: sorted, in lower case, credentials and secrets replaced. An upstream may send a secret
// back, so values are searched for them as well.
func (c *Client) redacted(header http.Header) []Field {
	if header == nil {
		return nil
	}
	fields := make([]Field, 0, len(header))
	for name, values := range header {
		hidden := c.hides(name)
		for _, v := range values {
			if hidden {
				v = redactedText
			} else {
				v = c.Redact(v)
			}
			fields = append(fields, Field{lowerName(name), v})
		}
	}
	slices.SortStableFunc(fields, func(a, b Field) int { return cmp.Compare(a.Name, b.Name) })
	return fields
}

// hides tells whether a field's value is a credential, be it the guest's own or a secret of the operator's.
func (c *Client) hides(name string) bool {
	same := func(field string) bool { return len(field) == len(name) && strings.EqualFold(field, name) }
	return slices.ContainsFunc(credentialFields, same) || slices.ContainsFunc(c.secretFields, same)
}

// credentialFields are those whose values are credentials by their names.
var credentialFields = []string{
	"authorization", "proxy-authorization", "cookie", "set-cookie", "set-cookie2",
	"x-api-key", "api-key", "apikey", "x-auth-token", "x-access-token", "x-amz-security-token", "x-goog-api-key",
}

// cleanURL is a URL as records show it. One that was refused for its userinfo has credentials in it, and one that an upstream had a hand in
// may hold a secret.
func (c *Client) cleanURL(url string) string {
	url = withoutUserinfo(url)
	return bounded(c.Redact(url), maxRecordURL)
}

// withoutUserinfo replaces what stands in front of an @ in a URL's authority, wherever a browser would see one: behind any number of slashes
// of either kind after the scheme, or after none.
func withoutUserinfo(url string) string {
	rest := url
	if i := strings.IndexAny(url, ":/\\?#@"); i >= 0 && url[i] == ':' {
		rest = url[i+1:]
	}
	rest = strings.TrimLeft(rest, "/\\")
	authority := rest
	if i := strings.IndexAny(rest, "/\\?#"); i >= 0 {
		authority = rest[:i]
	}
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return url
	}
	return url[:len(url)-len(rest)] + redactedText + rest[at:]
}
