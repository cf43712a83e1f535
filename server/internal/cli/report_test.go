package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

func TestBytesText(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0B", 1023: "1023B", 1024: "1KiB", 1536: "1.5KiB", 8 << 20: "8MiB", 3<<20 + 1<<19: "3.5MiB", 2 << 30: "2GiB", 5 << 40: "5TiB", 3000 << 40: "3000TiB",
	} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestBudgetText(t *testing.T) {
	t.Parallel()
	for want, b := range map[string]host.Budget{
		"31/64 requests":     {Name: "fetch.limits.requests", Used: 31, Limit: 64, Unit: "requests"},
		"0/64 requests":      {Name: "fetch.limits.requests", Limit: 64, Unit: "requests"},
		"1.5MiB/8MiB memory": {Name: "limits.memory", Used: 3 << 19, Limit: 8 << 20, Unit: "bytes"},
		"15ms/30s wall":      {Name: "limits.wall", Used: 15, Limit: 30_000, Unit: "ms"},
		"":                   {Name: "limits.cpu", Limit: 1000, Unit: "ms"},
	} {
		if got := budgetText(b); got != want {
			t.Errorf("budgetText(%+v) = %q, want %q", b, got, want)
		}
	}
}

func TestPrintReport(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &app{stderr: &out}
	a.printReport(&host.Report{
		Status: 200, Total: 12500 * time.Microsecond, Guest: time.Millisecond, Fetch: 11 * time.Millisecond,
		Logs: []host.LogLine{{Level: "warn", Message: "clear\x1b[2Jthe screen"}, {Level: "error", Message: "panic: x\n\nmain.f()\n\tmain.go:7\r\n"}},
		Fetches: []fetch.Record{
			{Method: "GET", URL: "https://a.example/", State: fetch.Fulfilled, Status: 200, Attempts: 1, Bytes: 2048, Elapsed: 3 * time.Millisecond},
			{Method: "GET", URL: "https://b.example/\x1b]0;x\a", State: fetch.Rejected, Code: "http_status", Status: 503, Attempts: 3, Hops: 2},
			{Method: "POST", URL: "https://c.example/", State: fetch.Cancelled, Code: "cancelled"},
		},
		Budget: []host.Budget{{Name: "fetch.limits.requests", Used: 6, Limit: 64, Unit: "requests"}},
	})
	want := strings.Join([]string{
		"warn clear·[2Jthe screen",
		"error panic: x",
		"    ",
		"    main.f()",
		"    \tmain.go:7·",
		"START   TIME    BYTES  TRIES  OUTCOME          FETCH",
		"0.0 ms  3.0 ms  2KiB   1      200              GET https://a.example/",
		"0.0 ms  0.0 ms  0B     3      http_status 503  GET https://b.example/·]0;x· (2 redirected)",
		"0.0 ms  0.0 ms  0B     0      cancelled        POST https://c.example/",
		"200 in 12.5 ms (guest 1.0 ms, waiting 11.0 ms); 6/64 requests",
		"",
	}, "\n")
	if got := out.String(); got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
}

func TestRunJSON(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{"text": `"body":"text"`, "\xff\x00": `"body_base64":"/wA="`, "": `"body":""`} {
		res := &host.Response{Status: 201, Header: []fetch.Field{{Name: "x-a", Value: "1"}, {Name: "x-a", Value: "2"}}, Body: []byte(body)}
		data, err := json.Marshal(runJSON(res, &host.Report{}))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), want) || !strings.Contains(string(data), `"headers":[["x-a","1"],["x-a","2"]]`) {
			t.Errorf("%q: %s, want it to have %s", body, data, want)
		}
	}
}
