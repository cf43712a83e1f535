// Package manifest reads the two files that say what a plugin may do: the
// plugin's own manifest, plugin.yaml, and the operator's configuration,
// sortie.yaml.
//
// A manifest is read in one of two ways. [Parse] reads it over the documented
// defaults ([Default]) and knows no operator: the command line uses it for
// `sortie build`, `run` and `explain`. [Operator.Manifest] is what a server
// does at a deploy: it reads over the operator's own defaults, checks the
// secrets against those the operator gives out, and lowers each limit that
// passes a ceiling, saying which ones it lowered.
//
//	op, err := manifest.ParseOperator(sortieYAML)
//	err = op.ApplyEnv(os.Environ())
//	m, clamped, err := op.Manifest(pluginYAML)
//
// Both files are YAML 1.2; JSON is accepted as it stands. Reading is strict: an
// unknown or repeated key, a value of the wrong kind or out of range, and a
// rule that can match nothing are all errors. Each is an [*Error] with the full
// dotted key, the line and the column, and for a misspelt key the nearest valid
// one; all that were found come together as [Errors]. A key with nothing after
// it means the same as an empty value of its kind.
//
// The bytes are foreign: reading is bounded in size (256 KiB), depth and number
// of values, aliases included, and never panics.
//
// [Schema] and [OperatorSchema] are JSON Schemas (2020-12) of the two files for
// editors. They are generated from the types and comments in this package.
package manifest

import (
	"maps"
	"slices"
)

// Manifest is a plugin's plugin.yaml with every default filled in.
//
// Its JSON form (encoding/json) is canonical: two manifests that mean the same
// have the same bytes, and parsing those bytes gives the manifest back.
type Manifest struct {
	// The plugin's name: a lower-case letter, then letters, digits and dashes, 63 characters at most. It must equal the name in the deploy's URL.
	Name string `yaml:"name,omitempty" json:"name,omitempty"`
	// The plugin's WebAssembly file, relative to the manifest's folder and inside it.
	Wasm string `yaml:"wasm" json:"wasm"`
	// The exported function to call.
	Entry string `yaml:"entry" json:"entry"`
	// Who may call the plugin: `token` (callers with a token) or `public` (anyone; needs the operator's consent).
	Access string `yaml:"access" json:"access"`
	// What the plugin may fetch, and how much.
	Fetch Fetch `yaml:"fetch" json:"fetch"`
	// Limits of one invocation.
	Limits Limits `yaml:"limits" json:"limits"`
	// `fresh`: a clean state for every invocation. `pooled`: the guest's state is kept between invocations.
	Isolation string `yaml:"isolation" json:"isolation"`
	// Any values, readable by the plugin. They follow JSON's data model: keys are strings, and 1.0 is 1.
	Config map[string]any `yaml:"config" json:"config"`
	// A sample request, run once before the first real one with all its fetches refused.
	Warmup *Warmup `yaml:"warmup" json:"warmup"`
	// Secrets the host puts into the plugin's fetches. The values are the operator's; the plugin never sees them.
	Secrets []Secret `yaml:"secrets" json:"secrets"`
	// A request that a new version must answer before it takes traffic.
	Smoke *Smoke `yaml:"smoke" json:"smoke"`
	// Callers with the same value of this header or cookie get the same version while the traffic table stays; without it, each request is drawn anew.
	Sticky Sticky `yaml:"sticky" json:"sticky"`
	// Which pages of other origins may read the answers.
	CORS CORS `yaml:"cors" json:"cors"`
}

// Fetch is the policy for a plugin's fetches.
type Fetch struct {
	// What may be fetched. Nothing is allowed that is not listed; the first rule that matches decides.
	Allow []Rule `yaml:"allow" json:"allow"`
	// Limits of one invocation's fetches.
	Limits FetchLimits `yaml:"limits" json:"limits"`
	// Retrying, for fetches that don't say.
	Retry Retry `yaml:"retry" json:"retry"`
	// Hedging, for idempotent fetches that don't say: after this long without an answer a second attempt goes out beside the first. A duration, or `p95` for what 95 in 100 of the origin's answers take at most; empty: never.
	Hedge string `yaml:"hedge" json:"hedge"`
	// The plugin's own HTTP cache.
	Cache Cache `yaml:"cache" json:"cache"`
}

