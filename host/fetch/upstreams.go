package fetch

import (
	"crypto/tls"

	"github.com/sortie-run/sortie/host/fetch/dial"
	"github.com/sortie-run/sortie/host/fetch/policy"
	"github.com/sortie-run/sortie/host/fetch/upstream"
)

// Upstream is how the operator has some origins treated, whoever fetches from them. The zero value is how the others are.
type Upstream struct {
	Match *policy.Patterns // the origins; nil: none
	Proxy *dial.Proxy      // nil: connected to directly
	TLS   *tls.Config      // in place of Config.TLS, and bounded as that is; nil: as Config.TLS says
	Rate  *upstream.Rate   // over all clients; nil: none

	Settings upstream.Settings // of each client
}

// upstreams are all of them.
type upstreams struct {
	list []*care
	rest *care
}

// care is a compiled Upstream.
type care struct {
	match    *policy.Patterns
	proxy    *dial.Proxy
	tls      *tls.Config
	rate     *upstream.Rate
	settings upstream.Settings
}

func newUpstreams(list []Upstream) *upstreams {
	u := &upstreams{rest: &care{}}
	for _, l := range list {
		c := &care{match: l.Match, proxy: l.Proxy, rate: l.Rate, settings: l.Settings}
		if l.TLS != nil {
			c.tls = baseTLS(l.TLS)
		}
		u.list = append(u.list, c)
	}
	return u
}

// of is the first that matches.
func (s *upstreams) of(u *policy.URL) *care {
	for _, c := range s.list {
		if c.match != nil && c.match.Match(u) {
			return c
		}
	}
	return s.rest
}
