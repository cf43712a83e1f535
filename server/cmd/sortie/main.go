// Command sortie runs, deploys and calls sandboxed fetch plugins; see `sortie help`.
package main

import (
	"context"
	"os"

	"github.com/sortie-run/sortie/server/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
