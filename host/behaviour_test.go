package host_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/fetch/fetchtest"
	"github.com/sortie-run/sortie/host/hosttest"
)

// TestBehaviour holds each way in which a guest can fetch to the engine's table of what fetches do.
func TestBehaviour(t *testing.T) {
	t.Parallel()
	raw, _ := attackers(t)
	s := &stage{top: t, plugins: map[string]*host.Plugin{}}
	guests := map[bool][]byte{true: hosttest.Build(t, raw), false: hosttest.Build(t, folder(t, map[string]string{"main.go": asker, "go.mod": sdkModule(t)}))}
	for _, by := range []struct {
		target fetchtest.Target
		raw    bool
		over   string
		ask    func([]fetchtest.Step) string
		read   func(*testing.T, []fetchtest.Step, string, *host.Report) [][]fetch.Result
	}{
		{fetchtest.Target{Name: "fetch_all", NoUploads: true, NoLarge: true}, true, "HTTP/1.1", func(s []fetchtest.Step) string { return "S" + asJSON(s) }, answersOfAll},
		{fetchtest.Target{Name: "http_request", NoUploads: true, NoLarge: true, NoOptions: true, Bare: true, Modes: []fetch.Mode{}}, true, "HTTP/1.1", askExtism, answersOfExtism},
		{fetchtest.Target{Name: "SDK", NoUploads: true, NoLarge: true, Modes: []fetch.Mode{fetch.AllSettled}}, false, "HTTP/2", asJSON, answersOfAll},
	} {
		by.target.Run = func(ctx context.Context, t testing.TB, setting fetchtest.Setting, steps []fetchtest.Step) fetchtest.Outcome {
			body, report := s.behave(ctx, t.(*testing.T), setting, fmt.Sprint(by.raw), guests[by.raw], by.ask(steps))
			out := fetchtest.Outcome{Results: by.read(t.(*testing.T), steps, body, report), Records: report.Fetches}
			for _, b := range report.Budget {
				switch b.Name {
				case "fetch.limits.requests":
					out.Usage.Requests = int(b.Used)
				case "fetch.limits.total_bytes":
					out.Usage.Bytes = b.Used
				}
			}
			return out
		}
		t.Run(by.target.Name, func(t *testing.T) {
			t.Parallel()
			fetchtest.Run(t, by.target, by.over)
		})
	}
}

// stage keeps the plugins of cases that have the same policy: loading one takes longer than most cases do.
type stage struct {
	top     *testing.T
	mu      sync.Mutex
	plugins map[string]*host.Plugin
}

// behave runs a guest once under a case's policy.
func (s *stage) behave(ctx context.Context, t *testing.T, setting fetchtest.Setting, name string, wasm []byte, input string) (string, *host.Report) {
	t.Helper()
	p := s.plugin(ctx, t, setting, name, wasm)
	resp, report, err := p.Invoke(ctx, &host.Request{Method: "POST", Path: "/", Host: "sortie.test", Body: []byte(input), Header: http.Header{}})
	if err != nil {
		t.Fatalf("%v\nlog: %v", err, report.Logs)
	}
	return string(resp.Body), report
}

// plugin has its resolver from whichever case came first; they answer alike.
func (s *stage) plugin(ctx context.Context, t *testing.T, setting fetchtest.Setting, name string, wasm []byte) *host.Plugin {
	t.Helper()
	key, err := json.Marshal([]any{name, setting.Manifest, setting.Operator})
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.plugins[string(key)]; p != nil {
		return p
	}
	engine := fetch.New(setting.Engine)
	rt, err := host.New(ctx, host.Config{Engine: engine, Operator: setting.Operator, Secrets: setting.Secrets, CacheDir: cacheDir})
	if err != nil {
		t.Fatal(err)
	}
	rt.Unstrained()
	s.top.Cleanup(func() {
		if n := engine.SlotsInUse(); n != 0 {
			s.top.Errorf("%d slots in use at the end", n)
		}
		if err := rt.Close(context.Background()); err != nil {
			s.top.Error(err)
		}
		engine.Close()
	})
	m := *setting.Manifest
	m.Limits.Wall, m.Limits.CPU, m.Limits.Input = m.Limits.Wall*4, m.Limits.CPU*10, m.Limits.Input*32
	p, err := rt.Load(ctx, host.Source{Name: m.Name, Version: 1, Wasm: wasm, Manifest: &m})
	if err != nil {
		t.Fatal(err)
	}
	s.plugins[string(key)] = p
	return p
}

