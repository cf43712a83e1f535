package sortie

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Response is an HTTP response: one that was fetched, or the answer of a plugin's handler. A fetched one may be answered as it is.
type Response struct {
	// Status is the status code; a handler's 0 answers 200.
	Status int
	// Header fields. A decoded response has neither content-encoding nor content-length. In an answer, fields that belong to
	// the host are dropped.
	Header Header
	// Body, whole. Decoded, if it came compressed.
	Body []byte
	// BodyReader reads the body of a response fetched with WithStream, whose Body is nil, as it arrives; its errors are an [*Error]. It also is an
	// io.Closer: close it if you don't read it to its end, for until then, or the end of its context, the fetch is in flight.
	//
	// In an answer it gives the body when Body is nil: each piece that it gives is sent to the client at once, and a slow client slows its
	// reading down. A response fetched with WithStream may be answered as it is; to write instead of being read, see
	// [Stream]. If it is an io.Closer it is closed in the end. When it fails the client sees its connection cut, never a clean end.
	BodyReader io.Reader

	// URL is where the response came from, after redirects.
	URL string
	// Attempts says how many attempts it took, the first included.
	Attempts int
	// Elapsed is the time from the call to the last byte, or to the head if the body is a stream.
	Elapsed time.Duration
	// Redirected says that the URL isn't the one that was asked for.
	Redirected bool

	err error // why a constructor couldn't make it; the invocation fails with it
}

// Text makes an answer: status 200, text/plain in UTF-8.
func Text(s string) *Response {
	return &Response{Status: 200, Header: Header{"content-type": {"text/plain; charset=utf-8"}}, Body: []byte(s)}
}

// JSON makes an answer with v as its JSON body. If v can't be encoded, the invocation fails and says so.
func JSON(status int, v any) *Response {
	body, err := json.Marshal(v)
	if err != nil {
		return &Response{Status: 500, err: fmt.Errorf("sortie.JSON: %w", err)}
	}
	return &Response{Status: status, Header: Header{"content-type": {"application/json"}}, Body: body}
}

// Text returns the body as a string. A stream is read to its end; what a failing one gave until then is returned.
func (r *Response) Text() string {
	b, _ := r.bytes()
	return string(b)
}

// JSON decodes the body into v, as encoding/json does. It doesn't look at the status: see Check.
func (r *Response) JSON(v any) error {
	body, err := r.bytes()
	if err == nil {
		err = json.Unmarshal(body, v)
	}
	if err != nil {
		return fmt.Errorf("sortie: body of %s: %w", r.URL, err)
	}
	return nil
}

// Check returns an *Error with code http_status, holding the response, if the status is 400 or above.
func (r *Response) Check() error {
	if r.Status < 400 {
		return nil
	}
	retryable := false
	switch r.Status {
	case 408, 425, 429, 500, 502, 503, 504: // the contract's own list
		retryable = true
	}
	return &Error{Code: "http_status", Message: "status " + strconv.Itoa(r.Status), URL: r.URL, Attempts: r.Attempts,
		Retryable: retryable, Response: r}
}

// bytes returns the body, which it reads first if it is a stream.
func (r *Response) bytes() ([]byte, error) {
	if r.Body == nil && r.BodyReader != nil {
		body, err := readBody(r.BodyReader)
		if c, ok := r.BodyReader.(io.Closer); ok {
			_ = c.Close()
		}
		r.Body, r.BodyReader = body, nil
		return body, err
	}
	return r.Body, nil
}

// maxBody bounds what Text and JSON read from a BodyReader: half of a guest's memory by default.
const maxBody = 64 << 20

func readBody(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err == nil && len(body) > maxBody {
		return nil, fmt.Errorf("body longer than %d bytes", maxBody)
	}
	return body, err
}
