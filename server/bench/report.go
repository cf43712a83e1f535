package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"strings"
	"time"
)

// report is all that a comparison found.
type report struct {
	Command string            `json:"command"`
	Begun   time.Time         `json:"begun"`
	Took    float64           `json:"took_seconds"`
	Machine map[string]string `json:"machine"`
	Entered []entrant         `json:"competitors"`
	LeftOut []entrant         `json:"left_out"`
	Notes   []string          `json:"notes"`
	Results []*result         `json:"results"`
}

// entrant is a competitor that took part, or why it didn't.
type entrant struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Version string `json:"version,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// result is what one scenario found.
type result struct {
	Name  string           `json:"name"`
	Title string           `json:"title"`
	Unit  string           `json:"unit"`
	Cells map[string]*cell `json:"cells"` // by competitor
}

// cell is what one competitor did in one scenario: a figure for each round, in the result's unit. With one caller it's the round's median
// latency, with several the round's time divided by its requests.
type cell struct {
	Time    []float64 `json:"rounds"`
	CPU     []float64 `json:"cpu_ms,omitempty"` // of a request, or of a start; the competitor's own process
	Middle  []float64 `json:"p50_ms,omitempty"`
	Tail    []float64 `json:"p99_ms,omitempty"`
	Held    []held    `json:"held,omitempty"`
	Failed  string    `json:"failed,omitempty"`
	Summary *spread   `json:"summary,omitempty"`
	Ratio   *spread   `json:"ratio,omitempty"` // to the yardstick, round by round
}

// newReport begins a report. The flags are those that make a difference to what is measured.
func newReport(flags ...string) *report {
	machine := thisMachine()
	machine["cores"] = fmt.Sprint(runtime.NumCPU())
	machine["system"] = runtime.GOOS + "/" + runtime.GOARCH
	machine["Go"] = runtime.Version()
	command := "make bench"
	if len(flags) > 0 {
		command += " ARGS='" + strings.Join(flags, " ") + "'"
	}
	return &report{Command: command, Begun: time.Now(), Machine: machine}
}

func (r *report) enter(c competitor, version string) {
	r.Entered = append(r.Entered, entrant{Name: c.name, Title: c.title, Version: version})
}

func (r *report) leaveOut(c competitor, reason string) {
	r.LeftOut = append(r.LeftOut, entrant{Name: c.name, Title: c.title, Reason: reason})
}

func (r *report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func (r *report) add(name, title, unit string) *result {
	added := &result{Name: name, Title: title, Unit: unit, Cells: make(map[string]*cell)}
	r.Results = append(r.Results, added)
	return added
}

func (r *result) cell(name string) *cell {
	if r.Cells[name] == nil {
		r.Cells[name] = &cell{}
	}
	return r.Cells[name]
}

// count adds a round.
func (c *cell) count(s scenario, b batch) {
	each := milliseconds(b.Wall) / float64(b.Requests)
	if s.callers == 1 {
		each = median(b.Latencies)
	}
	c.Time = append(c.Time, each)
	c.CPU = append(c.CPU, milliseconds(b.CPU)/float64(b.Requests))
	c.Middle = append(c.Middle, median(b.Latencies))
	c.Tail = append(c.Tail, quantile(b.Latencies, 0.99))
}

// finish sums up.
func (r *report) finish() {
	r.Took = time.Since(r.Begun).Seconds()
	for _, result := range r.Results {
		for name, cell := range maps.All(result.Cells) {
			if cell.Failed != "" || len(cell.Time) == 0 {
				continue
			}
			summary := spreadOf(cell.Time)
			cell.Summary = &summary
			if by := result.Cells[yardstick]; by != nil && by.Failed == "" && name != yardstick {
				if ratio := spreadOf(ratios(cell.Time, by.Time)); ratio.Rounds > 0 {
					cell.Ratio = &ratio
				}
			}
		}
	}
}

// write prints the tables, and writes the files that have a name.
func (r *report) write(stdout io.Writer, markdown, file string) error {
	if err := r.text(stdout); err != nil {
		return err
	}
	if markdown != "" {
		var b strings.Builder
		r.markdown(&b)
		if err := os.WriteFile(markdown, []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	if file == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}
