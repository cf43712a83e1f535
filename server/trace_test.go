package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

// busy fills in a report that has something of everything.
func busy(r *host.Report) {
	r.Fetch, r.Total, r.Memory = 3*time.Millisecond, 9*time.Millisecond, 1<<20
	r.Fetches = []fetch.Record{
		{
			Method: "GET", URL: "https://api.example.com/a?b=c", State: fetch.Fulfilled, Status: 200, Rule: "https://api.example.com", Attempts: 1,
			Bytes: 5, Cache: fetch.CacheMiss, Start: time.Millisecond, Elapsed: 2 * time.Millisecond,
			Exchanges: []fetch.Exchange{{
				Method: "GET", URL: "https://api.example.com/a?b=c", Attempt: 1, Status: 200, Protocol: "HTTP/1.1", Start: time.Millisecond,
				Elapsed: 2 * time.Millisecond, Phases: fetch.Phases{Blocked: 1, DNS: -1, Connect: -1, TLS: -1, Send: 1, Wait: 1, Receive: 1},
				RequestHeader: []fetch.Field{{Name: "authorization", Value: "hunter2"}}, ResponseHeader: []fetch.Field{{Name: "a", Value: "b"}},
			}},
		},
		{Method: "GET", URL: "https://denied.example/", State: fetch.Rejected, Code: "host_denied", Message: "no rule"},
	}
	r.Budget = []host.Budget{{Name: "fetch.limits.requests", Used: 1, Limit: 64, Unit: "requests"}}
	r.Logs = []host.LogLine{{Time: time.Now(), Level: "warn", Message: "a\nb"}}
}

func TestReports(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		switch code, failing := strings.CutPrefix(r.Path, "/fail/"); {
		case failing:
			return nil, host.NewError(code, "so it is")
		case r.Path == "/odd":
			return &host.Response{Status: 99}, nil
		case r.Path == "/large":
			return &host.Response{Status: 200, Body: make([]byte, 2<<20)}, nil
		}
		return &host.Response{Status: 203, Body: []byte("hello")}, nil
	}, options{record: busy, operator: "process: {memory: 1536KiB}"})
	s.deployed("a", "limits: {input: 1KiB}", "one", "")
	for _, test := range []struct {
		method, path, body string
		status             int
		code               string
		fetches            int
	}{
		{"GET", "/p/a", "", 203, "", 2},
		{"HEAD", "/p/a/x", "", 203, "", 2},
		{"POST", "/p/a/fail/limit_wall", "", 504, "limit_wall", 2},
		{"GET", "/p/a/fail/plugin_trapped", "", 500, "plugin_trapped", 2},
		{"GET", "/p/a/odd", "", 500, "plugin_error", 2},
		{"GET", "/p/a/large", "", 503, "overloaded", 2},
		{"PUT", "/p/a/in", strings.Repeat("x", 1025), 413, "limit_input", 0},
	} {
		a := s.send(test.method, test.path, strings.NewReader(test.body))
		id := a.Header.Get("Sortie-Invocation")
		if a.StatusCode != test.status || len(id) != 32 {
			t.Errorf("%s: %d, invocation %q", test.path, a.StatusCode, id)
			continue
		}
		got := s.get("/v1/invocations/" + id)
		var report struct {
			ID, Plugin, Method, Path, Code, Detail string
			Version, Status                        int
			Total                                  float64 `json:"total_ms"`
			Fetches                                []any
		}
		if err := json.Unmarshal([]byte(got.body), &report); err != nil {
			t.Fatalf("%s: %v in %s", test.path, err, got.body)
		}
		summary := fmt.Sprint(report.ID, report.Plugin, report.Version, report.Method, "/p/a", strings.TrimSuffix(report.Path, "/"), report.Status, report.Code, len(report.Fetches))
		want := fmt.Sprint(id, "a", 1, test.method, "/p/a", strings.TrimPrefix(test.path, "/p/a"), test.status, test.code, test.fetches)
		if summary != want || report.Total <= 0 || (report.Detail == "") != (test.code == "") || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s\n%s, want %s", test.path, got.body, summary, want)
		}
		if strings.Contains(got.body, "hunter2") {
			t.Errorf("%s: headers are shown", test.path)
		}
	}
	eventually(t, "nothing is held any more", func() bool { return s.memory.Used() == 0 }) // soon after the answer
}

