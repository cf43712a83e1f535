package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sortie-run/sortie/server/internal/project"
)

// deployOptions are the flags of deploy.
type deployOptions struct {
	name      string
	set       []string
	strict    bool
	noTraffic bool
	note      string
	json      bool
	signed
}

func (a *app) deployCommand() *cobra.Command {
	var o deployOptions
	cmd := &cobra.Command{
		Use:   "deploy [DIR or FILE.wasm]",
		Short: "Deploy a plugin to a server as its next version",
		Long: "Deploy a plugin to the server at SORTIE_SERVER (" + defaultServer + ") as its next version, which takes all traffic. A folder is\n" +
			"built first if its sources changed. A module without a plugin.yaml beside it gets the default manifest.\n\n" +
			"Where the manifest asks for more than the operator's ceilings allow, it gets the ceiling. With --strict that is an error: the\n" +
			"version is uploaded without traffic first, and takes traffic only if nothing was lowered.\n\n" +
			"A minisign signature in FILE.wasm.minisig, as `minisign -S -m FILE.wasm` leaves it, goes along; an operator can require one.",
		Example: "  sortie deploy prices --set region=us --set sources.stock=https://stock.example.com\n  sortie deploy other.wasm --name search",
		Args:    takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd.Flags().Changed("signature")); err != nil {
				return err
			}
			return a.deploy(cmd.Context(), argument(args, 0, "."), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.name, "name", "", "deploy under this `name` instead of the manifest's")
	flags.StringArrayVar(&o.set, "set", nil, "set `key=value` in the manifest's config; dots go deeper, the value is YAML; repeatable")
	flags.BoolVar(&o.strict, "strict", false, "fail, and move no traffic, if a limit is over the operator's ceiling")
	flags.BoolVar(&o.noTraffic, "no-traffic", false, "store the version, but leave the traffic where it is")
	flags.StringVar(&o.note, "note", "", "say what is new, in the list of versions and the audit log: `text`")
	flags.StringVar(&o.file, "signature", "", "send the module's minisign signature from `FILE` (default FILE.wasm.minisig, if there is one)")
	flags.StringVar(&o.digest, "digest", "", "fail unless the module is this one: `sha256:…`")
	flags.BoolVar(&o.json, "json", false, "print the server's answer as JSON")
	return cmd
}

func (a *app) deploy(ctx context.Context, path string, o deployOptions) error {
	settings, err := assignments(o.set)
	if err != nil {
		return err
	}
	if o.name != "" {
		if err := project.CheckName(o.name); err != nil {
			return &usageError{text: "--name: " + err.Error()}
		}
	}
	server, err := a.connect()
	if err != nil {
		return err
	}
	p, wasm, err := a.module(ctx, path)
	if err != nil {
		return err
	}
	var wrong *project.SettingError
	if err := p.Override(o.name, settings); errors.As(err, &wrong) {
		return &usageError{text: "--set " + wrong.Error()}
	} else if err != nil {
		return err
	}
	if p.Manifest.Name == "" {
		return misuse("the plugin at %s has no name: give it one with --name NAME", path)
	}
	sig, err := a.signatureOf(p, wasm, o.signed)
	if err != nil {
		return err
	}
	done := a.progress("deploying " + p.Manifest.Name)
	d, err := upload(ctx, server, deployment{name: p.Manifest.Name, manifest: p.Data, wasm: wasm, signature: sig, note: o.note}, o)
	done()
	if err != nil {
		return err
	}
	if sig != nil && d.Signer == "" {
		a.note("the server didn't check the signature: its operator lists no keys")
	}
	if o.json {
		return a.printJSON(d.raw)
	}
	return a.printDeployed(d, o)
}

// upload deploys; with o.strict it makes sure that nothing was clamped before traffic moves.
func upload(ctx context.Context, server *api, what deployment, o deployOptions) (*deployed, error) {
	if !o.strict {
		return server.deploy(ctx, what, !o.noTraffic)
	}
	d, err := server.deploy(ctx, what, false)
	if err != nil {
		return nil, err
	}
	if len(d.Clamped) > 0 {
		lowered := make([]string, len(d.Clamped))
		for i, c := range d.Clamped {
			lowered[i] = fmt.Sprintf("%s asks for %s, at most %s", c.Key, c.Asked, c.Got)
		}
		return nil, fmt.Errorf("over the operator's ceilings: %s; version %d of %s %s: lower the limits, or leave out --strict",
			strings.Join(lowered, "; "), d.Version, what.name, standing(ctx, server, d))
	}
	if o.noTraffic {
		return d, nil
	}
	return server.deploy(ctx, what, true)
}

// standing says what became of a version that was uploaded without traffic. The upload moved none, but the same version may have had
// some from before.
func standing(ctx context.Context, server *api, d *deployed) string {
	var plugin struct{ Traffic []weight }
	if err := server.get(ctx, pluginPath(d.Name), &plugin); err != nil {
		return "is stored, and no traffic was moved"
	}
	for _, w := range plugin.Traffic {
		if w.Version == d.Version && w.Weight > 0 {
			return fmt.Sprintf("was deployed before and keeps its %d%% of the traffic", w.Weight)
		}
	}
	return "is stored and takes no traffic"
}

func (a *app) printDeployed(d *deployed, o deployOptions) error {
	fmt.Fprintf(a.stdout, "%s version %d  %s\n", d.Name, d.Version, d.Digest)
	if d.Signer != "" {
		fmt.Fprintf(a.stdout, "signed by key %s\n", d.Signer)
	}
	for _, c := range d.Clamped {
		fmt.Fprintf(a.stdout, "clamped %s: asked %s, got %s\n", c.Key, c.Asked, c.Got)
	}
	if o.noTraffic {
		fmt.Fprintf(a.stdout, "no traffic moved; to call it: curl -H 'Sortie-Version: %d' %s\n", d.Version, d.URL)
		return nil
	}
	_, err := fmt.Fprintln(a.stdout, d.URL)
	return err
}

// assignments splits key=value flags.
func assignments(flags []string) ([]project.Setting, error) {
	var settings []project.Setting
	for _, flag := range flags {
		key, value, ok := strings.Cut(flag, "=")
		if !ok || key == "" {
			return nil, misuse("--set %s: write it as key=value", flag)
		}
		settings = append(settings, project.Setting{Key: key, Value: value})
	}
	return settings, nil
}
