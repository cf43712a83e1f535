// Command bench holds Sortie against what else does the same job, on one machine in one run:
//
//	bench [flags]            compare: every scenario, every competitor that can be had
//	bench overload [flags]   open-loop load on Sortie at half and at twice its capacity
//	bench restart [flags]    how soon many plugins answer after a restart
//
// The competitors are native Go (net/http and goroutines), Extism's own SDK used plainly, Cloudflare's workerd (npm) and HTTPX (PyPI).
// Each runs in a process of its own, as do the upstream that all of them fetch from and the generator of the open-loop load. All of
// them have the same three endpoints:
//
//	GET /fan?id=ID&n=N&url=URL   fetch URL N times, at once where that is possible: {"id":ID,"ok":N,"bytes":SUM}
//	GET /pass?url=URL            fetch URL and answer its body
//	GET /trivial?id=ID           {"id":ID}
//
// Every answer is checked. Run it from anywhere inside the repository; what it builds and installs goes to build/bench. It also is the
// program of its own children: upstream, native, extism and load are started by it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program but for the process: 0 done, 1 failed, 2 wrong usage.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	type command = func(context.Context, []string, io.Writer, io.Writer) error
	commands := map[string]command{"compare": compare, "overload": overload, "restart": restart}
	children := map[string]command{"upstream": upstreamMain, "native": nativeMain, "extism": extismMain, "load": loadMain}
	do := compare
	if len(args) > 0 {
		if c := commands[args[0]]; c != nil {
			do, args = c, args[1:]
		} else if c := children[args[0]]; c != nil {
			do, args = c, args[1:]
			var gone context.CancelFunc
			ctx, gone = untilEOF(ctx, stdin)
			defer gone()
		}
	}
	err := do(ctx, args, stdout, stderr)
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, new(usageError)):
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 2
	default:
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
}

// untilEOF ends with the process at the other end of stdin: a child whose parent was killed must not stay.
func untilEOF(ctx context.Context, stdin io.Reader) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()
	return ctx, cancel
}

// usageError is a mistake in the command line.
type usageError struct{ error }

// parse parses flags that take no arguments after them.
func parse(flags *flag.FlagSet, args []string, stderr io.Writer) error {
	flags.SetOutput(stderr)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	if flags.NArg() > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", flags.Arg(0))}
	}
	return nil
}
