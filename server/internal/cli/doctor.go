package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sortie-run/sortie/host/manifest"
)

func (a *app) doctorCommand() *cobra.Command {
	var o serveOptions
	var asJSON bool
	var ready string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what would keep a server from working well on this machine",
		Long: "Look at the configuration, as `sortie serve` would have it, at the kernel, the limits of this process, the data folder, what is stored\n" +
			"there, the clock and the certificate, and say of each what is wrong and what to do. Nothing is started or changed; a server may be\n" +
			"running. The status is 1 if a check fails; warnings don't count.\n\n" +
			"With --ready, only ask a server whether it is ready: --ready URL, else SORTIE_SERVER, else http://127.0.0.1:8080. Meant for health checks\n" +
			"of containers. The certificate of a server on this machine isn't checked then, for it is another name's.",
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("ready") {
				if len(args) > 0 {
					return misuse("doctor takes no argument %q; usage: %s", args[0], cmd.UseLine())
				}
				return a.examine(cmd.Context(), o, asJSON)
			}
			if len(args) > 0 {
				ready = args[0]
			}
			return a.askReady(cmd.Context(), ready, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.data, "data", "", "as serve's: `DIR`")
	flags.StringVar(&o.config, "config", "", "as serve's: `FILE`")
	flags.StringVar(&ready, "ready", "", "only ask the server at `URL` whether it is ready")
	flags.Lookup("ready").NoOptDefVal = " " // --ready alone
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// The results of a check.
const (
	resultOK   = "ok"
	resultWarn = "warn" // it works, but could work better, or will stop
	resultFail = "fail"
)

// finding is what a check found.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"` // what to do about it
}

func fine(format string, args ...any) finding {
	return finding{Result: resultOK, Found: fmt.Sprintf(format, args...)}
}

// warning and broken take what to do about what they found.
func warning(do, format string, args ...any) finding {
	return finding{Result: resultWarn, Found: fmt.Sprintf(format, args...), Do: do}
}

func broken(do, format string, args ...any) finding {
	return finding{Result: resultFail, Found: fmt.Sprintf(format, args...), Do: do}
}

// examined is what the checks look at.
type examined struct {
	app      *app
	operator *manifest.Operator // the defaults where the configuration is wrong
	wrong    []wrongKey
	data     string // the data folder, which may not be there
}

// examine makes all checks, in an order in which what is found first may explain what follows.
func (a *app) examine(ctx context.Context, o serveOptions, asJSON bool) error {
	e := &examined{app: a}
	if e.operator, e.wrong = a.checkedConfig(o); e.operator == nil {
		e.operator = manifest.DefaultOperator()
		e.operator.Data = o.data
	}
	var err error
	if e.data, err = a.dataPath(e.operator.Data); err != nil {
		return err
	}
	var findings []finding
	failed := false
	for _, check := range []struct {
		name string
		look func(context.Context) finding
	}{
		{"configuration", e.configuration}, {"kernel", e.kernel}, {"files", e.openFiles}, {"addresses", e.addressSpace}, {"memory", e.memory},
		{"processors", e.processors}, {"data", e.dataFolder}, {"space", e.space}, {"store", e.stored}, {"clock", e.clock}, {"certificate", e.certificate},
		{"randomness", e.randomness},
	} {
		found := check.look(ctx)
		found.Check = check.name
		failed = failed || found.Result == resultFail
		findings = append(findings, found)
		if !asJSON {
			a.printFinding(found)
		}
	}
	if asJSON {
		err = a.printJSON(struct {
			Checks []finding `json:"checks"`
		}{findings})
	}
	if err == nil && failed {
		err = &statusError{status: exitFailed}
	}
	return err
}

func (a *app) printFinding(f finding) {
	text := f.Found
	if f.Do != "" {
		text += ": " + f.Do
	}
	fmt.Fprintf(a.stdout, "%-4s  %-13s  %s\n", f.Result, f.Check, printable(text))
}

// readyTime bounds how long a server may take to say that it's ready.
const readyTime = 5 * time.Second

// askReady asks a server whether it is ready.
func (a *app) askReady(ctx context.Context, server string, asJSON bool) error {
	if server = strings.TrimSpace(server); server == "" {
		server = a.getenv("SORTIE_SERVER")
	}
	if server == "" {
		server = defaultServer
	}
	base, err := url.Parse(server)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return misuse("--ready %s: write a URL such as %s", printable(server), defaultServer)
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	err = ready(ctx, base.JoinPath("readyz"))
	if asJSON {
		if err := a.printJSON(struct {
			Ready bool `json:"ready"`
		}{err == nil}); err != nil {
			return err
		}
	}
	return err
}

func ready(ctx context.Context, at *url.URL) error {
	response, err := ask(ctx, at)
	if err != nil {
		return fmt.Errorf("%s: %w; is the server running there?", at, unwrapURL(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: the server isn't ready", at, response.Status)
	}
	return nil
}

// ask sends a GET without a credential, and follows no redirect.
func ask(ctx context.Context, at *url.URL) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	wire := &http.Transport{
		DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: onThisMachine(at)}, // nothing secret is asked or told
	}
	return wire.RoundTrip(request)
}

func onThisMachine(at *url.URL) bool {
	addr, err := netip.ParseAddr(at.Hostname())
	return at.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

// unwrapURL takes the address off an error, for a message that has it.
func unwrapURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
