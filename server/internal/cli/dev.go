package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/internal/project"
)

// devOptions are the flags of dev.
type devOptions struct {
	addr, data, config string
	allowPrivate       bool
}

func (a *app) devCommand() *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev [DIR]",
		Short: "Serve a plugin while you work on it: every change is built and deployed",
		Long: "Run a server with the plugin in DIR, watch the folder, and build and deploy the plugin whenever a file in it changes. Where that fails\n" +
			"it says why, and the last version that worked goes on being served. Every invocation is shown as it ends, with its failed fetches and\n" +
			"what it logged. ^C ends it as it ends `sortie serve`.\n\n" +
			"The server is the one that `sortie serve` runs, deployed to as by `sortie deploy`: with the same limits, the same ceilings, the same\n" +
			"configuration. Only its data is its own, and goes with it unless --data says where to keep it.\n\n" +
			"A folder without Go sources is one whose module something else builds: the module that plugin.yaml names is watched then. Folders\n" +
			"that are hidden or called vendor, node_modules, build, dist or target are not looked into.",
		Example: "  sortie dev prices\n  sortie dev prices --allow-private --addr 127.0.0.1:9000",
		Args:    takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("addr") {
				if err := checkAddr(cmd.Context(), o.addr); err != nil {
					return err
				}
			}
			return a.dev(cmd.Context(), argument(args, 0, "."), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.addr, "addr", "", "listen on `host:port`; port 0 is any free one (default 127.0.0.1:8080)")
	flags.StringVar(&o.data, "data", "", "keep data in `DIR` (default a folder that goes with the command)")
	flags.StringVar(&o.config, "config", "", "read the operator's configuration, sortie.yaml, from `FILE`")
	flags.BoolVar(&o.allowPrivate, "allow-private", false, "permit private addresses where a rule says private: true")
	return cmd
}

func (a *app) dev(ctx context.Context, dir string, o devOptions) (err error) {
	if err := checkProject(dir); err != nil {
		return err
	}
	if o.data == "" {
		if o.data, err = os.MkdirTemp(a.getenv("TMPDIR"), "sortie-dev-"); err != nil {
			return fmt.Errorf("no folder for the server's data can be made: %w; name one with --data", err)
		}
		defer func(dir string) { err = errors.Join(err, os.RemoveAll(dir)) }(o.data)
	}
	if o.data, err = a.dataDir(o.data); err != nil {
		return err
	}
	operator, err := a.devConfig(o)
	if err != nil {
		return err
	}
	watch, err := watchTree(dir, o.data)
	if err != nil {
		return err
	}
	defer watch.close()
	// The server, the builds and the invocations write to stderr at the same time. What isn't a terminal shows no progress, which would be
	// written over.
	shared := *a
	shared.stderr = &takingTurns{w: a.stderr}
	d := &development{
		app: &shared, dir: dir, watch: watch, calls: newCalls(), paint: a.painter(a.stderr), hint: !o.allowPrivate && o.config == "",
	}
	return d.serve(ctx, operator)
}

// checkProject tells whether there is a project to work on. What is wrong with its manifest can be corrected while dev runs.
func checkProject(dir string) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return misuse("%s is no folder: name the one that %s is in", dir, project.ManifestFile)
	}
	_, err := project.Open(dir)
	var wrong *manifest.Error
	if errors.As(err, &wrong) {
		return nil
	}
	return err
}

// devConfig is serve's configuration, but for the data: that of a server which people use is none to try things in. Lines of the server's own
// log would stand between those about the plugin, so of them only the bad ones are shown unless the configuration wants it otherwise.
func (a *app) devConfig(o devOptions) (*manifest.Operator, error) {
	operator, err := a.serveConfig(serveOptions{addr: o.addr, data: o.data, config: o.config})
	if err != nil {
		return nil, err
	}
	forOne(operator)
	if operator.Log == manifest.DefaultOperator().Log {
		operator.Log = manifest.Log{Level: "warn", Format: "text"}
	}
	if o.allowPrivate {
		operator.Private = everyAddress()
	}
	return operator, nil
}

// development is one `sortie dev`: a project on disk, and what a server has of it. Everything but calls is refresh's goroutine's alone.
type development struct {
	app   *app
	dir   string
	watch *watcher
	calls *calls
	paint func(style, text string) string
	hint  bool // say how private addresses are permitted

	built  output    // what the last build made; the zero value: sources have changed since
	served *deployed // nil: nothing yet
}

// output is what a build depends on that isn't in the sources.
type output struct{ wasm, entry string }

