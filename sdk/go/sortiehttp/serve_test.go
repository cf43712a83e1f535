package sortiehttp_test

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortiehttp"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

// The tests here register handlers, of which there is one only: none of them is parallel.

// serve invokes a handler once.
func serve(t *testing.T, h http.Handler, method, target string, with ...sortietest.With) (*sortietest.Host, *sortie.Response, error) {
	t.Helper()
	sortiehttp.Serve(h)
	host := sortietest.New(t)
	resp, err := host.Invoke(method, target, with...)
	return host, resp, err
}

func TestServedRequest(t *testing.T) {
	_, resp, err := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" || r.URL.Path != "/a b/c" || r.URL.EscapedPath() != "/a%20b/c" ||
			r.RequestURI != "/a%20b/c?x=1&x=2" || !r.ProtoAtLeast(1, 1) {
			t.Errorf("the request is %+v", r)
		}
		if r.Host == "" || r.Header.Get("X-In") != "1" || r.Header["X-In"] == nil || r.Header["Host"] != nil {
			t.Errorf("host %q, header %v", r.Host, r.Header)
		}
		if host, port, err := net.SplitHostPort(r.RemoteAddr); host == "" || port == "" || err != nil {
			t.Errorf("the client is %q", r.RemoteAddr)
		}
		if _, ok := r.Context().Deadline(); !ok || r.Context().Err() != nil {
			t.Error("the context isn't the invocation's")
		}
		if err := r.ParseForm(); err != nil || r.PostForm.Get("y") != "3" || len(r.Form["x"]) != 2 || r.ContentLength != 3 {
			t.Errorf("form %v, %v, of %d bytes", r.Form, err, r.ContentLength)
		}
		w.Header().Set("X-Out", "1")
		w.WriteHeader(201)
		w.Header().Set("X-Late", "1")
		fmt.Fprint(w, "made")
	}), "POST", "/a%20b/c?x=1&x=2", sortietest.Header("x-in", "1"), sortietest.Header("Host", "plugin.example"),
		sortietest.Header("Content-Type", "application/x-www-form-urlencoded"),
		sortietest.Header("Content-Length", "3"), sortietest.Body("y=3"))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Status != 201 || resp.Text() != "made" || resp.Header.Get("x-out") != "1" || resp.Header.Get("x-late") != "" {
		t.Errorf("the answer is %+v", resp)
	}
}

func TestMux(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Pattern, " ", r.PathValue("id")) })
	mux.HandleFunc("POST /items/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	for _, c := range []struct {
		method, target string
		status         int
		body           string
	}{
		{"GET", "/items/a%2Fb", 200, "GET /items/{id} a/b"},
		{"POST", "/items/", 204, ""},
		{"DELETE", "/items/1", 405, "Method Not Allowed\n"},
		{"GET", "/none", 404, "404 page not found\n"},
		{"GET", "/%zz", 400, ""},
	} {
		_, resp, err := serve(t, mux, c.method, c.target)
		if err != nil || resp.Status != c.status || resp.Text() != c.body {
			t.Errorf("%s %s: %+v, %v", c.method, c.target, resp, err)
		}
	}
}

func init() {
	http.HandleFunc("/by-default", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "it is") })
}

func TestDefaultMux(t *testing.T) {
	if _, resp, err := serve(t, nil, "GET", "/by-default"); err != nil || resp.Text() != "it is" {
		t.Errorf("%+v, %v", resp, err)
	}
}

func TestContentTypes(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(w http.ResponseWriter)
		want  string
	}{
		{"sniffed", func(w http.ResponseWriter) { fmt.Fprint(w, "<!DOCTYPE html>") }, "text/html; charset=utf-8"},
		{"sniffed of two parts", func(w http.ResponseWriter) { fmt.Fprint(w, "<!DOC"); fmt.Fprint(w, "TYPE html>") }, "text/html; charset=utf-8"},
		{"set", func(w http.ResponseWriter) { w.Header().Set("Content-Type", "a/b"); fmt.Fprint(w, "<html>") }, "a/b"},
		{"none wanted", func(w http.ResponseWriter) { w.Header()["Content-Type"] = nil; fmt.Fprint(w, "<a>") }, ""},
		{"encoded", func(w http.ResponseWriter) { w.Header().Set("Content-Encoding", "zstd"); fmt.Fprint(w, "(") }, ""},
		{"no body", func(http.ResponseWriter) {}, ""},
	} {
		_, resp, err := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.write(w) }), "GET", "/")
		if err != nil || resp.Status != 200 || resp.Header.Get("content-type") != c.want {
			t.Errorf("%s: %v, %v", c.name, resp, err)
		}
	}
}

