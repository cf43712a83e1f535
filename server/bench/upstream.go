package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// upstreamMain is what everybody fetches from.
func upstreamMain(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("upstream", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:0", "listen on `host:port`")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	return listenAndServe(ctx, *addr, newUpstream(), stdout)
}

// upstream answers deterministic bodies late:
//
//	GET /delay/{ms}/{size}   size bytes after so many milliseconds
//	GET /hold/{size}         size bytes, not before POST /open
//	GET /stats               what upstreamStats has
type upstream struct {
	mux      *http.ServeMux
	requests atomic.Int64
	inFlight atomic.Int64

	mu   sync.Mutex
	open chan struct{} // closed when held requests may go on
}

// upstreamStats are counts of /delay and /hold.
type upstreamStats struct {
	Requests int64 `json:"requests"` // since the start
	InFlight int64 `json:"in_flight"`
}

func newUpstream() *upstream {
	u := &upstream{mux: http.NewServeMux(), open: make(chan struct{})}
	u.mux.HandleFunc("GET /delay/{ms}/{size}", u.counted(func(w http.ResponseWriter, r *http.Request) {
		ms, err := strconv.Atoi(r.PathValue("ms"))
		if err != nil {
			http.Error(w, "the delay is a number of milliseconds", http.StatusBadRequest)
			return
		}
		if ms > 0 && !sleep(r.Context(), time.Duration(ms)*time.Millisecond) {
			return
		}
		answerBytes(w, r.PathValue("size"))
	}))
	u.mux.HandleFunc("GET /hold/{size}", u.counted(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		open := u.open
		u.mu.Unlock()
		select {
		case <-open:
			answerBytes(w, r.PathValue("size"))
		case <-r.Context().Done():
		}
	}))
	u.mux.HandleFunc("POST /open", func(http.ResponseWriter, *http.Request) { u.setOpen(true) })
	u.mux.HandleFunc("POST /shut", func(http.ResponseWriter, *http.Request) { u.setOpen(false) })
	u.mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(upstreamStats{u.requests.Load(), u.inFlight.Load()})
	})
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) { u.mux.ServeHTTP(w, r) }

func (u *upstream) counted(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u.requests.Add(1)
		u.inFlight.Add(1)
		defer u.inFlight.Add(-1)
		h(w, r)
	}
}

func (u *upstream) setOpen(open bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	select {
	case <-u.open:
		if !open {
			u.open = make(chan struct{})
		}
	default:
		if open {
			close(u.open)
		}
	}
}

// largest is the size of the largest body, in bytes.
const largest = 1 << 20

// pattern is a body; a shorter one is its beginning.
var pattern = bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuv"), largest/32)

func answerBytes(w http.ResponseWriter, size string) {
	n, err := strconv.Atoi(size)
	if err != nil || n < 0 || n > largest {
		http.Error(w, "the size is a number of bytes, a mebibyte at most", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(n))
	_, _ = w.Write(pattern[:n])
}

// sleep reports whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
