package manifest

import (
	"slices"
	"time"
)

// Upstream says how some origins are treated.
//
// Printed or written as JSON or YAML it has no credentials: those of Proxy are
// left out.
type Upstream struct {
	// The origins: patterns as in a manifest's rules, without a path.
	Match []string `yaml:"match" json:"match"`
	// A proxy to go through: http:// or https:// (by CONNECT) or socks5://, with user:password@ in front of its host if it wants them; empty: none. It is asked for the address that was judged here, never for a name.
	Proxy string `yaml:"proxy" json:"proxy,omitempty"`
	// TLS beyond the defaults. Verification can't be turned off.
	TLS UpstreamTLS `yaml:"tls" json:"tls,omitzero"`
	// The breaker, which leaves an origin alone that fails; without it, there is none. It is kept by plugin.
	Breaker *Breaker `yaml:"breaker" json:"breaker,omitempty"`
	// Requests to each of these origins in a time, such as `100/s`, `600/m` or `1000/h`, of all plugins together; empty: no limit.
	Rate string `yaml:"rate" json:"rate,omitempty"`
	// Requests in flight that follow the origin's latency; without it, only `process.per_origin` limits them. It is kept by plugin.
	Adaptive *Adaptive `yaml:"adaptive" json:"adaptive,omitempty"`
	// How much may be retried; without it, percent 20, minimum 100, window 10s. It is kept by plugin.
	RetryBudget *RetryBudget `yaml:"retry_budget" json:"retry_budget,omitempty"`
	// Patterns is Match parsed; parsing fills it in.
	Patterns []Pattern `yaml:"-" json:"-"`
}

// UpstreamTLS is what connections to an upstream ask for. Files are PEM.
type UpstreamTLS struct {
	// The file of the certificates to trust, in place of the system's.
	Roots string `yaml:"roots" json:"roots,omitempty"`
	// The file of the client certificate, with its chain.
	Certificate string `yaml:"certificate" json:"certificate,omitempty"`
	// The file of the client certificate's key.
	Key string `yaml:"key" json:"key,omitempty"`
	// The least version: `1.2` (the default) or `1.3`.
	MinVersion string `yaml:"min_version" json:"min_version,omitempty"`
}

// Breaker leaves an origin alone that fails. What is 0 has its default.
type Breaker struct {
	// The percentage of requests that must fail for it to open; 0 is 50.
	Failures int `yaml:"failures" json:"failures"`
	// Of at least so many requests; 0 is 20.
	Requests int `yaml:"requests" json:"requests"`
	// Within this time, an hour at most; 0 is 10s.
	Window Duration `yaml:"window" json:"window"`
	// How long it stays open, an hour at most, until a few requests try; 0 is 5s.
	Pause Duration `yaml:"pause" json:"pause"`
}

// Adaptive bounds requests in flight by the origin's latency. What is 0 has its default.
type Adaptive struct {
	// The limit at first; 0 is 20, or what of `min` to `max` is nearest.
	Initial int `yaml:"initial" json:"initial"`
	// The least it falls to; 0 is 1.
	Min int `yaml:"min" json:"min"`
	// The most it rises to; 0 is 200.
	Max int `yaml:"max" json:"max"`
}

// RetryBudget bounds retries and hedges by what else is sent. In a file, what
// isn't given has its default; percent 0 and minimum 0 together are no retries.
type RetryBudget struct {
	// Retries as a percentage of the requests in the window; 20 unless given. With `minimum` 0 as well, 0 is no retries at all.
	Percent int `yaml:"percent" json:"percent"`
	// Retries in a window beside that; 100 unless given.
	Minimum int `yaml:"minimum" json:"minimum"`
	// The time looked back on, an hour at most; 0 is 10s.
	Window Duration `yaml:"window" json:"window"`
}

// DNS says how names are looked up.
type DNS struct {
	// How long addresses are remembered, an hour at most; 0 is not at all. They are judged anew at every connection.
	TTL Duration `yaml:"ttl" json:"ttl"`
	// Names remembered at most.
	Entries int `yaml:"entries" json:"entries"`
}

// The most of what is said of upstreams: beyond it, nobody would notice that an
// origin has recovered or moved.
const (
	maxPercent = 100
	maxSpan    = Duration(time.Hour)
	maxNames   = 1 << 20
)

