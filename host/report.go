package host

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/guest"
)

// Report is what the host recorded of one invocation. In JSON, durations are fractions of milliseconds and named …_ms.
type Report struct {
	ID      string
	Plugin  string
	Version int
	Kind    string // "http" or "raw"
	Started time.Time
	Method  string
	Path    string

	Status int    // the plugin's, or the failure's
	Code   string // "" if the plugin answered
	Detail string

	Queue time.Duration // waiting for its turn and its instance
	Guest time.Duration // the guest itself
	CPU   time.Duration // of that the guest's own execution, without what it called of the host
	Fetch time.Duration // with at least one fetch under way
	Total time.Duration // from arrival

	Memory  int64 // bytes of guest memory at the end
	Fetches []fetch.Record
	Budget  []Budget
	Logs    []LogLine
}

// Budget is what an invocation used of one limit.
type Budget struct {
	Name  string `json:"name"` // the manifest's key: fetch.limits.requests
	Used  int64  `json:"used"`
	Limit int64  `json:"limit"`
	Unit  string `json:"unit"` // "requests", "bytes" or "ms"
}

// LogLine is one line that a plugin logged or printed.
type LogLine struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"` // debug, info, warn, error
	Message string    `json:"message"`
}

// MarshalJSON writes the report in snake case.
func (r *Report) MarshalJSON() ([]byte, error) {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return json.Marshal(struct {
		ID      string         `json:"id"`
		Plugin  string         `json:"plugin"`
		Version int            `json:"version"`
		Kind    string         `json:"kind"`
		Started time.Time      `json:"started"`
		Method  string         `json:"method"`
		Path    string         `json:"path"`
		Status  int            `json:"status"`
		Code    string         `json:"code,omitempty"`
		Detail  string         `json:"detail,omitempty"`
		Queue   float64        `json:"queue_ms"`
		Guest   float64        `json:"guest_ms"`
		CPU     float64        `json:"cpu_ms"`
		Fetch   float64        `json:"fetch_ms"`
		Total   float64        `json:"total_ms"`
		Memory  int64          `json:"memory"`
		Fetches []fetch.Record `json:"fetches"`
		Budget  []Budget       `json:"budget"`
		Logs    []LogLine      `json:"logs"`
	}{
		r.ID, r.Plugin, r.Version, r.Kind, r.Started, r.Method, r.Path, r.Status, r.Code, r.Detail, ms(r.Queue), ms(r.Guest),
		ms(r.CPU), ms(r.Fetch), ms(r.Total), r.Memory, list(r.Fetches), list(r.Budget), list(r.Logs),
	})
}

// list makes an empty list of none, which JSON tells apart.
func list[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

// underWay is the time in which at least one of the fetches was.
func underWay(fetches []fetch.Record) (total time.Duration) {
	sorted := slices.SortedFunc(slices.Values(fetches), func(a, b fetch.Record) int { return cmp.Compare(a.Start, b.Start) })
	var end time.Duration
	for _, f := range sorted {
		from, to := max(f.Start, end), f.Start+f.Elapsed
		if to > from {
			total += to - from
			end = to
		}
	}
	return total
}

// report begins a report, with what is known before anything has run.
func (p *Plugin) report(req *Request, arrived time.Time) *Report {
	return &Report{
		ID: req.ID, Plugin: p.src.Name, Version: p.src.Version, Kind: p.Kind(), Started: arrived, Method: req.Method, Path: req.Path,
	}
}

// account fills in what a run has used.
func (r *Report) account(p *Plugin, run *run) {
	call, limits := run.call, p.src.Manifest
	r.Guest, r.CPU, r.Memory = run.elapsed-call.Waited(), run.cpu, run.memory
	r.Fetches = call.Session.Records()
	r.Fetch = underWay(r.Fetches)
	for _, l := range call.Log.Lines() {
		r.Logs = append(r.Logs, p.line(l))
	}
	u := call.Session.Usage()
	now := time.Now()
	head := now
	if run.stream != nil {
		head = run.head
	}
	r.Budget = []Budget{
		{"fetch.limits.requests", int64(u.Requests), int64(limits.Fetch.Limits.Requests), "requests"},
		{"fetch.limits.total_bytes", u.Bytes, int64(limits.Fetch.Limits.TotalBytes), "bytes"},
		{"limits.wall", head.Sub(r.Started).Milliseconds(), time.Duration(limits.Limits.Wall).Milliseconds(), "ms"},
		{"limits.cpu", run.cpu.Milliseconds(), time.Duration(limits.Limits.CPU).Milliseconds(), "ms"},
		{"limits.memory", run.memory, int64(limits.Limits.Memory), "bytes"},
		{"limits.input", call.Received(), int64(limits.Limits.Input), "bytes"},
		{"limits.output", call.Written(), int64(limits.Limits.Output), "bytes"},
	}
	if run.stream != nil {
		r.Budget = append(r.Budget, Budget{"limits.stream", now.Sub(head).Milliseconds(), time.Duration(limits.Limits.Stream).Milliseconds(), "ms"})
	}
}

// line is a line of a plugin's log as others may see it.
func (p *Plugin) line(l guest.LogLine) LogLine {
	return LogLine{l.Time, strings.ToLower(l.Level.String()), p.client.Redact(l.Message)}
}
