//go:build ignore

// Command pack_main writes bundle.txtar from the repository's folders; see the package comment.
package main

import (
	"log"
	"os"

	"github.com/sortie-run/sortie/server/internal/project/bundle"
)

func main() {
	data, err := bundle.Pack(os.DirFS("../../../.."))
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("bundle.txtar", data, 0o644); err != nil {
		log.Fatal(err)
	}
}
