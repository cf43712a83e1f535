// Package cli is the sortie command: Main takes arguments, environment and streams and returns the exit status, so that a program
// only has to call it, and a test can.
//
//	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
//
// # Streams and status
//
// What was asked for goes to stdout, everything else (progress, notes, the fetch table, errors) to stderr. An error is one line: what
// is wrong and what to do. The status is 0 when the command did its work, 1 when it failed, 2 when it was used wrongly. Every
// listing takes --json. Progress appears only on a terminal, colour only where NO_COLOR isn't set and TERM isn't dumb.
//
// # Environment
//
//	SORTIE_SERVER        the server that deploy, list, logs and so on talk to (http://127.0.0.1:8080)
//	SORTIE_TOKEN         the credential they send; never printed
//	SORTIE_ADMIN_TOKEN   the first credential of a server that is started
//	SORTIE_SECRETS_KEY   what a server seals secrets with: an age key; or SORTIE_SECRETS_KEY_FILE, which holds one
//	SORTIE_…, PORT       the server's configuration; see host/manifest
//	PATH, GOFLAGS, …     as for the go command, which builds plugins
//
// # Signals
//
// SIGINT and SIGTERM end a command: `serve` and `dev` finish the running invocations first, for as long as process.drain says. A second one
// ends the process at once. SIGHUP has `serve` read its configuration again.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sortie-run/sortie/server/internal/project"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// app is what every command works with.
type app struct {
	env            []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// Main runs one command and returns its exit status. args are the arguments after the program's name, env has the form of
// os.Environ. It returns when the command is done, or early when ctx ends or the process gets SIGINT or SIGTERM.
func Main(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, release := interruptible(ctx)
	defer release()
	a := &app{env: env, stdin: stdin, stdout: stdout, stderr: stderr}
	err := a.execute(ctx, args)
	if err == nil {
		return exitDone
	}
	var quiet *statusError
	var wrong *usageError
	switch {
	case errors.As(err, &quiet):
		return quiet.status
	case errors.As(err, &wrong):
		a.complain(err)
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		a.complain(errors.New("interrupted"))
	default:
		a.complain(err)
	}
	return exitFailed
}

func (a *app) execute(ctx context.Context, args []string) error {
	root := a.root()
	if args == nil {
		args = []string{} // nil would make cobra read os.Args
	}
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	if err := checkCommand(root, args); err != nil {
		return err
	}
	return root.ExecuteContext(ctx)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "sortie",
		Short:         "Run fetch logic as small, sandboxed plugins behind HTTP",
		Version:       buildVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(a.stderr) // help that nobody asked for
			return errors.Join(cmd.Help(), &statusError{status: exitUsage})
		},
	}
	root.SetVersionTemplate("sortie {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		a.serveCommand(), a.newCommand(), a.buildCommand(), a.devCommand(), a.runCommand(), a.deployCommand(), a.listCommand(), a.removeCommand(),
		a.versionsCommand(), a.trafficCommand(), a.rollbackCommand(), a.tokenCommand(), a.secretCommand(), a.auditCommand(), a.backupCommand(), a.restoreCommand(), a.logsCommand(), a.traceCommand(), a.explainCommand(), a.configCommand(), a.doctorCommand(), a.versionCommand(),
	)
	return root
}

// complain prints an error as one line. Lines after an error's first would be read as errors of their own.
func (a *app) complain(err error) {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	text := lines[0]
	if more := len(lines) - 1; more > 0 {
		text = fmt.Sprintf("%s (and %d more)", text, more)
	}
	fmt.Fprintf(a.stderr, "sortie: %s\n", printable(text))
}

// note prints a line for a person to stderr.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }

func (a *app) getenv(key string) string { return project.Getenv(a.env, key) }
