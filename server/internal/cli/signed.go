package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sortie-run/sortie/server/internal/project"
	"github.com/sortie-run/sortie/server/internal/signature"
	"github.com/sortie-run/sortie/server/store"
)

// signed is what deploy can say about the module's bytes.
type signed struct {
	file   string // its signature; "": FILE.wasm.minisig, if that exists
	digest string // what it must be; "": whatever it is
}

func (s *signed) check(named bool) error {
	if named && s.file == "" {
		return misuse("--signature is empty: name the module's .minisig file")
	}
	if s.digest != "" && !store.ValidDigest(s.digest) {
		return misuse("--digest %s: write it as sha256: and 64 digits, 0 to 9 and a to f", s.digest)
	}
	return nil
}

// signatureOf makes sure that the module is the one that is meant, and returns its signature; nil if it has none.
func (a *app) signatureOf(p *project.Project, wasm []byte, s signed) ([]byte, error) {
	if got := store.Digest(wasm); s.digest != "" && got != s.digest {
		return nil, fmt.Errorf("%s is %s, and --digest says %s: nothing was deployed", p.Wasm, got, s.digest)
	}
	if s.file != "" {
		return readSignature(s.file)
	}
	file := p.Wasm + ".minisig"
	sig, err := readSignature(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		a.note("with the signature in %s", file)
	}
	return sig, err
}

// readSignature never returns nil without an error.
func readSignature(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sig, err := io.ReadAll(io.LimitReader(f, signature.MaxSize+1))
	if err == nil && len(sig) > signature.MaxSize {
		err = fmt.Errorf("%s has more than %d bytes: it is no .minisig file", file, signature.MaxSize)
	}
	return sig, err
}
