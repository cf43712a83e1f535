package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/sortie-run/sortie/server/internal/project"
)

func (a *app) buildCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "build [DIR]",
		Short: "Build a project's plugin.wasm",
		Long: "Check plugin.yaml and compile the folder's Go sources to the module it names. The module is replaced in one step, and only\n" +
			"if everything went well.",
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := project.Open(argument(args, 0, "."))
			if err != nil {
				return err
			}
			built, err := a.build(cmd.Context(), p)
			if err != nil {
				return err
			}
			for _, place := range project.GlobalRandom(cmd.Context(), p.Dir, a.env) {
				a.note("warning: %s gives the same numbers in every invocation, which begins from a saved memory: use sortie.Rand, or crypto/rand for secrets", place)
			}
			if asJSON {
				return a.printJSON(built)
			}
			_, err = fmt.Fprintf(a.stdout, "%s  %s  %s\n", p.Wasm, bytesText(built.Bytes), built.Digest)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func argument(args []string, i int, otherwise string) string {
	if i < len(args) {
		return args[i]
	}
	return otherwise
}

// build compiles a project's sources; what Go says against them goes to stderr as it is.
func (a *app) build(ctx context.Context, p *project.Project) (*project.Built, error) {
	if !project.HasSources(p.Dir) {
		return nil, fmt.Errorf("no Go sources in %s: name the folder of a plugin's main package", p.Dir)
	}
	done := a.progress("building " + p.Wasm)
	built, err := project.Build(ctx, project.BuildConfig{Dir: p.Dir, Output: p.Wasm, Env: a.env, Entry: p.Manifest.Entry})
	done()
	var compile *project.CompileError
	if errors.As(err, &compile) {
		fmt.Fprint(a.stderr, compile.Output)
	}
	var entry *project.EntryError
	if errors.As(err, &entry) {
		advice := "correct `entry` in " + p.File
		if near := nearest(entry.Entry, entry.Exports); near != "" {
			advice = fmt.Sprintf("did you mean %q? Correct `entry` in %s", near, p.File)
		}
		return nil, fmt.Errorf("%w: %s", err, advice)
	}
	return built, err
}

// module returns the plugin at path ready to be loaded: its manifest, and its module's bytes, built anew if path is a folder
// whose sources changed since the module was written.
func (a *app) module(ctx context.Context, path string) (*project.Project, []byte, error) {
	p, err := project.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if !p.Built && project.HasSources(p.Dir) {
		if err := a.refresh(ctx, p); err != nil {
			return nil, nil, err
		}
	}
	wasm, err := readModule(p)
	return p, wasm, err
}

// readModule reads what was built.
func readModule(p *project.Project) ([]byte, error) {
	wasm, err := os.ReadFile(p.Wasm)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s doesn't exist: build it, or correct `wasm` in %s", p.Wasm, p.File)
	}
	return wasm, err
}

func (a *app) refresh(ctx context.Context, p *project.Project) error {
	stale, err := project.Stale(ctx, p.Dir, p.Wasm, a.env)
	var without *project.ToolchainError
	if errors.As(err, &without) {
		if _, missing := os.Stat(p.Wasm); missing == nil {
			a.note("note: %s is used as it is, changed sources or not: %v", p.Wasm, err)
			return nil
		}
	}
	if err != nil || !stale {
		return err
	}
	_, err = a.build(ctx, p)
	return err
}
