package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Operator is the operator's sortie.yaml with every default filled in.
type Operator struct {
	// The address to listen on, host:port.
	Addr string `yaml:"addr" json:"addr"`
	// Another listener for /v1, the console and the metrics, host:port; empty: the same one.
	AdminAddr string `yaml:"admin_addr" json:"admin_addr"`
	// The certificate to answer HTTPS with; without it, the server answers plain HTTP.
	TLS TLS `yaml:"tls" json:"tls"`
	// Addresses and CIDRs of the proxies in front whose X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host are believed; none by default.
	TrustedProxies []string `yaml:"trusted_proxies" json:"trusted_proxies"`
	// The folder for what the server keeps; empty: the user's data directory.
	Data string `yaml:"data" json:"data"`
	// How many plugins there can be; how many versions of one are kept, and for how long. Those that traffic goes to always are.
	Retention Retention `yaml:"retention" json:"retention"`
	// Defaults for what a manifest leaves out, same keys as the manifest.
	Defaults Manifest `yaml:"defaults" json:"defaults"`
	// What a manifest can ask for at most; what is not listed has the manifest's default times 16.
	Ceilings Ceilings `yaml:"ceilings" json:"ceilings"`
	// Rules by plugin name; `*` in a name stands for any characters. All that match apply, and the strictest wins.
	Plugins map[string]PluginRules `yaml:"plugins" json:"plugins"`
	// Whose plugins may be deployed.
	Signatures Signatures `yaml:"signatures" json:"signatures"`
	// Who else may do what: people who sign in elsewhere.
	OIDC OIDC `yaml:"oidc" json:"oidc"`
	// Where a rule with `private: true` may reach private addresses: origins (port `*` is any) or CIDRs; none by default.
	Private []string `yaml:"private" json:"private"`
	// Hosts that may be fetched from, over all manifests.
	Hosts Hosts `yaml:"hosts" json:"hosts"`
	// Secrets given out to plugins, by name.
	Secrets map[string]OperatorSecret `yaml:"secrets" json:"secrets"`
	// How origins are treated, whichever plugin fetches from them. The first entry that matches an origin counts, whole.
	Upstreams []Upstream `yaml:"upstreams" json:"upstreams"`
	// How names are looked up.
	DNS DNS `yaml:"dns" json:"dns"`
	// Limits of the whole server process.
	Process Process `yaml:"process" json:"process"`
	// The server's own log.
	Log Log `yaml:"log" json:"log"`

	addrSet bool // by the file or by SORTIE_ADDR: PORT then has no effect
	sources map[string]Source
}

// Ceilings are the most a manifest can ask for. A field that is zero is not
// listed, unless the file gave the zero.
type Ceilings struct {
	// Ceilings of what a manifest has under `fetch`.
	Fetch FetchCeilings `yaml:"fetch" json:"fetch"`
	// Ceilings of what a manifest has under `limits`.
	Limits Limits `yaml:"limits" json:"limits"`

	zero map[string]bool // keys, relative to the ceilings, that the file gives as zero
}

// FetchCeilings are the ceilings of what a manifest has under fetch.
type FetchCeilings struct {
	// Ceilings of what a manifest has under `fetch.limits`.
	Limits FetchLimits `yaml:"limits" json:"limits"`
	// Ceilings of what a manifest has under `fetch.retry`.
	Retry RetryCeilings `yaml:"retry" json:"retry"`
	// Ceilings of what a manifest has under `fetch.cache`.
	Cache CacheCeilings `yaml:"cache" json:"cache"`
}

// CacheCeilings are the ceilings of what a manifest has under fetch.cache.
type CacheCeilings struct {
	// The most a plugin's cache takes; 64MiB unless listed.
	Bytes Bytes `yaml:"bytes" json:"bytes"`
}

// RetryCeilings are the ceilings of what a manifest has under fetch.retry.
type RetryCeilings struct {
	// Attempts in all, the first included.
	Attempts int `yaml:"attempts" json:"attempts"`
	// The wait before the second attempt.
	Backoff Duration `yaml:"backoff" json:"backoff"`
	// The longest wait between two attempts.
	MaxBackoff Duration `yaml:"max_backoff" json:"max_backoff"`
}

