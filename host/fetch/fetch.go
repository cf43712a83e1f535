// Package fetch makes HTTP requests for code that isn't trusted to make them itself.
//
// An [Engine] is the process: how many requests may be in flight, to how many origins, and how names are resolved. A [Client] is
// one policy and its own pool of connections; nothing is shared between clients, neither a connection nor a TLS session. A [Session]
// is one piece of work under that policy, with a budget of its own; everything it starts ends when it is closed.
//
//	engine := fetch.New(fetch.Config{})
//	defer engine.Close()
//	client, err := engine.Client(fetch.Policy{Rules: rules})
//	…
//	session := client.Session(ctx)
//	defer session.Close()
//	result := session.Do(ctx, &fetch.Request{URL: "https://api.example.com/"})
//
// # What happens to a fetch
//
// The request is checked and its URL parsed as browsers do (WHATWG). A rule of the policy must match, else the fetch is denied before
// anything is sent. The attempt is charged to the session's budget. It waits for a slot of the session, of the origin, and of the
// process, in that order and first come, first served. The name is resolved, every address is checked against the policy, and the
// connection goes to the very address that was checked. Redirects are followed here, each hop through policy, budget and guard again.
// The body is decoded (gzip, deflate, br, zstd) while it is counted, so that a small answer can't become a large one.
//
// # Failures
//
// A fetch never panics and never returns a bare error: its outcome is a [Result], whose [Error] has one of the codes of package failure.
// Messages name limits by the policy's own keys, quote only a bounded and cleaned piece of what an upstream sent, and never
// hold a secret.
//
// # Concurrency
//
// All methods may be called from several goroutines. A cancelled fetch gives its slots back as soon as it has stopped, which it does
// at once. [Session.Close] returns when nothing of the session is left running.
package fetch

import (
	"crypto/tls"

	"github.com/sortie-run/sortie/host/fetch/dial"
)

// Config is what all clients of a process share. Zero values mean the defaults.
type Config struct {
	Fetches   int              // requests in flight in the process; default 1024
	PerOrigin int              // requests in flight to one origin, over all clients; default 128
	Resolver  dial.Resolver    // nil: the system's
	DNS       dial.CacheConfig // how long the resolver's answers are remembered; with a negative TTL they aren't
	TLS       *tls.Config      // roots and client certificates; verification can't be turned off with it; nil: the system's roots
	UserAgent string           // for requests that don't say; default "sortie"
	Upstreams []Upstream       // how some origins are treated; the first that matches one counts, whole
}

func (cfg *Config) resolver() dial.Resolver {
	if cfg.DNS.TTL < 0 {
		return cfg.Resolver
	}
	return dial.NewCache(cfg.Resolver, cfg.DNS)
}
