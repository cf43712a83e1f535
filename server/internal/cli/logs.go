package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// logLine is a line of a plugin's log, as the server gives it.
type logLine struct {
	Time       time.Time `json:"time"`
	Level      string    `json:"level"`
	Message    string    `json:"message"`
	Invocation string    `json:"invocation"`
}

// logOptions are the flags of logs.
type logOptions struct {
	follow bool
	json   bool
	limit  int
}

func (a *app) logsCommand() *cobra.Command {
	var o logOptions
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Show what a plugin logged and printed last",
		Long: "Show what a plugin on a server logged and printed last, the newest line last: time, level, invocation, message. A line is there\n" +
			"as soon as it is logged. With -f go on with each new line until ^C; a connection that breaks is made again.",
		Example: "  sortie logs prices --limit 20\n  sortie logs prices -f",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.limit < 0 {
				return misuse("--limit %d: it's a number of lines", o.limit)
			}
			server, err := a.named(args[0])
			if err != nil {
				return err
			}
			if o.follow {
				return a.followLogs(cmd.Context(), server, args[0], o)
			}
			return a.recentLogs(cmd.Context(), server, args[0], o)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.follow, "follow", "f", false, "go on with each new line")
	flags.BoolVar(&o.json, "json", false, "print a JSON array; with -f one object a line")
	flags.IntVar(&o.limit, "limit", 100, "show at most `N` of the lines that are there")
	return cmd
}

func logsPath(name string) string { return pluginPath(name) + "/logs" }

func (a *app) recentLogs(ctx context.Context, server *api, name string, o logOptions) error {
	query := url.Values{"limit": {strconv.Itoa(o.limit)}}
	answer, err := server.call(ctx, http.MethodGet, logsPath(name), query, "", nil)
	if err != nil {
		return err
	}
	var list struct {
		Lines []json.RawMessage `json:"lines"`
	}
	if err := server.decode(answer, &list); err != nil {
		return err
	}
	if o.json {
		if list.Lines == nil {
			list.Lines = []json.RawMessage{}
		}
		return a.printJSON(list.Lines)
	}
	if len(list.Lines) == 0 && o.limit > 0 {
		a.note("%s has logged nothing that %s remembers", name, server.base)
	}
	for _, raw := range list.Lines {
		if err := a.printLogLine(server, raw, false); err != nil {
			return err
		}
	}
	return nil
}

// printLogLine prints one line, of text or of JSON.
func (a *app) printLogLine(server *api, raw json.RawMessage, asJSON bool) error {
	var line logLine
	if err := server.decode(raw, &line); err != nil {
		return err
	}
	if asJSON {
		_, err := a.stdout.Write(append(escaped(raw), '\n'))
		return err
	}
	style := "dim"
	if line.Level == "warn" || line.Level == "error" {
		style = "bad"
	}
	level := printable(line.Level)
	pad := strings.Repeat(" ", max(0, len("error")-len(level)))
	_, err := a.stdout.Write([]byte(line.Time.UTC().Format("2006-01-02T15:04:05.000Z") + " " + a.painter(a.stdout)(style, level) + pad + " " +
		printable(line.Invocation) + " " + oneLine(line.Message) + "\n"))
	return err
}

// oneLine is printable for a text that may have several lines and has just one here.
func oneLine(text string) string {
	return printable(strings.ReplaceAll(strings.TrimRight(text, "\r\n"), "\n", `\n`))
}