// Cache is a private HTTP cache (RFC 9111). It is kept apart by plugin version
// and by credentials.
type Cache struct {
	// The most it takes; 0 stores nothing.
	Bytes Bytes `yaml:"bytes" json:"bytes"`
	// Whether identical GETs under way at the same time share one response.
	Coalesce bool `yaml:"coalesce" json:"coalesce"`
}

// HedgeP95 is the Fetch.Hedge that follows the origin's answers.
const HedgeP95 = "p95"

// HedgeAfter gives Hedge as a duration, or says that it is the 95th
// percentile. Both zero: never.
func (f *Fetch) HedgeAfter() (after Duration, p95 bool) {
	if f.Hedge == HedgeP95 {
		return 0, true
	}
	after, _ = ParseDuration(f.Hedge)
	return after, false
}

// Rule allows fetches to the URLs that its pattern matches. In the file it is
// either the pattern alone, as a string, or a mapping.
type Rule struct {
	// An origin, `scheme://host[:port]`, with an optional path prefix. `*.` in front of the host is one or more leading labels, host `*` any host, port `*` any port.
	URL string `yaml:"url" json:"url"`
	// The methods allowed; without it, all.
	Methods []string `yaml:"methods,omitempty" json:"methods,omitempty"`
	// Whether private addresses may be reached. It has effect only where the operator permits private addresses.
	Private bool `yaml:"private,omitempty" json:"private,omitempty"`
	// Pattern is URL parsed; Parse fills it in.
	Pattern Pattern `yaml:"-" json:"-"`
}

// FetchLimits are the limits of one invocation's fetches, and of each fetch.
type FetchLimits struct {
	// Fetches in one invocation; every attempt and every redirect hop counts.
	Requests int `yaml:"requests" json:"requests"`
	// Fetches in flight at once.
	Concurrency int `yaml:"concurrency" json:"concurrency"`
	// The whole fetch, from the call to the last byte, waiting for a slot included.
	Timeout Duration `yaml:"timeout" json:"timeout"`
	// Resolving, connecting and the TLS handshake.
	ConnectTimeout Duration `yaml:"connect_timeout" json:"connect_timeout"`
	// The longest time without a byte sent.
	WriteTimeout Duration `yaml:"write_timeout" json:"write_timeout"`
	// The longest time without a byte received.
	ReadTimeout Duration `yaml:"read_timeout" json:"read_timeout"`
	// The longest wait for a slot.
	PoolTimeout Duration `yaml:"pool_timeout" json:"pool_timeout"`
	// One attempt; 0 is no limit but the fetch's own.
	AttemptTimeout Duration `yaml:"attempt_timeout" json:"attempt_timeout"`
	// The body of one request.
	RequestBytes Bytes `yaml:"request_bytes" json:"request_bytes"`
	// The body of one response, decoded.
	ResponseBytes Bytes `yaml:"response_bytes" json:"response_bytes"`
	// The bodies of all responses of an invocation, decoded.
	TotalBytes Bytes `yaml:"total_bytes" json:"total_bytes"`
	// Redirects followed in one fetch.
	Redirects int `yaml:"redirects" json:"redirects"`
}

// Retry says how a fetch is tried again.
type Retry struct {
	// Attempts in all, the first included; 1 is no retry.
	Attempts int `yaml:"attempts" json:"attempts"`
	// The wait before the second attempt; it doubles from there on.
	Backoff Duration `yaml:"backoff" json:"backoff"`
	// The longest wait between two attempts.
	MaxBackoff Duration `yaml:"max_backoff" json:"max_backoff"`
	// Response statuses that are tried again.
	Statuses []int `yaml:"statuses" json:"statuses"`
}

// Limits are the limits of one invocation.
type Limits struct {
	// From the request's arrival to the head of the response.
	Wall Duration `yaml:"wall" json:"wall"`
	// From the head of the response to its end.
	Stream Duration `yaml:"stream" json:"stream"`
	// The guest's own execution; waiting for the host is not counted.
	CPU Duration `yaml:"cpu" json:"cpu"`
	// The guest's memory, all its memories together.
	Memory Bytes `yaml:"memory" json:"memory"`
	// The request's body.
	Input Bytes `yaml:"input" json:"input"`
	// The response's body.
	Output Bytes `yaml:"output" json:"output"`
	// What the guest logs; the rest is cut off.
	Log Bytes `yaml:"log" json:"log"`
}

