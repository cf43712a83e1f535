package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// text prints the tables for a terminal.
func (r *report) text(w io.Writer) error {
	for _, table := range []table{r.ratios(), r.figures()} {
		if len(table.rows) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", table.title)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{table.head}, table.rows...) {
			fmt.Fprintln(t, strings.Join(row, "\t"))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	for _, line := range r.remarks() {
		fmt.Fprintln(w, line)
	}
	_, err := fmt.Fprintf(w, "%s; took %s\n", r.machine(), (time.Duration(r.Took) * time.Second).String())
	return err
}

// markdown writes the same as a document.
func (r *report) markdown(w io.Writer) {
	fmt.Fprintf(w, "# Results\n\n`%s` on %s wrote this file. It took %s.\n\n", r.Command, r.Begun.UTC().Format("2006-01-02"),
		(time.Duration(r.Took) * time.Second).String())
	fmt.Fprintf(w, "Machine: %s. Callers, upstream and competitors share it.\n\n", r.machine())
	for _, e := range r.Entered {
		fmt.Fprintf(w, "- %s: %s\n", e.Title, e.Version)
	}
	for _, line := range r.remarks() {
		fmt.Fprintf(w, "\n%s\n", line)
	}
	for _, table := range []table{r.ratios(), r.figures()} {
		if len(table.rows) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n## %s\n\n%s\n%s\n", table.title, line(table.head), "|"+strings.Repeat(" --- |", len(table.head)))
		for _, row := range table.rows {
			fmt.Fprintln(w, line(row))
		}
	}
	fmt.Fprintf(w, "\n%s", how)
}

func line(row []string) string {
	cells := slices.Clone(row)
	for i := range cells {
		cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// how says what the figures are.
const how = `## How it is measured

` + "`make bench`" + ` builds and installs everything, starts each competitor and the upstream in a process of its own, and lets the competitors take
turns: each round of a scenario is one batch of each, and the first round isn't counted. With one caller the figure of a round is the
median latency, with several the round's time divided by its requests. Every answer is checked, and that each fetch reached the
upstream. Ratios are taken round by round; the tables have the medians of the rounds and, in brackets, the 10th and 90th percentile.
CPU is what the competitor's own process computed for one request, all threads; it suffers least from what else the machine does.

- **native Go**: net/http, a goroutine a fetch, one pooled transport. **Extism SDK**: compiled once, an instance a call, the Go PDK's
  blocking request, one after the other. **workerd**: one worker with Promise.all; a pass-through hands the upstream's stream on. **HTTPX**: one
  pooled AsyncClient and asyncio.gather in a bare ASGI application on uvicorn, one process.
- **Sortie**: a Go plugin with AllSettled, and Get for the pass-through, which is buffered whole. Limits that would refuse what the
  scenarios ask for are raised: ` + "`process: {invocations: 1100, queue: 2048, fetches: 12000, per_origin: 12000}`" + `, and a ceiling of 256 for a
  plugin's concurrency. The others have no such limits. Policy, budget, address guard, report and a clean instance for each
  invocation are on, as always.
- **Cold start**: from the start of the process to its first right answer to a request that fetches nothing. Sortie has the plugin and
  its compiled code from before on disk; the first deploy, upload and compiling included, is a line of its own.
- **Memory**: what the process has grown by since a warm-up while every invocation waits for its fetches, which the upstream holds, divided by the
  invocations; as proportional set size (PSS), which counts a page that is mapped several times once. Extism's SDK has one fetch in flight for each
  invocation.
`

// table is one table.
type table struct {
	title string
	head  []string
	rows  [][]string
}

// ratios is the table of ratios: a scenario a row, a competitor a column.
func (r *report) ratios() table {
	t := table{title: "Ratio to native Go: 1 is the same, less is better", head: []string{"scenario"}}
	for _, e := range r.Entered {
		t.head = append(t.head, e.Title)
	}
	for _, result := range r.Results {
		by := result.Cells[yardstick]
		if by == nil || by.Summary == nil {
			continue
		}
		row := []string{result.Title}
		for _, e := range r.Entered {
			row = append(row, ratioText(e.Name, result.Cells[e.Name], result.Unit))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func ratioText(name string, c *cell, unit string) string {
	switch {
	case c == nil:
		return "–"
	case c.Failed != "":
		return "failed"
	case name == yardstick:
		return "1 = " + number(c.Summary.Median) + " " + unit
	case c.Ratio == nil:
		return "–"
	default:
		return "×" + number(c.Ratio.Median) + " [" + number(c.Ratio.Low) + "–" + number(c.Ratio.High) + "]"
	}
}

// figures is the table of what was measured: a scenario and a competitor a row.
func (r *report) figures() table {
	t := table{title: "Measured", head: []string{"scenario", "competitor", "median", "p10–p90", "p50 and p99 of a request", "CPU", "more"}}
	for _, result := range r.Results {
		for _, e := range r.Entered {
			c := result.Cells[e.Name]
			if c == nil || c.Summary == nil {
				continue
			}
			row := []string{
				result.Title, e.Title, number(c.Summary.Median) + " " + result.Unit, number(c.Summary.Low) + "–" + number(c.Summary.High),
				"", "", "",
			}
			if len(c.Middle) > 0 {
				row[4] = number(median(c.Middle)) + ", " + number(median(c.Tail)) + " ms"
			}
			if len(c.CPU) > 0 && median(c.CPU) > 0 {
				row[5] = number(median(c.CPU)) + " ms"
			}
			row[6] = more(c)
			t.rows = append(t.rows, row)
		}
	}
	return t
}

// more is what a scenario tells besides.
func more(c *cell) string {
	if len(c.Held) == 0 {
		return ""
	}
	h := c.Held[len(c.Held)-1]
	partial := ""
	if h.Partial {
		partial = "; it hadn't sent more after " + patience.String()
	}
	return fmt.Sprintf("in all %s MiB, %s before; RSS %s, %s anonymous; %d in flight, %d threads",
		mebibytes(h.During.Pss), mebibytes(h.Before.Pss), mebibytes(h.During.Rss), mebibytes(h.During.Anonymous), h.InFlight, h.During.Threads) + partial
}

func mebibytes(n int64) string { return number(float64(n) / (1 << 20)) }

// number has three digits.
func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case v >= 9.995:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.0995:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

// remarks say what is missing, a line each.
func (r *report) remarks() []string {
	var lines []string
	for _, e := range r.LeftOut {
		lines = append(lines, fmt.Sprintf("left out: %s: %s", e.Title, e.Reason))
	}
	for _, result := range r.Results {
		for _, e := range r.Entered {
			if c := result.Cells[e.Name]; c != nil && c.Failed != "" {
				lines = append(lines, fmt.Sprintf("failed: %s, %s: %s", e.Title, result.Title, short(c.Failed)))
			}
		}
	}
	return append(lines, r.Notes...)
}

// short is the beginning of a message on one line; the JSON has the whole.
func short(text string) string {
	const most = 200
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return text
}

// machine describes it in a line.
func (r *report) machine() string {
	var parts []string
	if p := r.Machine["processor"]; p != "" {
		parts = append(parts, p)
	}
	parts = append(parts, r.Machine["cores"]+" cores")
	for _, key := range []string{"memory", "kernel"} {
		if v := r.Machine[key]; v != "" {
			parts = append(parts, v)
		}
	}
	return strings.Join(append(parts, r.Machine["system"], r.Machine["Go"]), ", ")
}
