package fetch_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/fetch/fetchtest"
	"github.com/sortie-run/sortie/host/manifest"
)

// encode applies codings in the order given.
func encode(data []byte, codings ...string) []byte {
	for _, name := range codings {
		data = fetchtest.Encode(data, name)
	}
	return data
}

// serveEncoded answers each request with a body and its Content-Encoding.
func serveEncoded(t testing.TB, coding string, body []byte) string {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", coding)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body)
	}).URL
}

func TestDecode(t *testing.T) {
	t.Parallel()
	text := []byte(strings.Repeat("some text, again and again; ", 5000))
	two := append(bytes.Clone(encode(text[:1000], "gzip")), encode(text[1000:], "gzip")...)
	frames := append(bytes.Clone(encode(text[:1000], "zstd")), encode(text[1000:], "zstd")...)
	for name, tc := range map[string]struct {
		coding string
		body   []byte
		want   []byte
		plain  bool // passed through
	}{
		"gzip":             {coding: "gzip", body: encode(text, "gzip")},
		"x-gzip":           {coding: "X-GZip", body: encode(text, "gzip")},
		"gzip members":     {coding: "gzip", body: two},
		"deflate":          {coding: "deflate", body: encode(text, "deflate")},
		"raw deflate":      {coding: "deflate", body: encode(text, "raw")},
		"br":               {coding: "br", body: encode(text, "br")},
		"zstd":             {coding: "zstd", body: encode(text, "zstd")},
		"zstd frames":      {coding: "zstd", body: frames},
		"stacked":          {coding: "gzip, br", body: encode(text, "gzip", "br")},
		"stacked again":    {coding: "zstd,deflate , gzip", body: encode(text, "zstd", "deflate", "gzip")},
		"identity":         {coding: "identity", body: text, plain: true},
		"identity, gzip":   {coding: "identity, gzip", body: encode(text, "gzip")},
		"empty gzip":       {coding: "gzip", body: nil, want: []byte{}},
		"gzip of nothing":  {coding: "gzip", body: encode(nil, "gzip"), want: []byte{}},
		"br of nothing":    {coding: "br", body: encode(nil, "br"), want: []byte{}},
		"empty br in gzip": {coding: "br, gzip", body: encode(nil, "gzip"), want: []byte{}},
		"unknown":          {coding: "lzma", body: text, plain: true},
		"unknown, gzip":    {coding: "lzma, gzip", body: encode(text, "gzip"), want: encode(text, "gzip"), plain: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.want == nil {
				tc.want = text
			}
			b := open(t, fetch.Config{}, loopback())
			url := serveEncoded(t, tc.coding, tc.body)
			for range 3 { // decoders are used again
				resp := wantOK(t, b.do(&fetch.Request{URL: url}))
				if !bytes.Equal(resp.Body, tc.want) {
					t.Fatalf("got %d bytes, want %d", len(resp.Body), len(tc.want))
				}
				described := header(resp, "content-encoding") != "" || header(resp, "content-length") != ""
				if described != tc.plain {
					t.Fatalf("header %v", resp.Header)
				}
			}
			if u := b.session.Usage(); u.Bytes != 3*int64(len(tc.want)) {
				t.Errorf("usage %+v", u)
			}
		})
	}
}

// TestHeadKeepsItsDescription: what isn't decoded is described as the upstream did.
func TestHeadKeepsItsDescription(t *testing.T) {
	t.Parallel()
	url := serveEncoded(t, "gzip", encode([]byte("x"), "gzip"))
	resp := wantOK(t, open(t, fetch.Config{}, loopback()).do(&fetch.Request{Method: "HEAD", URL: url}))
	if header(resp, "content-encoding") != "gzip" || header(resp, "content-length") == "" || len(resp.Body) != 0 {
		t.Errorf("got %+v", resp)
	}
}

func TestCorrupt(t *testing.T) {
	t.Parallel()
	text := []byte(strings.Repeat("some text, again and again; ", 5000))
	for _, coding := range []string{"gzip", "deflate", "br", "zstd"} {
		whole := encode(text, coding)
		flipped := bytes.Clone(whole)
		flipped[len(flipped)/2] ^= 0xff
		for name, body := range map[string][]byte{
			"truncated": whole[:len(whole)-3],
			"cut early": whole[:1],
			"garbage":   []byte("this is no encoded body at all, is it"),
			"flipped":   flipped,
			"trailing":  append(bytes.Clone(whole), "trailing bytes"...),
		} {
			if coding == "br" && name == "flipped" {
				continue // brotli has no checksum
			}
			t.Run(coding+" "+name, func(t *testing.T) {
				t.Parallel()
				b := open(t, fetch.Config{}, loopback())
				if err := wantCode(t, b.do(&fetch.Request{URL: serveEncoded(t, coding, body)}), failure.DecodeError); err.Retryable {
					t.Error("retryable")
				}
				// The decoder that failed does no harm to the next.
				if resp := wantOK(t, b.do(&fetch.Request{URL: serveEncoded(t, coding, whole)})); !bytes.Equal(resp.Body, text) {
					t.Error("wrong bytes")
				}
			})
		}
	}
	t.Run("too many codings", func(t *testing.T) {
		url := serveEncoded(t, "gzip, gzip, gzip, gzip, gzip", nil)
		wantCode(t, open(t, fetch.Config{}, loopback()).do(&fetch.Request{URL: url}), failure.DecodeError)
	})
}

func TestBombs(t *testing.T) {
	t.Parallel()
	zeros := make([]byte, 16<<20)
	for _, codings := range [][]string{{"gzip"}, {"deflate"}, {"br"}, {"zstd"}, {"gzip", "gzip"}, {"br", "zstd"}} {
		t.Run(strings.Join(codings, ","), func(t *testing.T) {
			t.Parallel()
			bomb := encode(zeros, codings...)
			b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.ResponseBytes = 1 << 20 }))
			err := wantCode(t, b.do(&fetch.Request{URL: serveEncoded(t, strings.Join(codings, ","), bomb)}), failure.ResponseTooLarge)
			if !strings.Contains(err.Message, "response_bytes is 1048576") {
				t.Error(err.Message)
			}
			if u := b.session.Usage(); u.Bytes > 1<<20 {
				t.Errorf("usage %+v", u)
			}
		})
	}
}

// TestEndlessNothing sends members and frames that decode to nothing, for ever: the encoded bytes are bounded too.
func TestEndlessNothing(t *testing.T) {
	t.Parallel()
	for _, codings := range [][]string{{"gzip"}, {"zstd"}, {"deflate", "gzip"}} {
		t.Run(strings.Join(codings, ","), func(t *testing.T) {
			t.Parallel()
			piece := encode(nil, codings[len(codings)-1])
			if codings[len(codings)-1] == "zstd" { // a skippable frame: the encoder makes nothing of nothing
				piece = []byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4}
			}
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", strings.Join(codings, ","))
				chunk := bytes.Repeat(piece, 1000)
				for {
					if _, err := w.Write(chunk); err != nil {
						return
					}
				}
			}).URL
			b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.ResponseBytes = 1000 }))
			wantCode(t, b.do(&fetch.Request{URL: url}), failure.ResponseTooLarge)
		})
	}
}
