package upstream

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// Step is what becomes of one request. The zero value answers 200 with an empty body, once the request's body has been read.
type Step struct {
	// Before anything is answered, in this order.
	Unread  bool           `json:"unread,omitempty"`   // the request's body isn't read
	Until   map[string]int `json:"until,omitempty"`    // waits until so many requests have come for each path
	Meet    int            `json:"meet,omitempty"`     // waits until so many requests for this path are here at once
	DelayMS int            `json:"delay_ms,omitempty"` // waits
	Hang    bool           `json:"hang,omitempty"`     // waits until the client has gone
	Close   bool           `json:"close,omitempty"`    // resets the connection without an answer
	Raw     string         `json:"raw,omitempty"`      // sends these bytes in place of an answer, and closes

	Closed   bool        `json:"closed,omitempty"` // no page of another origin may read the answer
	Status   int         `json:"status,omitempty"` // 0: 200
	Headers  [][2]string `json:"headers,omitempty"`
	Redirect string      `json:"redirect,omitempty"` // the Location; Status 0 is 302 then

	// The body is one of these.
	Body   string  `json:"body,omitempty"`
	Base64 []byte  `json:"base64,omitempty"`
	Size   int     `json:"size,omitempty"`   // so many bytes "x"
	Echo   bool    `json:"echo,omitempty"`   // an Echo of the request, as JSON
	Count  bool    `json:"count,omitempty"`  // how many requests have come for this path, in decimal
	Pieces []Piece `json:"pieces,omitempty"` // sent one by one

	Encoding []string `json:"encoding,omitempty"` // codings, in the order in which they are applied: gzip, deflate, br, zstd
	Corrupt  bool     `json:"corrupt,omitempty"`  // a byte in the middle of the encoded body is wrong
	Short    int      `json:"short,omitempty"`    // so many bytes at the body's end are left out, but not from Content-Length
	Stall    bool     `json:"stall,omitempty"`    // the body doesn't end until the client has gone
	Broken   bool     `json:"broken,omitempty"`   // after the body the connection is closed, which isn't an end of the body
}

// Piece is a part of a body.
type Piece struct {
	AfterMS int            `json:"after_ms,omitempty"` // waits before it
	Until   map[string]int `json:"until,omitempty"`    // as a Step's
	Text    string         `json:"text,omitempty"`
	Size    int            `json:"size,omitempty"` // so many bytes "x", after Text
}

// Echo is how an upstream tells what it got.
type Echo struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Query   string            `json:"query"`
	Headers map[string]string `json:"headers"` // by name in lower case; several values with commas between
	Body    string            `json:"body"`
	Chunked bool              `json:"chunked"` // whether the body came without a length
}

// Steps are one step or several.
type Steps []Step

// UnmarshalJSON implements json.Unmarshaler: a single step may stand for a list of one.
func (s *Steps) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) {
		return d.Decode((*[]Step)(s))
	}
	*s = make(Steps, 1)
	return d.Decode(&(*s)[0])
}

// exchange is one request under way.
type exchange struct {
	server *Server
	path   string
	w      http.ResponseWriter
	r      *http.Request
}

// play does what a step says. It reports false if the client went away before the end.
func (e *exchange) play(s *Step) (whole bool) {
	var body []byte
	if !s.Unread {
		var err error
		if body, err = io.ReadAll(e.r.Body); err != nil {
			return false
		}
	}
	switch {
	case !e.wait(s):
		return false
	case s.Close:
		e.end(nil, true)
		return true
	case s.Raw != "":
		e.end([]byte(s.Raw), false)
		return true
	}
	return e.answer(s, body)
}

func (e *exchange) wait(s *Step) bool {
	if !e.until(s.Until) {
		return false
	}
	if s.Meet > 0 && !e.server.Until(e.r.Context(), func() bool { return e.server.here(e.path) >= s.Meet }) {
		return false
	}
	return e.pause(s.DelayMS) && (!s.Hang || e.hang())
}

// here is how many requests for a path are under way. A meeting stays complete when the first leaves it.
func (s *Server) here(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gathered[path] = max(s.gathered[path], s.now[path])
	return s.gathered[path]
}

func (e *exchange) until(counts map[string]int) bool {
	return len(counts) == 0 || e.server.Until(e.r.Context(), func() bool {
		for path, n := range counts {
			if e.server.Requests(path) < n {
				return false
			}
		}
		return true
	})
}

