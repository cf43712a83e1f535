// Command embed-host runs a plugin inside a Go program of your own, without the server: the package host is a library.
//
//	go run ./examples/embed-host path/to/plugin.yaml /some/path
//
// It prints the response, then what the host recorded of the invocation.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "embed-host:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: embed-host plugin.yaml /path")
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	// The operator's side: its ceilings cut the plugin's manifest down.
	operator := manifest.DefaultOperator()
	m, _, err := operator.Manifest(data)
	if err != nil {
		return err
	}
	wasm, err := os.ReadFile(filepath.Join(filepath.Dir(args[0]), m.Wasm))
	if err != nil {
		return err
	}

	// One engine and one runtime serve a whole process.
	engine := fetch.New(fetch.Config{})
	defer engine.Close()
	runtime, err := host.New(ctx, host.Config{Engine: engine, Operator: operator})
	if err != nil {
		return err
	}
	defer func() { _ = runtime.Close(ctx) }()

	plugin, err := runtime.Load(ctx, host.Source{Name: m.Name, Version: 1, Wasm: wasm, Manifest: m})
	if err != nil {
		return err
	}
	response, report, err := plugin.Invoke(ctx, &host.Request{Path: args[1]})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d %s\n", response.Status, response.Body)
	e := json.NewEncoder(stdout)
	e.SetIndent("", "  ")
	return e.Encode(report)
}
