// Command browser serves a page that runs a plugin by itself, with the browser host, and the upstream which that plugin asks.
//
//	make example-browser
//
// builds the host and the plugin (examples/go-plugin, as it is) and starts this.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

//go:embed index.html
var page []byte

func main() {
	addr := flag.String("addr", "127.0.0.1:8090", "the address to listen on")
	host := flag.String("host", "build/browser", "the folder with the browser host's index.js and worker.js")
	plugin := flag.String("plugin", "examples/go-plugin/plugin.wasm", "the module that the page runs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr, handler(*host, *plugin)); err != nil {
		fmt.Fprintln(os.Stderr, "browser:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr string, h http.Handler) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("%w: give another with -addr", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() }) // who leaves waits for nobody
	defer stopped()
	fmt.Printf("open http://%s/\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handler serves the page, what it loads, and the upstream.
func handler(host, plugin string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	mux.Handle("GET /sortie/", http.StripPrefix("/sortie/", http.FileServer(http.Dir(host))))
	mux.HandleFunc("GET /plugin.wasm", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, plugin) })
	mux.HandleFunc("GET /upstream/{what}", upstream)
	return isolated(mux)
}

// upstream knows two drinks, and takes its time for them.
func upstream(w http.ResponseWriter, r *http.Request) {
	prices := map[string]string{"tea": "3.10", "coffee": "3.90"}
	time.Sleep(20 * time.Millisecond)
	price, ok := prices[r.PathValue("what")]
	if !ok {
		http.Error(w, "never heard of it", http.StatusNotFound)
		return
	}
	fmt.Fprint(w, price)
}

// isolated makes pages cross-origin isolated: browsers without JSPI need that to run a plugin, others don't mind.
func isolated(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		h.ServeHTTP(w, r)
	})
}
