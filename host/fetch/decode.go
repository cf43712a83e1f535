package fetch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Content codings (RFC 9110, section 8.4.1; br: RFC 7932, zstd: RFC 8878).

// codingsOf returns the codings of a body in the order to undo them, and whether all of them are known. Without any there's nothing to
// decode; with an unknown one nothing is decoded, since what is below it can't be told.
func codingsOf(header http.Header) (codings []string, known bool, err error) {
	for _, line := range header["Content-Encoding"] {
		for part := range strings.SplitSeq(line, ",") {
			name := strings.ToLower(strings.Trim(part, " \t"))
			switch name {
			case "", "identity":
			case "gzip", "deflate", "br", "zstd":
				codings = append(codings, name)
			case "x-gzip":
				codings = append(codings, "gzip")
			default:
				return nil, false, nil
			}
			if len(codings) > maxCodings {
				return nil, false, fmt.Errorf("the body has more than %d codings", maxCodings)
			}
		}
	}
	slices.Reverse(codings)
	return codings, true, nil
}

var (
	errTrailing = errors.New("bytes follow the end of the encoded body")
	errTooMuch  = errors.New("the encoded body is out of proportion")
)

// codecs keeps decoders for use again: most of them hold tens of kilobytes.
type codecs struct {
	buffers sync.Pool // *bufio.Reader
	pools   map[string]*sync.Pool
}

// codec is a decoder that can begin anew.
type codec interface {
	io.Reader
	Reset(r *bufio.Reader) error
}

func newCodecs() *codecs {
	pool := func(build func() codec) *sync.Pool { return &sync.Pool{New: func() any { return build() }} }
	return &codecs{
		buffers: sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 8<<10) }},
		pools: map[string]*sync.Pool{
			"gzip":    pool(func() codec { return &gzipCodec{} }),
			"deflate": pool(func() codec { return &deflateCodec{} }),
			"br":      pool(func() codec { return &brotliCodec{} }),
			"zstd":    pool(func() codec { return &zstdCodec{} }),
		},
	}
}

// decoder undoes a stack of codings. No stage takes in more than the allowance, so a stage that swallows its input without giving
// anything is bounded as well as one that gives too much.
type decoder struct {
	codecs *codecs
	stages []stage
	top    io.Reader
	failed bool
}

type stage struct {
	name  string
	buf   *bufio.Reader
	codec codec
	begun bool
	err   error // how it ended
}

// open stacks the codings, the first of which is undone first, on r. release must be called after.
func (c *codecs) open(codings []string, r io.Reader, allowance int64) *decoder {
	d := &decoder{codecs: c, stages: make([]stage, len(codings))}
	for i, name := range codings {
		s := &d.stages[i]
		s.name, s.buf, s.codec = name, c.buffers.Get().(*bufio.Reader), c.pools[name].Get().(codec)
		s.buf.Reset(&capped{r: r, left: allowance})
		r = s
	}
	d.top = r
	return d
}

// Read decodes. A panic in a library that was fed hostile bytes is an error like any other.
func (d *decoder) Read(p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			n, err = 0, fmt.Errorf("the decoder gave up: %v", v)
		}
		if err != nil && err != io.EOF {
			d.failed = true
		}
	}()
	return d.top.Read(p)
}

// release gives the decoders back. Those that failed are left to the garbage collector.
func (d *decoder) release() {
	for i := range d.stages {
		s := &d.stages[i]
		s.buf.Reset(nil)
		d.codecs.buffers.Put(s.buf)
		if !d.failed {
			d.codecs.pools[s.name].Put(s.codec)
		}
	}
}

// Read decodes one coding. An error is for good, the end included: a decoder above may overlook one that comes with bytes, or takes the
// place of a next member, and would be told of the end when it asks again.
func (s *stage) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.decode(p)
	s.err = err
	return n, err
}

// decode is Read up to its first error. Nothing at all decodes to nothing; after the end there must be nothing more.
func (s *stage) decode(p []byte) (int, error) {
	if !s.begun {
		if _, err := s.buf.Peek(1); err != nil {
			return 0, err
		}
		if err := s.codec.Reset(s.buf); err != nil {
			return 0, cut(err)
		}
		s.begun = true
	}
	n, err := s.codec.Read(p)
	if err != io.EOF {
		return n, err
	}
	switch _, err := s.buf.Peek(1); {
	case err == nil:
		return n, errTrailing
	case err != io.EOF:
		return n, err
	}
	return n, io.EOF
}

// cut tells the end of a body from its being cut short.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// capped fails rather than give more than what is left.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		// The last byte allowed has been read; only the end may follow.
		var probe [1]byte
		n, err := c.r.Read(probe[:])
		if n > 0 {
			return 0, errTooMuch
		}
		return 0, err
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

type gzipCodec struct{ gzip.Reader }

func (c *gzipCodec) Reset(r *bufio.Reader) error { return c.Reader.Reset(r) }

// deflateCodec reads "deflate" as the standard has it, zlib (RFC 1950), and as some servers do, raw (RFC 1951).
type deflateCodec struct {
	io.Reader
	zlib io.ReadCloser
	raw  io.ReadCloser
}

func (c *deflateCodec) Reset(r *bufio.Reader) error {
	head, _ := r.Peek(2)
	if len(head) < 2 || head[0]&0x0f != 8 || head[0]>>4 > 7 || (uint(head[0])<<8|uint(head[1]))%31 != 0 {
		if c.raw == nil {
			c.raw = flate.NewReader(r)
		} else if err := c.raw.(flate.Resetter).Reset(r, nil); err != nil {
			return err
		}
		c.Reader = c.raw
		return nil
	}
	var err error
	if c.zlib == nil {
		c.zlib, err = zlib.NewReader(r)
	} else {
		err = c.zlib.(zlib.Resetter).Reset(r, nil)
	}
	c.Reader = c.zlib
	return err
}

type brotliCodec struct{ brotli.Reader }

func (c *brotliCodec) Reset(r *bufio.Reader) error { return c.Reader.Reset(r) }

type zstdCodec struct{ *zstd.Decoder }

func (c *zstdCodec) Reset(r *bufio.Reader) error {
	if c.Decoder != nil {
		return c.Decoder.Reset(r)
	}
	var err error
	// One block at a time in the caller's goroutine: nothing is left running when a body is given up.
	c.Decoder, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
	return err
}
