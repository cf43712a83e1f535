package fetch

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/sortie-run/sortie/host/fetch/policy"
)

// FuzzRedirect: wherever a Location leads, what comes out is a URL that parses to itself, and credentials stay with their origin, but for the
// same host's move from http to https on the default ports.
func FuzzRedirect(f *testing.F) {
	for _, location := range []string{"/a", "//b.test", "https://a.test/", `\\b.test\`, "http://a.test:81", "?q", "#f", "HTTP://A.test/", "http://a.test./", "//"} {
		f.Add("http://a.test/x?y#z", location)
	}
	f.Fuzz(func(t *testing.T, from, location string) {
		u, fail := policy.ParseURL(from)
		if fail != nil {
			return
		}
		next, fail := u.Resolve(location)
		if fail != nil {
			return
		}
		again, fail := policy.ParseURL(next.String())
		if fail != nil || again.String() != next.String() {
			t.Fatalf("%q from %q is %q, which parses to %v, %v", location, from, next, again, fail)
		}
		if sent := next.Request(); sent.RequestURI() != next.Target() || sent.Host != next.Authority() {
			t.Fatalf("%q would be sent as %q to %q", next, sent.RequestURI(), sent.Host)
		}
		upgrade := u.Host() == next.Host() && u.Scheme() == "http" && next.Scheme() == "https" && u.Port() == "80" && next.Port() == "443"
		if sameCredentials(u, next) != (u.Origin() == next.Origin() || upgrade) {
			t.Fatalf("credentials from %q to %q", u, next)
		}
	})
}

// FuzzMethodAndRetryAfter: neither panics, and what they give can be used.
func FuzzMethodAndRetryAfter(f *testing.F) {
	f.Add("get", "120")
	f.Add("CONNECT", "Fri, 31 Dec 1999 23:59:59 GMT")
	f.Add("GET / HTTP/1.1\r\n", "-1")
	f.Fuzz(func(t *testing.T, method, after string) {
		if m, fail := checkMethod(method); fail == nil && (strings.ContainsAny(m, " \r\n\x00") || m == "CONNECT" || m == "TRACE" || len(m) > maxMethod) {
			t.Errorf("%q can be sent", m)
		}
		if d, ok := retryAfter(http.Header{"Retry-After": {after}}, time.Now()); ok && d < 0 {
			t.Errorf("%q is %s", after, d)
		}
	})
}

// FuzzDecoders: no stack of codings over any bytes gives more than is read of it, hangs or panics, and what was encoded comes back.
func FuzzDecoders(f *testing.F) {
	f.Add([]byte("hello"), uint16(0))
	f.Add([]byte("\x1f\x8b\x08\x00"), uint16(0x1234))
	f.Add([]byte(strings.Repeat("x", 1000)), uint16(0xffff))
	f.Fuzz(func(t *testing.T, data []byte, which uint16) {
		const most = 1 << 20
		var codings []string
		encoded := data
		for i := range which % 4 {
			coding := (which >> (4 * i)) % 5
			codings = append([]string{[...]string{"gzip", "deflate", "deflate", "br", "zstd"}[coding]}, codings...)
			encoded = encode(t, coding, encoded)
		}
		shared := newCodecs()
		read := func(from []byte) ([]byte, error) {
			d := shared.open(codings, bytes.NewReader(from), most)
			defer d.release()
			return io.ReadAll(io.LimitReader(d, most))
		}
		if len(codings) > 0 {
			_, _ = read(data) // whatever comes of it
		}
		if got, err := read(encoded); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%q over %d bytes gives %d back, %v", codings, len(data), len(got), err)
		}
	})
}

func encode(t *testing.T, coding uint16, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case 0:
		w = gzip.NewWriter(&out)
	case 1:
		w = zlib.NewWriter(&out)
	case 2:
		w, _ = flate.NewWriter(&out, 5)
	case 3:
		w = brotli.NewWriter(&out)
	default:
		w, _ = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestStackedErrors: a body that is cut, or goes on behind its end, at the outermost of several codings is no valid one, whatever the decoders
// above make of it.
func TestStackedErrors(t *testing.T) {
	t.Parallel()
	names := [...]string{"gzip", "deflate", "deflate", "br", "zstd"}
	stacks := [][]uint16{{4, 1, 0}, {0, 4, 1}, {3, 2, 0}}
	for inner := range uint16(5) {
		for outer := range uint16(5) {
			stacks = append(stacks, []uint16{inner, outer})
		}
	}
	for _, text := range []string{"", "x", "hello", strings.Repeat("a text that is compressed, ", 40)} {
		for _, stack := range stacks {
			whole := []byte(text)
			var codings []string
			for _, coding := range stack {
				whole = encode(t, coding, whole)
				codings = append([]string{names[coding]}, codings...)
			}
			read := func(from []byte) error {
				d := newCodecs().open(codings, bytes.NewReader(from), 1<<20)
				defer d.release()
				got, err := io.ReadAll(d)
				if err == nil && string(got) != text {
					t.Errorf("%q gives something else", codings)
				}
				return err
			}
			if err := read(whole); err != nil {
				t.Fatalf("%q: %v", codings, err)
			}
			if read(append(bytes.Clone(whole), "more"...)) == nil {
				t.Errorf("%q of %.9q with more behind it is taken", codings, text)
			}
			for cut := 1; cut < len(whole); cut++ {
				if read(whole[:cut]) == nil {
					t.Errorf("%q of %.9q cut to %d of %d bytes is taken", codings, text, cut, len(whole))
				}
			}
		}
	}
}
