package server

import (
	"time"

	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/store"
)

// The JSON of the HTTP API. openapi.yaml describes the same, and a test holds the two together.

// Deployed answers a deploy: PUT /v1/plugins/{name}.
type Deployed struct {
	Name    string             `json:"name"`
	Version int                `json:"version"`
	Digest  string             `json:"digest"` // of the module, "sha256:…"
	URL     string             `json:"url"`    // where to call it
	Limits  Limits             `json:"limits"`
	Clamped []manifest.Clamped `json:"clamped"`          // what the manifest asked for and the operator's ceilings lowered
	Signer  string             `json:"signer,omitempty"` // the ID of the key that signed the module; "": no signature was checked
}

// Limits are a version's limits in force: the manifest's, lowered to the operator's ceilings.
type Limits struct {
	manifest.Limits
	Fetch manifest.FetchLimits `json:"fetch"`
}

// PluginList answers GET /v1/plugins.
type PluginList struct {
	Plugins []Plugin `json:"plugins"` // ordered by name
}

// Plugin answers GET /v1/plugins/{name}, and is an element of PluginList. Version and Digest are those of the version with
// the most traffic, or of the newest one if none has traffic.
type Plugin struct {
	Name     string         `json:"name"`
	Version  int            `json:"version"`
	Digest   string         `json:"digest"`
	Created  time.Time      `json:"created"` // of that version
	URL      string         `json:"url"`
	Versions int            `json:"versions"` // how many there are
	Revision int64          `json:"revision"` // the number of the last change of it, which is its ETag too; 0: older than the audit log
	Traffic  []store.Weight `json:"traffic"`  // empty: no version takes traffic
}

// VersionList answers GET /v1/plugins/{name}/versions.
type VersionList struct {
	Name     string    `json:"name"`
	Versions []Version `json:"versions"` // newest first
}

// Version is an element of VersionList.
type Version struct {
	Version int       `json:"version"`
	Digest  string    `json:"digest"`
	Created time.Time `json:"created"`
	Weight  int       `json:"weight"` // its share of the traffic, in percent
	By      string    `json:"by"`     // who deployed it
	Note    string    `json:"note"`   // what they wrote with it
}

// EffectiveManifest answers GET /v1/plugins/{name}/versions/{version}/manifest.
type EffectiveManifest struct {
	Name     string             `json:"name"`
	Version  int                `json:"version"`
	Digest   string             `json:"digest"` // of the module
	Manifest *manifest.Manifest `json:"manifest"`
	Clamped  []manifest.Clamped `json:"clamped"`
	Operator OperatorRules      `json:"operator"`
}

// OperatorRules are what the operator's configuration says of the fetches of a plugin.
type OperatorRules struct {
	Private []string  `json:"private"` // where rules with private: true may reach private addresses; empty if there is no such rule
	Hosts   HostRules `json:"hosts"`
}

// HostRules are the hosts that plugins may fetch from, over all manifests.
type HostRules struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

// Explanation answers GET /v1/plugins/{name}/explain, and is what sortie explain --json prints.
type Explanation struct {
	Version int    `json:"version,omitempty"` // the command explains a folder's manifest, which has none
	Method  string `json:"method"`
	URL     string `json:"url"`
	Allowed bool   `json:"allowed"`
	Code    string `json:"code,omitempty"`
	Rule    string `json:"rule,omitempty"`   // as in the manifest
	Number  int    `json:"number,omitempty"` // its place in fetch.allow, from 1
	Private bool   `json:"private"`          // the rule says `private: true`
	Reason  string `json:"reason"`
}

// Identity answers GET /v1/whoami.
type Identity struct {
	Name    string   `json:"name"` // as in the audit log
	Role    string   `json:"role"`
	Plugins []string `json:"plugins"` // name patterns
	Open    bool     `json:"open"`    // the server asks for no token
	Build   string   `json:"build"`
}

