// Command release builds Sortie's release: for each target the binary and its bill of materials, and SHA256SUMS over all of them.
//
//	go run ./server/deploy/release -version v1.2.3 -out build/release
//
// The same sources and the same Go give the same bytes, in whichever folder, on whichever machine, from a clone or from an archive:
// paths are trimmed, nothing is asked of version control, C isn't used, and what could change the code is taken out of the environment.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the command: its status is 0 when all is built, 1 when it failed, 2 when it was used wrongly.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	r := release{env: buildEnv(os.Environ()), stderr: stderr}
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&r.version, "version", "", "the release's `version`, such as v1.2.3; empty: a development build")
	flags.StringVar(&r.out, "out", "build/release", "the `folder` to write to")
	flags.BoolVar(&r.plain, "plain", false, "name the binary just sortie; for one target")
	targets := flags.String("targets", "linux/amd64,linux/arm64,darwin/arm64,windows/amd64", "`GOOS/GOARCH,…` to build for")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	r.targets = strings.Split(*targets, ",")
	if err := r.check(flags.Args()); err != nil {
		fmt.Fprintf(stderr, "release: %v\n", err)
		return 2
	}
	files, err := r.build(ctx)
	if err != nil {
		fmt.Fprintf(stderr, "release: %v\n", err)
		return 1
	}
	for _, file := range files {
		fmt.Fprintln(stdout, file)
	}
	return 0
}
