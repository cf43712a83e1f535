package server

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/internal/signature"
	"github.com/sortie-run/sortie/server/store"
)

// headerSignature is where a module that is sent alone has its signature: the .minisig file in base64.
const headerSignature = "Sortie-Signature"

// signers are those whose modules may be deployed. The zero value asks for no signature, and checks none.
type signers struct {
	keys     []signature.Key
	required bool
}

func newSigners(o manifest.Signatures) (signers, error) {
	s := signers{required: o.Required}
	for i, text := range o.Keys {
		k, err := signature.ParseKey(text)
		if err != nil {
			return signers{}, fmt.Errorf("signatures.keys[%d]: %w", i, err)
		}
		s.keys = append(s.keys, k)
	}
	return s, nil
}

// check returns the ID of the key that signed the module; "" if none did, and none had to. sig is nil if none was sent. A signature that
// was sent must be good even where none is required: whoever sends one relies on it. The error is invalid_wasm.
func (s signers) check(wasm, sig []byte) (string, error) {
	if s.ignores(sig) {
		return "", nil
	}
	key, err := signature.Verify(s.keys, wasm, sig)
	if err == nil {
		return key.ID(), nil
	}
	e := host.NewError(host.CodeInvalidWasm, "The signature isn't accepted: %v.", err)
	if sig == nil {
		e = host.NewError(host.CodeInvalidWasm, "This server takes signed modules only: sign this one with `minisign -S -m plugin.wasm`, and send "+
			"plugin.wasm.minisig with it, as the part signature or, in base64, the header %s.", headerSignature)
	}
	e.Err = err
	return "", e
}

// ignores reports whether check takes every module with this signature, or without one if it's nil.
func (s signers) ignores(sig []byte) bool { return !s.required && (sig == nil || len(s.keys) == 0) }

// headerSigned decodes the header field Sortie-Signature; nil if there is none.
func headerSigned(header http.Header) ([]byte, error) {
	values := header[headerSignature]
	if len(values) == 0 {
		return nil, nil
	}
	if len(values) > 1 {
		return nil, host.NewError(codeBadRequest, "The header %s is there twice.", headerSignature)
	}
	if len(values[0]) > base64.StdEncoding.EncodedLen(signature.MaxSize) {
		return nil, oversized("signature", signature.MaxSize)
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(values[0])
	if err != nil {
		return nil, host.NewError(codeBadRequest, "The header %s isn't base64; it's a whole .minisig file in base64, with padding and on one line.",
			headerSignature)
	}
	if len(sig) > signature.MaxSize {
		return nil, oversized("signature", signature.MaxSize)
	}
	return sig, nil
}

// wantsDigest reads ?digest, which the module must have; "": any.
func wantsDigest(query url.Values) (string, error) {
	switch values := query["digest"]; {
	case len(values) == 0:
		return "", nil
	case len(values) == 1 && store.ValidDigest(values[0]):
		return values[0], nil
	default:
		return "", host.NewError(codeBadRequest, "digest is %.200q; it's the module's, once: sha256: and 64 digits, 0 to 9 and a to f.", values)
	}
}

// checkDigest makes sure that the module is the one that was pinned, if one was.
func checkDigest(pinned string, wasm []byte) error {
	if pinned == "" {
		return nil
	}
	if got := store.Digest(wasm); got != pinned {
		return host.NewError(host.CodeInvalidWasm, "The module that arrived is %s, and digest pins %s: send it again if it was damaged on its way, "+
			"or pin its own digest.", got, pinned)
	}
	return nil
}
