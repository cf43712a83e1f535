package http1

import (
	"errors"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// MaxRequest is how many bytes a request may have, head and body. A server may answer before it has read a request, and wait for its answer to be
// read; what fits the buffers of any two sockets is written all the same.
const MaxRequest = 16 << 10

// Request is what is sent. It comes out as net/http would write it: Host and User-Agent, then the length if there is a body or the method is one that
// wants it, then the other fields, sorted.
type Request struct {
	Method string
	Target string // in origin form (RFC 9112, section 3.2.1)
	Host   string
	Header http.Header // canonical names, and none that frames a message; nobody changes it meanwhile
	Body   []byte
}

// ErrInvalid tells of a request that would be read as something else, or is too long. Nothing of it was sent.
var ErrInvalid = errors.New("http1: the request can't be written: it's too long, or has a byte that ends a line or a field")

// Fits tells whether the request is surely short enough.
func (r *Request) Fits() bool {
	n := len(r.Method) + len(r.Target) + len(r.Host) + len(r.Body) + 64 // what stands between, the length included
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value) + len(": \r\n")
		}
	}
	return n <= MaxRequest
}

// buffers are lent for the time of a write.
var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 1<<10)) }}

// append appends the whole request. Whoever made it has checked what is in it; this makes sure that it is one request.
func (r *Request) append(b []byte) ([]byte, error) {
	if !plain(r.Method) || !plain(r.Target) || !plain(r.Host) || !strings.HasPrefix(r.Target, "/") {
		return b, ErrInvalid
	}
	for _, s := range [...]string{r.Method, " ", r.Target, " HTTP/1.1\r\nHost: ", r.Host, "\r\n"} {
		b = append(b, s...)
	}
	var err error
	if agent := r.Header["User-Agent"]; len(agent) > 0 && agent[0] != "" {
		if b, err = appendField(b, "User-Agent", agent[0]); err != nil {
			return b, err
		}
	}
	if len(r.Body) > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, int64(len(r.Body)), 10), "\r\n"...)
	}
	var room [16]string
	names := room[:0]
	for name := range r.Header {
		if name != "User-Agent" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range r.Header[name] {
			if b, err = appendField(b, name, value); err != nil {
				return b, err
			}
		}
	}
	b = append(append(b, "\r\n"...), r.Body...)
	if len(b) > MaxRequest {
		return b, ErrInvalid
	}
	return b, nil
}

func appendField(b []byte, name, value string) ([]byte, error) {
	if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return b, ErrInvalid
	}
	b = append(append(b, name...), ": "...)
	return append(append(b, textproto.TrimString(value)...), "\r\n"...), nil
}

// plain tells that a part of the first two lines has neither a blank nor a control character.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}
