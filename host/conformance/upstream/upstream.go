// Package upstream is a loopback server that does what a script says: the other side of a conformance vector's fetches.
//
//	script := upstream.Script{"/flaky": {{Status: 503}, {Body: "at last"}}}
//	server, err := upstream.Start(script)
//	defer server.Close()
//	// … fetch server.Origin + "/flaky" twice …
//	server.Requests("/flaky") // 2
//
// It listens as two origins, Origin and Other, which do the same; what they saw is counted apart. Any page may read every answer (CORS), and
// preflights are answered and not counted, so that a browser's fetches count as any other host's do.
package upstream

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Script says by path what a server does. The first request for a path gets the first step, and so on; the last one stays.
// A path that isn't there is answered with 404.
type Script map[string]Steps

// Server is a running upstream.
type Server struct {
	Origin string // http://127.0.0.1:PORT
	Other  string // another origin of the same server
	Named  string // Origin by the name localhost
	Dead   string // an origin that nobody listens at

	script  Script
	servers [2]*http.Server
	quit    chan struct{} // closed when everything that waits is to give up

	mu       sync.Mutex
	changed  chan struct{} // closed, and replaced, with every change of what follows
	seen     map[string]int
	cut      map[string]int
	now      map[string]int // under way, by path
	gathered map[string]int // the most of now, for those that wait for each other
	most     int
	flying   int
}

// Start starts a server. It is the caller's to close.
func Start(script Script) (*Server, error) {
	s := &Server{
		script: script, quit: make(chan struct{}), changed: make(chan struct{}),
		seen: map[string]int{}, cut: map[string]int{}, now: map[string]int{}, gathered: map[string]int{},
	}
	for i, origin := range []*string{&s.Origin, &s.Other} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.Close()
			return nil, err
		}
		*origin = "http://" + l.Addr().String()
		prefix := [...]string{"", "other:"}[i]
		s.servers[i] = &http.Server{
			Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, prefix) }),
			ReadHeaderTimeout: 30 * time.Second,
		}
		go func() { _ = s.servers[i].Serve(l) }() // it ends with Close
	}
	s.Named = strings.Replace(s.Origin, "127.0.0.1", "localhost", 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Close()
		return nil, err
	}
	s.Dead = "http://" + l.Addr().String()
	l.Close()
	return s, nil
}

// Play changes the script: an upstream's own origins, which it knows once it runs, may stand in it.
func (s *Server) Play(script Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// Close ends the server and every request that still waits.
func (s *Server) Close() {
	close(s.quit)
	for _, server := range s.servers {
		if server != nil {
			_ = server.Close()
		}
	}
}

// Requests tells how many requests came for a path of Origin, or with "other:" before it, of Other.
func (s *Server) Requests(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[path]
}

// Cut tells how many requests for a path were given up by the client before their answer's end.
func (s *Server) Cut(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut[path]
}

// Most tells how many requests there were at once, at most.
func (s *Server) Most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// WaitURL is an address that answers as soon as n requests have come for a path. Asking for it counts nowhere.
func (s *Server) WaitURL(path string, n int) string {
	return s.Origin + waitPath + "?n=" + strconv.Itoa(n) + "&path=" + path
}

// Until waits until a condition on what was counted holds, or ctx ends; it tells whether it holds.
func (s *Server) Until(ctx context.Context, holds func() bool) bool {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if holds() {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return holds()
		case <-s.quit:
			return holds()
		}
	}
}

// waitPath is what WaitURL asks for.
const waitPath = "/.upstream/wait"

// count changes what was counted, and wakes whoever waits for it.
func (s *Server) count(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, prefix string) {
	allowAnyPage(w.Header(), r)
	switch {
	case r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "":
		w.WriteHeader(http.StatusNoContent)
		return
	case r.URL.Path == waitPath:
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		path := r.URL.Query().Get("path")
		s.Until(r.Context(), func() bool { return s.Requests(path) >= n })
		return
	}
	path := prefix + r.URL.EscapedPath()
	var nth int
	var steps Steps
	s.count(func() {
		steps, nth = s.script[r.URL.EscapedPath()], s.seen[path]
		s.seen[path]++
		s.now[path]++
		s.flying++
		s.most = max(s.most, s.flying)
	})
	whole := false
	defer s.count(func() {
		s.now[path]--
		s.flying--
		if !whole {
			s.cut[path]++
		}
	})
	if len(steps) == 0 {
		http.NotFound(w, r)
		whole = true
		return
	}
	e := &exchange{server: s, path: path, w: w, r: r}
	whole = e.play(&steps[min(nth, len(steps)-1)])
}

// allowAnyPage lets pages of other origins send what they like, and read what comes (Fetch standard, "CORS protocol"). `*` doesn't stand for
// Authorization, so what is asked for is repeated.
func allowAnyPage(h http.Header, r *http.Request) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "*")
	h.Set("Timing-Allow-Origin", "*")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", r.Header.Get("Access-Control-Request-Method"))
		h.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
		h.Set("Access-Control-Allow-Private-Network", "true")
		h.Set("Access-Control-Max-Age", "600")
	}
}
