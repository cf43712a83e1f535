package manifest

import (
	"net/url"
	"strings"
)

// Upstream says how some origins are treated.
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
	// How much may be retried; without it, ratio 0.2, minimum 100, window 10s. It is kept by plugin.
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
	// Within this time; 0 is 10s.
	Window Duration `yaml:"window" json:"window"`
	// How long it stays open, until a few requests try; 0 is 5s.
	Pause Duration `yaml:"pause" json:"pause"`
}

// Adaptive bounds requests in flight by the origin's latency. What is 0 has its default.
type Adaptive struct {
	// The limit at first; 0 is 20.
	Initial int `yaml:"initial" json:"initial"`
	// The least it falls to; 0 is 1.
	Min int `yaml:"min" json:"min"`
	// The most it rises to; 0 is 200.
	Max int `yaml:"max" json:"max"`
}

// RetryBudget bounds retries and hedges by what else is sent.
type RetryBudget struct {
	// Retries as a percentage of the requests in the window.
	Percent int `yaml:"percent" json:"percent"`
	// Retries in a window beside that.
	Minimum int `yaml:"minimum" json:"minimum"`
	// The time looked back on; 0 is 10s.
	Window Duration `yaml:"window" json:"window"`
}

// DNS says how names are looked up.
type DNS struct {
	// How long addresses are remembered; 0 is not at all. They are judged anew at every connection.
	TTL Duration `yaml:"ttl" json:"ttl"`
	// Names remembered at most.
	Entries int `yaml:"entries" json:"entries"`
}

const maxPercent = 100

// upstream checks an entry and fills in its defaults.
func (c *checker) upstream(u *Upstream, key string) {
	if len(u.Match) == 0 {
		c.bad(key+".match", "missing; an upstream needs `match`, the origins it is about")
	}
	u.Match, u.Patterns = c.patterns(u.Match, key+".match")
	for i, p := range u.Patterns {
		if p.Path != "" && p.Path != "/" {
			c.bad(item(key+".match", i), "%s has a path; it is an origin", quote(p.String()))
		}
	}
	c.proxy(u.Proxy, key+".proxy")
	c.upstreamTLS(u.TLS, key+".tls")
	if u.Rate != "" {
		if _, _, err := ParseRate(u.Rate); err != nil {
			c.bad(key+".rate", "%s", err)
		}
	}
	if b := u.Breaker; b != nil {
		fill(&b.Failures, 50)
		fill(&b.Requests, 20)
		fill(&b.Window, 10e9)
		fill(&b.Pause, 5e9)
		c.within(key+".breaker.failures", b.Failures, 1, maxPercent)
		c.within(key+".breaker.requests", b.Requests, 1, maxCount)
		c.lasts(key+".breaker.window", b.Window)
		c.lasts(key+".breaker.pause", b.Pause)
	}
	if a := u.Adaptive; a != nil {
		fill(&a.Initial, 20)
		fill(&a.Min, 1)
		fill(&a.Max, 200)
		c.within(key+".adaptive.min", a.Min, 1, maxCount)
		c.within(key+".adaptive.max", a.Max, 1, maxCount)
		c.within(key+".adaptive.initial", a.Initial, a.Min, a.Max)
	}
	if r := u.RetryBudget; r != nil {
		fill(&r.Window, 10e9)
		c.within(key+".retry_budget.percent", r.Percent, 0, 10*maxPercent)
		c.within(key+".retry_budget.minimum", r.Minimum, 0, maxCount)
		c.lasts(key+".retry_budget.window", r.Window)
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
	if d < leastDuration || d > maxDuration {
		c.bad(key, "%s; it is %s to %s", d, leastDuration, maxDuration)
	}
}

// proxy checks a proxy's URL. It may hold a password, so no message repeats it.
func (c *checker) proxy(text, key string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" || u.Hostname() == "":
		c.bad(key, "not a proxy; write http://, https:// or socks5:// and its host")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		c.bad(key, "a proxy has a scheme, a host and a port, and nothing after them")
	}
}

func (c *checker) upstreamTLS(t UpstreamTLS, key string) {
	if (t.Certificate == "") != (t.Key == "") {
		c.bad(key, "a client certificate needs both `certificate` and `key`")
	}
	if t.MinVersion != "" {
		c.oneOf(key+".min_version", t.MinVersion, "1.2", "1.3")
	}
	for _, file := range []string{t.Roots, t.Certificate, t.Key} {
		if strings.ContainsRune(file, 0) {
			c.bad(key, "a file's name has a NUL character")
		}
	}
}

func (c *checker) dns(d *DNS) {
	if d.TTL < 0 || d.TTL > Duration(3600e9) {
		c.bad("dns.ttl", "%s; it is 0s to 1h", d.TTL)
	}
	c.within("dns.entries", d.Entries, 1, maxCount)
}
