package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Create, list and revoke the tokens that a server accepts",
		Long: "Create, list and revoke the tokens that a server accepts. A token has a role, each of which includes those before it:\n\n" +
			"  invoke   calls plugins\n  read     looks at them: versions, logs, reports; and pins versions\n" +
			"  deploy   deploys, removes, and moves traffic\n  admin    all plugins, and tokens\n\n" +
			"The first token closes a server that was open, so it must be an admin's.",
		Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			return misuse("say what to do: sortie token create, list or revoke")
		},
	}
	cmd.AddCommand(a.tokenCreateCommand(), a.tokenListCommand(), a.tokenRevokeCommand())
	return cmd
}

// newToken is what `sortie token create` asks for.
type newToken struct {
	Role    string   `json:"role"`
	Plugins []string `json:"plugins,omitempty"`
	Expires string   `json:"expires,omitempty"`
	Note    string   `json:"note,omitempty"`
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var o newToken
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "create --role ROLE",
		Short:   "Create a token, which is shown this once",
		Example: "  sortie token create --role deploy --plugins 'search-*' --expires 90d",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Role == "" {
				return misuse("which role? --role invoke, read, deploy or admin")
			}
			server, err := a.connect()
			if err != nil {
				return err
			}
			return a.createToken(cmd.Context(), server, o, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Role, "role", "", "what it may do: `invoke, read, deploy or admin`")
	flags.StringSliceVar(&o.Plugins, "plugins", nil, "for plugins of these names; * stands for any characters: `patterns` (default all)")
	flags.StringVar(&o.Expires, "expires", "90d", "when it ends: `90d`, 12h, 2030-01-31T00:00:00Z or never")
	flags.StringVar(&o.Note, "note", "", "say what it is for: `text`")
	flags.BoolVar(&asJSON, "json", false, "print the server's answer as JSON")
	return cmd
}

func (a *app) createToken(ctx context.Context, server *api, o newToken, asJSON bool) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	answer, err := server.call(ctx, http.MethodPost, "/v1/tokens", nil, typeJSON, body)
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(json.RawMessage(answer))
	}
	var created struct {
		Token string
		token
	}
	if err := server.decode(answer, &created); err != nil {
		return err
	}
	a.note("token %s: %s, for the plugins %s, %s. It's shown this once:", created.ID, created.Role, strings.Join(created.Plugins, ","), created.end())
	_, err = fmt.Fprintln(a.stdout, created.Token)
	if server.token == "" {
		a.note("the server asks for a token from now on: export SORTIE_TOKEN=%s…", created.Token[:min(len(created.Token), len("sortie_")+8)])
	}
	return err
}

// token is the part of a token's description that is shown.
type token struct {
	ID, Role, State, Note, By string
	Plugins                   []string
	Created                   time.Time
	Expires                   *time.Time
}

func (t *token) end() string {
	if t.Expires == nil {
		return "without an end"
	}
	return "until " + t.Expires.UTC().Format(time.RFC3339)
}

func (a *app) tokenListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tokens, the oldest first",
		Args:  takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := a.connect()
			if err != nil {
				return err
			}
			var answer struct{ Tokens json.RawMessage }
			if err := server.get(cmd.Context(), "/v1/tokens", &answer); err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(answer.Tokens)
			}
			return a.printTokens(server, answer.Tokens)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (a *app) printTokens(server *api, list json.RawMessage) error {
	var tokens []token
	if err := server.decode(list, &tokens); err != nil {
		return err
	}
	if len(tokens) == 0 {
		a.note("no tokens on %s; create one with: sortie token create --role admin", server.base)
		return nil
	}
	var out bytes.Buffer
	table := newTable(&out)
	fmt.Fprintln(table, "ID\tROLE\tPLUGINS\tSTATE\tEXPIRES\tBY\tNOTE")
	for _, t := range tokens {
		expires := "never"
		if t.Expires != nil {
			expires = t.Expires.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Role, strings.Join(t.Plugins, ","), t.State, expires, t.By, printable(t.Note))
	}
	return a.printTable(table, &out)
}

func (a *app) tokenRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "Revoke a token",
		Args:  takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.HasPrefix(args[0], "sortie_") {
				return misuse("give the token's ID, not the token itself: %.8s", strings.TrimPrefix(args[0], "sortie_"))
			}
			server, err := a.connect()
			if err != nil {
				return err
			}
			if _, err := server.call(cmd.Context(), http.MethodDelete, "/v1/tokens/"+url.PathEscape(args[0]), nil, "", nil); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "revoked %s\n", args[0])
			return err
		},
	}
}

func newTable(out io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(out, 0, 0, 2, ' ', 0) }

// printTable prints a table whose last column may be empty, without the blanks that this leaves.
func (a *app) printTable(table *tabwriter.Writer, out *bytes.Buffer) error {
	if err := table.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(out.String()) {
		if _, err := fmt.Fprintln(a.stdout, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}
