package conformance

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
)

// What a guest passes to the host, in the encodings of host/ABI.md. Addresses in it are known only when the program is linked, so they are
// varints of eight bytes whose place is remembered by a mark.

// fetchEncoding is a fetch as vectors have it; the keys are fetch_all's.
type fetchEncoding struct {
	Method           string      `json:"method"`
	URL              string      `json:"url"`
	Headers          [][2]string `json:"headers"`
	Body             string      `json:"body"`
	BodySize         int         `json:"body_size"` // in place of Body: so many bytes "x"
	BodyAt           *[2]uint64  `json:"body_at"`   // in place of Body: what lies in the guest's memory, by address and length
	TimeoutMS        float64     `json:"timeout_ms"`
	AttemptTimeoutMS float64     `json:"attempt_timeout_ms"`
	HedgeMS          float64     `json:"hedge_ms"`
	Redirect         string      `json:"redirect"`
	Expect           string      `json:"expect"`
	Retry            *struct {
		Attempts     int     `json:"attempts"`
		BackoffMS    float64 `json:"backoff_ms"`
		MaxBackoffMS float64 `json:"max_backoff_ms"`
		Statuses     []int   `json:"statuses"`
	} `json:"retry"`

	// Of an open fetch.
	StreamResponse bool `json:"stream_response"`
	StreamRequest  bool `json:"stream_request"`
	Length         int  `json:"length"` // of the request's stream; 0: not known
}

type groupEncoding struct {
	Mode        string          `json:"mode"`
	Count       int             `json:"count"`
	Concurrency int             `json:"concurrency"`
	TimeoutMS   float64         `json:"timeout_ms"`
	Requests    []fetchEncoding `json:"requests"`
}

type responseEncoding struct {
	Status  int         `json:"status"`
	Headers [][2]string `json:"headers"`
	Body    string      `json:"body"`
}

var (
	modes     = []string{"all", "all_settled", "any", "race", "quorum"}
	redirects = []string{"follow", "manual", "error"}
)

func (a *assembler) encoding(key string, text []byte) ([]byte, error) {
	read := func(v any) error {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		return d.Decode(v)
	}
	switch key {
	case "fetch", "open":
		var f fetchEncoding
		if err := read(&f); err != nil {
			return nil, err
		}
		return a.fetch(&f, key == "open")
	case "group", "open_group":
		var g groupEncoding
		if err := read(&g); err != nil {
			return nil, err
		}
		return a.group(&g, key == "open_group")
	case "response", "begin":
		var r responseEncoding
		if err := read(&r); err != nil {
			return nil, err
		}
		b := appendFields(appendVarint(nil, uint64(r.Status)), r.Headers)
		if key == "response" {
			b = a.appendBody(b, []byte(r.Body))
		}
		return b, nil
	}
	return nil, fmt.Errorf("there is no such thing")
}

func (a *assembler) fetch(f *fetchEncoding, open bool) ([]byte, error) {
	redirect := max(slices.Index(redirects, f.Redirect), 0)
	if f.Redirect != "" && redirects[redirect] != f.Redirect {
		return nil, fmt.Errorf("redirect is %q", f.Redirect)
	}
	var b []byte
	if open {
		flags := uint64(0)
		if f.StreamResponse {
			flags |= 1
		}
		if f.StreamRequest {
			flags |= 2
		}
		b = appendVarint(b, flags)
	}
	b = appendFields(appendText(appendText(b, f.Method), f.URL), f.Headers)
	for _, ms := range []float64{f.TimeoutMS, f.AttemptTimeoutMS, f.HedgeMS} {
		b = appendVarint(b, nanoseconds(ms))
	}
	b = appendText(appendVarint(b, uint64(redirect)), f.Expect)
	if r := f.Retry; r == nil {
		b = append(b, 0)
	} else {
		b = appendVarint(append(b, 1), uint64(r.Attempts))
		b = appendVarint(appendVarint(b, nanoseconds(r.BackoffMS)), nanoseconds(r.MaxBackoffMS))
		b = appendVarint(b, uint64(len(r.Statuses)))
		for _, s := range r.Statuses {
			b = appendVarint(b, uint64(s))
		}
	}
	switch {
	case f.StreamRequest:
		return appendVarint(append(b, 0), uint64(f.Length)), nil
	case f.BodyAt != nil:
		return appendVarint(appendVarint(b, f.BodyAt[0]), f.BodyAt[1]), nil
	case f.BodySize > 0:
		return a.appendBody(b, bytes.Repeat([]byte("x"), f.BodySize)), nil
	}
	return a.appendBody(b, []byte(f.Body)), nil
}

func (a *assembler) group(g *groupEncoding, open bool) ([]byte, error) {
	mode := slices.Index(modes, g.Mode)
	if mode < 0 {
		return nil, fmt.Errorf("mode is %q", g.Mode)
	}
	b := appendVarint(appendVarint(nil, uint64(mode)), uint64(g.Count))
	b = appendVarint(appendVarint(b, uint64(g.Concurrency)), nanoseconds(g.TimeoutMS))
	b = appendVarint(b, uint64(len(g.Requests)))
	for i := range g.Requests {
		one, err := a.fetch(&g.Requests[i], open)
		if err != nil {
			return nil, err
		}
		b = appendText(b, string(one))
	}
	return b, nil
}

func nanoseconds(ms float64) uint64 { return uint64(ms * 1e6) }

// addressMark stands, in a varint of eight bytes, for an offset in the data that the linker makes an address.
const addressMark = 0x1234_5678 << 24

// appendBody appends a body's address and length.
func (a *assembler) appendBody(b, body []byte) []byte {
	if len(body) == 0 {
		return append(b, 0, 0)
	}
	at := uint64(a.place(body))
	b = binary.BigEndian.AppendUint64(b, 3<<62|addressMark|at)
	return appendVarint(b, uint64(len(body)))
}

// patched is the data with addresses in place of the marks.
func (a *assembler) patched(base uint32) []byte {
	data := bytes.Clone(a.data)
	mark := binary.BigEndian.AppendUint64(nil, 3<<62|addressMark)[:5]
	for at := 0; ; {
		next := bytes.Index(data[at:], mark)
		if next < 0 || at+next+8 > len(data) {
			return data
		}
		at += next
		offset := binary.BigEndian.Uint64(data[at:]) & (1<<24 - 1)
		binary.BigEndian.PutUint64(data[at:], 3<<62|(uint64(base)+offset))
		at += 8
	}
}

// appendVarint appends a variable-length integer (RFC 9000, section 16).
func appendVarint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return binary.BigEndian.AppendUint16(b, uint16(v)|1<<14)
	case v < 1<<30:
		return binary.BigEndian.AppendUint32(b, uint32(v)|2<<30)
	}
	return binary.BigEndian.AppendUint64(b, v|3<<62)
}

func appendText(b []byte, s string) []byte { return append(appendVarint(b, uint64(len(s))), s...) }

// appendFields appends a field section (RFC 9292, section 3.6).
func appendFields(b []byte, fields [][2]string) []byte {
	var section []byte
	for _, f := range fields {
		section = appendText(appendText(section, f[0]), f[1])
	}
	return appendText(b, string(section))
}
