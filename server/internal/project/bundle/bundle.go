// Package bundle carries the Go sources that the sortie binary needs on its user's machine: the guest SDK, for `sortie new`, and
// the ready-made plugins, for `sortie serve --demo`. Both are modules of their own, which go:embed can't reach, so a generator
// packs them into one text archive beside this file:
//
//	go generate ./server/internal/project/bundle
//
// The archive is deterministic (sorted, no dates, no modes), committed, and held in step with the folders by a test here.
package bundle

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/txtar"
)

//go:generate go run pack_main.go

//go:embed bundle.txtar
var archive []byte

// Folders are the two that are packed, as slash-separated paths from the repository's top; names in the archive begin with them.
const (
	SDK     = "sdk/go"
	Plugins = "plugins"
)

// Digest names this edition of the sources: what is built from them can be kept under it. It is 64 lower-case hexadecimal digits.
func Digest() string {
	sum := sha256.Sum256(archive)
	return hex.EncodeToString(sum[:])
}

// Extract writes the sources of one folder (SDK or Plugins) below dir, keeping their paths from the repository's top: the SDK's
// go.mod becomes dir/sdk/go/go.mod. Existing files are overwritten; nothing is removed.
func Extract(folder, dir string) error {
	found := false
	for _, file := range txtar.Parse(archive).Files {
		if !strings.HasPrefix(file.Name, folder+"/") {
			continue
		}
		found = true
		name := filepath.Join(dir, filepath.FromSlash(file.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, file.Data, 0o644); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("the binary carries no sources of %s", folder)
	}
	return nil
}
