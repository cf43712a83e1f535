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
	Clamped []manifest.Clamped `json:"clamped"` // what the manifest asked for and the operator's ceilings lowered
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
