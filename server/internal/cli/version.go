package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/sortie-run/sortie/server/internal/project/bundle"
)

// version is a release's, set by its build: -ldflags "-X github.com/sortie-run/sortie/server/internal/cli.version=v1.2.3".
var version string

// buildVersion is the release's version or, where this isn't one, the module's version as the go command recorded it: a tag for an installed release, else "devel" and, where
// the build knows it, the commit.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
			return "devel-" + setting.Value[:12]
		}
	}
	return "devel"
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program and of what it carries",
		Args:  takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			version := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
				Sources  string `json:"sources"` // digest of the SDK and the plugins inside
			}{buildVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, "sha256:" + bundle.Digest()}
			if asJSON {
				return a.printJSON(version)
			}
			_, err := fmt.Fprintf(a.stdout, "sortie %s (%s, %s)\n", version.Version, version.Go, version.Platform)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
