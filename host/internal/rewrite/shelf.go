package rewrite

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// Shelf is a folder in which rewritten modules are kept, for the next start; "" keeps none. Several processes may use one at once. What is in
// it is trusted, as the compiled code beside it is.
type Shelf string

// sources are this package's own: whatever another version of it made is of no use. See host/RATIONALE.md, "Why is a rewritten module kept?".
//
//go:embed bounds.go code.go data.go detach.go expose.go fuel.go instructions.go kept.go lazy.go live.go names.go patch.go path.go reader.go
//go:embed rewrite.go sections.go shelf.go shift.go unfit.go write.go
var sources embed.FS

// version stands for the package as it was built.
var version = sync.OnceValue(func() []byte {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version())
	files, err := sources.ReadDir(".")
	for _, f := range files {
		var text []byte
		if err == nil {
			text, err = sources.ReadFile(f.Name())
		}
		fmt.Fprintln(h, f.Name(), len(text))
		h.Write(text)
	}
	if err != nil {
		panic(err) // they are in the program
	}
	return h.Sum(nil)
})

// path is where a module is kept, by what it is and how many table entries it may have.
func (s Shelf) path(wasm []byte, entries uint64) string {
	sum := sha256.Sum256(wasm)
	key := sha256.Sum256(fmt.Appendf(nil, "%x %x %d", version(), sum, entries))
	return filepath.Join(string(s), hex.EncodeToString(key[:]))
}

// Find returns what is kept of a module. A file that is damaged counts as none.
func (s Shelf) Find(wasm []byte, entries uint64) (*Kept, bool) {
	if s == "" {
		return nil, false
	}
	data, err := os.ReadFile(s.path(wasm, entries))
	if err != nil {
		return nil, false
	}
	k, err := decodeKept(data)
	if err != nil {
		return nil, false
	}
	k.found = true
	return k, true
}

// Put keeps what a module was rewritten to, unless it was found here.
func (s Shelf) Put(wasm []byte, k *Kept) (err error) {
	if s == "" || k.found {
		return nil
	}
	parts, err := k.encode()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(s), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(string(s), ".new-*") // for its owner alone
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	for _, p := range parts {
		if _, err = f.Write(p); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.path(wasm, k.Options.TableEntries))
}
