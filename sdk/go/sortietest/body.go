package sortietest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// upload is the body of a request that comes from a reader, which can be read once.
type upload struct {
	from   io.Reader
	limit  int64
	length int64 // announced; 0: not known
	begun  bool
}

func (to *hop) begun() bool { return to.streams != nil && to.streams.begun }

// read reads the whole of it; the plugin's reader may wait for ever, and then is left behind.
func (u *upload) read(ctx context.Context) ([]byte, *host.Failure) {
	u.begun = true
	type read struct {
		body []byte
		err  error
	}
	done := make(chan read, 1)
	go func() {
		body, err := io.ReadAll(io.LimitReader(u.from, u.limit+1))
		if c, ok := u.from.(io.Closer); ok {
			_ = c.Close()
		}
		done <- read{body, err}
	}()
	select {
	case r := <-done:
		switch {
		case r.err != nil:
			return nil, &host.Failure{Code: stopBody.code, Message: stopBody.message}
		case int64(len(r.body)) > u.limit:
			return nil, bad("request_too_large", "request_bytes is %d; the body has more", u.limit)
		case u.length > 0 && u.length != int64(len(r.body)):
			return nil, bad("invalid_request", "the body was announced with %d bytes and has %d", u.length, len(r.body))
		}
		return r.body, nil
	case <-ctx.Done():
		return nil, stopped(ctx)
	}
}

// download is the body of a response on its way, within the limits on bytes.
type download struct {
	ctx  context.Context // its attempt's
	s    *session
	from io.Reader
	at   string
	n    int64
}

// Read gives a *host.Failure where the body doesn't go on.
func (d *download) Read(p []byte) (int, error) {
	n, err := d.from.Read(p)
	if fail := d.take(int64(n)); fail != nil {
		return 0, fail
	}
	if err != nil && err != io.EOF {
		fail := &host.Failure{Code: "read_error", Message: err.Error(), URL: d.at}
		if e, ok := errors.AsType[*sortie.Error](err); ok {
			fail = refusal(e, d.at)
		}
		err = fail
	}
	return n, err
}

func (d *download) take(n int64) *host.Failure {
	s := d.s
	if d.n += n; d.n > s.limits.ResponseBytes {
		return d.over("response_too_large", "response_bytes is %d; the body has at least %d", s.limits.ResponseBytes, d.n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+n > s.limits.TotalBytes {
		return d.over("limit_bytes", "total_bytes is %d; with this response it would be %d", s.limits.TotalBytes, s.bytes+n)
	}
	s.bytes += n
	return nil
}

func (d *download) over(code, format string, limit, asked int64) *host.Failure {
	return &host.Failure{Code: code, Message: fmt.Sprintf(format, limit, asked), URL: d.at}
}

// closeWith closes a reader when ctx ends, and returns what closes it now.
func closeWith(ctx context.Context, from io.Reader) (closed func()) {
	c, ok := from.(io.Closer)
	if !ok {
		return func() {}
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	return func() {
		stop()
		_ = c.Close()
	}
}

// abandon closes a body that nobody reads.
func (d *download) abandon() {
	if d == nil {
		return
	}
	if c, ok := d.from.(io.Closer); ok {
		_ = c.Close()
	}
}

// gather reads a body that the plugin wants whole.
func (d *download) gather() ([]byte, *host.Failure) {
	defer closeWith(d.ctx, d.from)()
	body, err := io.ReadAll(d)
	if d.ctx.Err() != nil && err != nil {
		return nil, stopped(d.ctx)
	}
	if f, ok := errors.AsType[*host.Failure](err); ok {
		return nil, f
	}
	return body, nil
}

// feed moves a body to the plugin, until it ends, or its attempt does, or the plugin wants no more.
func (d *download) feed(to *pipe, failed func(*host.Failure) *host.Failure) {
	defer closeWith(d.ctx, d.from)()
	defer context.AfterFunc(d.ctx, func() { to.end(failed(stopped(d.ctx))) })()
	_, err := io.Copy(to, struct{ io.Reader }{d})
	switch f, broken := errors.AsType[*host.Failure](err); {
	case err == nil:
		to.end(io.EOF)
	case d.ctx.Err() != nil:
		to.end(failed(stopped(d.ctx)))
	case broken:
		to.end(failed(f))
	}
}

// chunks is the body of a Reply with Chunks.
type chunks struct {
	ctx   context.Context
	delay time.Duration
	rest  []string
	chunk bytes.Reader
	fail  error
}

func newChunks(ctx context.Context, r *Reply, fail error) *chunks {
	return &chunks{ctx: ctx, delay: r.ChunkDelay, rest: r.Chunks, fail: fail}
}

// Read gives the next chunk, as soon as it is time.
func (c *chunks) Read(p []byte) (int, error) {
	for c.chunk.Len() == 0 {
		if len(c.rest) == 0 {
			if c.fail != nil {
				return 0, c.fail
			}
			return 0, io.EOF
		}
		if c.delay > 0 {
			select {
			case <-time.After(c.delay):
			case <-c.ctx.Done():
				return 0, c.ctx.Err()
			}
		}
		c.chunk.Reset([]byte(c.rest[0]))
		c.rest = c.rest[1:]
	}
	return c.chunk.Read(p)
}