// TestReportOfWhoHasGone: the caller gives up; that too can be looked at afterwards.
func TestReportOfWhoHasGone(t *testing.T) {
	t.Parallel()
	ids := make(chan string, 1)
	s := start(t, func(ctx context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		ids <- r.ID
		<-ctx.Done()
		return nil, ctx.Err()
	}, options{record: busy})
	s.deployed("a", "", "one", "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", s.url+"/p/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	var id string
	go func() { id = <-ids; cancel() }()
	if res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r); err == nil {
		res.Body.Close()
		t.Fatal("it was answered")
	}
	<-ctx.Done()
	eventually(t, "the report", func() bool { return s.reports.find(id) != nil })
	if got := s.reports.find(id); got.Code != host.CodeCancelled {
		t.Errorf("code %q", got.Code)
	}
}

// validHAR checks an archive against the schema that package har is held to, and counts its entries.
func validHAR(t *testing.T, text string) int {
	t.Helper()
	file, err := os.ReadFile("../host/fetch/har/testdata/har-1.2.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("har.json", doc); err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if err := c.MustCompile("har.json").Validate(value); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return len(value.(map[string]any)["log"].(map[string]any)["entries"].([]any))
}

func TestReportAsHAR(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{record: busy})
	s.deployed("a", "", "one", "")
	address := "/v1/invocations/" + s.get("/p/a").Header.Get("Sortie-Invocation")
	for _, test := range []struct{ query, accept, want string }{
		{"", "", typeJSON}, {"", "*/*", typeJSON}, {"", "application/har+json", typeHAR}, {"", "Application/HAR+json;q=0.5, text/html", typeHAR},
		{"", "application/har+json;q=0", typeJSON}, {"", "application/json, application/har+json;q=0.9", typeJSON},
		{"", "application/json;q=0.1, application/har+json", typeHAR}, {"?format=har", "application/json", typeHAR},
		{"?format=json", "application/har+json", typeJSON}, {"?format=xml", "", ""}, {"?format=har&format=har", "", ""},
	} {
		a := s.get(address+test.query, "Accept", test.accept)
		if test.want == "" {
			wantProblem(t, a, 400, "bad_request")
			continue
		}
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != test.want || a.Header.Get("Vary") != "Accept" {
			t.Errorf("%+v: %d %v", test, a.StatusCode, a.Header)
		}
		if test.want != typeHAR {
			continue
		}
		if n := validHAR(t, a.body); n != 2 || strings.Contains(a.body, "hunter2") || !strings.Contains(a.body, `"version":"test"`) {
			t.Errorf("%d entries: %s", n, a.body)
		}
	}
}

func TestUnknownReports(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{token: "geheim"})
	s.deployed("a", "", "one", "")
	id := s.get("/p/a").Header.Get("Sortie-Invocation")
	for _, unknown := range []string{strings.Repeat("0", 32), "x", "%2e%2e", "a%2Fb"} {
		a := s.get("/v1/invocations/" + unknown)
		wantProblem(t, a, 404, "not_found")
		if !strings.Contains(a.body, "last 4096 invocations") {
			t.Errorf("%s: %s", unknown, a.body)
		}
	}
	if s.get("/v1/invocations/"+id).StatusCode != 200 {
		t.Error("the report isn't there")
	}
	// Who may not read learns nothing, and who may not call leaves no report.
	s.token = ""
	for _, address := range []string{"/v1/invocations/" + id, "/v1/invocations/x", "/v1/plugins/a/logs", "/v1/plugins/a/logs?follow=true"} {
		wantProblem(t, s.get(address), 401, "unauthorized")
	}
	denied := s.get("/p/a").Header.Get("Sortie-Invocation")
	s.token = "geheim"
	wantProblem(t, s.get("/v1/invocations/"+denied), 404, "not_found")

	if a := s.send(http.MethodDelete, "/v1/plugins/a", nil); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	wantProblem(t, s.get("/v1/invocations/"+id), 404, "not_found")
}

