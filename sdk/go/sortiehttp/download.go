package sortiehttp

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

// response makes net/http's response of the host's. The host tells neither the protocol nor the reason phrase.
func response(req *http.Request, in *sortie.Response) *http.Response {
	out := &http.Response{
		Status: strconv.Itoa(in.Status) + " " + http.StatusText(in.Status), StatusCode: in.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: canonical(in.Header), ContentLength: -1, Request: req,
	}
	announced := out.Header.Get("Content-Length")
	if n, err := strconv.ParseInt(announced, 10, 64); err == nil && n >= 0 {
		out.ContentLength = n
	}
	stream, streams := in.BodyReader.(io.ReadCloser)
	if !streams {
		stream = io.NopCloser(bytes.NewReader(in.Body))
	}
	if req.Method == http.MethodHead || !bodyAllowed(in.Status) {
		if req.Method != http.MethodHead {
			out.ContentLength = 0
		}
		stream.Close()
		out.Body = http.NoBody
		return out
	}
	// Of a body that it has decoded the host leaves out coding and length. So it does of one that came in chunks: which it was isn't told, and
	// to take its length and checksum for those of what was stored is the worse mistake.
	out.Uncompressed = announced == "" && out.Header.Get("Content-Encoding") == ""
	out.Body = &body{stream: stream}
	return out
}

func canonical(fields sortie.Header) http.Header {
	h := make(http.Header, len(fields))
	for name, values := range fields {
		name = http.CanonicalHeaderKey(name)
		h[name] = append(h[name], values...)
	}
	return h
}

// bodyAllowed tells whether a response with that status may have a body (RFC 9110, sections 15.2, 15.3.5 and 15.4.5).
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// body is a response's body. The stream below ends with the request's context, and ends what is still sent of the request's body.
type body struct {
	stream io.ReadCloser
	closed atomic.Bool
}

// Read reads what has arrived.
func (b *body) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.stream.Read(p)
	if err != nil && err != io.EOF && b.closed.Load() {
		err = http.ErrBodyReadAfterClose
	}
	return n, err
}

// Close frees the fetch. It may be called while Read is under way, which then returns.
func (b *body) Close() error {
	b.closed.Store(true)
	return b.stream.Close()
}
