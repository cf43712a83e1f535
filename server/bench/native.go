package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// nativeMain is the yardstick: the same job as a Go program would do it, without a sandbox.
func nativeMain(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("native", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:0", "listen on `host:port`")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	return listenAndServe(ctx, *addr, nativeRoutes(pooled(2*time.Minute)), stdout)
}

func nativeRoutes(client *http.Client) http.Handler {
	n := native{client}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /fan", n.fan)
	mux.HandleFunc("GET /pass", n.pass)
	mux.HandleFunc("GET /trivial", func(w http.ResponseWriter, r *http.Request) {
		answerJSON(w, map[string]string{"id": r.FormValue("id")})
	})
	return mux
}

type native struct{ client *http.Client }

// fanned is what every competitor answers to /fan.
type fanned struct {
	ID    string `json:"id"`
	OK    int    `json:"ok"`    // fetches that answered 200
	Bytes int    `json:"bytes"` // of their bodies together
}

func (n native) fan(w http.ResponseWriter, r *http.Request) {
	count, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		http.Error(w, "n must be a number", http.StatusBadRequest)
		return
	}
	url, sizes := r.FormValue("url"), make([]int, count)
	var wg sync.WaitGroup
	for i := range sizes {
		wg.Go(func() { sizes[i] = n.one(r.Context(), url) })
	}
	wg.Wait()
	sum := fanned{ID: r.FormValue("id")}
	for _, size := range sizes {
		if size >= 0 {
			sum.OK++
			sum.Bytes += size
		}
	}
	answerJSON(w, sum)
}

// one fetches the URL and returns its body's size; -1: it failed.
func (n native) one(ctx context.Context, url string) int {
	response, err := n.get(ctx, url)
	if err != nil {
		return -1
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return -1
	}
	return len(body)
}

func (n native) pass(w http.ResponseWriter, r *http.Request) {
	response, err := n.get(r.Context(), r.FormValue("url"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	for _, key := range []string{"Content-Type", "Content-Length"} {
		w.Header().Set(key, response.Header.Get(key))
	}
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, response.Body)
}

func (n native) get(ctx context.Context, url string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	return n.client.Do(request)
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
