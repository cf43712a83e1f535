package fetchtest

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// plainText is what encoded bodies hold, unless they are told to hold zeros.
const plainText = "plain text, plain text, plain text"

// encodedBody answers with a body in the codings named, in the order in which they were applied. raw is deflate without zlib's frame; a name twice over, as
// gzip+gzip, is the body's two halves one after the other.
func encodedBody(w http.ResponseWriter, r *http.Request, codings string) {
	body := []byte(plainText)
	if n := query(r, "n"); n != nil {
		body = bytes.Repeat([]byte{'0'}, number(n[0]))
	}
	for name := range strings.SplitSeq(codings, ",") {
		if one, double, ok := strings.Cut(name, "+"); ok && one == double {
			body = append(Encode(body[:len(body)/2], one), Encode(body[len(body)/2:], one)...)
		} else {
			body = Encode(body, name)
		}
	}
	switch {
	case query(r, "broken") != nil:
		body[len(body)/2] ^= 0xff
	case query(r, "cut") != nil:
		body = body[:len(body)-1]
	case query(r, "more") != nil:
		body = append(body, "more"...)
	case query(r, "none") != nil:
		body = nil
	}
	var names []string
	for name := range strings.SplitSeq(codings, ",") {
		name, _, _ = strings.Cut(name, "+")
		names = append(names, strings.Replace(name, "raw", "deflate", 1))
	}
	w.Header().Set("Content-Encoding", strings.Join(names, ", "))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// Encode applies a coding; raw is deflate without zlib's frame. What isn't known changes nothing.
func Encode(data []byte, coding string) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip", "x-gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "raw":
		w, _ = flate.NewWriter(&b, flate.DefaultCompression)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	default:
		return data
	}
	if _, err := w.Write(data); err != nil { // to memory
		panic(err)
	}
	w.Close()
	return b.Bytes()
}
