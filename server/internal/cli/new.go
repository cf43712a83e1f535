package cli

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sortie-run/sortie/server/internal/project"
)

func (a *app) newCommand() *cobra.Command {
	var language string
	cmd := &cobra.Command{
		Use:   "new NAME [--lang go]",
		Short: "Write a plugin project that builds and passes its own test at once",
		Long: "Write a plugin project into the folder NAME: sources, a test, plugin.yaml, and the SDK's source, so that it builds and passes\n" +
			"its own test at once, offline too.",
		Example: "  sortie new prices\n  cd prices && go test ./... && sortie run -i",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := project.CheckName(args[0]); err != nil {
				return &usageError{text: err.Error()}
			}
			if err := project.CheckLanguage(language); err != nil {
				return &usageError{text: err.Error()}
			}
			return a.makeProject(cmd.Context(), args[0], language)
		},
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().StringVar(&language, "lang", "go", "the language of the sources")
	return cmd
}

func (a *app) makeProject(ctx context.Context, name, language string) error {
	if err := project.New(name, name, language); err != nil {
		return err
	}
	a.note("wrote %s; next: cd %s && go test ./... && sortie run -i", name, name)
	// The project is complete either way: what stands between it and a build is only worth a word.
	if _, err := project.FindGo(ctx, a.env, name); err != nil {
		a.note("note: %v", err)
	}
	if work := a.workspaceOver(name); work != "" {
		a.note("note: %s governs this folder: run `go work use ./%s` beside it, or set GOWORK=off", work, name)
	}
	return nil
}

// workspaceOver returns the go.work file that the go command would find above dir, "" if there is none. Its modules are listed
// by name, so a new project inside would not build.
func (a *app) workspaceOver(dir string) string {
	if a.getenv("GOWORK") != "" {
		return ""
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	for parent := filepath.Dir(abs); ; parent = filepath.Dir(parent) {
		file := filepath.Join(parent, "go.work")
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
		if parent == filepath.Dir(parent) {
			return ""
		}
	}
}
