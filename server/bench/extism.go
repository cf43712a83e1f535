package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"strconv"

	extism "github.com/extism/go-sdk"
)

// extismMain is Extism's own SDK used plainly: the module is compiled once, each call gets an instance of its own, and the guest
// fetches with http_request, one after the other.
func extismMain(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("extism", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:0", "listen on `host:port`")
	wasm := flags.String("wasm", "", "the guest's `FILE`")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	manifest := extism.Manifest{Wasm: []extism.Wasm{extism.WasmFile{Path: *wasm}}, AllowedHosts: []string{"127.0.0.1"}}
	plugin, err := extism.NewCompiledPlugin(ctx, manifest, extism.PluginConfig{EnableWasi: true}, nil)
	if err != nil {
		return err
	}
	defer func() { _ = plugin.Close(context.WithoutCancel(ctx)) }()
	e := extismServer{plugin}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /fan", e.call("fan", "application/json"))
	mux.HandleFunc("GET /pass", e.call("pass", "application/octet-stream"))
	mux.HandleFunc("GET /trivial", e.call("trivial", "application/json"))
	return listenAndServe(ctx, *addr, mux, stdout)
}

type extismServer struct{ plugin *extism.CompiledPlugin }

// extismInput is what the guest gets of a request.
type extismInput struct {
	ID  string `json:"id"`
	N   int    `json:"n"`
	URL string `json:"url"`
}

func (e extismServer) call(export, contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n")) // only a fan-out has one
		output, err := e.invoke(r.Context(), export, extismInput{r.FormValue("id"), n, r.FormValue("url")})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(output)
	}
}

func (e extismServer) invoke(ctx context.Context, export string, in extismInput) ([]byte, error) {
	data, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	instance, err := e.plugin.Instance(ctx, extism.PluginInstanceConfig{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = instance.CloseWithContext(ctx) }()
	_, output, err := instance.CallWithContext(ctx, export, data)
	return output, err
}