func TestWriterKeepsTheRules(t *testing.T) {
	var failed []error
	h, resp, err := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(103)
		w.Header().Set("Content-Length", "2")
		w.Header().Set(http.TrailerPrefix+"X", "1")
		w.Header().Set("X-Lines", "a\r\nb")
		if _, err := io.WriteString(w, "12"); err != nil {
			t.Error(err)
		}
		http.Error(w, "", 500)
		_, err := w.Write([]byte("3"))
		c := http.NewResponseController(w)
		_, _, hijack := c.Hijack()
		failed = append(failed, err, hijack, c.EnableFullDuplex())
	}), "GET", "/")
	if err != nil || resp.Status != 200 || resp.Text() != "12" || resp.Header.Get("x-lines") != "a  b" {
		t.Errorf("%+v, %v", resp, err)
	}
	if failed[0] != http.ErrContentLength || !errors.Is(failed[1], http.ErrNotSupported) || failed[2] != nil {
		t.Errorf("got %v", failed)
	}
	logs := h.Logs()
	if len(logs) != 1 || logs[0].Level != slog.LevelWarn || !strings.Contains(logs[0].Text, "superfluous WriteHeader(500) at ") ||
		!strings.Contains(logs[0].Text, "serve_test.go") {
		t.Errorf("the log is %v", logs)
	}
	_, resp, err = serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(304)
		if _, err := fmt.Fprint(w, "body"); err != http.ErrBodyNotAllowed {
			t.Errorf("a 304 takes a body: %v", err)
		}
	}), "GET", "/")
	if err != nil || resp.Status != 304 || len(resp.Body) != 0 {
		t.Errorf("%+v, %v", resp, err)
	}
}

// The answer to a HEAD has the length that a GET's would have.
func TestHead(t *testing.T) {
	_, resp, err := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "5") }), "HEAD", "/")
	if err != nil || resp.Status != 200 {
		t.Errorf("%+v, %v", resp, err)
	}
}

func TestAfterTheHandler(t *testing.T) {
	var w http.ResponseWriter
	var r *http.Request
	keep := http.HandlerFunc(func(writer http.ResponseWriter, req *http.Request) { w, r = writer, req })
	_, _, err := serve(t, keep, "POST", "/", sortietest.Body("unread"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("late")); err == nil || http.NewResponseController(w).Flush() == nil {
		t.Error("the writer still takes something")
	}
	if _, err := r.Body.Read(make([]byte, 1)); err != http.ErrBodyReadAfterClose {
		t.Errorf("the body gives %v", err)
	}
}

func TestFailedHandlers(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
		logged  string
	}{
		"panic":  {func(http.ResponseWriter, *http.Request) { panic("oh no") }, "panic: oh no", "serve_test.go"},
		"late":   {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a"); panic("too late") }, "panic: too late", "serve_test.go"},
		"abort":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "abort Handler", ""},
		"exit":   {func(http.ResponseWriter, *http.Request) { runtime.Goexit() }, "without returning", ""},
		"status": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) }, "invalid WriteHeader code 99", "serve_test.go"},
		"too few": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			fmt.Fprint(w, "a")
		}, "wrote 1 bytes", ""},
	} {
		h, resp, err := serve(t, c.handler, "GET", "/")
		var f *sortietest.Failure
		if !errors.As(err, &f) || f.Code != "plugin_error" || !strings.Contains(f.Detail, c.want) {
			t.Errorf("%s: got %v, %v", name, resp, err)
		}
		logs := h.Logs()
		if c.logged == "" && len(logs) > 0 || c.logged != "" && (len(logs) != 1 || !strings.Contains(logs[0].Text, c.logged)) {
			t.Errorf("%s: the log is %v", name, logs)
		}
	}
}

func TestLongAnswersAreWhole(t *testing.T) {
	for _, n := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20} {
		text := strings.Repeat("x", n)
		_, resp, err := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if m, err := io.WriteString(w, text); m != n || err != nil {
				t.Errorf("wrote %d of %d bytes: %v", m, n, err)
			}
		}), "GET", "/")
		if err != nil || resp.Text() != text {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

//go:embed *.go
var files embed.FS

func TestFileServer(t *testing.T) {
	_, resp, err := serve(t, http.FileServerFS(files), "GET", "/serve.go", sortietest.Header("Range", "bytes=0-6"))
	if err != nil || resp.Status != 206 || resp.Text() != "package" {
		t.Errorf("%+v, %v", resp, err)
	}
}