// upstream checks an entry and fills in its defaults.
func (c *checker) upstream(u *Upstream, key string) {
	u.Match, u.Patterns = c.origins(u.Match, key+".match")
	if u.Proxy != "" {
		if wrong := checkProxy(u.Proxy); wrong != "" {
			c.bad(key+".proxy", "%s", wrong)
		}
	}
	c.upstreamTLS(u.TLS, key+".tls")
	if u.Rate != "" {
		if _, _, err := ParseRate(u.Rate); err != nil {
			c.bad(key+".rate", "%s", err)
		}
	}
	if u.Breaker != nil {
		c.breaker(u.Breaker, key+".breaker")
	}
	if u.Adaptive != nil {
		c.adaptive(u.Adaptive, key+".adaptive")
	}
	if r := u.RetryBudget; r != nil {
		fill(&r.Window, 10e9)
		c.within(key+".retry_budget.percent", r.Percent, 0, 10*maxPercent)
		c.within(key+".retry_budget.minimum", r.Minimum, 0, maxCount)
		c.lasts(key+".retry_budget.window", r.Window)
	}
}

// origins checks patterns that have no path, and gives them in canonical form.
func (c *checker) origins(list []string, key string) ([]string, []Pattern) {
	switch {
	case len(list) == 0:
		c.bad(key, "missing; an upstream needs `match`, the origins it is about")
	case len(list) > maxSecretAllow:
		c.bad(key, "%d entries; %d is the most", len(list), maxSecretAllow)
		return list, nil
	}
	var canonical []string
	var parsed []Pattern
	for i, s := range list {
		switch p, err := ParsePattern(s); {
		case err != nil:
			c.bad(item(key, i), "%s", ruleMessage(s, err))
		case p.Path != "":
			c.bad(item(key, i), "%s has a path; it is an origin", quote(s))
		default:
			canonical, parsed = append(canonical, p.String()), append(parsed, p)
		}
	}
	return canonical, parsed
}

func (c *checker) breaker(b *Breaker, key string) {
	fill(&b.Failures, 50)
	fill(&b.Requests, 20)
	fill(&b.Window, 10e9)
	fill(&b.Pause, 5e9)
	c.within(key+".failures", b.Failures, 1, maxPercent)
	c.within(key+".requests", b.Requests, 1, maxCount)
	c.lasts(key+".window", b.Window)
	c.lasts(key+".pause", b.Pause)
}

func (c *checker) adaptive(a *Adaptive, key string) {
	fill(&a.Min, 1)
	fill(&a.Max, 200)
	c.within(key+".min", a.Min, 1, maxCount)
	c.within(key+".max", a.Max, 1, maxCount)
	switch {
	case c.failedUnder(key + ".min"), c.failedUnder(key + ".max"):
		return
	case a.Min > a.Max && c.named(key+".max"):
		c.bad(key+".min", "%d is more than `max`, %d", a.Min, a.Max)
		return
	case a.Min > a.Max:
		c.bad(key+".min", "%d is more than `max`, which is %d unless you give it", a.Min, a.Max)
		return
	}
	fill(&a.Initial, min(max(20, a.Min), a.Max))
	if a.Initial < a.Min || a.Initial > a.Max {
		c.bad(key+".initial", "%d; it is `min` to `max`, %d to %d", a.Initial, a.Min, a.Max)
	}
}

func fill[T int | Duration](v *T, otherwise T) {
	if *v == 0 {
		*v = otherwise
	}
}

func (c *checker) within(key string, v, least, most int) {
	if v < least || v > most {
		c.bad(key, "%d; it is %d to %d", v, least, most)
	}
}

func (c *checker) lasts(key string, d Duration) {
	if d < leastDuration || d > maxSpan {
		c.bad(key, "%s; it is %s to %s", d, leastDuration, maxSpan)
	}
}

func (c *checker) upstreamTLS(t UpstreamTLS, key string) {
	if (t.Certificate == "") != (t.Key == "") {
		c.bad(key, "a client certificate needs both `certificate` and `key`")
	}
	if t.MinVersion != "" {
		c.oneOf(key+".min_version", t.MinVersion, "1.2", "1.3")
	}
	for _, file := range []struct{ key, path string }{
		{"roots", t.Roots}, {"certificate", t.Certificate}, {"key", t.Key},
	} {
		if slices.Contains([]byte(file.path), 0) {
			c.bad(key+"."+file.key, "has a NUL character")
		}
	}
}

func (c *checker) dns(d *DNS) {
	if d.TTL < 0 || d.TTL > maxSpan {
		c.bad("dns.ttl", "%s; it is 0s to %s", d.TTL, maxSpan)
	}
	c.within("dns.entries", d.Entries, 1, maxNames)
}

// clone gives a copy that shares nothing.
func (u Upstream) clone() Upstream {
	u.Match, u.Patterns = slices.Clone(u.Match), slices.Clone(u.Patterns)
	u.Breaker, u.Adaptive, u.RetryBudget = copied(u.Breaker), copied(u.Adaptive), copied(u.RetryBudget)
	return u
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
