// Package har writes what a session recorded as an HTTP Archive, HAR 1.2 (the format of the W3C's web-performance draft), which browsers'
// network panels and many tools read.
//
// Each request that was sent, or was about to be, is an entry: an attempt, a hop. A fetch that sent nothing, since it was denied or answered
// from the cache, is an entry with status 0, or the stored one's. Fields that begin with an underscore are Sortie's own: _fetch is the
// number of the fetch, from 1, and _attempt, _hop, _hedge, _rule, _code, _message, _cache, _reused and _state say of it what a
// [fetch.Exchange] or [fetch.Record] does.
//
// There are no bodies. Records come with credentials and secrets redacted already; fields that carry them are redacted here once more.
package har

import (
	"bufio"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
)

// Meta is what an archive says beside the records.
type Meta struct {
	Title   string    // of the page that all entries belong to, such as an invocation's ID
	Started time.Time // when the session began
	Total   time.Duration
	Version string // of Sortie
}

// Write writes an archive, one entry at a time. Entries are in the order in which they began.
func Write(w io.Writer, meta Meta, records []fetch.Record) error {
	out := bufio.NewWriter(w)
	head, err := json.Marshal(map[string]any{
		"version": "1.2",
		"creator": map[string]any{"name": "Sortie", "version": clean(meta.Version)},
		"pages": []any{map[string]any{
			"startedDateTime": stamp(meta.Started), "id": "invocation", "title": clean(meta.Title),
			"pageTimings": map[string]any{"onContentLoad": -1, "onLoad": ms(max(meta.Total, 0))},
		}},
	})
	if err != nil {
		return err
	}
	_, _ = out.WriteString(`{"log":`)
	_, _ = out.Write(head[:len(head)-1])
	_, _ = out.WriteString(`,"entries":[`)
	for i, e := range entries(meta, records) {
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if i > 0 {
			_ = out.WriteByte(',')
		}
		_ = out.WriteByte('\n')
		_, _ = out.Write(text)
	}
	_, _ = out.WriteString("\n]}}\n")
	return out.Flush() // which has the first error of the writes before
}

// entry is one of HAR's entries.
type entry struct {
	start time.Duration

	PageRef  string   `json:"pageref"`
	Started  string   `json:"startedDateTime"`
	Time     float64  `json:"time"`
	Request  request  `json:"request"`
	Response response `json:"response"`
	Cache    struct{} `json:"cache"`
	Timings  timings  `json:"timings"`

	Fetch   int    `json:"_fetch"`
	Attempt int    `json:"_attempt"`
	Hop     int    `json:"_hop"`
	Hedge   bool   `json:"_hedge"`
	Reused  bool   `json:"_reused"`
	State   string `json:"_state"`
	Stored  string `json:"_cache,omitempty"`
	Rule    string `json:"_rule,omitempty"`
	Code    string `json:"_code,omitempty"`
	Message string `json:"_message,omitempty"`
}

type request struct {
	Method      string  `json:"method"`
	URL         string  `json:"url"`
	HTTPVersion string  `json:"httpVersion"`
	Cookies     []field `json:"cookies"`
	Headers     []field `json:"headers"`
	Query       []field `json:"queryString"`
	HeadersSize int64   `json:"headersSize"`
	BodySize    int64   `json:"bodySize"`
	Bytes       int64   `json:"_bytes"`
}

type response struct {
	Status      int     `json:"status"`
	StatusText  string  `json:"statusText"`
	HTTPVersion string  `json:"httpVersion"`
	Cookies     []field `json:"cookies"`
	Headers     []field `json:"headers"`
	Content     content `json:"content"`
	RedirectURL string  `json:"redirectURL"`
	HeadersSize int64   `json:"headersSize"`
	BodySize    int64   `json:"bodySize"`
	Bytes       int64   `json:"_bytes"`
}

type content struct {
	Size     int64  `json:"size"`
	MimeType string `json:"mimeType"`
}

type field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// timings are in milliseconds; -1 is what didn't take place. connect has ssl in it.
type timings struct {
	Blocked float64 `json:"blocked"`
	DNS     float64 `json:"dns"`
	Connect float64 `json:"connect"`
	SSL     float64 `json:"ssl"`
	Send    float64 `json:"send"`
	Wait    float64 `json:"wait"`
	Receive float64 `json:"receive"`
}

// entries are all of them, in order.
func entries(meta Meta, records []fetch.Record) []entry {
	var list []entry
	for i := range records {
		r := &records[i]
		if len(r.Exchanges) == 0 {
			list = append(list, unsent(meta, i+1, r))
		}
		for j := range r.Exchanges {
			list = append(list, sent(meta, i+1, r, &r.Exchanges[j], j == len(r.Exchanges)-1))
		}
	}
	slices.SortStableFunc(list, func(a, b entry) int { return int(min(max(a.start-b.start, -1), 1)) })
	return list
}

