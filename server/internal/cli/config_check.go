package cli

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server"
	"github.com/sortie-run/sortie/server/internal/project"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check a server's configuration",
		Args:  takes(0, 0),
		RunE:  func(*cobra.Command, []string) error { return misuse("say what to do: sortie config check [FILE]") },
	}
	cmd.AddCommand(a.configCheckCommand())
	return cmd
}

func (a *app) configCheckCommand() *cobra.Command {
	var o serveOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Tell whether a server could start with this configuration, and print what would be in force",
		Long: "Read the configuration as `sortie serve --config FILE` does, from flags, environment, file, PORT and defaults, and print every\n" +
			"error, or what would be in force and where each setting that was given comes from. What the configuration names is looked at too:\n" +
			"secrets, whose values are never shown, certificates and keys. Nothing is started, made or changed.",
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("addr") {
				if err := checkAddr(cmd.Context(), o.addr); err != nil {
					return err
				}
			}
			if len(args) > 0 {
				o.config = args[0]
			}
			operator, wrong := a.checkedConfig(o)
			if len(wrong) > 0 {
				return a.printWrong(wrong, asJSON)
			}
			return a.printConfig(operator, o, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.addr, "addr", "", "as serve's: `host:port`")
	flags.StringVar(&o.data, "data", "", "as serve's: `DIR`")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// wrongKey is one thing that is wrong with a configuration.
type wrongKey struct {
	Source  string `json:"source,omitempty"` // the file with line and column, or the variable
	Key     string `json:"key,omitempty"`
	Message string `json:"message"` // what is wrong, and what to do
}

func (w wrongKey) Error() string {
	text := w.Message
	if w.Key != "" {
		text = w.Key + ": " + text
	}
	if w.Source != "" {
		text = w.Source + ": " + text
	}
	return text
}

// checkedConfig is serve's configuration, or everything that would keep a server from starting with it.
func (a *app) checkedConfig(o serveOptions) (*manifest.Operator, []wrongKey) {
	operator, err := a.serveConfig(o)
	var found manifest.Errors
	switch {
	case errors.As(err, &found):
		var wrong []wrongKey
		for _, e := range found {
			wrong = append(wrong, placed(e))
		}
		return nil, wrong
	case err != nil:
		return nil, []wrongKey{{Message: err.Error()}}
	}
	return operator, a.unusable(operator, o)
}

// placed takes an error of the configuration's apart.
func placed(e *manifest.Error) wrongKey {
	w := wrongKey{Source: e.File, Key: e.Key, Message: e.Message}
	if e.Line > 0 {
		w.Source = fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
	}
	if e.Nearest != "" {
		w.Message += fmt.Sprintf("; did you mean %q?", e.Nearest)
	}
	return w
}

// unusable looks at what the configuration names.
func (a *app) unusable(operator *manifest.Operator, o serveOptions) []wrongKey {
	var wrong []wrongKey
	add := func(key, message string) {
		wrong = append(wrong, wrongKey{Source: sourceOf(operator, o, key), Key: key, Message: message})
	}
	var secrets manifest.Errors
	if _, err := operator.ResolveSecrets(func(name string) (string, bool) {
		value := project.Getenv(a.env, name)
		return value, value != "" // serve takes an empty one for none
	}, os.ReadFile); errors.As(err, &secrets) {
		for _, e := range secrets {
			add(e.Key, e.Message)
		}
	}
	if operator.TLS.Cert != "" {
		if _, err := loadCertificate(operator.TLS, slog.New(slog.DiscardHandler)); err != nil {
			key, message, _ := strings.Cut(err.Error(), ": ")
			add(key, message)
		}
	}
	if _, err := fetch.ConfigOf(operator); err != nil {
		key, message, keyed := strings.Cut(err.Error(), ": ")
		if !keyed || !strings.HasPrefix(key, "upstreams[") {
			key, message = "upstreams", err.Error()
		}
		add(key, message)
	}
	return wrong
}

// sourceOf is where a key's value comes from: a flag, a variable, or a place in the file. Where the key itself wasn't given, it's what
// holds the key that counts; "" is the default.
func sourceOf(operator *manifest.Operator, o serveOptions, key string) string {
	switch {
	case key == "addr" && o.addr != "":
		return "--addr"
	case key == "data" && o.data != "":
		return "--data"
	}
	var best manifest.Source
	for _, s := range operator.Sources() {
		inside := s.Key == key || strings.HasPrefix(key, s.Key+".") || strings.HasPrefix(key, s.Key+"[") || strings.HasPrefix(s.Key, key+".")
		if inside && len(s.Key) > len(best.Key) {
			best = s
		}
	}
	if best.Line == 0 {
		return best.File
	}
	return fmt.Sprintf("%s:%d", cmp.Or(o.config, best.File), best.Line)
}

// printWrong prints each error as a line of its own.
func (a *app) printWrong(wrong []wrongKey, asJSON bool) error {
	if asJSON {
		if err := a.printJSON(struct {
			Errors []wrongKey `json:"errors"`
		}{wrong}); err != nil {
			return err
		}
		return &statusError{status: exitFailed}
	}
	for _, w := range wrong {
		a.complain(w)
	}
	return &statusError{status: exitFailed}
}

// printConfig prints what would be in force, and where it comes from.
func (a *app) printConfig(operator *manifest.Operator, o serveOptions, asJSON bool) error {
	var keys []string
	sources := map[string]string{}
	note := func(key string) {
		if sources[key] == "" {
			keys, sources[key] = append(keys, key), sourceOf(operator, o, key)
		}
	}
	if o.addr != "" {
		note("addr")
	}
	if o.data != "" {
		note("data")
	}
	for _, s := range operator.Sources() {
		note(s.Key)
	}
	var err error
	if operator.Data, err = a.dataPath(operator.Data); err != nil {
		return err
	}
	a.noteTokens(operator)
	if asJSON {
		return a.printJSON(struct {
			Config  *manifest.Operator `json:"config"`
			Sources map[string]string  `json:"sources"`
		}{operator, sources})
	}
	text, err := yaml.MarshalWithOptions(operator, yaml.IndentSequence(true))
	if err != nil {
		return err
	}
	for _, key := range keys {
		if _, err := fmt.Fprintf(a.stdout, "# %s: %s\n", printable(key), printable(sources[key])); err != nil {
			return err
		}
	}
	_, err = a.stdout.Write(text)
	return err
}

// noteTokens tells of what only a running server knows: whether there is a token.
func (a *app) noteTokens(operator *manifest.Operator) {
	if a.getenv("SORTIE_ADMIN_TOKEN") != "" {
		return
	}
	for _, addr := range []string{operator.Addr, operator.AdminAddr} {
		if addr != "" && server.CheckBind(addr, true) != nil {
			a.note("%s can be reached from elsewhere: a server listens there only if SORTIE_ADMIN_TOKEN is set or a token has been created", addr)
		}
	}
}
