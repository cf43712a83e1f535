package host_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

// transit is a way for a body through a plugin: by our ABI or by Extism's.
type transit struct {
	name   string
	plugin *host.Plugin
	req    func(content, url string) *host.Request
	want   func(body, content string) bool
	took   []time.Duration // the whole of each invocation
	guest  []time.Duration // the guest's part of it: what it copies, computes and calls
	empty  []time.Duration // the same with nothing to carry
}

// BenchmarkBodies takes a body of 1 MiB through a plugin, in and out (echo), and in from an upstream (fetched): by our ABI with a guest in
// Go (testdata/guest, with the SDK) and the smallest there can be (testdata/wat/bodies.wat), and by Extism's bytes with its own Go PDK
// (examples/raw-extism). Their invocations take turns, and the figures are medians of the time in the guest, without its waiting:
//
//	NAME-ms             what a guest takes; NAME-total-ms: the whole invocation, with the making of an instance
//	extism/NAME         how many times longer Extism's takes
//	extism/NAME-bytes   the same for the bytes alone: less what each takes with an empty body
func BenchmarkBodies(b *testing.B) {
	content := strings.Repeat("0123456789abcdef", 1<<16)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/empty" {
			_, _ = w.Write([]byte(content))
		}
	}))
	defer srv.Close()
	for _, bc := range []struct {
		name string
		ways []*transit
	}{{"echo", echoes(b)}, {"fetched", fetchers(b)}} {
		b.Run(bc.name, func(b *testing.B) {
			for _, w := range bc.ways {
				w.took, w.guest, w.empty = nil, nil, nil
			}
			for b.Loop() {
				for _, w := range bc.ways {
					total, guest := w.run(b, content, srv.URL)
					_, empty := w.run(b, "", srv.URL+"/empty")
					w.took, w.guest, w.empty = append(w.took, total), append(w.guest, guest), append(w.empty, empty)
				}
			}
			extism := bc.ways[len(bc.ways)-1]
			for _, w := range bc.ways {
				b.ReportMetric(float64(median(w.guest).Microseconds())/1000, w.name+"-ms")
				b.ReportMetric(float64(median(w.took).Microseconds())/1000, w.name+"-total-ms")
				if w != extism {
					b.ReportMetric(float64(median(extism.guest))/float64(median(w.guest)), "extism/"+w.name)
					b.ReportMetric(float64(extism.bytes())/float64(w.bytes()), "extism/"+w.name+"-bytes")
				}
			}
		})
	}
}

// bytes is what the carrying alone takes.
func (w *transit) bytes() time.Duration { return max(median(w.guest)-median(w.empty), 1) }

func echoes(tb testing.TB) []*transit {
	rt := newRuntime(tb, fetch.Config{})
	post := func(path string) func(content, _ string) *host.Request {
		return func(content, _ string) *host.Request {
			return &host.Request{Method: "POST", Path: path, Body: []byte(content)}
		}
	}
	same := func(body, content string) bool { return strings.HasSuffix(body, content) }
	return []*transit{
		{name: "sdk", plugin: load(tb, rt, guestDir, "name: guest"), req: post("/same"), want: same},
		{name: "wat", plugin: loadWat(tb, rt, "bodies", "name: guest"), req: post("/"), want: same},
		{name: "extism", plugin: load(tb, rt, rawDir, "entry: echo"), req: post("/"), want: same},
	}
}

func fetchers(tb testing.TB) []*transit {
	rt := newRuntime(tb, fetch.Config{})
	// Which a guest of Extism's with a scheduler can't be: nothing tells that it has come to rest.
	const warm = "warmup: {path: '/fetch?url=http://127.0.0.1:1/'}\n"
	length := func(body, content string) bool {
		return strings.Contains(body, fmt.Sprintf(`"length":%d`, len(content)))
	}
	return []*transit{
		{
			name: "sdk", plugin: load(tb, rt, guestDir, allowLoopback+warm),
			req:  func(_, url string) *host.Request { return &host.Request{Path: "/fetch", RawQuery: "url=" + url} },
			want: length,
		},
		{
			name: "wat", plugin: loadWat(tb, rt, "bodies", allowLoopback),
			req: func(_, url string) *host.Request {
				one := append([]byte{0, byte(len(url))}, url...)
				return &host.Request{Method: "POST", Body: append(one, 0, 0, 0, 0, 0, 0, 0, 0, 0)}
			},
			want: func(body, content string) bool { return body == content },
		},
		{
			name: "extism", plugin: load(tb, rt, rawDir, "entry: http_one\n"+allowLoopback),
			req:  func(_, url string) *host.Request { return &host.Request{Method: "POST", Body: []byte(url)} },
			want: length,
		},
	}
}

// run makes one invocation, and tells how long it took, and its guest.
func (w *transit) run(tb testing.TB, content, url string) (total, guest time.Duration) {
	tb.Helper()
	resp, report, err := w.plugin.Invoke(context.Background(), w.req(content, url))
	if err != nil {
		tb.Fatalf("%s: %v", w.name, err)
	}
	if !w.want(string(resp.Body), content) {
		tb.Fatalf("%s: %.100q", w.name, resp.Body)
	}
	return report.Total, report.Guest
}

func median(d []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}

// However busy the machine is, a body through our ABI takes a guest a fifth of what it takes by Extism's bytes at most.
func TestBodiesAreCheap(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 1<<16)
	ways := echoes(t)
	for range 5 {
		for _, w := range ways {
			_, guest := w.run(t, content, "")
			w.guest = append(w.guest, guest)
		}
	}
	if ours, theirs := median(ways[1].guest), median(ways[2].guest); theirs < 5*ours {
		t.Errorf("ours takes %s, Extism's %s", ours, theirs)
	}
}
