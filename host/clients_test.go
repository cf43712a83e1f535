package host_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

// The guests in testdata/clients are built around clients that others wrote for net/http, unmodified. Each test stands in for the API that
// its client is for, as far as the guest uses it.

// loadClient loads such a guest, with the address of its API in the config.
func loadClient(t *testing.T, name, config string) *host.Plugin {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles a large module")
	}
	return load(t, newRuntime(t, fetch.Config{}), "testdata/clients/"+name, "config: "+config+"\n"+
		"fetch: {allow: [{url: 'http://127.0.0.1:*', private: true}], limits: {request_bytes: 16MiB, response_bytes: 16MiB}}\n"+
		"limits: {cpu: 10s, input: 16MiB}\n")
}

// ask invokes a plugin and returns its answer, whole.
func ask(t *testing.T, p *host.Plugin, req *host.Request) (*host.Response, *host.Report) {
	t.Helper()
	resp, report, err := p.Invoke(t.Context(), req)
	if err != nil {
		t.Fatalf("%s %s: %v\nlog: %v", req.Method, req.Path, err, report.Logs)
	}
	return resp, report
}

func TestGitHubClient(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(gitHub(t))
	defer srv.Close()
	p := loadClient(t, "github", fmt.Sprintf("{api: '%s/'}", srv.URL))
	for _, c := range []struct {
		method, path, query, body string
		status, fetches           int
		want                      string
	}{
		{"GET", "/issues/o/tea", "", "", 200, 3, `{"pages":3,"remaining":57,"titles":["#1","#2","#3","#4","#5"]}`},
		{"GET", "/issues/o/renamed", "", "", 200, 6, `{"pages":3,"remaining":57,"titles":["#1","#2","#3","#4","#5"]}`},
		{"GET", "/issues/o/busy", "", "", 502, 1, `{"limit":60,"remaining":0}`},
		{"GET", "/issues/o/none", "", "", 502, 1, `{"message":"Not Found","status":404}`},
		{"POST", "/issues/o/tea", "", `{"title":"cold"}`, 201, 1, `{"number":6}`},
		{"POST", "/issues/o/tea", "", `{}`, 502, 1, `{"field":"title","message":"Validation Failed","status":422}`},
		{"GET", "/stars/o", "repo=a&repo=bb&repo=ccc", "", 200, 3, `{"stars":[1,2,3]}`},
	} {
		resp, report := ask(t, p, &host.Request{Method: c.method, Path: c.path, RawQuery: c.query, Body: []byte(c.body)})
		if got := strings.TrimSpace(string(resp.Body)); resp.Status != c.status || got != c.want {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, resp.Status, got, c.status, c.want)
		}
		if len(report.Fetches) != c.fetches {
			t.Errorf("%s %s: %d fetches, want %d", c.method, c.path, len(report.Fetches), c.fetches)
		}
	}
	resp, _ := ask(t, p, &host.Request{Method: "DELETE", Path: "/issues/o/tea"})
	if allow := slices.IndexFunc(resp.Header, func(f fetch.Field) bool { return f.Name == "Allow" }); resp.Status != 405 || allow < 0 {
		t.Errorf("the mux answers %d %v", resp.Status, resp.Header)
	}
	_, report, err := p.Invoke(t.Context(), &host.Request{Method: "GET", Path: "/panic"})
	if err == nil || report.Code != "plugin_error" || len(report.Logs) == 0 || !strings.Contains(fmt.Sprint(report.Logs), "github/main.go") {
		t.Errorf("a panic: %v, %v", err, report.Logs)
	}
}

// gitHub has repositories with five issues each; their number of stars is the length of their name.
func gitHub(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /repos/o/{repo}/issues", func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.Query(); r.PathValue("repo") {
		case "renamed":
			http.Redirect(w, r, "/repos/o/tea/issues?"+r.URL.RawQuery, http.StatusMovedPermanently)
		case "busy":
			w.Header().Set("X-RateLimit-Remaining", "0")
			reply(w, 403, `{"message":"API rate limit exceeded"}`)
		case "none":
			reply(w, 404, `{"message":"Not Found"}`)
		default:
			if q.Get("state") != "open" || q.Get("per_page") != "2" || r.Header.Get("Authorization") != "Bearer token" {
				t.Errorf("asked for %s with %v", r.URL, r.Header)
			}
			page := max(1, atoi(q.Get("page")))
			var issues []string
			for n := 2*page - 1; n <= min(2*page, 5); n++ {
				issues = append(issues, fmt.Sprintf(`{"number":%d,"title":"#%d","state":"open"}`, n, n))
			}
			if page < 3 {
				w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?per_page=2&page=%d>; rel="next", <http://%s%s?per_page=2&page=3>; rel="last"`,
					r.Host, r.URL.Path, page+1, r.Host, r.URL.Path))
			}
			w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(60-page))
			reply(w, 200, "["+strings.Join(issues, ",")+"]")
		}
	})
	mux.HandleFunc("POST /repos/o/tea/issues", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Title string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		if in.Title == "" {
			reply(w, 422, `{"message":"Validation Failed","errors":[{"resource":"Issue","field":"title","code":"missing_field"}]}`)
			return
		}
		reply(w, 201, fmt.Sprintf(`{"number":6,"title":%q}`, in.Title))
	})
	var g gauge
	mux.HandleFunc("GET /repos/o/{repo}", func(w http.ResponseWriter, r *http.Request) {
		g.enter()
		eventually(t, "all three in flight", func() bool { return g.all.Load() == 3 })
		reply(w, 200, fmt.Sprintf(`{"stargazers_count":%d}`, len(r.PathValue("repo"))))
	})
	return mux
}

