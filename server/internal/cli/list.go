package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sortie-run/sortie/server/internal/project"
)

// weight is a version's share of the traffic, in percent.
type weight struct {
	Version int `json:"version"`
	Weight  int `json:"weight"`
}

func (a *app) listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the plugins on a server",
		Args:  takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := a.connect()
			if err != nil {
				return err
			}
			var answer struct {
				Plugins json.RawMessage `json:"plugins"`
			}
			if err := server.get(cmd.Context(), "/v1/plugins", &answer); err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(answer.Plugins)
			}
			return a.printPlugins(server, answer.Plugins)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (a *app) printPlugins(server *api, list json.RawMessage) error {
	var plugins []struct {
		Name     string
		Digest   string
		URL      string
		Versions int
		Traffic  []weight
	}
	if err := server.decode(list, &plugins); err != nil {
		return err
	}
	if len(plugins) == 0 {
		a.note("no plugins on %s; deploy one with: sortie deploy DIR", server.base)
		return nil
	}
	table := newTable(a.stdout)
	fmt.Fprintln(table, "NAME\tTRAFFIC\tVERSIONS\tDIGEST\tURL")
	for _, p := range plugins {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", p.Name, trafficText(p.Traffic), p.Versions, shortDigest(p.Digest), server.resolve(p.URL))
	}
	return table.Flush()
}

// trafficText prints `v3 100%` for one version with everything, `v3 90% v4 10%` for several, `none`.
func trafficText(traffic []weight) string {
	if len(traffic) == 0 {
		return "none"
	}
	var parts []string
	for _, w := range traffic {
		parts = append(parts, fmt.Sprintf("v%d %d%%", w.Version, w.Weight))
	}
	return strings.Join(parts, " ")
}

// shortDigest is enough of a digest to tell modules apart in a table.
func shortDigest(digest string) string {
	const shown = len("sha256:") + 12
	return digest[:min(len(digest), shown)]
}

func (a *app) versionsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "versions NAME",
		Short: "List a plugin's versions, newest first",
		Args:  takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := a.named(args[0])
			if err != nil {
				return err
			}
			var answer struct {
				Versions json.RawMessage `json:"versions"`
			}
			if err := server.get(cmd.Context(), pluginPath(args[0])+"/versions", &answer); err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(answer.Versions)
			}
			return a.printVersions(server, answer.Versions)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (a *app) printVersions(server *api, list json.RawMessage) error {
	var versions []struct {
		Version int
		Digest  string
		Created time.Time
		Weight  int
		By      string
		Note    string
	}
	if err := server.decode(list, &versions); err != nil {
		return err
	}
	var out bytes.Buffer
	table := newTable(&out)
	fmt.Fprintln(table, "VERSION\tTRAFFIC\tCREATED\tDIGEST\tBY\tNOTE")
	for _, v := range versions {
		fmt.Fprintf(table, "%d\t%d%%\t%s\t%s\t%s\t%s\n", v.Version, v.Weight, v.Created.UTC().Format(time.RFC3339), shortDigest(v.Digest), v.By,
			printable(v.Note))
	}
	return a.printTable(table, &out)
}

func (a *app) removeCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a plugin with all its versions from a server",
		Args:  takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := a.named(args[0])
			if err != nil {
				return err
			}
			if _, err := server.call(cmd.Context(), http.MethodDelete, pluginPath(args[0]), nil, "", nil); err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(map[string]string{"removed": args[0]})
			}
			_, err = fmt.Fprintf(a.stdout, "removed %s\n", args[0])
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// named is connect for a command about one plugin. The name is checked here because it becomes a part of a path.
func (a *app) named(name string) (*api, error) {
	if err := project.CheckName(name); err != nil {
		return nil, &usageError{text: err.Error()}
	}
	return a.connect()
}