func (e *exchange) pause(ms int) bool {
	if ms == 0 {
		return true
	}
	t := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.r.Context().Done():
	case <-e.server.quit:
	}
	return false
}

// hang waits until the client has gone.
func (e *exchange) hang() bool {
	select {
	case <-e.r.Context().Done():
	case <-e.server.quit:
	}
	return false
}

func (e *exchange) answer(s *Step, got []byte) (whole bool) {
	h := e.w.Header()
	if s.Closed {
		h.Del("Access-Control-Allow-Origin")
	}
	for _, f := range s.Headers {
		h[http.CanonicalHeaderKey(f[0])] = append(h[http.CanonicalHeaderKey(f[0])], f[1])
	}
	status := s.Status
	if s.Redirect != "" {
		h.Set("Location", s.Redirect)
		if status == 0 {
			status = http.StatusFound
		}
	}
	if status == 0 {
		status = http.StatusOK
	}
	if h["Content-Type"] == nil {
		h.Set("Content-Type", "text/plain")
	}
	body, err := s.content(e, got)
	if err != nil {
		http.Error(e.w, err.Error(), http.StatusInternalServerError)
		return true
	}
	if len(s.Encoding) > 0 {
		h.Set("Content-Encoding", strings.Join(s.Encoding, ", "))
	}
	if !s.Stall && !s.Broken && s.Pieces == nil && bodyAllowed(status) {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	e.w.WriteHeader(status)
	if e.r.Method == http.MethodHead {
		return true
	}
	if _, err := e.w.Write(body[:len(body)-min(s.Short, len(body))]); err != nil {
		return false
	}
	return e.rest(s)
}

// rest sends what a body has beyond what is known at once, and ends it.
func (e *exchange) rest(s *Step) (whole bool) {
	if e.flush(); s.Pieces != nil && !e.pieces(s.Pieces) {
		return false
	}
	switch {
	case s.Stall:
		return e.hang()
	case s.Broken, s.Short > 0:
		e.end(nil, false) // what was sent shall arrive
	}
	return true
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

func (e *exchange) flush() { _ = http.NewResponseController(e.w).Flush() }

func (e *exchange) pieces(all []Piece) bool {
	for _, p := range all {
		if !e.until(p.Until) || !e.pause(p.AfterMS) {
			return false
		}
		if _, err := io.WriteString(e.w, p.Text+strings.Repeat("x", p.Size)); err != nil {
			return false
		}
		e.flush()
	}
	return e.r.Context().Err() == nil
}

// end sends bytes of its own, if any, and closes the connection.
func (e *exchange) end(raw []byte, reset bool) {
	conn, _, err := http.NewResponseController(e.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	_, _ = conn.Write(raw)
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
}

// content is the body of a step that is known at once, encoded.
func (s *Step) content(e *exchange, got []byte) ([]byte, error) {
	body := s.Base64
	switch {
	case s.Body != "":
		body = []byte(s.Body)
	case s.Size > 0:
		body = bytes.Repeat([]byte("x"), s.Size)
	case s.Count:
		body = strconv.AppendInt(nil, int64(e.server.Requests(e.path)), 10)
	case s.Echo:
		e.w.Header().Set("Content-Type", "application/json")
		var err error
		if body, err = json.Marshal(echo(e.r, got)); err != nil {
			return nil, err
		}
	}
	for _, coding := range s.Encoding {
		var err error
		if body, err = encode(coding, body); err != nil {
			return nil, err
		}
	}
	if s.Corrupt && len(body) > 0 {
		body = bytes.Clone(body)
		body[len(body)/2] ^= 0xff
	}
	return body, nil
}

func echo(r *http.Request, body []byte) Echo {
	out := Echo{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Headers: map[string]string{}, Body: string(body),
		Chunked: r.ContentLength < 0,
	}
	out.Headers["host"] = r.Host
	for name, values := range r.Header {
		out.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return out
}

// encode applies one content coding (RFC 9110, section 8.4.1).
func encode(coding string, body []byte) ([]byte, error) {
	var out bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "deflate":
		w = zlib.NewWriter(&out)
	case "br":
		w = brotli.NewWriter(&out)
	case "zstd":
		z, err := zstd.NewWriter(&out)
		if err != nil {
			return nil, err
		}
		w = z
	default:
		return body, nil // a name that nobody knows says nothing of the bytes
	}
	if _, err := w.Write(body); err != nil {
		return nil, fmt.Errorf("%s: %w", coding, err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("%s: %w", coding, err)
	}
	return out.Bytes(), nil
}
