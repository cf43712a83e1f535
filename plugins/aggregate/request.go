package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

// request fills in the call. Errors are of type *valueError.
func (c *call) request(s *scope, e *endpoint) (*sortie.Request, error) {
	target, err := c.url.expand(s, e.isRest, c.passed.queryParameters(s.query))
	if err != nil {
		return nil, err
	}
	req := &sortie.Request{Method: c.method, URL: target, Header: sortie.Header{}}
	for _, name := range c.passed.headers {
		for _, value := range s.header.Values(name) {
			req.Header.Add(name, value)
		}
	}
	for name, t := range c.headers {
		value, err := headerValue(t, s)
		if err != nil {
			if leftOutWhole(err, t) {
				continue
			}
			return nil, err
		}
		req.Header.Set(name, value)
	}
	if err := c.body.fill(req, s); err != nil {
		return nil, err
	}
	return req.With(c.options...), nil
}

// leftOutWhole tells whether a header or form field is left out, because it is nothing but a reference without a value.
func leftOutWhole(err error, t template) bool {
	value, ok := errors.AsType[*valueError](err)
	return ok && value.missing && t.sole() != nil
}

// headerValue fills in a header's value. A value with a line break or NUL is refused here, where it can be named.
func headerValue(t template, s *scope) (string, error) {
	value, err := t.text(s, verbatim)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(value, "\r\n\x00") && len(t.refs()) > 0 {
		return "", &valueError{t.refs()[0], "has a line break or NUL, and stands in a header", false}
	}
	return value, nil
}

// fill gives the request its body, and a content type unless it has one.
func (b *body) fill(req *sortie.Request, s *scope) error {
	contentType := ""
	switch {
	case b.json != nil:
		value, _ := b.json.build(s, leftOut)
		data, err := encodeJSON(value)
		if err != nil {
			return err
		}
		req.Body, contentType = data, "application/json"
	case b.form != nil:
		form := url.Values{}
		for _, name := range slices.Sorted(maps.Keys(b.form)) {
			value, err := b.form[name].text(s, verbatim)
			if leftOutWhole(err, b.form[name]) {
				continue
			}
			if err != nil {
				return err
			}
			form.Set(name, value)
		}
		req.Body, contentType = []byte(form.Encode()), "application/x-www-form-urlencoded"
	case b.text != nil:
		return b.fillText(req, s)
	}
	if contentType != "" && req.Header.Get("content-type") == "" {
		req.Header.Set("content-type", contentType)
	}
	return nil
}

// fillText fills in a text body. One that is {body} and no more is the request's own, byte for byte, with its content type.
func (b *body) fillText(req *sortie.Request, s *scope) error {
	if ref := b.text.sole(); ref != nil && ref.source == fromBody && len(ref.path) == 0 {
		req.Body = s.raw
		if own := s.header.Get("content-type"); own != "" && req.Header.Get("content-type") == "" {
			req.Header.Set("content-type", own)
		}
		return nil
	}
	text, err := b.text.text(s, verbatim)
	req.Body = []byte(text)
	return err
}

// encodeJSON writes JSON as it is read back, without the escapes that are for HTML only.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