// reply answers as api.github.com does: compressed, and with the rate limit's fields.
func reply(w http.ResponseWriter, status int, body string) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Encoding", "gzip")
	h.Set("X-RateLimit-Limit", "60")
	h.Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
	w.WriteHeader(status)
	z := gzip.NewWriter(w)
	fmt.Fprint(z, body)
	z.Close()
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// Each piece of the model's answer has reached the plugin's own client before the next one is sent.
func TestOpenAIClient(t *testing.T) {
	t.Parallel()
	heard := make(listener)
	srv := httptest.NewServer(openAI(t, heard))
	defer srv.Close()
	p := loadClient(t, "openai", fmt.Sprintf("{api: '%s/v1'}", srv.URL))

	resp, _ := ask(t, p, &host.Request{Method: "POST", Path: "/chat", Body: []byte("hello"), Writer: heard})
	if !resp.Streamed || resp.Status != 200 || !slices.Contains(resp.Header, fetch.Field{Name: "Content-Type", Value: "text/event-stream"}) {
		t.Errorf("got %+v", resp)
	}
	_, report, err := p.Invoke(t.Context(), &host.Request{Method: "POST", Path: "/chat", Body: []byte("break"), Writer: heard})
	if err == nil || report.Code != "plugin_error" || len(report.Logs) != 1 || !strings.Contains(report.Logs[0].Message, "read_error") {
		t.Errorf("a stream that breaks: %v, %v", err, report.Logs)
	}
	resp, _ = ask(t, p, &host.Request{Method: "POST", Path: "/chat", Body: []byte("too much"), Writer: heard})
	if got := string(resp.Body); resp.Status != 502 || got != "429 requests: Rate limit reached\n" {
		t.Errorf("got %d %s", resp.Status, got)
	}
	resp, _ = ask(t, p, &host.Request{Method: "POST", Path: "/transcript", Body: bytes.Repeat([]byte("la"), 1<<19)})
	if got := string(resp.Body); resp.Status != 200 || got != "1048576 bytes for whisper-1" {
		t.Errorf("got %d %s", resp.Status, got)
	}
}

// listener takes a streamed answer, and hands on its pieces.
type listener chan string

func (l listener) Begin(*host.Response) error { return nil }

// Abort does nothing: whoever hears never waits.
func (l listener) Abort() {}

func (l listener) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// openAI answers "hello" with three pieces, each sent when the one before was heard.
func openAI(t *testing.T, heard listener) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Stream   bool
			Messages []struct{ Content string }
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !in.Stream || r.Header.Get("Authorization") != "Bearer key" {
			t.Errorf("asked for %+v with %v: %v", in, r.Header, err)
		}
		if in.Messages[0].Content == "too much" {
			w.WriteHeader(429)
			fmt.Fprint(w, `{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for i, word := range []string{"how", "are", "you"} {
			if i == 2 && in.Messages[0].Content == "break" {
				panic(http.ErrAbortHandler)
			}
			fmt.Fprintf(w, "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", word)
			w.(http.Flusher).Flush()
			select {
			case got := <-heard:
				if got != "data: "+word+"\n\n" {
					t.Errorf("%q was heard as %q", word, got)
				}
			case <-r.Context().Done():
				t.Error("the plugin has gone")
				return
			}
		}
		fmt.Fprint(w, "data: [DONE]\n\n")
	})
	mux.HandleFunc("POST /v1/audio/transcriptions", func(w http.ResponseWriter, r *http.Request) {
		file, head, err := r.FormFile("file")
		if err != nil || head.Filename != "speech.wav" {
			t.Errorf("%v, %v", head, err)
			return
		}
		n, _ := io.Copy(io.Discard, file)
		fmt.Fprintf(w, `{"text":"%d bytes for %s"}`, n, r.FormValue("model"))
	})
	return mux
}