// asJSON is steps as fetch_all takes them, byte for byte, even where they are no UTF-8.
func asJSON(steps []fetchtest.Step) string {
	var b bytes.Buffer
	ms := func(name string, d time.Duration) {
		if d != 0 {
			fmt.Fprintf(&b, `,"%s":%g`, name, float64(d)/1e6)
		}
	}
	text := func(name, s string) {
		if s != "" {
			fmt.Fprintf(&b, `,"%s":%s`, name, jsonText(s))
		}
	}
	b.WriteByte('[')
	for i, s := range steps {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"mode":"%s","count":%d,"concurrency":%d`, s.Mode, s.Count, s.Concurrency)
		ms("timeout_ms", s.Timeout)
		b.WriteString(`,"requests":[`)
		for j, r := range s.Requests {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"url":%s`, jsonText(r.URL))
			text("method", r.Method)
			text("body_base64", base64.StdEncoding.EncodeToString(r.Body))
			text("expect", r.Expect)
			text("redirect", [...]string{"", "manual", "error"}[r.Redirect])
			ms("timeout_ms", r.Timeout)
			ms("attempt_timeout_ms", r.AttemptTimeout)
			ms("hedge_ms", r.Hedge)
			if rt := r.Retry; rt != nil {
				fmt.Fprintf(&b, `,"retry":{"attempts":%d`, rt.Attempts)
				ms("backoff_ms", rt.Backoff)
				ms("max_backoff_ms", rt.MaxBackoff)
				if rt.Statuses != nil {
					fmt.Fprintf(&b, `,"statuses":%s`, strings.ReplaceAll(fmt.Sprint(rt.Statuses), " ", ","))
				}
				b.WriteByte('}')
			}
			b.WriteString(`,"headers":[`)
			for k, f := range r.Header {
				if k > 0 {
					b.WriteByte(',')
				}
				fmt.Fprintf(&b, "[%s,%s]", jsonText(f.Name), jsonText(f.Value))
			}
			b.WriteString("]}")
		}
		b.WriteString("]}")
	}
	b.WriteByte(']')
	return b.String()
}

// told is a response as fetch_all tells it.
type told struct {
	Status     int
	Headers    [][2]string
	Body       *string
	BodyBase64 []byte `json:"body_base64"`
	URL        string
	Redirected bool
	Attempts   int
}

func (r *told) response() *fetch.Response {
	if r == nil {
		return nil
	}
	resp := &fetch.Response{Status: r.Status, Body: r.BodyBase64, URL: r.URL, Redirected: r.Redirected, Attempts: r.Attempts}
	if r.Body != nil {
		resp.Body = []byte(*r.Body)
	}
	for _, h := range r.Headers {
		resp.Header = append(resp.Header, fetch.Field{Name: h[0], Value: h[1]})
	}
	return resp
}

// answersOfAll reads an answer for each step. A group that can't be run at all is one whose members are all refused.
func answersOfAll(t *testing.T, steps []fetchtest.Step, body string, _ *host.Report) [][]fetch.Result {
	type refusal struct {
		Code, Message string
		Retryable     bool
		Attempts      int
		Response      *told
	}
	answers := fromJSON[[]struct {
		Error   *refusal
		Results []struct {
			Status   string
			Response *told
			Error    *refusal
		}
	}](t, body)
	all := make([][]fetch.Result, len(answers))
	for i, a := range answers {
		for range steps[i].Requests {
			if a.Error != nil {
				all[i] = append(all[i], fetch.Result{State: fetch.Rejected, Err: &fetch.Error{Code: fetch.Code(a.Error.Code), Message: a.Error.Message}})
			}
		}
		for _, r := range a.Results {
			res := fetch.Result{State: fetch.Fulfilled, Response: r.Response.response()}
			if e := r.Error; e != nil {
				res.Err = &fetch.Error{Code: fetch.Code(e.Code), Message: e.Message, Retryable: e.Retryable, Attempts: e.Attempts, Response: e.Response.response()}
				res.State = map[string]fetch.State{"rejected": fetch.Rejected, "cancelled": fetch.Cancelled}[r.Status]
			}
			all[i] = append(all[i], res)
		}
	}
	return all
}

func askExtism(steps []fetchtest.Step) string {
	var calls [][2][]byte
	for _, s := range steps {
		r := s.Requests[0]
		in := fmt.Appendf(nil, `{"url":%s,"method":%s,"headers":{`, jsonText(r.URL), jsonText(r.Method))
		for i, f := range r.Header {
			if i > 0 {
				in = append(in, ',')
			}
			in = fmt.Appendf(in, "%s:%s", jsonText(f.Name), jsonText(f.Value))
		}
		calls = append(calls, [2][]byte{append(in, "}}"...), r.Body})
	}
	text, _ := json.Marshal(calls)
	return "E" + string(text)
}

