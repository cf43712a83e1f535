package cli

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/fetch/policy"
	"github.com/sortie-run/sortie/server"
	"github.com/sortie-run/sortie/server/internal/project"
)

func (a *app) explainCommand() *cobra.Command {
	var method, config string
	var allowPrivate, asJSON bool
	cmd := &cobra.Command{
		Use:   "explain [DIR] URL",
		Short: "Say whether a plugin's policy allows a fetch, and which rule decides",
		Long: "Say whether the policy in plugin.yaml allows a fetch, and which rule decides. The status is 0 if it is allowed, 1 if not.\n" +
			"Without --config the operator permits every host and no private address. Names are not looked up.",
		Args: takes(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkMethod(method); err != nil {
				return err
			}
			dir, target := ".", args[0]
			if len(args) == 2 {
				dir, target = args[0], args[1]
			}
			p, err := project.Open(dir)
			if err != nil {
				return err
			}
			operator, err := a.operator(config)
			if err != nil {
				return err
			}
			if allowPrivate {
				operator.Private = everyAddress()
			}
			rules, err := policy.New(policy.Config{
				Rules: p.Manifest.Fetch.Allow, Private: operator.Private, HostsAllow: operator.Hosts.Allow, HostsDeny: operator.Hosts.Deny,
			})
			if err != nil {
				return fmt.Errorf("%s: %w", p.File, err)
			}
			d := rules.Explain(method, target)
			if !allowPrivate && config == "" {
				d.Reason += privateHint(d.Code, d.Reason)
			}
			return a.printDecision(server.Explanation{
				Method: method, URL: target, Allowed: d.Allowed, Code: string(d.Code), Rule: d.Rule, Number: d.Number, Private: d.Private,
				Reason: d.Reason,
			}, asJSON)
		},
	}
	cmd.Flags().StringVarP(&method, "request", "X", http.MethodGet, "the fetch's `method`")
	cmd.Flags().StringVar(&config, "config", "", "decide as under the operator's configuration in `FILE`")
	cmd.Flags().BoolVar(&allowPrivate, "allow-private", false, "permit private addresses where a rule says private: true")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// privateHint adds to a message about a private address, which names the operator's configuration, what stands for that on the
// command line. An address that hosts.deny covers stays denied.
func privateHint(code failure.Code, message string) string {
	if code != failure.AddressDenied || strings.Contains(message, "hosts.deny") {
		return ""
	}
	return "; here: --allow-private"
}

func (a *app) printDecision(e server.Explanation, asJSON bool) error {
	switch {
	case asJSON:
		if err := a.printJSON(e); err != nil {
			return err
		}
	case e.Allowed:
		fmt.Fprintf(a.stdout, "allowed: %s\n", e.Reason)
	default:
		fmt.Fprintf(a.stdout, "denied (%s): %s\n", e.Code, e.Reason)
	}
	if !e.Allowed {
		return &statusError{status: exitFailed}
	}
	return nil
}
