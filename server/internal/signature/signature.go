// Package signature verifies the minisign signatures of deployed modules (https://jedisct1.github.io/minisign/). An operator lists the
// public keys whose modules are accepted; who deploys sends the .minisig file along with the module.
//
// A signature says that the holder of a key signed these bytes, not that they are the latest: an older module that was signed stays so.
package signature

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jedisct1/go-minisign"
)

const (
	// MaxSize is the largest .minisig file that is read. minisign itself writes some 300 bytes and the two comments.
	MaxSize = 4 << 10
	// MaxLegacy is the largest module that a legacy signature can be of, which hashes it anew for each key: the largest that a server takes.
	MaxLegacy = 64 << 20
)

// What can be wrong with a signature. Errors wrap one of these and say what to do.
var (
	ErrMissing    = errors.New("no signature")
	ErrMalformed  = errors.New("malformed signature")
	ErrUnknownKey = errors.New("unknown key")
	ErrBad        = errors.New("bad signature") // it isn't that of the module, or of its own trusted comment
)

const (
	untrusted = "untrusted comment: "
	trusted   = "trusted comment: "
	signAgain = "sign again with `minisign -S -m plugin.wasm`"
)

// The two algorithms: over the module, as signify has it, and over its BLAKE2b-512 hash, which minisign uses unless told otherwise. A
// signature doesn't cover which of them it is, so one of a hash is also a legacy one of those 64 bytes. They are no Wasm module.
var (
	legacy    = [2]byte{'E', 'd'}
	prehashed = [2]byte{'E', 'D'}
)

// Verify returns the key that signed the module, one of keys. sig is the text of a .minisig file of at most MaxSize bytes, with a legacy or
// a prehashed signature; its trusted comment must be signed too. Without keys, nothing is verified and all is refused. Errors are
// ErrMissing, ErrMalformed, ErrUnknownKey or ErrBad.
func Verify(keys []Key, module, sig []byte) (Key, error) {
	k, _, err := VerifyComment(keys, module, sig)
	return k, err
}

// VerifyComment is Verify that also returns the trusted comment: one line of printable ASCII and tabs, such as
// "timestamp:1635443258\tfile:plugin.wasm\thashed".
func VerifyComment(keys []Key, module, sig []byte) (Key, string, error) {
	s, err := parse(sig)
	if err != nil {
		return Key{}, "", err
	}
	id := keyID(s.KeyId)
	if !slices.ContainsFunc(keys, func(k Key) bool { return k.public.KeyId == s.KeyId }) {
		return Key{}, "", fmt.Errorf("%w: the signature is by key %s, and %s", ErrUnknownKey, id, accepted(keys))
	}
	if s.SignatureAlgorithm == legacy && len(module) > MaxLegacy {
		return Key{}, "", fmt.Errorf("%w: a legacy signature is taken for modules of up to %d MiB; %s, without -l", ErrBad, MaxLegacy>>20, signAgain)
	}
	for _, k := range keys { // an ID is only a hint, and two keys can have the same
		if k.public.KeyId != s.KeyId {
			continue
		}
		if ok, err := k.public.Verify(module, s); ok && err == nil {
			return k, strings.TrimPrefix(s.TrustedComment, trusted), nil
		}
	}
	return Key{}, "", fmt.Errorf("%w: it is by key %s, but not of this module and this trusted comment; %s", ErrBad, id, signAgain)
}

// parse reads a .minisig file. It's stricter than the library: four lines exactly, and no characters that a terminal would act upon.
func parse(sig []byte) (minisign.Signature, error) {
	var none minisign.Signature
	if len(sig) > MaxSize {
		return none, malformed("it has %d bytes, and %d is the most", len(sig), MaxSize)
	}
	if strings.TrimSpace(string(sig)) == "" {
		return none, fmt.Errorf("%w: sign the module with `minisign -S -m plugin.wasm`, and send plugin.wasm.minisig with it", ErrMissing)
	}
	lines := strings.Split(strings.TrimRight(string(sig), "\r\n"), "\n")
	if len(lines) != 4 {
		return none, malformed("it has %s, and a .minisig file has 4", count(len(lines), "line"))
	}
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	switch {
	case !strings.HasPrefix(lines[0], untrusted):
		return none, malformed("line 1 doesn't begin with %q", untrusted)
	case !strings.HasPrefix(lines[2], trusted):
		return none, malformed("line 3 doesn't begin with %q", trusted)
	case !printable(lines[2]):
		return none, malformed("the trusted comment has characters other than printable ASCII; give one with -t")
	case strings.Contains(lines[1]+lines[3], "\r"): // base64 decoding would pass over it
		return none, malformed("line 2 or 4 is broken up")
	}
	s, err := minisign.DecodeSignature(strings.Join(lines, "\n"))
	if err != nil {
		return none, malformed("line 2 or 4 isn't a signature in base64")
	}
	if s.SignatureAlgorithm != legacy && s.SignatureAlgorithm != prehashed {
		return none, malformed("its algorithm is %q, and minisign's are %q and %q", s.SignatureAlgorithm, prehashed, legacy)
	}
	return s, nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s; %s", ErrMalformed, fmt.Sprintf(format, args...), signAgain)
}

// printable says whether minisign itself would take the comment.
func printable(comment string) bool {
	return !strings.ContainsFunc(comment, func(r rune) bool { return r != '\t' && (r < ' ' || r > '~') })
}

// accepted lists the keys, each ID once.
func accepted(keys []Key) string {
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.ID())
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	switch len(ids) {
	case 0:
		return "none is accepted here; the operator has to list the public key"
	case 1:
		return "the one accepted is " + ids[0] + "; sign with that, or have the operator list yours"
	}
	return "those accepted are " + strings.Join(ids, ", ") + "; sign with one of them, or have the operator list yours"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// keyID is a key's ID as minisign prints it: a little-endian number, without leading zeros.
func keyID(id [8]byte) string { return fmt.Sprintf("%X", binary.LittleEndian.Uint64(id[:])) }
