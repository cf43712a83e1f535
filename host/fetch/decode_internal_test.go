package fetch

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// FuzzDecode feeds hostile bytes to every stack of codings: it must end, within its allowance, and give the same twice.
func FuzzDecode(f *testing.F) {
	text := []byte("the quick brown fox jumps over the lazy dog, and over, and over, and over again")
	seed := func(coding string, build func(io.Writer) io.WriteCloser) {
		var buf bytes.Buffer
		w := build(&buf)
		w.Write(text)
		w.Close()
		f.Add(coding, buf.Bytes())
		f.Add(coding, buf.Bytes()[:buf.Len()/2])
	}
	seed("gzip", func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	seed("deflate", func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
	seed("br", func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) })
	seed("zstd", func(w io.Writer) io.WriteCloser {
		z, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		return z
	})
	f.Add("gzip, br", []byte{0x1f, 0x8b, 8, 0})
	f.Add("deflate", []byte{0x78, 0x9c})
	f.Add("zstd,gzip , br, deflate", []byte{})
	f.Add("identity", text)
	f.Fuzz(func(t *testing.T, coding string, data []byte) {
		codings, known, err := codingsOf(http.Header{"Content-Encoding": {coding}})
		if err != nil || !known || len(codings) == 0 {
			return
		}
		c := newCodecs()
		const most = 1 << 20
		decode := func() ([]byte, error) {
			d := c.open(codings, bytes.NewReader(data), most)
			defer d.release()
			return io.ReadAll(io.LimitReader(d, most))
		}
		first, err := decode()
		again, errAgain := decode()
		if (err == nil) != (errAgain == nil) || err == nil && !bytes.Equal(first, again) {
			t.Fatalf("%q: first %d bytes and %v, then %d and %v", coding, len(first), err, len(again), errAgain)
		}
	})
}

func TestReadAll(t *testing.T) {
	t.Parallel()
	var b buffers
	for _, size := range []int{0, 1, 1000, scratchSize - 1, scratchSize, scratchSize + 1, 100_000, maxTrustedLength, maxTrustedLength + 1, 3 << 20} {
		want := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		for _, length := range []int64{-1, int64(size)} {
			got, err := b.readAll(bytes.NewReader(want), length)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("size %d, length %d: %d bytes, %v", size, length, len(got), err)
			}
			if length > 0 && cap(got) > size+size/8+1024 {
				t.Errorf("size %d known: capacity %d", size, cap(got))
			}
		}
	}
	// A length that promises far more than arrives is not believed.
	got, err := b.readAll(bytes.NewReader([]byte("short")), 1<<40)
	if err != nil || string(got) != "short" || cap(got) > maxTrustedLength {
		t.Errorf("%q, capacity %d, %v", got, cap(got), err)
	}
	if _, err := b.readAll(stuck{}, -1); err != io.ErrNoProgress {
		t.Errorf("a reader that gives nothing: %v", err)
	}
	if _, err := b.readAll(stuck{}, 10); err != io.ErrNoProgress {
		t.Errorf("a reader that gives nothing: %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// TestDecoderSurvivesPanic: what a library does with hostile bytes is a decode_error at worst.
func TestDecoderSurvivesPanic(t *testing.T) {
	t.Parallel()
	d := &decoder{codecs: newCodecs(), top: exploding{}}
	if _, err := d.Read(make([]byte, 1)); err == nil || !d.failed {
		t.Errorf("got %v", err)
	}
}

type exploding struct{}

func (exploding) Read([]byte) (int, error) { panic("index out of range") }

func FuzzRequestHeader(f *testing.F) {
	for _, seed := range [][2]string{
		{"Accept", "*/*"}, {"Host", "evil"}, {"content-length", "1"}, {"X", "a\r\nHost: b"}, {"X\n", ""}, {"Proxy-X", ""}, {"sortie-x", ""}, {"a:b", "c"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		header, fail := requestHeader([]Field{{Name: name, Value: value}}, nil)
		if fail != nil {
			return
		}
		var wire bytes.Buffer
		if err := header.Write(&wire); err != nil {
			t.Fatal(err)
		}
		if len(header) > 1 || bytes.Count(wire.Bytes(), []byte("\n")) != len(header) || bytes.Count(wire.Bytes(), []byte("\r")) != len(header) ||
			bytes.ContainsRune(wire.Bytes(), 0) {
			t.Fatalf("%q: %q became %q", name, value, wire.String())
		}
		for sent := range header {
			if hostOwned(sent) {
				t.Fatalf("%q was let through as %q", name, sent)
			}
		}
	})
}
