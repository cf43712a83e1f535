package host

import (
	"io"
	"sync"

	"github.com/sortie-run/sortie/host/manifest"
)

// inbound is a request's body in pieces: of limits.input bytes at most, and closed once however many close it.
type inbound struct {
	from  io.ReadCloser
	limit manifest.Bytes
	left  int64 // one more than may come, while it hasn't
	once  sync.Once
	err   error // of Close
}

func newInbound(from io.ReadCloser, limit manifest.Bytes) *inbound {
	return &inbound{from: from, limit: limit, left: int64(limit) + 1}
}

// Read implements io.Reader.
func (b *inbound) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, NewError(CodeLimitInput, "the request's body is larger than limits.input, %s", b.limit)
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	if b.left -= int64(n); b.left == 0 {
		return n - 1, NewError(CodeLimitInput, "the request's body is larger than limits.input, %s", b.limit)
	}
	return n, err
}

// Close implements io.Closer.
func (b *inbound) Close() error {
	b.once.Do(func() { b.err = b.from.Close() })
	return b.err
}
