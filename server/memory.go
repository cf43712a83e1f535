package server

import (
	"io"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
)

// share is what one request holds of process.memory: the bytes of its bodies, the request's or a deploy's, and the answer's until it's delivered.
// Nobody waits for it. Who can't have what they need at once is told `overloaded`, for whoever waited would hold meanwhile what the others wait
// for. Only the request's own goroutine may use it.
type share struct {
	memory *host.Memory
	bytes  int64
}

// share returns an empty share, which its owner must release.
func (s *Server) share() *share { return &share{memory: s.memory} }

// budget is the memory that bodies are taken from: the runtime's, which its guests are taken from too.
func budget(d Deps) *host.Memory {
	if d.Runtime != nil {
		return d.Runtime.Memory()
	}
	return host.NewMemory(int64(d.Operator.Process.Memory))
}

// resize makes it a share of n bytes. The error is `overloaded`, and the share is as it was then; one that shrinks gets none.
func (s *share) resize(n int64) error {
	more := n - s.bytes
	if more <= 0 {
		s.memory.Release(-more)
	} else if !s.memory.Take(more) {
		return host.NewError(host.CodeOverloaded, "The guests and the bodies that the server holds leave no room for this one: they may have %s "+
			"together (process.memory). Try again later.", manifest.Bytes(s.memory.Limit()))
	}
	s.bytes = n
	return nil
}

// release gives everything back. It may be called again.
func (s *share) release() { _ = s.resize(0) }

// readAll reads r to its end. The share grows as the bytes come, by what is set aside for them, and keeps that when reading fails.
// The buffer doubles when it's full, yet not beyond what is expected while no more than that has come: what is expected saves
// memory, and never takes any.
func (s *share) readAll(r io.Reader, expected int64) ([]byte, error) {
	var data []byte
	for {
		if len(data) == cap(data) {
			var err error
			if data, err = s.grow(data, expected); err != nil {
				return nil, err
			}
		}
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// grow returns a larger copy of the data. While it's made both are held, so both are paid for.
func (s *share) grow(data []byte, expected int64) ([]byte, error) {
	have := int64(cap(data))
	size := max(2*have, bodyStart)
	if have < expected {
		size = min(size, expected)
	}
	if err := s.resize(s.bytes + size); err != nil {
		return nil, err
	}
	larger := make([]byte, len(data), size)
	copy(larger, data)
	return larger, s.resize(s.bytes - have)
}