// sent is the entry of an exchange. What became of the whole fetch stands with its last one.
func sent(meta Meta, n int, r *fetch.Record, x *fetch.Exchange, last bool) entry {
	e := entry{
		start: x.Start, PageRef: "invocation", Started: stamp(meta.Started.Add(max(x.Start, 0))), Fetch: n, Attempt: x.Attempt, Hop: x.Hop, Hedge: x.Hedge,
		Reused: x.Reused, Rule: clean(x.Rule), Code: clean(string(x.Code)), State: r.State.String(),
		Request:  request{Method: clean(x.Method), URL: clean(x.URL), HTTPVersion: clean(x.Protocol), Bytes: max(x.Sent, 0)},
		Response: response{Status: max(x.Status, 0), HTTPVersion: clean(x.Protocol), Bytes: max(x.Received, 0)},
	}
	if last {
		e.Stored, e.Message = clean(string(r.Cache)), clean(r.Message)
		if e.Code == "" {
			e.Code = clean(string(r.Code))
		}
	}
	e.Request.Headers, e.Response.Headers = headers(x.RequestHeader), headers(x.ResponseHeader)
	e.Response.Content = content{Size: max(x.Decoded, 0), MimeType: value(e.Response.Headers, "content-type")}
	e.Response.RedirectURL = value(e.Response.Headers, "location")
	e.Timings, e.Time = timed(x.Phases)
	e.finish()
	return e
}

// unsent is the entry of a fetch that sent nothing.
func unsent(meta Meta, n int, r *fetch.Record) entry {
	e := entry{
		start: r.Start, PageRef: "invocation", Started: stamp(meta.Started.Add(max(r.Start, 0))), Fetch: n, State: r.State.String(),
		Stored: clean(string(r.Cache)), Rule: clean(r.Rule), Code: clean(string(r.Code)), Message: clean(r.Message),
		Request:  request{Method: clean(r.Method), URL: clean(r.URL), Headers: []field{}},
		Response: response{Status: max(r.Status, 0), Headers: []field{}, Content: content{Size: max(r.Bytes, 0)}},
	}
	e.Timings, e.Time = timed(fetch.Phases{Blocked: max(r.Elapsed, 0), DNS: -1, Connect: -1, TLS: -1})
	e.finish()
	return e
}

// finish fills in what every entry has to have.
func (e *entry) finish() {
	e.Request.Cookies, e.Response.Cookies = []field{}, []field{}
	e.Request.Query = query(e.Request.URL)
	e.Request.HeadersSize, e.Request.BodySize, e.Response.HeadersSize, e.Response.BodySize = -1, -1, -1, -1
}

// timed gives the timings and their sum. What must not be -1 is 0.
func timed(p fetch.Phases) (timings, float64) {
	connect := p.Connect
	if p.TLS >= 0 {
		connect = max(connect, 0) + p.TLS
	}
	t := timings{optional(p.Blocked), optional(p.DNS), optional(connect), optional(p.TLS), ms(max(p.Send, 0)), ms(max(p.Wait, 0)), ms(max(p.Receive, 0))}
	total := 0.0
	for _, v := range []float64{t.Blocked, t.DNS, t.Connect, t.Send, t.Wait, t.Receive} {
		total += max(v, 0)
	}
	return t, total
}

func optional(d time.Duration) float64 {
	if d < 0 {
		return -1
	}
	return ms(d)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func stamp(t time.Time) string {
	if y := t.Year(); y < 0 || y > 9999 {
		t = time.Unix(0, 0)
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// headers are a header's fields, those that carry credentials redacted whatever they say.
func headers(fields []fetch.Field) []field {
	list := make([]field, 0, len(fields))
	for _, f := range fields {
		v := clean(f.Value)
		switch strings.ToLower(f.Name) {
		case "authorization", "proxy-authorization", "cookie", "set-cookie", "set-cookie2",
			"x-api-key", "api-key", "apikey", "x-auth-token", "x-access-token", "x-amz-security-token", "x-goog-api-key":
			v = "[redacted]"
		}
		list = append(list, field{clean(f.Name), v})
	}
	return list
}

func value(list []field, name string) string {
	for _, f := range list {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// query takes a URL's query apart, once decoded.
func query(raw string) []field {
	list := []field{}
	_, after, ok := strings.Cut(raw, "?")
	if !ok {
		return list
	}
	after, _, _ = strings.Cut(after, "#")
	for pair := range strings.SplitSeq(after, "&") {
		if pair == "" {
			continue
		}
		name, v, _ := strings.Cut(pair, "=")
		list = append(list, field{unescaped(name), unescaped(v)})
	}
	return list
}

func unescaped(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		s = plain
	}
	return clean(s)
}

// clean makes text that JSON can hold as it is.
func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
