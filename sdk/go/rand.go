package sortie

import (
	"math/rand/v2"
	"sync"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// Rand is a source of randomness, seeded anew from the host's cryptographic randomness for each invocation. The global functions of
// math/rand may repeat themselves from one invocation to the next, since an invocation may start from a saved state. Not for secrets: use
// crypto/rand. It may be used by several goroutines at once.
var Rand = rand.New(source)

var source = &seeded{chacha8: rand.NewChaCha8(seed())}

type seeded struct {
	_       host.NoCompare
	mu      sync.Mutex
	chacha8 *rand.ChaCha8
}

// Uint64 makes it a rand.Source.
func (s *seeded) Uint64() uint64 {
	s.mu.Lock()
	v := s.chacha8.Uint64()
	s.mu.Unlock()
	return v
}

func (s *seeded) reseed() {
	s.mu.Lock()
	s.chacha8.Seed(seed())
	s.mu.Unlock()
}
