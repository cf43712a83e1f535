package server

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/server/internal/signature"
)

// upload is what a deploy's body holds.
type upload struct {
	manifest  []byte // empty: the default one
	wasm      []byte
	signature []byte // the .minisig file; nil: none was sent
}

// readUpload reads a deploy's body: multipart/form-data with a part "wasm" and perhaps the parts "manifest" and "signature", each once and
// in any order, or a module alone as application/wasm, whose signature is in the header. The sizes are bounded by maxWasm, maxManifest and
// signature.MaxSize, and what is read is held's; see share.readAll for what is expected.
func readUpload(header http.Header, body io.Reader, expected int64, held *share) (upload, error) {
	contentType := header.Get("Content-Type")
	mediaType, params, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && mediaType == "application/wasm":
		sig, err := headerSigned(header)
		if err != nil {
			return upload{}, err
		}
		wasm, err := readPart(body, "module", maxWasm, expected, held)
		return upload{wasm: wasm, signature: sig}, err
	case err == nil && mediaType == "multipart/form-data" && params["boundary"] != "":
		if len(header[headerSignature]) > 0 {
			return upload{}, host.NewError(codeBadRequest, "The header %s is for a module that is sent alone; in a form, the signature is the part "+
				"signature.", headerSignature)
		}
		return readParts(body, params["boundary"], expected, held)
	}
	return upload{}, host.NewError(codeMediaType, "The Content-Type is %q: send multipart/form-data with the parts manifest and "+
		"wasm, or a module alone as application/wasm.", contentType)
}

func readParts(body io.Reader, boundary string, expected int64, held *share) (upload, error) {
	var u upload
	seen := map[string]bool{}
	limited := &io.LimitedReader{R: body}
	parts := multipart.NewReader(limited, boundary)
	for {
		limited.N = maxPartHead // package multipart would take 10 MiB, which held knows nothing of
		part, err := parts.NextPart()
		if err == io.EOF { // not an error that wraps it: the body was cut off then
			break
		}
		if err != nil {
			return upload{}, unreadable(err)
		}
		name := part.FormName()
		if seen[name] {
			return upload{}, host.NewError(codeBadRequest, "The part %q is there twice.", name)
		}
		seen[name] = true
		limited.N = maxUpload
		switch name {
		case "manifest":
			u.manifest, err = readPart(part, "manifest", maxManifest, expected, held)
		case "wasm":
			u.wasm, err = readPart(part, "module", maxWasm, expected, held)
		case "signature":
			u.signature, err = readPart(part, "signature", signature.MaxSize, expected, held)
		default:
			err = host.NewError(codeBadRequest, "There is a part %q; a deploy has the parts manifest, wasm and signature.", name)
		}
		if err != nil {
			return upload{}, err
		}
	}
	if !seen["wasm"] {
		return upload{}, host.NewError(codeBadRequest, "The part wasm, with the module, is missing.")
	}
	return u, nil
}

// readPart reads at most limit bytes of what the client calls so. It isn't nil, even if it's empty.
func readPart(r io.Reader, what string, limit, expected int64, held *share) ([]byte, error) {
	data, err := held.readAll(io.LimitReader(r, limit+1), min(expected, limit+1))
	if err != nil {
		return nil, unreadable(err)
	}
	if int64(len(data)) > limit {
		return nil, oversized(what, limit)
	}
	return data, nil
}

func oversized(what string, limit int64) error {
	return host.NewError(host.CodeLimitInput, "The %s is larger than %d bytes.", what, limit)
}

// unreadable says why a body couldn't be read: it's too large, too slow, not what it claims to be, or there is no room for it.
func unreadable(err error) error {
	var tooLarge *http.MaxBytesError
	var known *host.Error
	switch {
	case errors.As(err, &tooLarge), errors.As(err, &known):
		return err // failure knows it
	case errors.Is(err, os.ErrDeadlineExceeded):
		return host.NewError(host.CodeLimitWall, "The request's body didn't arrive in time: it must keep coming, after %s at %d KiB/s "+
			"on average, and be there before the time of the whole is over.", bodyGrace, bodyRate>>10)
	}
	e := host.NewError(codeBadRequest, "The request's body can't be read: %v.", err)
	e.Err = err
	return e
}