// answersOfExtism takes codes from the report, for Extism's own call has no place for them.
func answersOfExtism(t *testing.T, _ []fetchtest.Step, body string, report *host.Report) [][]fetch.Result {
	answers := fromJSON[[]struct {
		None   bool
		Status int
		Body   string
	}](t, objects(t, body))
	all := make([][]fetch.Result, len(answers))
	for i, a := range answers {
		r := fetch.Result{State: fetch.Fulfilled, Response: &fetch.Response{Status: a.Status, Body: []byte(a.Body)}}
		if a.None && a.Status == 0 && i < len(report.Fetches) {
			r = fetch.Result{State: fetch.Rejected, Err: &fetch.Error{Code: report.Fetches[i].Code}}
			if r.Err.Code == failure.Cancelled {
				r.State = fetch.Cancelled
			}
		}
		all[i] = []fetch.Result{r}
	}
	return all
}

// asker is a guest that makes the steps that its request's body lists as fetch_all would take them, by the SDK, and answers like fetch_all.
const asker = `package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/sortie-run/sortie/sdk/go"
)

func main() {}

func init() { sortie.Handle(handle) }

type step struct {
	Concurrency int
	TimeoutMS   float64 ` + "`json:\"timeout_ms\"`" + `
	Requests    []struct {
		URL, Method, Redirect, Expect string
		Body                          []byte  ` + "`json:\"body_base64\"`" + `
		TimeoutMS                     float64 ` + "`json:\"timeout_ms\"`" + `
		AttemptTimeoutMS              float64 ` + "`json:\"attempt_timeout_ms\"`" + `
		HedgeMS                       float64 ` + "`json:\"hedge_ms\"`" + `
		Headers                       [][2]string
		Retry                         *struct {
			Attempts     int
			BackoffMS    float64 ` + "`json:\"backoff_ms\"`" + `
			MaxBackoffMS float64 ` + "`json:\"max_backoff_ms\"`" + `
			Statuses     []int
		}
	}
}

func ms(f float64) time.Duration { return time.Duration(f * float64(time.Millisecond)) }

func handle(ctx context.Context, req *sortie.Request) (*sortie.Response, error) {
	var steps []step
	if err := json.Unmarshal(req.Body, &steps); err != nil {
		return nil, err
	}
	var answers []any
	for _, s := range steps {
		answers = append(answers, map[string]any{"results": run(ctx, s)})
	}
	return sortie.JSON(200, answers), nil
}

func run(ctx context.Context, s step) (results []any) {
	if s.TimeoutMS > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, ms(s.TimeoutMS))
		defer cancel()
	}
	var requests []*sortie.Request
	for _, r := range s.Requests {
		one := &sortie.Request{Method: r.Method, URL: r.URL, Body: r.Body, Header: sortie.Header{}}
		for _, h := range r.Headers {
			one.Header[h[0]] = append(one.Header[h[0]], h[1])
		}
		options := []sortie.Option{sortie.WithTimeout(ms(r.TimeoutMS)), sortie.WithAttemptTimeout(ms(r.AttemptTimeoutMS)), sortie.WithHedge(ms(r.HedgeMS)),
			sortie.WithRedirect(sortie.Redirect(r.Redirect)), sortie.WithExpect(r.Expect)}
		if t := r.Retry; t != nil {
			options = append(options, sortie.WithRetry(sortie.Retry{Attempts: t.Attempts, Backoff: ms(t.BackoffMS), MaxBackoff: ms(t.MaxBackoffMS), Statuses: t.Statuses}))
		}
		requests = append(requests, one.With(options...))
	}
	if len(requests) == 1 {
		resp, err := sortie.Fetch(ctx, requests[0])
		state := "fulfilled"
		if err != nil {
			state = "rejected"
		}
		if errors.Is(err, sortie.ErrCancelled) {
			state = "cancelled"
		}
		return []any{result(state, resp, err)}
	}
	for _, r := range sortie.AllSettled(ctx, requests, sortie.WithConcurrency(s.Concurrency)) {
		results = append(results, result(r.State.String(), r.Response, r.Err))
	}
	return results
}

func result(state string, resp *sortie.Response, err error) any {
	out := map[string]any{"status": state}
	if e, ok := errors.AsType[*sortie.Error](err); ok {
		out["error"] = map[string]any{"code": e.Code, "message": e.Message, "retryable": e.Retryable, "attempts": e.Attempts, "response": response(e.Response)}
	} else if err != nil {
		out["error"] = map[string]any{"code": "untyped", "message": err.Error()}
	}
	if resp != nil {
		out["response"] = response(resp)
	}
	return out
}

func response(r *sortie.Response) any {
	if r == nil {
		return nil
	}
	var headers [][2]string
	for name, values := range r.Header {
		for _, v := range values {
			headers = append(headers, [2]string{name, v})
		}
	}
	return map[string]any{"status": r.Status, "headers": headers, "body_base64": r.Body, "url": r.URL, "redirected": r.Redirected, "attempts": r.Attempts}
}
`
