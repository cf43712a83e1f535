package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plain is an app without a terminal, and what dev has besides.
func plain(out io.Writer) *development {
	return &development{app: &app{stdout: io.Discard, stderr: &takingTurns{w: out}}, calls: newCalls(), paint: func(_, text string) string { return text }, hint: true}
}

func TestPrintInvocation(t *testing.T) {
	t.Parallel()
	const report = `{"id":"0123","method":"POST","path":"/eur","status":500,"code":"plugin_error","detail":"it gave up\nfor good","total_ms":12.54,
	"fetches":[{"method":"GET","url":"http://127.0.0.1:1/","code":"address_denied","message":"127.0.0.1 is private; permit it"},
	 {"method":"GET","url":"https://a.example/","code":"cancelled","message":"lost"},{"method":"GET","url":"https://b.example/"},
	 {"method":"PUT","url":"https://c.example/","code":"http_status","message":"the status\nis 503"},
	 {"method":"GET","url":"https://d.example/","code":"timeout","message":"too slow"},{"method":"GET","url":"https://e.example/","code":"timeout"}],
	"budget":[{"name":"limits.wall","used":12,"limit":30000,"unit":"ms"},{"name":"fetch.limits.requests","used":5,"limit":64,"unit":"requests"}],
	"logs":[{"level":"info","message":"one"},{"level":"error","message":"panic: x\nmain.go:7\n"}]}`
	const want = `POST /eur 500 plugin_error 12.5 ms  fetches 5/64  0123
    it gave up
    for good
    GET http://127.0.0.1:1/ address_denied: 127.0.0.1 is private; permit it; here: --allow-private
    PUT https://c.example/ http_status: the status\nis 503
    GET https://d.example/ timeout: too slow
    and 1 more failed fetches
    info one
    error panic: x
        main.go:7
`
	print := func(text string) string {
		var r traced
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		plain(io.Discard).printInvocation(&out, &r)
		return out.String()
	}
	if diff := cmp.Diff(want, print(report)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	hostile := strings.NewReplacer(`"/eur"`, `"/\u001b[2J"`, `"one"`, `"\u001b[2Jone"`, `"too slow"`, `"\u009b31m\u202e"`, "it gave up", `\u001b]0;x\u0007`).Replace(report)
	if got := print(hostile); !clean(got) || strings.Count(got, "\n") != strings.Count(want, "\n") {
		t.Errorf("%q", got)
	}
}

// TestCallsAreShown: each by its report, those without one as they were answered, and those that came too fast as a number.
func TestCallsAreShown(t *testing.T) {
	t.Parallel()
	server := client(t, func(w http.ResponseWriter, r *http.Request) {
		id := strings.TrimPrefix(r.URL.Path, "/v1/invocations/")
		if id == "none" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(404)
			_, _ = io.WriteString(w, `{"code":"not_found"}`)
			return
		}
		fmt.Fprintf(w, `{"id":%q,"method":"GET","path":"/","status":200}`, id)
	})
	read, write := io.Pipe()
	d := plain(write)
	handler := d.calls.around(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Sortie-Invocation", r.URL.RawQuery)
		switch r.URL.Path {
		case "/p/none":
			w.Header().Set("Sortie-Error", "plugin_not_found")
		case "/p/cut":
			panic(http.ErrAbortHandler)
		}
	}))
	call := func(target string) {
		defer func() { _ = recover() }()
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", target, nil))
	}
	call("/p/one?1")
	call("/v1/plugins?2")
	call("/p/none?none")
	call("/p/none")
	call("/p/cut?3")
	for i := len(d.calls.answered); i < maxUnshown+2; i++ {
		call("/p/many?many")
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { defer close(over); d.show(ctx, server) }()
	lines := record(read)
	var got []string
	err := lines.until(func(all []string) bool { got = all; return len(all) > maxUnshown })
	cancel()
	<-over
	if closed := write.Close(); err != nil || closed != nil {
		t.Fatal(err, closed)
	}
	want := []string{"GET / 200 0.0 ms  fetches 0  1", "GET /p/none plugin_not_found", "GET /p/none plugin_not_found", "GET / 200 0.0 ms  fetches 0  3"}
	if diff := cmp.Diff(want, got[:4]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if last := got[len(got)-1]; last != "2 more invocations are not shown: they came too fast" {
		t.Errorf("%d lines, the last is %q", len(got), last)
	}
}
