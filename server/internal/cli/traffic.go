package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// noted is what every command that changes a plugin can say.
type noted struct {
	note string
	json bool
}

func (c *noted) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.note, "note", "", "say why, in the audit log: `text`")
	cmd.Flags().BoolVar(&c.json, "json", false, "print the server's answer as JSON")
}

func (c *noted) query() url.Values {
	query := url.Values{}
	if c.note != "" {
		query.Set("note", c.note)
	}
	return query
}

func (a *app) trafficCommand() *cobra.Command {
	var o noted
	cmd := &cobra.Command{
		Use:   "traffic NAME [VERSION=PERCENT…]",
		Short: "Show or change which version takes how much of a plugin's traffic",
		Long: "Show which version takes how much of a plugin's traffic or, with arguments, change it: `sortie traffic prices 3=90 4=10`. The percents\n" +
			"sum to 100. The versions that get traffic are loaded first, and answer their smoke request if they have one.",
		Example: "  sortie traffic prices\n  sortie traffic prices 3=90 4=10",
		Args:    takes(1, 1000),
		RunE: func(cmd *cobra.Command, args []string) error {
			table, err := parseTable(args[1:])
			if err != nil {
				return err
			}
			server, err := a.named(args[0])
			if err != nil {
				return err
			}
			path := pluginPath(args[0])
			if len(table) == 0 {
				answer, err := server.call(cmd.Context(), http.MethodGet, path, nil, "", nil)
				return a.moved(server, answer, err, o)
			}
			body, err := json.Marshal(table)
			if err != nil {
				return err
			}
			answer, err := server.call(cmd.Context(), http.MethodPut, path+"/traffic", o.query(), typeJSON, body)
			return a.moved(server, answer, err, o)
		},
	}
	o.flags(cmd)
	return cmd
}

// parseTable reads 3=90 4=10.
func parseTable(args []string) ([]weight, error) {
	var table []weight
	for _, arg := range args {
		number, percent, ok := strings.Cut(arg, "=")
		version, wrong := strconv.Atoi(strings.TrimPrefix(number, "v"))
		share, alsoWrong := strconv.Atoi(strings.TrimSuffix(percent, "%"))
		if !ok || wrong != nil || alsoWrong != nil || version < 1 {
			return nil, misuse("%q isn't a version's share: write VERSION=PERCENT, such as 3=90", arg)
		}
		table = append(table, weight{Version: version, Weight: share})
	}
	return table, nil
}

func (a *app) rollbackCommand() *cobra.Command {
	var o noted
	cmd := &cobra.Command{
		Use:   "rollback NAME [VERSION]",
		Short: "Give a plugin the traffic that it had before, or one version all of it",
		Long: "Give a plugin the traffic table that it had before the last change of it; rolling back again undoes that. With a version, that version\n" +
			"takes all traffic.",
		Args: takes(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var body []byte
			if len(args) == 2 {
				version, err := strconv.Atoi(strings.TrimPrefix(args[1], "v"))
				if err != nil || version < 1 {
					return misuse("%q isn't the number of a version; `sortie versions %s` lists them", args[1], args[0])
				}
				body = fmt.Appendf(nil, `{"version":%d}`, version)
			}
			server, err := a.named(args[0])
			if err != nil {
				return err
			}
			answer, err := server.call(cmd.Context(), http.MethodPost, pluginPath(args[0])+"/rollback", o.query(), typeJSON, body)
			return a.moved(server, answer, err, o)
		},
	}
	o.flags(cmd)
	return cmd
}

const typeJSON = "application/json"

// moved prints a plugin's traffic as the server answers it.
func (a *app) moved(server *api, answer []byte, err error, o noted) error {
	if err != nil {
		return err
	}
	if o.json {
		return a.printJSON(json.RawMessage(answer))
	}
	var plugin struct {
		Name    string
		Traffic []weight
	}
	if err := server.decode(answer, &plugin); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s  %s\n", plugin.Name, trafficText(plugin.Traffic))
	return err
}

// auditCommand is `sortie audit`.
func (a *app) auditCommand() *cobra.Command {
	var limit, after int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "audit [NAME]",
		Short: "Show who changed what, of one plugin or of all",
		Args:  takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}}
			if after > 0 {
				query.Set("after", strconv.Itoa(after))
			}
			server, err := a.connect()
			if len(args) == 1 {
				query.Set("plugin", args[0])
				server, err = a.named(args[0])
			}
			if err != nil {
				return err
			}
			return a.audit(cmd.Context(), server, query, asJSON)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "show at most so many changes")
	cmd.Flags().IntVar(&after, "after", 0, "show the first changes after the one with that `number`, not the last ones")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// audited is the part of an audit log's event that is shown.
type audited struct {
	Seq                               int64
	Time                              string
	By, Action                        string
	Plugin, Token, Secret, Role, Note string
	Version                           int
	Created                           bool
	Traffic                           []weight
	Plugins                           []string
}

// what says what the event changed.
func (e *audited) what() string {
	switch {
	case e.Token != "":
		return strings.TrimSpace("token " + e.Token + "  " + e.Role + " " + strings.Join(e.Plugins, ","))
	case e.Secret != "":
		return strings.TrimSpace("secret " + e.Secret + "  " + strings.Join(e.Plugins, ","))
	}
	text := e.Plugin
	if e.Version != 0 {
		text += fmt.Sprintf(" v%d", e.Version)
		if !e.Created {
			text += " again"
		}
	}
	if len(e.Traffic) > 0 {
		text += "  " + trafficText(e.Traffic)
	}
	return text
}

func (a *app) audit(ctx context.Context, server *api, query url.Values, asJSON bool) error {
	answer, err := server.call(ctx, http.MethodGet, "/v1/audit", query, "", nil)
	if err != nil {
		return err
	}
	var log struct{ Events json.RawMessage }
	if err := server.decode(answer, &log); err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(log.Events)
	}
	var events []audited
	if err := server.decode(log.Events, &events); err != nil {
		return err
	}
	if len(events) == 0 {
		a.note("no changes yet")
		return nil
	}
	var out bytes.Buffer
	table := newTable(&out)
	fmt.Fprintln(table, "NUMBER\tTIME\tBY\tACTION\tWHAT\tNOTE")
	for _, e := range events {
		fmt.Fprintf(table, "%d\t%.19s\t%s\t%s\t%s\t%s\n", e.Seq, e.Time, e.By, e.Action, e.what(), printable(e.Note))
	}
	return a.printTable(table, &out)
}