// Warmup is a sample request.
type Warmup struct {
	// The request's method.
	Method string `yaml:"method" json:"method"`
	// The request's path, below the plugin's, with an optional query.
	Path string `yaml:"path" json:"path"`
	// The request's body.
	Body string `yaml:"body" json:"body"`
}

// Secret is a value of the operator's that the host puts into a header of the
// plugin's fetches.
type Secret struct {
	// The secret's name in the operator's configuration.
	Name string `yaml:"name" json:"name"`
	// The request header that carries it.
	Header string `yaml:"header" json:"header"`
	// The header's value, with `{secret}` where the secret goes.
	Format string `yaml:"format" json:"format"`
	// Where it is sent; without it, wherever the operator allows. It can only narrow what the operator allows.
	Allow []string `yaml:"allow,omitempty" json:"allow,omitempty"`
}

// Default returns the documented defaults: what an empty plugin.yaml means.
// The caller owns the result.
func Default() *Manifest {
	const second = Duration(1e9)
	const kib, mib = Bytes(1 << 10), Bytes(1 << 20)
	return &Manifest{
		Wasm:   "plugin.wasm",
		Entry:  "handle",
		Access: AccessToken,
		Fetch: Fetch{
			Limits: FetchLimits{
				Requests:       64,
				Concurrency:    16,
				Timeout:        10 * second,
				ConnectTimeout: 3 * second,
				WriteTimeout:   10 * second,
				ReadTimeout:    10 * second,
				PoolTimeout:    5 * second,
				AttemptTimeout: 0,
				RequestBytes:   1 * mib,
				ResponseBytes:  8 * mib,
				TotalBytes:     32 * mib,
				Redirects:      10,
			},
			Retry: Retry{
				Attempts:   1,
				Backoff:    second / 10,
				MaxBackoff: 2 * second,
				Statuses:   []int{408, 425, 429, 500, 502, 503, 504},
			},
		},
		Limits: Limits{
			Wall:   30 * second,
			Stream: 300 * second,
			CPU:    1 * second,
			Memory: 128 * mib,
			Input:  1 * mib,
			Output: 16 * mib,
			Log:    64 * kib,
		},
		Isolation: IsolationFresh,
	}
}

// The values of Manifest.Access and Manifest.Isolation.
const (
	AccessToken     = "token"
	AccessPublic    = "public"
	IsolationFresh  = "fresh"
	IsolationPooled = "pooled"
)

// Parse reads a plugin.yaml over Default. A manifest without a name is accepted:
// a server takes the name from the deploy's URL. The error is [Errors].
func Parse(data []byte) (*Manifest, error) {
	m := Default()
	d := newDecoder(manifestFile, m)
	d.decode(data, m)
	check := &checker{decoder: d}
	check.manifest(m)
	if err := d.result(); err != nil {
		return nil, err
	}
	return m, nil
}

// manifestFile is what errors call a manifest; see Errors.In.
const manifestFile = "plugin.yaml"

// clone gives a copy that shares nothing but the values of Config, which are
// only ever replaced whole.
func (m *Manifest) clone() *Manifest {
	c := *m
	c.Fetch.Allow = slices.Clone(m.Fetch.Allow)
	for i, r := range c.Fetch.Allow {
		c.Fetch.Allow[i].Methods = slices.Clone(r.Methods)
	}
	c.Fetch.Retry.Statuses = slices.Clone(m.Fetch.Retry.Statuses)
	c.Config = maps.Clone(m.Config)
	c.Secrets = slices.Clone(m.Secrets)
	for i, s := range c.Secrets {
		c.Secrets[i].Allow = slices.Clone(s.Allow)
	}
	if m.Warmup != nil {
		warmup := *m.Warmup
		c.Warmup = &warmup
	}
	if m.Smoke != nil {
		smoke := *m.Smoke
		smoke.Headers = maps.Clone(m.Smoke.Headers)
		c.Smoke = &smoke
	}
	c.CORS.Origins, c.CORS.Methods = slices.Clone(m.CORS.Origins), slices.Clone(m.CORS.Methods)
	c.CORS.Headers, c.CORS.Expose = slices.Clone(m.CORS.Headers), slices.Clone(m.CORS.Expose)
	return &c
}
