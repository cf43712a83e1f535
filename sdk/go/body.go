package sortie

import (
	"context"
	"io"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// stream is a body that is read as it arrives. It ends with its context.
type stream struct {
	ctx  context.Context
	url  string
	from io.ReadCloser
	body *upload // the request's, which goes up meanwhile; nil: there is none
	stop func() bool
}

func newStream(ctx context.Context, url string, from io.ReadCloser, body *upload) *stream {
	s := &stream{ctx: ctx, url: url, from: from, body: body}
	s.stop = context.AfterFunc(ctx, s.end)
	return s
}

// end frees what the host holds; a Read that waits returns.
func (s *stream) end() {
	_ = s.from.Close()
	s.body.close()
}

// Read implements io.Reader. It waits for the next bytes.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	if err == nil {
		return n, nil
	}
	if err != io.EOF && s.ctx.Err() != nil {
		err = contextError(s.ctx, s.url)
	} else if f, ok := err.(*host.Failure); ok { //nolint:errorlint // ours, never wrapped; errors.As costs every plugin a kilobyte
		err = failure(f)
	}
	s.stop()
	s.body.close()
	return n, err
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.stop()
	s.end()
	return nil
}
