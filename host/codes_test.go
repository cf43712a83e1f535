package host_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

// resolver answers for public.test as a public name that points inwards, and for upstream.test as a permitted one.
type resolver struct{}

func (resolver) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	switch name {
	case "public.test", "upstream.test":
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// misbehaving is an upstream that does, by path, what upstreams do.
func misbehaving(t *testing.T) (port string) {
	stall := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://denied.test/", http.StatusFound)
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.CopyN(w, zeros{}, 8<<20+1)
	})
	mux.HandleFunc("/bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.CopyN(z, zeros{}, 64<<20)
		_ = z.Close()
	})
	mux.HandleFunc("/stall", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-stall:
		}
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "half")
		panic(http.ErrAbortHandler)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(stall) })
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// deadPort is a port nobody listens on.
func deadPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

const codesYAML = `
entry: %s
fetch:
  allow: [{url: "http://upstream.test:*", private: true}, {url: "http://public.test:*"}]
  limits: {read_timeout: 300ms}
`

// The issue: what goes wrong is a value with the contract's code, whichever way a plugin fetches.
func TestCodesWhicheverWay(t *testing.T) {
	t.Parallel()
	up := misbehaving(t)
	dead := deadPort(t)
	rt := newRuntime(t, fetch.Config{Resolver: resolver{}})
	sdk := load(t, rt, guestDir, fmt.Sprintf(codesYAML, "handle"))
	all := load(t, rt, rawDir, fmt.Sprintf(codesYAML, "handle"))
	one := load(t, rt, rawDir, fmt.Sprintf(codesYAML, "http_one"))
	for _, tc := range []struct{ name, url, code string }{
		{"denied host", "http://denied.test/", "host_denied"},
		{"private address behind a public name", "http://public.test:" + up + "/ok", "address_denied"},
		{"redirect to a denied origin", "http://upstream.test:" + up + "/away", "host_denied"},
		{"8 MiB + 1", "http://upstream.test:" + up + "/big", "response_too_large"},
		{"gzip bomb", "http://upstream.test:" + up + "/bomb", "response_too_large"},
		{"dead port", "http://upstream.test:" + dead + "/", "connect_error"},
		{"stalled upstream", "http://upstream.test:" + up + "/stall", "read_timeout"},
		{"cut body", "http://upstream.test:" + up + "/cut", "read_error"},
		{"no such name", "http://upstream.test.:1/", "host_denied"},
		{"not a URL", "http://[", "invalid_url"},
		{"another protocol", "ftp://upstream.test/", "unsupported_protocol"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			body, report := call(t, sdk, "/fetch", "url", tc.url)
			if got := fromJSON[struct{ Code, Message string }](t, body); got.Code != tc.code || got.Message == "" {
				t.Errorf("SDK: %+v, want %s", got, tc.code)
			}
			reported(t, report, tc.code)

			body, report = invoke(t, all, `["`+tc.url+`"]`)
			if got := fromJSON[allAnswer](t, body); got.Results[0].Status != "rejected" || got.Results[0].Error.Code != tc.code {
				t.Errorf("fetch_all: %s, want %s", body, tc.code)
			}
			reported(t, report, tc.code)

			body, report = invoke(t, one, tc.url)
			if got := fromJSON[struct{ Status, Length int }](t, body); got.Status != 0 || got.Length != 0 {
				t.Errorf("http_request: %s", body)
			}
			reported(t, report, tc.code)
			if !strings.Contains(fmt.Sprint(report.Logs), tc.code) {
				t.Errorf("log without the code: %v", report.Logs)
			}
		})
	}
}

type allAnswer struct {
	Results []struct {
		Status   string
		Response struct {
			Status                int
			Body, URL, BodyBase64 string
			Headers               [][2]string
		}
		Error struct{ Code, Message string }
	}
	Usage struct{ Requests, Bytes int }
	Error struct{ Code, Message string }
}

func invoke(t *testing.T, p *host.Plugin, body string) (string, *host.Report) {
	t.Helper()
	out, report, err := try(p, body, "/")
	if err != nil {
		t.Fatalf("%v\nlog: %v", err, report.Logs)
	}
	return out, report
}

func reported(t *testing.T, r *host.Report, code string) {
	t.Helper()
	if len(r.Fetches) != 1 || string(r.Fetches[0].Code) != code || r.Code != "" {
		t.Errorf("report %q, fetches %+v; want %s", r.Code, r.Fetches, code)
	}
}

// 65 requests against 64: exactly one is refused, the upstream sees the others.
func TestRequestBudget(t *testing.T) {
	t.Parallel()
	var g gauge
	srv := httptest.NewServer(g.hold(0))
	defer srv.Close()
	rt := newRuntime(t, fetch.Config{})
	sdk, raw := load(t, rt, guestDir, allowLoopback), load(t, rt, rawDir, allowLoopback)

	body, report := call(t, sdk, "/group", "n", "65", "url", srv.URL+"/")
	if n := strings.Count(body, "rejected limit_requests"); n != 1 || strings.Count(body, "fulfilled") != 64 || g.all.Load() != 64 {
		t.Errorf("SDK: %d refused, the upstream saw %d: %s", n, g.all.Load(), body)
	}
	if b := report.Budget[0]; b.Used != 64 || b.Limit != 64 {
		t.Errorf("budget %+v", b)
	}
	urls := `["` + strings.Repeat(srv.URL+`/x","`, 64) + srv.URL + `/x"]`
	body, _ = invoke(t, raw, urls)
	if n := strings.Count(body, `"limit_requests"`); n != 1 || g.all.Load() != 128 {
		t.Errorf("fetch_all: %d refused, the upstream saw %d", n, g.all.Load()-64)
	}
	if got := fromJSON[allAnswer](t, body); got.Usage.Requests != 64 || len(got.Results) != 65 {
		t.Errorf("usage %+v", got.Usage)
	}

	each := load(t, rt, rawDir, "entry: http_each\n"+allowLoopback)
	body, report = invoke(t, each, urls)
	statuses := fromJSON[[]int](t, body)
	if statuses[63] != 200 || statuses[64] != 0 || g.all.Load() != 192 {
		t.Errorf("http_request: %v, the upstream saw %d", statuses, g.all.Load()-128)
	}
	if last := report.Fetches[64]; last.Code != "limit_requests" {
		t.Errorf("the report has %q", last.Code)
	}
}
