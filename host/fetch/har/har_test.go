package har

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// valid checks an archive against the schema and gives its entries.
func valid(t testing.TB, text []byte) []map[string]any {
	t.Helper()
	file, err := os.ReadFile("testdata/har-1.2.schema.json")
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
	schema, err := c.Compile("har.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if err := schema.Validate(value); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var har struct {
		Log struct{ Entries []map[string]any }
	}
	if err := json.Unmarshal(text, &har); err != nil {
		t.Fatal(err)
	}
	return har.Log.Entries
}

// TestOfASession: what a real session did is a valid archive, in order, with nothing left out and nothing told that is secret.
func TestOfASession(t *testing.T) {
	t.Parallel()
	n := 0
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n++; r.URL.Path {
		case "/start":
			w.Header().Set("Set-Cookie", "sid=COOKIE")
			http.Redirect(w, r, "/end?q=a%20b&key="+r.Header.Get("X-Key"), 302)
		case "/end":
			w.Header().Set("Content-Type", "text/plain")
			if n == 2 {
				w.WriteHeader(503)
			}
			w.Write([]byte("hello"))
		}
	}))
	defer up.Close()
	engine := fetch.New(fetch.Config{})
	defer engine.Close()
	pattern, err := manifest.ParsePattern(up.URL)
	if err != nil {
		t.Fatal(err)
	}
	client, err := engine.Client(fetch.Policy{
		Rules: []manifest.Rule{{URL: up.URL, Private: true}}, Private: []string{"127.0.0.1"},
		Secrets: []fetch.Secret{{Name: "K", Header: "X-Key", Value: "SECRET", Allow: []manifest.Pattern{pattern}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	session := client.Session(t.Context())
	defer session.Close()
	session.Do(t.Context(), &fetch.Request{
		URL: up.URL + "/start", Header: []fetch.Field{{Name: "Authorization", Value: "TOKEN"}}, Retry: &fetch.Retry{Attempts: 2, Backoff: time.Millisecond},
	})
	session.Do(t.Context(), &fetch.Request{URL: "https://denied.example/?a=1"})
	var out bytes.Buffer
	if err := Write(&out, Meta{Title: "inv", Started: time.Now(), Total: time.Second, Version: "v1"}, session.Records()); err != nil {
		t.Fatal(err)
	}
	entries := valid(t, out.Bytes())
	var got []string
	for _, e := range entries {
		request, response := e["request"].(map[string]any), e["response"].(map[string]any)
		code, _ := e["_code"].(string)
		url := strings.TrimPrefix(request["url"].(string), up.URL)
		got = append(got, strings.TrimSpace(strings.Join([]string{url, http.StatusText(int(response["status"].(float64))), code}, " ")))
	}
	want := []string{"/start Found", "/end?q=a%20b&key=[secret] Service Unavailable", "/end?q=a%20b&key=[secret] OK", "https://denied.example/?a=1  " + string(failure.HostDenied)}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	for _, hidden := range []string{"SECRET", "TOKEN", "COOKIE"} {
		if strings.Contains(out.String(), hidden) {
			t.Errorf("%s is in the archive", hidden)
		}
	}
	if q := entries[1]["request"].(map[string]any)["queryString"].([]any); len(q) != 2 || q[0].(map[string]any)["value"] != "a b" {
		t.Errorf("query %v", q)
	}
}

// FuzzWrite: whatever a record holds, the archive is valid, and credentials aren't in it.
func FuzzWrite(f *testing.F) {
	f.Add("GET", "http://a/?b=%zz", "text\xff", int64(-1), int64(5), 200)
	f.Add("", "?&&=#", "\x00", int64(1<<62), int64(-1<<62), -7)
	f.Fuzz(func(t *testing.T, method, url, text string, a, b int64, status int) {
		fields := []fetch.Field{{Name: text, Value: text}, {Name: "Authorization", Value: "hunter2"}, {Name: "set-cookie", Value: "hunter2"}}
		p := fetch.Phases{Blocked: time.Duration(a), DNS: time.Duration(b), Connect: time.Duration(a), TLS: time.Duration(b), Send: time.Duration(a), Wait: time.Duration(b)}
		records := []fetch.Record{
			{Method: method, URL: url, Status: status, Code: failure.Code(text), Rule: text, Start: time.Duration(a), Elapsed: time.Duration(b), Bytes: a},
			{Exchanges: []fetch.Exchange{{
				Method: method, URL: url, Status: status, Protocol: text, Start: time.Duration(b), Phases: p, Sent: a, Received: b, Decoded: a,
				RequestHeader: fields, ResponseHeader: fields,
			}}},
		}
		var out bytes.Buffer
		if err := Write(&out, Meta{Title: text, Started: time.Unix(a, b), Total: time.Duration(b)}, records); err != nil {
			t.Fatal(err)
		}
		if len(valid(t, out.Bytes())) != 2 || strings.Contains(out.String(), "hunter2") {
			t.Errorf("got %s", out.String())
		}
	})
}