// serve runs the server, and beside it what keeps it up to date and what shows the invocations.
func (d *development) serve(ctx context.Context, operator *manifest.Operator) error {
	ctx, cancel := context.WithCancelCause(ctx)
	// Invocations that end while the server drains are shown, too: it goes when they were.
	showing, enough := context.WithCancel(context.WithoutCancel(ctx))
	var beside sync.WaitGroup
	var failed error
	err := d.app.serve(ctx, operator, attached{around: d.calls.around, drained: d.calls.wait, beside: func(_ context.Context, now running) error {
		deploys, err := newAPI(now.base, now.token)
		if err != nil {
			return err
		}
		reports, err := newAPI(now.base, now.token)
		if err != nil {
			return err
		}
		beside.Go(func() {
			failed = d.follow(ctx, deploys)
			cancel(failed)
		})
		beside.Go(func() { d.show(showing, reports) })
		return nil
	}})
	cancel(nil)
	enough()
	beside.Wait()
	return errors.Join(err, failed)
}

// follow deploys the project as it is, and again whenever it has changed, until ctx ends.
func (d *development) follow(ctx context.Context, server *api) error {
	for {
		err := d.refresh(ctx, server)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // what fails then, fails because it ends
		}
		var stuck *outputError
		if errors.As(err, &stuck) { // whoever started it has gone
			return err
		}
		if err != nil {
			d.explain(err)
		}
		changed, err := d.watch.next(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // likewise
		}
		if err != nil {
			return err
		}
		if changed.sources {
			d.built = output{}
		}
		d.app.note("%s", d.paint("dim", changed.text+" changed"))
	}
}

// refresh builds what has changed, and deploys it as `sortie deploy` does. Where nothing did, the server has that version already.
func (d *development) refresh(ctx context.Context, server *api) error {
	p, err := project.Open(d.dir)
	if err != nil {
		return err
	}
	if p.Manifest.Name == "" {
		return fmt.Errorf("the plugin has no name: give it one in %s, as in `name: prices`", p.File)
	}
	builds := project.HasSources(p.Dir)
	if err := d.watch.aim(p, builds); err != nil {
		return err
	}
	_, missing := os.Stat(p.Wasm)
	if now := (output{p.Wasm, p.Manifest.Entry}); builds && (d.built != now || missing != nil) {
		d.app.note("%s", d.paint("dim", "building "+p.Wasm))
		if _, err := d.app.build(ctx, p); err != nil {
			return err
		}
		d.built = now
	}
	wasm, err := readModule(p)
	if err != nil {
		return err
	}
	deployed, err := upload(ctx, server, deployment{name: p.Manifest.Name, manifest: p.Data, wasm: wasm}, deployOptions{})
	if err != nil {
		return err
	}
	return d.announce(deployed)
}

// announce tells what is served now; where it's called goes to stdout, once.
func (d *development) announce(now *deployed) error {
	before := d.served
	d.served = now
	switch {
	case before != nil && before.Name == now.Name && before.Version == now.Version:
		d.app.note("%s version %d is what is served already", now.Name, now.Version)
		return nil
	case before != nil && before.Name != now.Name:
		d.app.note("%s version %d stays where it is", before.Name, before.Version)
	}
	d.app.note("%s", d.paint("good", fmt.Sprintf("%s version %d is served", now.Name, now.Version)))
	for _, c := range now.Clamped {
		d.app.note("clamped %s: asked %s, got %s", c.Key, c.Asked, c.Got)
	}
	if before != nil && before.URL == now.URL {
		return nil
	}
	if _, err := fmt.Fprintln(d.app.stdout, now.URL); err != nil {
		return &outputError{err}
	}
	return nil
}

// explain prints an error, all its lines, and what is served in spite of it.
func (d *development) explain(err error) {
	var text bytes.Buffer
	for line := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
		fmt.Fprintf(&text, "%s\n", d.paint("bad", "sortie: "+printable(line)))
	}
	if d.served == nil {
		fmt.Fprint(&text, "nothing is served yet; waiting for a change\n")
	} else {
		fmt.Fprintf(&text, "%s version %d goes on being served; waiting for a change\n", d.served.Name, d.served.Version)
	}
	_, _ = d.app.stderr.Write(text.Bytes()) // stderr: there is nobody to tell
}

// takingTurns is a writer for several goroutines.
type takingTurns struct {
	mu sync.Mutex
	w  io.Writer
}

func (t *takingTurns) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.w.Write(p)
}
