package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sortie-run/sortie/host/conformance/upstream"
)

// Expect is what must come of a vector.
type Expect struct {
	Refused  string   `json:"refused,omitempty"` // the code with which the plugin isn't loaded; the rest then doesn't count
	Upstream Upstream `json:"upstream,omitzero"`

	Answers []ExpectAnswer `json:"answers,omitempty"` // one for each request; or, of a single one or of all alike:
	ExpectAnswer
}

// ExpectAnswer is what must come of one request. What isn't there isn't compared, but Status, which is 200 then.
type ExpectAnswer struct {
	Status  int            `json:"status,omitempty"`
	Headers map[string]any `json:"headers,omitempty"` // by name in lower case; null: not there
	Body    *ExpectBody    `json:"body,omitempty"`
	Error   string         `json:"error,omitempty"`  // Sortie-Error, and with it the whole problem; the report's code is the same
	Detail  string         `json:"detail,omitempty"` // part of the problem's detail
	Cut     bool           `json:"cut,omitempty"`    // the body doesn't end cleanly
	Aborted bool           `json:"aborted,omitempty"`
	Code    string         `json:"code,omitempty"`    // the report's, where it isn't Error: after the head, or of a caller that went away
	Budget  map[string]any `json:"budget,omitempty"`  // used, by limit
	Fetches any            `json:"fetches,omitempty"` // of the report, in the order of their calls
	Logs    []any          `json:"logs,omitempty"`    // lines "level message"; all of these must be there, in this order
	Report  map[string]any `json:"report,omitempty"`  // anything else of it
}

// ExpectBody is one of these.
type ExpectBody struct {
	Text     *string `json:"text,omitempty"`
	Contains string  `json:"contains,omitempty"`
	JSON     any     `json:"json,omitempty"`
	Size     *int    `json:"size,omitempty"`   // bytes
	SHA256   string  `json:"sha256,omitempty"` // in hexadecimal digits
	Base64   []byte  `json:"base64,omitempty"`
	Records  []any   `json:"records,omitempty"` // of the guest script
}

// Upstream is what the upstream must have seen.
type Upstream struct {
	Requests map[string]int `json:"requests,omitempty"` // by path; "other:" before it means the second origin
	Cut      map[string]int `json:"cut,omitempty"`      // of these, how many the host gave up before their end
	Most     any            `json:"most,omitempty"`     // requests at once
}

func (e *Expect) compare(found *problemList, got *Outcome, requests int) {
	if e.Refused != "" || got.Refused != nil {
		code := ""
		if got.Refused != nil {
			code = got.Refused.Code
		}
		if code != e.Refused {
			found.add("the plugin was refused with %q, want %q", code, e.Refused)
		}
		return
	}
	if len(got.Answers) != requests {
		found.add("there are %d answers to %d requests", len(got.Answers), requests)
		return
	}
	if e.Answers != nil && len(e.Answers) != requests {
		found.add("the vector expects %d answers to %d requests", len(e.Answers), requests)
		return
	}
	for i := range got.Answers {
		want := &e.ExpectAnswer
		if e.Answers != nil {
			want = &e.Answers[i]
		}
		var one problemList
		want.compare(&one, &got.Answers[i])
		for _, p := range one {
			found.add("answer %d: %s", i, p)
		}
	}
}

func (e *ExpectAnswer) compare(found *problemList, got *Answer) {
	if got.Aborted != e.Aborted {
		found.add("aborted is %t, want %t", got.Aborted, e.Aborted)
		return
	}
	if !e.Aborted {
		e.compareHead(found, got)
		e.compareBody(found, got)
	}
	e.compareReport(found, got)
}

func (e *ExpectAnswer) compareHead(found *problemList, got *Answer) {
	status := e.Status
	if status == 0 {
		if status = 200; e.Error != "" {
			status = statuses[e.Error]
		}
	}
	if got.Status != status {
		found.add("the status is %d, want %d", got.Status, status)
	}
	headers := map[string]any{}
	for _, h := range got.Headers {
		name := strings.ToLower(h[0])
		if before, again := headers[name]; again {
			h[1] = fmt.Sprint(before, ", ", h[1])
		}
		headers[name] = h[1]
	}
	for name, want := range e.Headers {
		value, there := headers[name]
		switch {
		case want == nil && there:
			found.add("there is a header %s: %v", name, value)
		case want != nil:
			if why := match(want, value, "header "+name); why != "" {
				found.add("%s", why)
			}
		}
	}
	if code, _ := headers["sortie-error"].(string); code != e.Error {
		found.add("Sortie-Error is %q, want %q", code, e.Error)
	} else if code != "" {
		e.compareProblem(found, got, headers)
	}
	if got.Cut != e.Cut {
		found.add("cut is %t, want %t", got.Cut, e.Cut)
	}
}

// statuses are those that go with the codes of failed invocations (the contract's section 6).
var statuses = map[string]int{
	"limit_input": 413, "plugin_error": 500, "plugin_trapped": 500, "limit_cpu": 500, "limit_memory": 500, "limit_output": 500,
	"internal_error": 500, "overloaded": 503, "draining": 503, "limit_wall": 504, "rate_limited": 429,
}