// TestDeletedWhileRunning: what ends after its plugin was deleted leaves nothing behind.
func TestDeletedWhileRunning(t *testing.T) {
	t.Parallel()
	running, end := make(chan string), make(chan struct{})
	s := start(t, func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		running <- r.ID
		<-end
		return &host.Response{Status: 200}, nil
	}, options{record: busy})
	s.deployed("a", "", "one", "")
	done := make(chan answer)
	go func() { done <- s.get("/p/a") }()
	id := <-running
	s.send(http.MethodDelete, "/v1/plugins/a", nil)
	s.deployed("a", "", "one", "")
	close(end)
	if a := <-done; a.StatusCode != 200 || a.Header.Get("Sortie-Invocation") != id {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	wantProblem(t, s.get("/v1/invocations/"+id), 404, "not_found")
	if lines := s.logs.recent("a", 10); len(lines) != 0 {
		t.Errorf("the new plugin has the old one's lines: %v", lines)
	}
}

// TestEveryAnswerNamesItsInvocation, and no two have the same.
func TestEveryAnswerNamesItsInvocation(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		switch r.Path {
		case "/panic":
			panic("host")
		case "/trap":
			return nil, host.NewError(host.CodePluginTrapped, "so it is")
		}
		return &host.Response{Status: 200, Header: []fetch.Field{{Name: "Sortie-Invocation", Value: "forged"}}}, nil
	}, options{token: "geheim"})
	s.deployed("a", "", "one", "")
	seen := map[string]bool{}
	check := func(what string, a answer, status int) {
		t.Helper()
		ids := a.Header.Values("Sortie-Invocation")
		if a.StatusCode != status || len(ids) != 1 || len(ids[0]) != 32 || seen[ids[0]] {
			t.Errorf("%s: %d, %q", what, a.StatusCode, ids)
			return
		}
		if p := a.problem(); p.Code != "" && p.Invocation != ids[0] {
			t.Errorf("%s: the problem names another: %s", what, a.body)
		}
		seen[ids[0]] = true
	}
	for path, status := range map[string]int{
		"/p/a": 200, "/p/a/b": 200, "/p/a/trap": 500, "/p/a/panic": 500, "/p/none": 404, "/p/NONE/x": 404, "/p/": 404, "/p": 404, "/p/%61": 200,
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PURGE"} {
			check(method+" "+path, s.send(method, path, nil), status)
		}
	}
	check("a version", s.get("/p/a", "Sortie-Version", "7"), 404)
	check("no version", s.get("/p/a", "Sortie-Version", "x"), 400)
	check("too much", s.send("POST", "/p/a", strings.NewReader(strings.Repeat("x", 1<<20+1))), 413)
	s.token = ""
	check("no token", s.get("/p/a"), 401)
	s.token = "geheim"
	if err := s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("draining", s.get("/p/a"), 503)
	s.token = ""
	open := start(t, says(""), options{})
	check("another name", open.get("/p/a", "Host", "evil.example"), 403)
}

