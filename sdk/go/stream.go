package sortie

import (
	"io"
	"runtime/debug"
)

// Stream makes an answer, status 200, whose body is what write writes: each Write is sent to the client at once, and waits while the client is
// slow. The empty content type sets none.
//
//	return sortie.Stream("text/event-stream", func(w io.Writer) error {
//		for i, r := range sortie.AsCompleted(ctx, reqs) {
//			if _, err := fmt.Fprintf(w, "data: %d %s\n\n", i, r.State); err != nil {
//				return err
//			}
//		}
//		return nil
//	}), nil
//
// write is called once the handler has returned; the handler's ctx lives until write returns. An error or a panic of write fails the
// invocation, as it would in the handler, and cuts the client's connection. Once Write has failed, it does so for ever.
func Stream(contentType string, write func(w io.Writer) error) *Response {
	r := &Response{Status: 200, Header: Header{}, BodyReader: &written{write: write}}
	if contentType != "" {
		r.Header.Set("content-type", contentType)
	}
	return r
}

// written is a body that a function writes: directly by WriteTo, or into a pipe if it is read.
type written struct {
	write func(io.Writer) error
	pipe  *io.PipeReader // since the first Read
}

// WriteTo implements io.WriterTo.
func (b *written) WriteTo(w io.Writer) (int64, error) {
	if b.pipe != nil {
		return io.Copy(w, b.pipe)
	}
	c := &counter{w: w}
	err := b.write(c)
	return c.n, err
}

// Read implements io.Reader.
func (b *written) Read(p []byte) (int, error) {
	if b.pipe == nil {
		r, w := io.Pipe()
		b.pipe = r
		go func() { _ = w.CloseWithError(b.caught(w)) }()
	}
	return b.pipe.Read(p)
}

// Close ends a function whose body isn't read any more.
func (b *written) Close() error {
	if b.pipe == nil {
		return nil
	}
	return b.pipe.Close()
}

// caught makes a panic of the function an error: it runs in a goroutine here, where nobody else could.
func (b *written) caught(w io.Writer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, debug.Stack()}
		}
	}()
	return b.write(w)
}

type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return "the function that writes the body has panicked" }

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
