package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sortie-run/sortie/server"
	"github.com/sortie-run/sortie/server/internal/cli/demo"
	"github.com/sortie-run/sortie/server/internal/project"
	"github.com/sortie-run/sortie/server/internal/project/bundle"
)

// serveDemo is serve with an upstream, an operator's configuration and a data folder of the demo's own.
func (a *app) serveDemo(ctx context.Context, o serveOptions) error {
	if o.config != "" {
		return misuse("--demo brings its own configuration: leave out --config; variables work with it, as in: SORTIE_PRIVATE=http://127.0.0.1:9700 make run")
	}
	operator, err := a.serveConfig(o)
	if err != nil {
		return err
	}
	forOne(operator)
	if a.getenv("SORTIE_LOG__FORMAT") == "" {
		operator.Log.Format = "text" // a person reads along: failed invocations are in the log
	}
	if operator.Data == "" {
		base, err := a.dataDir("")
		if err != nil {
			return err
		}
		operator.Data = filepath.Join(base, "demo")
	}
	data, err := a.dataDir(operator.Data)
	if err != nil {
		return err
	}
	// The address is tried before anything slow: that it can't be had should be known at once.
	if err := a.tryAddress(ctx, operator.Addr); err != nil {
		return err
	}
	modules, err := a.demoModules(ctx, data)
	if err != nil {
		return err
	}
	upstream, err := startUpstream(ctx, filepath.Join(data, "upstream.port"))
	if err != nil {
		return err
	}
	operator.Private = append(operator.Private, upstream.origin)
	err = a.serve(ctx, operator, attached{beside: func(ctx context.Context, now running) error {
		return a.deployDemo(ctx, now, upstream.origin, modules)
	}})
	return errors.Join(err, upstream.close())
}

func (a *app) tryAddress(ctx context.Context, addr string) error {
	if err := server.CheckBind(addr, a.getenv("SORTIE_ADMIN_TOKEN") == ""); err != nil {
		return err
	}
	listener, err := listen(ctx, addr)
	if err != nil {
		return err
	}
	return listener.Close()
}

// deployDemo deploys the plugins through the server's own API, and prints what to try: the only lines on stdout.
func (a *app) deployDemo(ctx context.Context, now running, origin string, modules map[string][]byte) error {
	client, err := newAPI(now.base, now.token)
	if err != nil {
		return err
	}
	for _, name := range demo.Names() {
		config, err := demo.Manifest(name, origin)
		if err != nil {
			return err
		}
		done := a.progress("deploying " + name)
		_, err = client.deploy(ctx, deployment{name: name, manifest: config, wasm: modules[name]}, true)
		done()
		if err != nil {
			return fmt.Errorf("deploying the demo's %s: %w", name, err)
		}
	}
	a.note("the console is %s/, the demo's upstream %s; try:", now.base, origin)
	for _, line := range demo.Calls(now.base, now.token != "") {
		fmt.Fprintln(a.stdout, line)
	}
	return nil
}

// demoModules returns the plugins' modules by name. They are built from the sources in this binary at the first start, and kept in
// data under the digest of those sources.
func (a *app) demoModules(ctx context.Context, data string) (map[string][]byte, error) {
	kept := filepath.Join(data, "plugins", bundle.Digest()[:16])
	modules, err := readModules(kept)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return modules, err
	}
	if err := a.buildDemo(ctx, data, kept); err != nil {
		return nil, err
	}
	return readModules(kept)
}

func readModules(dir string) (map[string][]byte, error) {
	modules := map[string][]byte{}
	for _, name := range demo.Names() {
		wasm, err := os.ReadFile(filepath.Join(dir, name+".wasm"))
		if err != nil {
			return nil, err
		}
		modules[name] = wasm
	}
	return modules, nil
}

func (a *app) buildDemo(ctx context.Context, data, output string) error {
	sources, err := os.MkdirTemp(data, ".sources-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(sources) }()
	for _, folder := range []string{bundle.SDK, bundle.Plugins} {
		if err := bundle.Extract(folder, sources); err != nil {
			return err
		}
	}
	if !a.terminal(a.stderr) {
		a.note("building the demo's plugins, at the first start only")
	}
	for _, name := range demo.Names() {
		done := a.progress("building the demo's " + name + ", at the first start only")
		_, err := project.Build(ctx, project.BuildConfig{
			Dir: filepath.Join(sources, bundle.Plugins, name), Output: filepath.Join(output, name+".wasm"), Env: a.env, Sealed: true,
		})
		done()
		var compile *project.CompileError
		if errors.As(err, &compile) {
			fmt.Fprint(a.stderr, compile.Output)
			return fmt.Errorf("the demo's %s doesn't compile with this Go toolchain: see above", name)
		}
		if err != nil {
			return fmt.Errorf("the demo's plugins can't be built: %w", err)
		}
	}
	return nil
}

// upstream is the demo's own HTTP server.
type upstream struct {
	origin string
	server *http.Server
	done   chan struct{}
}

// startUpstream listens on loopback: on the port that portFile remembers, if it's still free, so that the demo's manifests stay the
// same from start to start and make no new versions.
func startUpstream(ctx context.Context, portFile string) (*upstream, error) {
	handler, err := demo.Upstream()
	if err != nil {
		return nil, err
	}
	listener, err := listenAgain(ctx, portFile)
	if err != nil {
		return nil, fmt.Errorf("the demo's upstream: %w", err)
	}
	u := &upstream{
		origin: "http://" + listener.Addr().String(),
		server: &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute},
		done:   make(chan struct{}),
	}
	go func() {
		defer close(u.done)
		_ = u.server.Serve(listener) // ends with close; should it fail before, the plugins' fetches say so
	}()
	return u, nil
}

func listenAgain(ctx context.Context, portFile string) (net.Listener, error) {
	port := "0"
	if data, err := os.ReadFile(portFile); err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 16); err == nil {
			port = strconv.FormatUint(n, 10)
		}
	}
	listener, err := listen(ctx, net.JoinHostPort("127.0.0.1", port))
	if err != nil && port != "0" {
		listener, err = listen(ctx, "127.0.0.1:0")
	}
	if err != nil {
		return nil, err
	}
	_, port, err = net.SplitHostPort(listener.Addr().String())
	if err == nil {
		err = os.WriteFile(portFile, []byte(port+"\n"), 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

func (u *upstream) close() error {
	err := u.server.Close()
	<-u.done
	return err
}