// TestObservedConforms validates what can be observed against the document.
func TestObservedConforms(t *testing.T) {
	t.Parallel()
	doc := readDocument(t)
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.PlainBodyDecoder)
	invoke := func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		return &host.Response{Status: 200}, nil
	}
	s := start(t, invoke, options{record: busy, operator: "process: {memory: 64KiB}"})
	closed := start(t, says(""), options{token: "geheim"})
	s.deployed("a", "limits: {input: 100B}", "one", "")
	id, early := s.get("/p/a").Header.Get("Sortie-Invocation"), s.send("PUT", "/p/a", strings.NewReader(strings.Repeat("x", 101))).Header.Get("Sortie-Invocation")
	const logs, invocation = "/v1/plugins/{name}/logs", "/v1/invocations/{id}"
	rebound := []string{"Host", "evil.example"}
	for _, c := range []call{
		{"GET", "/v1/invocations/" + id, invocation, nil, "", "", 200}, {"HEAD", "/v1/invocations/" + id, invocation, nil, "", "", 200},
		{"GET", "/v1/invocations/" + early, invocation, nil, "", "", 200},
		{"GET", "/v1/invocations/" + id + "?format=har", invocation, nil, "", "", 200},
		{"GET", "/v1/invocations/" + id + "?format=x", invocation, nil, "", "", 400},
		{"GET", "/v1/invocations/x", invocation, nil, "", "", 404}, {"GET", "/v1/invocations/x", invocation, rebound, "", "", 403},
		{"GET", "/v1/plugins/a/logs", logs, nil, "", "", 200}, {"HEAD", "/v1/plugins/a/logs", logs, nil, "", "", 200},
		{"HEAD", "/v1/plugins/a/logs?follow=true", logs, nil, "", "", 200},
		{"GET", "/v1/plugins/a/logs?limit=0", logs, nil, "", "", 200}, {"GET", "/v1/plugins/a/logs?limit=-1", logs, nil, "", "", 400},
		{"GET", "/v1/plugins/a/logs?follow=maybe", logs, nil, "", "", 400}, {"GET", "/v1/plugins/b/logs", logs, nil, "", "", 404},
		{"GET", "/v1/plugins/a/logs", logs, rebound, "", "", 403},
	} {
		conform(t, s, doc, c)
	}
	conform(t, closed, doc, call{"GET", "/v1/invocations/x", invocation, nil, "", "", 401})
	conform(t, closed, doc, call{"GET", "/v1/plugins/a/logs", logs, nil, "", "", 401})
	eventually(t, "nothing is held any more", func() bool { return s.memory.Take(64 << 10) }) // soon after the answer
	conform(t, s, doc, call{"GET", "/v1/invocations/" + id, invocation, nil, "", "", 503})
	s.memory.Release(64 << 10)
	// A stream that ends, since the server drains while it's open.
	drained := make(chan error, 1)
	go func() {
		for {
			s.logs.mu.Lock()
			n := s.logs.followers
			s.logs.mu.Unlock()
			if n > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		drained <- s.Drain(context.WithoutCancel(t.Context()))
	}()
	conform(t, s, doc, call{"GET", "/v1/plugins/a/logs?follow=true", logs, nil, "", "", 200})
	if err := <-drained; err != nil {
		t.Error(err)
	}
	conform(t, s, doc, call{"GET", "/v1/plugins/a/logs?follow=true", logs, nil, "", "", 503})
	conform(t, s, doc, call{"GET", "/v1/plugins/a/logs", logs, nil, "", "", 200})
	conform(t, s, doc, call{"GET", "/v1/invocations/" + id, invocation, nil, "", "", 200})
}

// TestReportOfARealPlugin takes the report of the real host through JSON and HAR.
func TestReportOfARealPlugin(t *testing.T) {
	t.Parallel()
	s, stop := startReal(t, t.TempDir())
	defer stop()
	s.deployed("traps", "", string(traps), "")
	s.deployed("tea", "", string(responding(418, nil, "short")), "")
	doc := readDocument(t)
	for name, status := range map[string]int{"tea": 418, "traps": 500} {
		a := s.get("/p/" + name)
		address := "/v1/invocations/" + a.Header.Get("Sortie-Invocation")
		conform(t, s, doc, call{"GET", address, "/v1/invocations/{id}", nil, "", "", 200})
		var report struct{ Status int }
		if err := json.Unmarshal([]byte(s.get(address).body), &report); err != nil || report.Status != status || a.StatusCode != status {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
		if n := validHAR(t, s.get(address+"?format=har").body); n != 0 {
			t.Errorf("%s: %d entries", name, n)
		}
	}
}

func FuzzReportType(f *testing.F) {
	f.Add("", "application/har+json;q=0.1, application/json")
	f.Add("har", ";;;q=,")
	f.Add("", `application/har+json;q="1e309",application/json;q=NaN`)
	f.Fuzz(func(t *testing.T, format, accept string) {
		for _, formats := range [][]string{nil, {format}, {format, format}} {
			got, err := reportType(formats, []string{accept, accept})
			if err != nil {
				if e := failure(err); e.Code != codeBadRequest || len(e.Detail) > 1024 {
					t.Errorf("%q, %q: %v", formats, accept, err)
				}
			} else if got != typeJSON && got != typeHAR {
				t.Errorf("%q, %q: %q", formats, accept, got)
			}
		}
	})
}
