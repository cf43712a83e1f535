package http1

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// MaxBody is how many bytes the body of a request may have. A server may answer before it has read a request, and wait for its answer to be read; what
// fits the buffers of any two sockets is written all the same.
const MaxBody = 16 << 10

// Request is what is sent. It comes out as net/http would write it: Host and User-Agent, then the length if there is a body or the method is one that
// wants it, then the other fields, sorted.
type Request struct {
	Method string
	Target string // in origin form (RFC 9112, section 3.2.1)
	Host   string
	Header http.Header // canonical names, and none that frames a message; nobody changes it meanwhile
	Body   []byte
}

// errInvalid is a request that would be read as something else.
var errInvalid = errors.New("http1: the request can't be written: it has a byte that ends a line or a field")

// writers are lent for the time of a write.
var writers = sync.Pool{New: func() any { return bufio.NewWriter(nil) }}

func (r *Request) write(to io.Writer) error {
	if len(r.Body) > MaxBody {
		return errors.New("http1: the body is too long")
	}
	w := writers.Get().(*bufio.Writer)
	w.Reset(to)
	err := r.head(w)
	if err == nil {
		_, _ = w.Write(r.Body)
		err = w.Flush() // which has what went wrong before
	}
	w.Reset(nil)
	writers.Put(w)
	return err
}

// head writes all but the body. Whoever made the request has checked what is in it; this makes sure that it is one request. Nothing has reached the
// connection if it isn't, unless the head is longer than the buffer: then it has no end.
func (r *Request) head(w *bufio.Writer) error {
	if !plain(r.Method) || !plain(r.Target) || !plain(r.Host) || !strings.HasPrefix(r.Target, "/") {
		return errInvalid
	}
	for _, s := range [...]string{r.Method, " ", r.Target, " HTTP/1.1\r\nHost: ", r.Host, "\r\n"} {
		_, _ = w.WriteString(s)
	}
	if agent := r.Header["User-Agent"]; len(agent) > 0 && agent[0] != "" {
		if err := field(w, "User-Agent", agent[0]); err != nil {
			return err
		}
	}
	if len(r.Body) > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
		_, _ = w.WriteString("Content-Length: ")
		_, _ = w.Write(strconv.AppendInt(w.AvailableBuffer(), int64(len(r.Body)), 10))
		_, _ = w.WriteString("\r\n")
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
			if err := field(w, name, value); err != nil {
				return err
			}
		}
	}
	_, err := w.WriteString("\r\n")
	return err
}

func field(w *bufio.Writer, name, value string) error {
	if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return errInvalid
	}
	_, _ = w.WriteString(name)
	_, _ = w.WriteString(": ")
	_, _ = w.WriteString(textproto.TrimString(value))
	_, err := w.WriteString("\r\n")
	return err
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
