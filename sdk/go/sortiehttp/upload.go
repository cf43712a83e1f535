package sortiehttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

// maxWhole is up to what length a body that lies in memory crosses whole: then the host can send it again, for retries and hedges. It is the
// manifest's default for request_bytes.
const maxWhole = 1 << 20

// upload is a request's body on its way up. It is closed exactly once: at its end, or by package sortie when the fetch needs no more of it.
type upload struct {
	body   io.ReadCloser // nil: none
	length int64         // -1: not known
	stored bool          // in memory, or somewhere else to be had again from
	method string
	read   int64
	close  sync.Once
}

func newUpload(req *http.Request) *upload {
	u := &upload{length: req.ContentLength, stored: req.GetBody != nil, method: req.Method}
	if req.Body == nil || req.Body == http.NoBody {
		return u
	}
	u.body = req.Body
	if u.length == 0 { // which means unknown, beside a body
		u.length = -1
	}
	return u
}

// attach gives the request its body.
func (u *upload) attach(to *sortie.Request) error {
	switch {
	case u.body == nil && u.length > 0:
		return fmt.Errorf("there is none, and its ContentLength is %d", u.length)
	case u.body == nil:
	case u.length >= 0 && u.length <= maxWhole && u.stored:
		buf := bytes.NewBuffer(make([]byte, 0, u.length+bytes.MinRead))
		if _, err := buf.ReadFrom(u); err != nil {
			return err
		}
		to.Body = buf.Bytes()
	case u.length >= 0:
		to.BodyReader = sized{u}
	case slices.Contains(usuallyNone, u.method):
		// An empty body of such a request must not become one in chunks, which servers may refuse. net/http looks as well.
		body, err := peek(u)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		to.BodyReader = body
	default:
		to.BodyReader = u
	}
	return nil
}

// usuallyNone are the methods whose requests seldom have a body.
var usuallyNone = []string{"", "GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND", "SEARCH"}

// peek waits for the first byte of a body and returns the body, or why there is no such byte.
func peek(from io.ReadCloser) (io.ReadCloser, error) {
	first := make([]byte, 1)
	if _, err := io.ReadFull(from, first); err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(first), from), from}, nil
}

// Read reads on, and holds the body to the length that was announced.
func (u *upload) Read(p []byte) (int, error) {
	n, err := u.body.Read(p)
	u.read += int64(n)
	switch {
	case u.length >= 0 && u.read > u.length:
		n -= min(n, int(u.read-u.length))
		err = fmt.Errorf("its ContentLength is %d, and it is longer", u.length)
	case u.length >= 0 && u.read < u.length && err == io.EOF:
		err = fmt.Errorf("its ContentLength is %d, and it has %d bytes: %w", u.length, u.read, io.ErrUnexpectedEOF)
	}
	if err != nil {
		_ = u.Close()
	}
	return n, err
}

// Close may be called while Read is under way, and more than once.
func (u *upload) Close() error {
	if u.body != nil {
		u.close.Do(func() { u.body.Close() })
	}
	return nil
}

// sized is an upload whose length is known, so that it is announced.
type sized struct{ *upload }

// Len is the length that is announced.
func (s sized) Len() int { return int(s.length) }