// PluginRules are the operator's rules for the plugins of a name pattern.
type PluginRules struct {
	// Ceilings for these plugins, below the general ones.
	Ceilings Ceilings `yaml:"ceilings" json:"ceilings"`
	// Invocations of one plugin running at once; 0: no limit but the process's.
	Invocations int `yaml:"invocations" json:"invocations"`
	// Invocations of one plugin started in a time, such as `100/s`, `600/m` or `1000/h`; empty: no limit.
	Rate string `yaml:"rate" json:"rate"`
	// `public` consents to these plugins being called by anyone, if their manifest asks for it; `token` (the default) does not.
	Access string `yaml:"access" json:"access"`
	// What one plugin may use in a day (UTC).
	Quota Quota `yaml:"quota" json:"quota"`
}

// Hosts limits the hosts of all fetches, whatever a manifest allows. An entry
// is a host, `*.` and a host (one or more leading labels), `*`, or a CIDR or an
// address, for URLs that have an address for their host.
type Hosts struct {
	// Hosts that may be fetched from.
	Allow []string `yaml:"allow" json:"allow"`
	// Hosts that may not, even if allowed above.
	Deny []string `yaml:"deny" json:"deny"`
}

// OperatorSecret says where a secret's value is, and who may send it where.
type OperatorSecret struct {
	// The environment variable that holds the value; this or `file`.
	Env string `yaml:"env,omitempty" json:"env,omitempty"`
	// The file that holds the value; a newline at its end is cut off. This or `env`.
	File string `yaml:"file,omitempty" json:"file,omitempty"`
	// Where the secret may be sent: patterns as in a manifest's rules.
	Allow []string `yaml:"allow" json:"allow"`
	// The plugins that may use it; `*` in a name stands for any characters.
	Plugins []string `yaml:"plugins" json:"plugins"`
}

// Process holds the limits of the whole server process.
type Process struct {
	// Invocations running at once.
	Invocations int `yaml:"invocations" json:"invocations"`
	// Invocations waiting to run; one more is answered with `overloaded`.
	Queue int `yaml:"queue" json:"queue"`
	// Fetches in flight at once.
	Fetches int `yaml:"fetches" json:"fetches"`
	// Fetches in flight at once to one origin.
	PerOrigin int `yaml:"per_origin" json:"per_origin"`
	// What guests, and the bodies of requests, answers and deploys under way may take together; one more is answered with `overloaded`.
	Memory Bytes `yaml:"memory" json:"memory"`
	// How long running invocations have to finish at shutdown.
	Drain Duration `yaml:"drain" json:"drain"`
}

// Log configures the server's own log.
type Log struct {
	// The least level logged: debug, info, warn or error.
	Level string `yaml:"level" json:"level"`
	// The form of a line: json or text.
	Format string `yaml:"format" json:"format"`
}

// DefaultOperator returns the documented defaults: what an empty sortie.yaml
// means. The caller owns the result.
func DefaultOperator() *Operator {
	return &Operator{
		Addr:     "127.0.0.1:8080",
		Defaults: *Default(),
		Hosts:    Hosts{Allow: []string{"*"}},
		Process: Process{
			Invocations: 256,
			Queue:       1024,
			Fetches:     1024,
			PerOrigin:   128,
			Memory:      2 << 30,
			Drain:       30e9,
		},
		DNS: DNS{TTL: 10e9, Entries: 4096},
		Log: Log{Level: "info", Format: "json"},

		Retention: Retention{Plugins: defaultPlugins, Versions: defaultVersions},
	}
}

// operatorFile is what errors call the operator's configuration; see Errors.In.
const operatorFile = "sortie.yaml"

// ParseOperator reads a sortie.yaml over DefaultOperator. The error is [Errors].
func ParseOperator(data []byte) (*Operator, error) {
	o := DefaultOperator()
	d := newDecoder(operatorFile, o)
	d.decode(data, o)
	return o.finish(d)
}

