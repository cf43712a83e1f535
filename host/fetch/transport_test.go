package fetch_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// counted is an upstream that counts its connections.
func counted(t testing.TB, handler http.HandlerFunc) (string, *atomic.Int32) {
	var conns atomic.Int32
	s := httptest.NewUnstartedServer(handler)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, &conns
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	up, conns := counted(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/from" {
			http.Redirect(w, r, "/to", 302)
		}
		io.WriteString(w, "hello")
	})
	b := open(t, fetch.Config{}, loopback())
	for range 5 {
		session := b.client.Session(context.Background())
		wantOK(t, session.Do(context.Background(), &fetch.Request{URL: up + "/from"}))
		wantOK(t, session.Do(context.Background(), &fetch.Request{URL: up, Method: "POST", Body: []byte("x")}))
		wantOK(t, session.Do(context.Background(), &fetch.Request{URL: up, Method: "HEAD"}))
		session.Close()
	}
	if n := conns.Load(); n > 3 { // of 20 requests; on a busy machine one may be given up now and then
		t.Errorf("%d connections", n)
	}
}

func TestClientsShareNoConnection(t *testing.T) {
	t.Parallel()
	up, conns := counted(t, func(http.ResponseWriter, *http.Request) {})
	b := open(t, fetch.Config{}, loopback())
	other, err := b.engine.Client(loopback())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		wantOK(t, b.do(&fetch.Request{URL: up}))
		wantOK(t, other.Session(context.Background()).Do(context.Background(), &fetch.Request{URL: up}))
	}
	if n := conns.Load(); n < 2 || n > 4 {
		t.Errorf("%d connections", n)
	}
}

// TestPrivateConnectionIsNotReused: a connection that one rule may have is not there for another rule's URL at the same origin.
func TestPrivateConnectionIsNotReused(t *testing.T) {
	t.Parallel()
	up, conns := counted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/private/out" {
			http.Redirect(w, r, "/public", 302)
		}
	})
	p := fetch.Policy{Rules: []manifest.Rule{{URL: up + "/private/", Private: true}, {URL: up + "/public"}}, Private: []string{up}}
	b := open(t, fetch.Config{}, p)
	wantOK(t, b.do(&fetch.Request{URL: up + "/private/in"}))
	wantCode(t, b.do(&fetch.Request{URL: up + "/public"}), failure.AddressDenied)
	wantCode(t, b.do(&fetch.Request{URL: up + "/private/out"}), failure.AddressDenied)
	wantOK(t, b.do(&fetch.Request{URL: up + "/private/in"}))
	if n := conns.Load(); n > 2 { // never one for a denial; one of three may have been given up
		t.Errorf("%d connections", n)
	}
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	remotes := map[string]bool{}
	up := newGate()
	server, roots := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		remotes[r.RemoteAddr] = true
		mu.Unlock()
		switch r.URL.Path {
		case "/proto":
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s %d", r.Proto, r.Method, r.Host, len(body))
		default:
			up.ServeHTTP(w, r)
		}
	})
	b := open(t, fetch.Config{TLS: roots}, withLimits(func(l *manifest.FetchLimits) { l.Concurrency = 20 }))
	host := strings.TrimPrefix(server.URL, "https://")
	for _, r := range []fetch.Request{{Method: "GET"}, {Method: "POST"}, {Method: "POST", Body: []byte("abc")}, {Method: "PUT", Body: make([]byte, 100<<10)}} {
		r.URL = server.URL + "/proto"
		resp := wantOK(t, b.do(&r))
		if want := fmt.Sprintf("HTTP/2.0 %s %s %d", r.Method, host, len(r.Body)); string(resp.Body) != want {
			t.Errorf("got %q, want %q", resp.Body, want)
		}
	}
	results := make(chan []fetch.Result, 1)
	go func() { results <- b.session.Group(context.Background(), group(server.URL, 20)) }()
	eventually(t, "20 in flight", func() bool { return up.inFlight() == 20 })
	close(up.opened)
	for _, r := range within(t, "results", results) {
		wantOK(t, r)
	}
	if len(remotes) > 2 {
		t.Errorf("%d connections", len(remotes))
	}
}

// TestHTTP2Cancel: a cancelled stream leaves the connection to the others.
func TestHTTP2Cancel(t *testing.T) {
	t.Parallel()
	up := newGate()
	server, roots := serveTLS(t, up.ServeHTTP)
	b := open(t, fetch.Config{TLS: roots}, loopback())
	outcome := make(chan fetch.Result, 2)
	call := b.session.Start(&fetch.Request{URL: server.URL}, func(r fetch.Result) { outcome <- r })
	eventually(t, "in flight", func() bool { return up.inFlight() == 1 })
	b.session.Start(&fetch.Request{URL: server.URL}, func(r fetch.Result) { outcome <- r })
	eventually(t, "both in flight", func() bool { return up.inFlight() == 2 })
	call.Cancel()
	wantCode(t, within(t, "the cancelled one", outcome), failure.Cancelled)
	eventually(t, "the upstream to know", func() bool { return up.gone.Load() == 1 })
	close(up.opened)
	wantOK(t, within(t, "the other", outcome))
}

func TestHTTP2Failures(t *testing.T) {
	t.Parallel()
	server, roots := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.Write([]byte("part"))
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler) // resets the stream
	})
	b := open(t, fetch.Config{TLS: roots}, loopback())
	for _, path := range []string{"/head", "/body"} {
		wantCode(t, b.do(&fetch.Request{URL: server.URL + path}), failure.ReadError)
	}
}

// TestEnvironmentProxiesAreIgnored can't be parallel: it changes the environment.
func TestEnvironmentProxiesAreIgnored(t *testing.T) {
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	up := serve(t, func(http.ResponseWriter, *http.Request) {})
	// A name, since the environment's proxies are never asked for loopback addresses.
	wantOK(t, open(t, fetch.Config{}, loopback()).do(&fetch.Request{URL: strings.Replace(up.URL, "127.0.0.1", "a.test", 1)}))
}

func TestClientCloseClosesConnections(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		var ever, now atomic.Int32
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		s.EnableHTTP2 = true
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				ever.Add(1)
				now.Add(1)
			case http.StateClosed:
				now.Add(-1)
			}
		}
		cfg := fetch.Config{}
		if secure {
			s.StartTLS()
			cfg.TLS = trusting(s)
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		b := open(t, cfg, loopback())
		wantOK(t, b.do(&fetch.Request{URL: s.URL}))
		if ever.Load() == 0 {
			t.Error("no connection was counted")
		}
		b.client.Close()
		eventually(t, "closed", func() bool { return now.Load() == 0 })
		wantCode(t, b.do(&fetch.Request{URL: s.URL}), failure.Cancelled)
	}
}

// TestEarlyAnswerToAShortBody: an answer counts though the server never read what was sent.
func TestEarlyAnswerToAShortBody(t *testing.T) {
	t.Parallel()
	up := serveRaw(t, func(_ int, c net.Conn) {
		io.ReadFull(c, make([]byte, 16))
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		c.Close()
	})
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Requests = 1000 }))
	for i := range 100 {
		resp := b.do(&fetch.Request{Method: "POST", URL: up, Body: make([]byte, 100*i)})
		if resp.Err != nil || resp.Response.Status != 413 {
			t.Fatalf("%d bytes: %+v", 100*i, resp)
		}
	}
}
