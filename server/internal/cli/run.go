package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/internal/project"
)

// runOptions are the flags of run.
type runOptions struct {
	method       string
	headers      []string
	data         string
	path         string
	include      bool
	allowPrivate bool
	json         bool
}

func (a *app) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [DIR or FILE.wasm]",
		Short: "Invoke a plugin once in this process, with its real limits and no server",
		Long: "Invoke a plugin once in this process, with its manifest's limits, lowered to a server's default ceilings, and no server. The\n" +
			"response goes to stdout, a streamed one as it comes; the plugin's log, the table of its fetches and the budget used go to\n" +
			"stderr. A folder is built first if its sources changed. The status is 1 if the invocation fails; an answer of the plugin's own, whatever its status, is 0.",
		Example: "  sortie run prices -i --path '/eur?days=7'\n  sortie run search.wasm -X POST -H 'content-type: application/json' -d @query.json",
		Args:    takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.method == "" && cmd.Flags().Changed("data") {
				o.method = http.MethodPost
			}
			return a.run(cmd.Context(), argument(args, 0, "."), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.method, "request", "X", "", "the request's `method` (GET; POST with -d)")
	flags.StringArrayVarP(&o.headers, "header", "H", nil, "a request header, `'Name: value'`; repeatable")
	flags.StringVarP(&o.data, "data", "d", "", "the request's `body`; @file reads a file, @- standard input")
	flags.StringVar(&o.path, "path", "/", "the `path` below the plugin's own, and the query")
	flags.BoolVarP(&o.include, "include", "i", false, "print the status line and the headers too")
	flags.BoolVar(&o.allowPrivate, "allow-private", false, "permit private addresses where a rule says private: true")
	flags.BoolVar(&o.json, "json", false, "print response and report as one JSON object")
	return cmd
}

func (a *app) run(ctx context.Context, path string, o runOptions) error {
	req, err := a.request(o)
	if err != nil {
		return err
	}
	p, wasm, err := a.module(ctx, path)
	if err != nil {
		return err
	}
	operator := manifest.DefaultOperator()
	if o.allowPrivate {
		operator.Private = everyAddress()
	}
	secrets, err := a.ownSecrets(p.Manifest, operator)
	if err != nil {
		return err
	}
	m, err := a.inForce(p, operator)
	if err != nil {
		return err
	}
	out := &printed{app: a, include: o.include}
	if !o.json {
		req.Writer = out
	}
	res, report, err := a.invoke(ctx, operator, secrets, host.Source{Name: m.Name, Version: 1, Wasm: wasm, Manifest: m}, req)
	out.end()
	if report == nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if o.json {
		return errors.Join(a.printJSON(runJSON(res, report)), failedRun(err))
	}
	a.printReport(report)
	if !o.allowPrivate {
		a.hintPrivate(report.Fetches)
	}
	if err != nil {
		return failedRun(err)
	}
	if !res.Streamed {
		if err = out.Begin(res); err == nil {
			_, err = out.Write(res.Body)
		}
	}
	out.end()
	return err
}

// inForce reads the manifest as a deploy does: under the operator's ceilings. What they lower is told.
func (a *app) inForce(p *project.Project, operator *manifest.Operator) (*manifest.Manifest, error) {
	m, clamped, err := operator.ManifestFor(cmp.Or(p.Manifest.Name, "plugin"), p.Data)
	var all manifest.Errors
	if errors.As(err, &all) {
		return nil, all.In(p.File)
	}
	for _, c := range clamped {
		if c.Key != "access" { // nobody calls this one over HTTP
			a.note("note: clamped %s: asked %s, got %s, a server's ceiling", c.Key, c.Asked, c.Got)
		}
	}
	return m, err
}

// hintPrivate says once how fetches from private addresses are permitted, if one was denied.
func (a *app) hintPrivate(fetches []fetch.Record) {
	for _, f := range fetches {
		if hint := privateHint(f.Code, f.Message); hint != "" {
			a.note("note: %s: %s%s", f.Code, printable(f.Message), hint)
			return
		}
	}
}

// invoke makes a runtime for one invocation. The report is nil if the plugin couldn't be loaded.
func (a *app) invoke(ctx context.Context, operator *manifest.Operator, secrets map[string]string, src host.Source, req *host.Request) (
	res *host.Response, report *host.Report, err error,
) {
	engine, err := newEngine(operator)
	if err != nil {
		return nil, nil, err
	}
	defer engine.Close()
	runtime, err := host.New(ctx, host.Config{CacheDir: a.cacheDir(), Engine: engine, Operator: operator, Secrets: secrets})
	if err != nil {
		return nil, nil, err
	}
	free := context.WithoutCancel(ctx)
	defer func() { err = errors.Join(err, runtime.Close(free)) }()
	done := a.progress("compiling " + src.Name)
	plugin, err := runtime.Load(ctx, src)
	done()
	if err != nil {
		return nil, nil, failedRun(err)
	}
	return plugin.Invoke(ctx, req)
}

// cacheDir is where compiled modules are kept between runs: the default data folder's cache, as a server has it. "" if there is no
// such folder: then every run compiles.
func (a *app) cacheDir() string {
	dir, err := a.dataDir("")
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "cache")
}

// failedRun words a host's error: its code first. A plugin's own message may begin as ours do: once is enough.
func failedRun(err error) error {
	var failed *host.Error
	if errors.As(err, &failed) {
		return fmt.Errorf("%s: %s", failed.Code, strings.TrimPrefix(failed.Detail, "sortie: "))
	}
	return err
}

// secretPrefix begins the variables that run takes secrets from. A manifest can't name just any variable: another's plugin would
// carry the environment away.
const secretPrefix = "SORTIE_SECRET_"

// ownSecrets reads the values of a manifest's secrets for run, where no operator gives them: operator gets each as the manifest has it.
func (a *app) ownSecrets(m *manifest.Manifest, operator *manifest.Operator) (map[string]string, error) {
	values := map[string]string{}
	operator.Secrets = map[string]manifest.OperatorSecret{}
	for _, secret := range m.Secrets {
		value := a.getenv(secretPrefix + secret.Name)
		if value == "" {
			return nil, fmt.Errorf("the plugin uses the secret %s: set its value in the environment variable %s%s", secret.Name, secretPrefix, secret.Name)
		}
		if len(secret.Allow) == 0 {
			return nil, fmt.Errorf("the plugin's secret %s doesn't say where it may be sent: give it an `allow` in plugin.yaml", secret.Name)
		}
		values[secret.Name] = value
		bounds := operator.Secrets[secret.Name]
		operator.Secrets[secret.Name] = manifest.OperatorSecret{
			Env: secretPrefix + secret.Name, Allow: append(bounds.Allow, secret.Allow...), Plugins: []string{"*"},
		}
	}
	return values, nil
}
