package sortiehttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortiehttp"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

// stream opens a stream of three chunks, one a second, under ctx.
func stream(t *testing.T, ctx context.Context, h *sortietest.Host, code string) *http.Response {
	t.Helper()
	h.Reply("https://x.example/", sortietest.Reply{Chunks: []string{"one", "two", "three"}, ChunkDelay: time.Second, Code: code})
	resp, err := sortiehttp.Client().Do(newRequest(t, "GET", "https://x.example/", nil).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestDownload(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"", "read_error"} {
		synctest.Test(t, func(t *testing.T) {
			h := sortietest.New(t)
			h.Do(func(ctx context.Context) {
				start := time.Now()
				resp := stream(t, ctx, h, code)
				defer resp.Body.Close()
				buf := make([]byte, 100)
				for i, want := range []string{"one", "two", "three"} {
					n, err := resp.Body.Read(buf)
					if took := time.Since(start); string(buf[:n]) != want || err != nil || took != time.Duration(i+1)*time.Second {
						t.Errorf("got %q, %v after %s", buf[:n], err, took)
					}
				}
				_, err := resp.Body.Read(buf)
				if e, failed := errors.AsType[*sortie.Error](err); failed != (code != "") || failed && e.Code != code || !failed && err != io.EOF {
					t.Errorf("it ends with %v, want %q", err, code)
				}
			})
		})
	}
}

func TestContextRulesTheBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sortietest.New(t)
		h.Do(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
			defer cancel()
			body, err := io.ReadAll(stream(t, ctx, h, "").Body)
			if string(body) != "one" || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %q, %v", body, err)
			}
		})
	})
}

func TestCloseFreesTheFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sortietest.New(t)
		h.Limit(sortietest.Limits{Concurrency: 1})
		h.Do(func(ctx context.Context) {
			start := time.Now()
			resp := stream(t, ctx, h, "")
			time.AfterFunc(1500*time.Millisecond, func() { resp.Body.Close() })
			if body, err := io.ReadAll(resp.Body); string(body) != "one" || err != http.ErrBodyReadAfterClose {
				t.Errorf("got %q, %v", body, err)
			}
			stream(t, ctx, h, "").Body.Close() // for which the only slot is needed
			if took := time.Since(start); took != 1500*time.Millisecond {
				t.Errorf("took %s", took)
			}
		})
	})
}

func TestUpload(t *testing.T) {
	t.Parallel()
	h := sortietest.New(t)
	h.Limit(sortietest.Limits{RequestBytes: 4 << 20})
	h.Reply("*", sortietest.Reply{})
	read, write := io.Pipe()
	go func() {
		for range 3 {
			fmt.Fprint(write, "piece ")
		}
		write.Close()
	}()
	long := strings.Repeat("x", 2<<20)
	for body, reader := range map[string]io.Reader{"piece piece piece ": read, long: strings.NewReader(long)} {
		req := newRequest(t, "POST", "https://x.example/", reader)
		closed := watchClose(req)
		_, _, err := do(t, h, req)
		requests := h.Requests()
		if sent := requests[len(requests)-1]; err != nil || string(sent.Body) != body || closed.Load() != 1 {
			t.Errorf("sent %d bytes, closed %d times: %v", len(sent.Body), closed.Load(), err)
		}
	}
}

// What lies in memory can be sent again; a stream that was begun can't.
func TestRetriedUploads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body           io.Reader
		length, status int
	}{{strings.NewReader("body"), 4, 200}, {io.NopCloser(strings.NewReader("body")), 0, 503}, {io.NopCloser(strings.NewReader("body")), 4, 503}} {
		h := sortietest.New(t)
		h.Reply("*", sortietest.Reply{Status: 503, Times: 1})
		h.Reply("*", sortietest.Reply{Status: 200})
		retry := sortie.WithRetry(sortie.Retry{Attempts: 2, Backoff: time.Millisecond})
		req := newRequest(t, "PUT", "https://x.example/", c.body)
		req.ContentLength = int64(c.length)
		resp, _, err := do(t, h, req, retry)
		if err != nil || resp.StatusCode != c.status {
			t.Errorf("%T of length %d: got %v, %v, want %d", c.body, c.length, resp, err, c.status)
		}
	}
}

// events is a handler that sends an event a second until it may not, or three are sent.
func events(ended chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				ended <- r.Context().Err()
				return
			}
			fmt.Fprintf(w, "data: %d\n\n", i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	})
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		sortiehttp.Serve(events(ended))
		start := time.Now()
		resp, err := sortietest.New(t).InvokeStream("GET", "/")
		if err != nil || resp.Header.Get("content-type") != "text/event-stream" || time.Since(start) != time.Second {
			t.Fatalf("%+v, %v after %s", resp, err, time.Since(start))
		}
		lines, i := bufio.NewScanner(resp.BodyReader), 0
		for ; lines.Scan(); i++ {
			if took := time.Since(start); lines.Text() != fmt.Sprintf("data: %d", i) || took != time.Duration(i+1)*time.Second {
				t.Errorf("got %q after %s", lines.Text(), took)
			}
			lines.Scan()
		}
		if err := <-ended; i != 3 || err != nil || lines.Err() != nil {
			t.Errorf("%d events, then %v, %v", i, err, lines.Err())
		}
	})
}

func TestClientGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		sortiehttp.Serve(events(ended))
		resp, err := sortietest.New(t).InvokeStream("GET", "/")
		if err != nil {
			t.Fatal(err)
		}
		resp.BodyReader.(io.Closer).Close()
		if err := <-ended; err == nil {
			t.Error("the handler has come to its end")
		}
	})
}

// The first answer is longer than what is kept back, so it begins before its handler is over.
func TestLongAnswersBegin(t *testing.T) {
	goOn := make(chan struct{})
	sortiehttp.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(202)
		_, _ = io.WriteString(w, strings.Repeat("x", 64<<10+1))
		<-goOn
	}))
	resp, err := sortietest.New(t).InvokeStream("GET", "/")
	if err != nil || resp.Status != 202 {
		t.Fatalf("%+v, %v", resp, err)
	}
	close(goOn)
	if n, err := io.Copy(io.Discard, resp.BodyReader); n != 64<<10+1 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestFailureAfterTheHead(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(w http.ResponseWriter)
		want string
	}{
		"panic":   {func(http.ResponseWriter) { panic("oh no") }, "panic: oh no"},
		"abort":   {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, "abort Handler"},
		"too few": {func(http.ResponseWriter) {}, "wrote 1 bytes"},
	} {
		sortiehttp.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			fmt.Fprint(w, "a")
			w.(http.Flusher).Flush()
			c.fail(w)
		}))
		resp, err := sortietest.New(t).InvokeStream("GET", "/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.BodyReader)
		if f, ok := errors.AsType[*sortietest.Failure](err); !ok || f.Code != "plugin_error" || !strings.Contains(f.Detail, c.want) || string(body) != "a" {
			t.Errorf("%s: got %q, %v", name, body, err)
		}
	}
}

// An answer that the SDK refuses isn't begun, and its handler doesn't wait for that.
func TestRefusedHead(t *testing.T) {
	flushed := make(chan error, 1)
	sortiehttp.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["not a name"] = []string{"1"}
		flushed <- http.NewResponseController(w).Flush()
	}))
	_, err := sortietest.New(t).InvokeStream("GET", "/")
	if err == nil || !strings.Contains(err.Error(), "not a name") || <-flushed == nil {
		t.Errorf("got %v", err)
	}
}

// A handler answers while it reads.
func TestFullDuplex(t *testing.T) {
	sortiehttp.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			fmt.Fprintln(w, strings.ToUpper(lines.Text()))
			w.(http.Flusher).Flush()
		}
	}))
	read, write := io.Pipe()
	first := make(chan struct{})
	go func() {
		fmt.Fprintln(write, "first")
		<-first
		fmt.Fprintln(write, "second")
		write.Close()
	}()
	resp, err := sortietest.New(t).InvokeStream("POST", "/", sortietest.BodyReader(read))
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(resp.BodyReader)
	if line, err := answers.ReadString('\n'); line != "FIRST\n" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	close(first)
	if rest, err := io.ReadAll(answers); string(rest) != "SECOND\n" || err != nil {
		t.Errorf("got %q, %v", rest, err)
	}
}

// The standard library's proxy makes a plugin a gateway: both sides of this package, streaming through.
func TestReverseProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := &url.URL{Scheme: "https", Host: "x.example", Path: "/v1"}
		sortiehttp.Serve(&httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() }, FlushInterval: -1, Transport: new(sortiehttp.Transport),
		})
		h := sortietest.New(t)
		h.Reply("GET https://x.example/v1/a", sortietest.Reply{Chunks: []string{"one", "two"}, ChunkDelay: time.Second})
		h.Func("POST https://x.example/v1/b", func(r *sortie.Request) (*sortie.Response, error) {
			return &sortie.Response{Status: 201, Body: r.Body}, nil
		})
		start := time.Now()
		resp, err := h.InvokeStream("GET", "/a?q=1")
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 10)
		n, err := resp.BodyReader.Read(buf)
		if took := time.Since(start); string(buf[:n]) != "one" || err != nil || took != time.Second {
			t.Errorf("got %q, %v after %s", buf[:n], err, took)
		}
		if rest, err := io.ReadAll(resp.BodyReader); string(rest) != "two" || err != nil {
			t.Errorf("got %q, %v", rest, err)
		}
		if sent := h.Requests()[0]; sent.Header.Get("x-forwarded-for") != "192.0.2.1" || sent.Body != nil {
			t.Errorf("sent %+v", sent)
		}
		if resp, err := h.Invoke("POST", "/b", sortietest.Body("data")); err != nil || resp.Status != 201 || resp.Text() != "data" {
			t.Errorf("%+v, %v", resp, err)
		}
	})
}
