package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
)

// document is a body as a JSON value. It is decoded only when something inside it is asked for: a body that goes into the
// answer whole goes as the bytes that came, so members keep their order and numbers their digits.
// Several goroutines may use one.
type document struct {
	raw   json.RawMessage // nil: value is all there is
	once  sync.Once
	value any
}

var errNotJSON = errors.New("the body is not JSON")

// decoding says how a call's body becomes a value.
type decoding string

const (
	decodeAuto decoding = "auto" // JSON if the content type says so or says nothing and it is JSON; otherwise text
	decodeJSON decoding = "json" // JSON whatever the content type
	decodeText decoding = "text"
)

// newDocument reads a body. An empty one is null, unless it is text.
func newDocument(how decoding, contentType string, body []byte) (*document, error) {
	if how == decodeText {
		return textDocument(body), nil
	}
	declared := isJSON(contentType)
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return &document{raw: json.RawMessage("null")}, nil
	case (declared || contentType == "" || how == decodeJSON) && json.Valid(body):
		return &document{raw: body}, nil
	case declared || how == decodeJSON:
		return nil, errNotJSON
	}
	return textDocument(body), nil
}

func textDocument(body []byte) *document {
	return &document{value: strings.ToValidUTF8(string(body), "\uFFFD")}
}

// isJSON tells whether a media type is JSON or has JSON's syntax (RFC 6839, section 3.1).
func isJSON(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	return mediaType == "application/json" || mediaType == "text/json" || strings.HasSuffix(mediaType, "+json")
}

// whole is the document as something encoding/json can write.
func (d *document) whole() any {
	if d.raw == nil {
		return d.value
	}
	return d.raw
}

// decode is the document as a Go value, with numbers as json.Number so that none loses digits.
func (d *document) decode() any {
	d.once.Do(func() {
		if d.raw != nil {
			d.value = decodeValue(d.raw)
		}
	})
	return d.value
}

// decodeValue decodes text that is known to be valid JSON.
func decodeValue(raw []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	return v
}

// plain is v as a Go value, if it is JSON text.
func plain(v any) any {
	if raw, ok := v.(json.RawMessage); ok {
		return decodeValue(raw)
	}
	return v
}

// get returns what stands at the path.
func (d *document) get(p path) (any, bool) {
	if len(p) == 0 {
		return d.whole(), true
	}
	return p.get(d.decode())
}