// InvocationList answers GET /v1/plugins/{name}/invocations.
type InvocationList struct {
	Name        string       `json:"name"`
	Invocations []Invocation `json:"invocations"` // newest first
}

// Invocation is an element of InvocationList; the report has the rest.
type Invocation struct {
	ID      string    `json:"id"`
	Version int       `json:"version"`
	Started time.Time `json:"started"`
	Method  string    `json:"method"`
	Path    string    `json:"path"`
	Status  int       `json:"status"`
	Code    string    `json:"code,omitempty"` // of the failure; "": the plugin answered
	Total   float64   `json:"total_ms"`
	Fetches int       `json:"fetches"`
}

// Rollback is the body of POST /v1/plugins/{name}/rollback, which may be left out.
type Rollback struct {
	Version int `json:"version"` // takes all traffic; 0: the traffic table before the last change of it
}

// NewToken is the body of POST /v1/tokens.
type NewToken struct {
	Role    string   `json:"role"`    // admin, deploy, read or invoke
	Plugins []string `json:"plugins"` // name patterns; none: all plugins
	Expires string   `json:"expires"` // "90d", "12h", a time as in RFC 3339, or "never"; "": 90d
	Note    string   `json:"note"`
}

// CreatedToken answers POST /v1/tokens.
type CreatedToken struct {
	Token
	Secret string `json:"token"` // the token itself, which is shown this once
}

// TokenList answers GET /v1/tokens.
type TokenList struct {
	Tokens []Token `json:"tokens"` // the oldest first
}

// Token is an element of TokenList.
type Token struct {
	ID      string     `json:"id"`
	Role    string     `json:"role"`
	Plugins []string   `json:"plugins"`
	Note    string     `json:"note"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires"` // null: never
	Revoked *time.Time `json:"revoked"` // null: it isn't
	State   string     `json:"state"`   // active, expired or revoked
	By      string     `json:"by"`      // who created it
}

// NewSecret is the body of PUT /v1/secrets/{name}.
type NewSecret struct {
	Value   string   `json:"value"`
	Allow   []string `json:"allow"`   // patterns of where it may be sent
	Plugins []string `json:"plugins"` // name patterns of who may send it
}

// SecretList answers GET /v1/secrets.
type SecretList struct {
	Secrets []Secret `json:"secrets"` // ordered by name
}

// Secret is an element of SecretList. What it is, nobody is told.
type Secret struct {
	Name    string     `json:"name"`
	Allow   []string   `json:"allow"`
	Plugins []string   `json:"plugins"`
	Source  string     `json:"source"`            // env, file or stored
	Updated *time.Time `json:"updated"`           // null: it's the operator's configuration's
	By      string     `json:"by"`                // who set it; "": likewise
	Problem string     `json:"problem,omitempty"` // why it isn't sent as it should be
}

// AuditLog answers GET /v1/audit.
type AuditLog struct {
	Events []store.Event `json:"events"` // the oldest first
}

// LogList answers GET /v1/plugins/{name}/logs.
type LogList struct {
	Name  string    `json:"name"`
	Lines []LogLine `json:"lines"` // newest last
}

// LogLine is an element of LogList, and an event's data where the log is followed.
type LogLine struct {
	Time       time.Time `json:"time"`
	Level      string    `json:"level"` // debug, info, warn, error
	Message    string    `json:"message"`
	Invocation string    `json:"invocation"`
	Version    int       `json:"version"`
}

// Health answers GET /livez, /healthz and /readyz when all is well; what is wrong is a problem.
type Health struct {
	Status string `json:"status"` // "live" or "ready"
	Build  string `json:"build"`
}

// Problem is the body of every failure: RFC 9457, application/problem+json.
type Problem struct {
	Type       string `json:"type"` // "urn:sortie:problem:" and the code
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail"`
	Code       string `json:"code"`       // one of the error codes; the header Sortie-Error has it too
	Invocation string `json:"invocation"` // the id under which the server logs this request
}
