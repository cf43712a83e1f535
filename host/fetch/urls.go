package fetch

import (
	"strings"
	"sync"

	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/fetch/policy"
)

// urls remembers what URLs were parsed to: a plugin asks for the same few again and again, and parsing one as browsers do takes a third of
// all allocations of a small fetch. It is bounded by being emptied.
type urls struct {
	mu    sync.RWMutex
	known map[string]*policy.URL
}

const (
	maxKnownURLs = 256
	maxKnownURL  = 512 // bytes of one
)

// parse is policy.ParseURL.
func (u *urls) parse(raw string) (*policy.URL, *failure.Error) {
	u.mu.RLock()
	known := u.known[raw]
	u.mu.RUnlock()
	if known != nil {
		return known, nil
	}
	parsed, fail := policy.ParseURL(raw)
	if fail != nil || len(raw) > maxKnownURL {
		return parsed, fail
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.known == nil || len(u.known) >= maxKnownURLs {
		u.known = make(map[string]*policy.URL)
	}
	u.known[strings.Clone(raw)] = parsed
	return parsed, nil
}
