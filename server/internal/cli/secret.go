package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sortie-run/sortie/host/manifest"
)

func (a *app) secretCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Set, list and remove the secrets that a server puts into plugins' fetches",
		Long: "Set, list and remove the secrets that a server puts into plugins' fetches. A plugin names them in its manifest, and never sees them.\n" +
			"Fetches that begin after a change send the new value; those that need a secret which was removed fail with host_denied.\n\n" +
			"The server keeps them sealed with its key: SORTIE_SECRETS_KEY or the file SORTIE_SECRETS_KEY_FILE, else secrets.key in its data\n" +
			"folder, beside what it seals. Nothing shows them again. Secrets that sortie.yaml defines are changed there, or in their files.",
		Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			return misuse("say what to do: sortie secret set, list or remove")
		},
	}
	cmd.AddCommand(a.secretSetCommand(), a.secretListCommand(), a.secretRemoveCommand())
	return cmd
}

// secret is the part of a secret's description that is shown.
type secret struct {
	Name, Source, By, Problem string
	Allow, Plugins            []string
	Updated                   *time.Time
}

// newSecret is what `sortie secret set` asks for.
type newSecret struct {
	Value   string   `json:"value"`
	Allow   []string `json:"allow"`
	Plugins []string `json:"plugins"`
}

func (a *app) secretSetCommand() *cobra.Command {
	var o newSecret
	var file string
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Set a secret, or change it; its value comes from standard input or a file",
		Long: "Set a secret, or change it. The value comes from standard input (on a terminal it's asked for, and not shown) or from a file; a newline\n" +
			"at its end is cut off. --allow and --plugins can be left out for a secret that was set before: they stay as they are.",
		Example: "  pass upstream | sortie secret set API_KEY --allow https://api.example.com --plugins prices\n  sortie secret set API_KEY --file key",
		Args: func(_ *cobra.Command, args []string) error {
			switch { // without the arguments: one may be the value
			case len(args) == 0:
				return misuse("which secret? sortie secret set NAME")
			case len(args) > 1 || strings.Contains(args[0], "="):
				return misuse("a secret's value is no argument, where others could see it: give it on standard input, or name a --file that holds it")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := a.forSecret(args[0])
			if err != nil {
				return err
			}
			if err := o.complete(cmd.Context(), server, args[0]); err != nil {
				return err
			}
			if o.Value, err = a.secretValue(cmd.Context(), args[0], file); err != nil {
				return err
			}
			return a.setSecret(cmd.Context(), server, args[0], o)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.Allow, "allow", nil, "where it may be sent: `origins`, as in a manifest's rules")
	flags.StringSliceVar(&o.Plugins, "plugins", nil, "who may send it: plugins of these names; * stands for any characters: `patterns`")
	flags.StringVar(&file, "file", "", "read the value from `FILE`")
	return cmd
}

// forSecret connects for a secret of that name.
func (a *app) forSecret(name string) (*api, error) {
	if !manifest.ValidSecretName(name) {
		return nil, misuse("that is not a secret's name; write API_KEY, for example")
	}
	return a.connect()
}

// complete takes over what was left out, from the secret as it is.
func (o *newSecret) complete(ctx context.Context, server *api, name string) error {
	if len(o.Allow) > 0 && len(o.Plugins) > 0 {
		return nil
	}
	var answer struct{ Secrets []secret }
	if err := server.get(ctx, "/v1/secrets", &answer); err != nil {
		return err
	}
	i := slices.IndexFunc(answer.Secrets, func(s secret) bool { return s.Name == name && s.Source == "stored" })
	if i < 0 {
		return misuse("the secret is new: say where it may be sent (--allow https://api.example.com) and by whom (--plugins prices)")
	}
	if len(o.Allow) == 0 {
		o.Allow = answer.Secrets[i].Allow
	}
	if len(o.Plugins) == 0 {
		o.Plugins = answer.Secrets[i].Plugins
	}
	return nil
}

// secretMost is as much of a value as is read: one byte more than there can be, and a newline.
const secretMost = 64<<10 + 3

// secretValue reads a secret's value. No error shows it.
func (a *app) secretValue(ctx context.Context, name, file string) (string, error) {
	var value []byte
	var err error
	if file != "" {
		var f *os.File
		if f, err = os.Open(file); err == nil {
			value, err = io.ReadAll(io.LimitReader(f, secretMost))
			err = errors.Join(err, f.Close())
		}
	} else if input, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(input.Fd())) {
		value, err = a.askHidden(ctx, int(input.Fd()), name)
	} else {
		value, err = io.ReadAll(io.LimitReader(a.stdin, secretMost))
	}
	if err != nil {
		return "", fmt.Errorf("the secret's value can't be read: %w", err)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(value), "\n"), "\r")
	if err := manifest.CheckSecretValue(text); err != nil {
		return "", misuse("%s", err)
	}
	return text, nil
}

// askHidden asks on a terminal, which shows nothing of the answer, and shows things again whatever happens.
func (a *app) askHidden(ctx context.Context, terminal int, name string) ([]byte, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(a.stderr, "value of %s: ", name)
	defer fmt.Fprintln(a.stderr)
	type answer struct {
		value []byte
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		value, err := term.ReadPassword(terminal)
		answered <- answer{value, err}
	}()
	select {
	case got := <-answered:
		return got.value, got.err
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), term.Restore(terminal, before))
	}
}

func (a *app) setSecret(ctx context.Context, server *api, name string, o newSecret) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	answer, err := server.call(ctx, http.MethodPut, "/v1/secrets/"+name, nil, typeJSON, body)
	if err != nil {
		return err
	}
	var set secret
	if err := server.decode(answer, &set); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "set %s, for %s to send to %s\n", set.Name, strings.Join(set.Plugins, ","), strings.Join(set.Allow, ","))
	return err
}

func (a *app) secretListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the secrets, without their values",
		Args:  takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := a.connect()
			if err != nil {
				return err
			}
			var answer struct{ Secrets json.RawMessage }
			if err := server.get(cmd.Context(), "/v1/secrets", &answer); err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(answer.Secrets)
			}
			return a.printSecrets(server, answer.Secrets)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (a *app) printSecrets(server *api, list json.RawMessage) error {
	var secrets []secret
	if err := server.decode(list, &secrets); err != nil {
		return err
	}
	if len(secrets) == 0 {
		a.note("no secrets on %s; set one with: sortie secret set NAME --allow ORIGIN --plugins PATTERN", server.base)
		return nil
	}
	var out bytes.Buffer
	table := newTable(&out)
	fmt.Fprintln(table, "NAME\tFROM\tALLOW\tPLUGINS\tUPDATED\tBY\tPROBLEM")
	for _, s := range secrets {
		updated, by := "-", "-"
		if s.Updated != nil {
			updated, by = s.Updated.UTC().Format(time.RFC3339), s.By
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, s.Source, printable(strings.Join(s.Allow, ",")), strings.Join(s.Plugins, ","), updated, by, printable(s.Problem))
	}
	return a.printTable(table, &out)
}

func (a *app) secretRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a secret; fetches that need it fail from then on",
		Args:  takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := a.forSecret(args[0])
			if err != nil {
				return err
			}
			if _, err := server.call(cmd.Context(), http.MethodDelete, "/v1/secrets/"+args[0], nil, "", nil); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "removed %s\n", args[0])
			return err
		},
	}
}