// finish checks what was decoded over o.
func (o *Operator) finish(d *decoder) (*Operator, error) {
	o.addrSet = o.addrSet || d.named("addr")
	check := &checker{decoder: d}
	check.operator(o)
	if err := d.result(); err != nil {
		return nil, err
	}
	o.note(d)
	return o, nil
}

// Manifest reads a plugin.yaml as a deploy does: over the operator's defaults,
// its secrets held inside the operator's, its limits and access lowered to the
// ceilings. The second result lists what was lowered of what the manifest asked
// for. The manifest has to have its name; see ManifestFor.
func (o *Operator) Manifest(data []byte) (*Manifest, []Clamped, error) {
	return o.manifest(data, "", true)
}

// ManifestFor is Manifest for a plugin whose name is known, from a URL for
// example: a manifest without a name gets it, and one with another name is an
// error. Data may be nil, which is the default manifest.
func (o *Operator) ManifestFor(name string, data []byte) (*Manifest, []Clamped, error) {
	return o.manifest(data, name, true)
}

// Deployed is ManifestFor for a manifest that was accepted at its deploy. The
// operator's secrets may be others by now, which is for each fetch to find, so
// its own aren't held inside them: one without `allow` is left without it.
func (o *Operator) Deployed(name string, data []byte) (*Manifest, []Clamped, error) {
	return o.manifest(data, name, false)
}

func (o *Operator) manifest(data []byte, name string, narrow bool) (*Manifest, []Clamped, error) {
	m := o.Defaults.clone()
	m.Name = name
	d := newDecoder(manifestFile, m)
	d.decode(data, m)
	check := &checker{decoder: d}
	check.manifest(m)
	switch {
	case m.Name == "":
		check.bad("name", "no name; a plugin has one, such as prices")
	case name != "" && m.Name != name:
		check.bad("name", "%s is deployed as %s; the names must be equal", quote(m.Name), quote(name))
	}
	if narrow {
		check.narrow(o, m)
	}
	if err := d.result(); err != nil {
		return nil, nil, err
	}
	return m, o.clamp(m, d.named), nil
}

// Rules gives the rules for the plugin of that name: those of all patterns that
// match it, and of each the strictest. A public access needs one pattern's
// consent, and no other's `token`.
func (o *Operator) Rules(name string) PluginRules {
	var out PluginRules
	for _, glob := range slices.Sorted(maps.Keys(o.Plugins)) {
		if !MatchName([]string{glob}, name) {
			continue
		}
		r := o.Plugins[glob]
		out.Ceilings = out.Ceilings.strictest(r.Ceilings)
		out.Invocations = lower(out.Invocations, r.Invocations)
		out.Quota = out.Quota.strictest(r.Quota)
		out.Rate = slowest(out.Rate, r.Rate)
		if out.Access != AccessToken && r.Access != "" {
			out.Access = r.Access
		}
	}
	return out
}

// ParseRate parses a rate such as "100/s", "600/m" or "1000/h": a whole number
// above zero of invocations in one second, minute or hour.
func ParseRate(s string) (n int, per time.Duration, err error) {
	number, unit, _ := strings.Cut(s, "/")
	per = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	n, err = strconv.Atoi(number)
	if err != nil || n < 1 || n > maxCount || per == 0 {
		return 0, 0, fmt.Errorf("%s is not a rate; write 100/s, 600/m or 1000/h, for example", quote(s))
	}
	return n, per, nil
}

// slowest gives the rate of the two that lets less through; "" is no limit.
func slowest(a, b string) string {
	n, nPer, err := ParseRate(a)
	if err != nil {
		return b
	}
	m, mPer, err := ParseRate(b)
	if err != nil || float64(n)/float64(nPer) <= float64(m)/float64(mPer) {
		return a
	}
	return b
}

// clone gives a copy that shares no mapping or list that reading changes.
func (o *Operator) clone() *Operator {
	c := *o
	c.Defaults = *o.Defaults.clone()
	c.Plugins = maps.Clone(o.Plugins)
	c.Secrets = maps.Clone(o.Secrets)
	c.Upstreams = slices.Clone(o.Upstreams)
	for i, u := range c.Upstreams {
		c.Upstreams[i] = u.clone()
	}
	return &c
}