// compareProblem holds a failure to RFC 9457.
func (e *ExpectAnswer) compareProblem(found *problemList, got *Answer, headers map[string]any) {
	if headers["content-type"] != "application/problem+json" {
		found.add("a failure's content type is %v", headers["content-type"])
	}
	want := map[string]any{
		"type": map[string]any{"$any": true}, "title": map[string]any{"$any": true}, "code": e.Error, "invocation": map[string]any{"$any": true},
		"status": json.Number(fmt.Sprint(got.Status)), "detail": map[string]any{"$contains": e.Detail},
	}
	if why := matchText(want, got.Body, "the problem"); why != "" {
		found.add("%s", why)
	}
}

// matchText matches a JSON text.
func matchText(want any, text []byte, at string) string {
	got, err := decode(text)
	if err != nil {
		return fmt.Sprintf("%s is no JSON: %v", at, err)
	}
	return match(want, got, at)
}

func decode(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func (e *ExpectAnswer) compareBody(found *problemList, got *Answer) {
	w := e.Body
	switch {
	case w == nil:
	case w.Text != nil && string(got.Body) != *w.Text:
		found.add("the body is %.400q, want %.400q", got.Body, *w.Text)
	case !strings.Contains(string(got.Body), w.Contains):
		found.add("the body is %.400q, want %q in it", got.Body, w.Contains)
	case w.Base64 != nil && !bytes.Equal(got.Body, w.Base64):
		found.add("the body is %x, want %x", got.Body, w.Base64)
	case w.Size != nil && len(got.Body) != *w.Size:
		found.add("the body has %d bytes, want %d", len(got.Body), *w.Size)
	case w.SHA256 != "":
		if sum := sha256.Sum256(got.Body); hex.EncodeToString(sum[:]) != w.SHA256 {
			found.add("the SHA-256 of the body's %d bytes is %x", len(got.Body), sum)
		}
	case w.JSON != nil:
		if why := matchText(w.JSON, got.Body, "body"); why != "" {
			found.add("%s", why)
		}
	case w.Records != nil:
		records, err := readRecords(got.Body)
		if err != nil {
			found.add("the body %.200q: %v", got.Body, err)
			return
		}
		if why := match(w.Records, records, "records"); why != "" {
			found.add("%s\nall records: %s", why, short(records))
		}
	}
}

func (e *ExpectAnswer) compareReport(found *problemList, got *Answer) {
	v, err := decode(got.Report)
	report, ok := v.(map[string]any)
	if err != nil || !ok {
		found.add("the report is %.200q", got.Report)
		return
	}
	code := e.Code
	if e.Error != "" {
		code = e.Error
	}
	if c, _ := report["code"].(string); c != code {
		found.add("the report's code is %q, want %q", c, code)
	}
	for _, name := range sorted(e.Budget) {
		if why := match(e.Budget[name], used(report, name), "budget "+name); why != "" {
			found.add("%s", why)
		}
	}
	if e.Fetches != nil {
		if why := match(e.Fetches, report["fetches"], "fetches"); why != "" {
			found.add("%s", why)
		}
	}
	lines := logged(report)
	for _, want := range e.Logs {
		i := slices.IndexFunc(lines, func(line any) bool { return match(want, line, "") == "" })
		if i < 0 {
			found.add("the log has nothing more like %s: %s", short(want), short(logged(report)))
			break
		}
		lines = lines[i+1:]
	}
	if e.Report != nil {
		if why := match(e.Report, v, "report"); why != "" {
			found.add("%s", why)
		}
	}
}

func used(report map[string]any, name string) any {
	all, _ := report["budget"].([]any)
	for _, one := range all {
		if b, _ := one.(map[string]any); b["name"] == name {
			return b["used"]
		}
	}
	return nil
}

func logged(report map[string]any) (lines []any) {
	all, _ := report["logs"].([]any)
	for _, one := range all {
		l, _ := one.(map[string]any)
		lines = append(lines, fmt.Sprint(l["level"], " ", l["message"]))
	}
	return lines
}

// settling is how long the upstream may take to notice what the host gave up.
const settling = 5 * time.Second

func (w *Upstream) compare(ctx context.Context, found *problemList, up *upstream.Server) {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	holds := func() bool {
		for path, n := range w.Requests {
			if up.Requests(path) != n {
				return false
			}
		}
		for path, n := range w.Cut {
			if up.Cut(path) != n {
				return false
			}
		}
		return true
	}
	if !up.Until(ctx, holds) {
		for _, path := range sorted(w.Requests) {
			if got := up.Requests(path); got != w.Requests[path] {
				found.add("the upstream saw %d requests for %s, want %d", got, path, w.Requests[path])
			}
		}
		for _, path := range sorted(w.Cut) {
			if got := up.Cut(path); got != w.Cut[path] {
				found.add("the upstream saw %d requests for %s given up, want %d", got, path, w.Cut[path])
			}
		}
	}
	if w.Most != nil {
		if why := match(w.Most, float64(up.Most()), "requests at once"); why != "" {
			found.add("%s", why)
		}
	}
}
