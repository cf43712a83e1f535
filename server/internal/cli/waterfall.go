package cli

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// phases are what an exchange spends its time on, in order, and how a bar shows each. The last two are no phases.
var phases = []struct {
	name         string
	plain, fancy rune
}{
	{"blocked", '.', '░'}, {"dns", 'd', '▁'}, {"connect", 'c', '▂'}, {"tls", 't', '▃'}, {"send", 's', '▅'}, {"wait", '-', '▒'},
	{"receive", '=', '█'}, {"nothing sent", '*', '◆'},
}

const (
	phaseBlocked = 0
	phaseUnsent  = 7
	noPhase      = -1
)

// waterfall draws fetches over the time of an invocation.
type waterfall struct {
	total float64 // milliseconds
	queue float64 // at which a record's times begin
	fancy bool
	bar   int                   // cells
	used  [phaseUnsent + 1]bool // what was drawn
}

// row is a line of it: a fetch, or one exchange of several.
type row struct {
	method, outcome, bytes, elapsed string
	label                           string // before the target, and never cut
	target                          string
	good                            bool
	cells                           []int // a phase each
}

// wide is how wide label and target are.
func (r row) wide() int { return utf8.RuneCountInString(r.label) + utf8.RuneCountInString(r.target) }

func (w *waterfall) print(out *bytes.Buffer, fetches []tracedFetch, width int, paint func(style, text string) string) {
	for _, f := range fetches {
		w.total = max(w.total, w.queue+sane(f.Start)+sane(f.Elapsed))
	}
	rows := []row{{method: "METHOD", target: "FETCH", outcome: "OUTCOME", bytes: "BYTES", elapsed: "TIME"}}
	const least = 12 // of the target, and of the bar
	w.bar = least
	for _, f := range fetches { // without bars, for the columns' widths
		rows = append(rows, w.rows(&f)...)
	}
	var methods, labels, targets, outcomes, sizes, times int
	for _, r := range rows {
		methods, outcomes = max(methods, utf8.RuneCountInString(r.method)), max(outcomes, utf8.RuneCountInString(r.outcome))
		sizes, times, targets = max(sizes, len(r.bytes)), max(times, len(r.elapsed)), max(targets, r.wide())
		labels = max(labels, utf8.RuneCountInString(r.label)-1) // the last is a space
	}
	const gaps = 9
	left := max(width-methods-outcomes-sizes-times-gaps, 2*least)
	target := min(targets, max(left-max(left/2, least), labels))
	w.bar = max(left-target, least)
	line := func(r row, bar string) {
		end := r.outcome
		if r.cells != nil {
			style := "bad"
			if r.good {
				style = "good"
			}
			end = paint(style, end)
		}
		fmt.Fprintf(out, "%-*s %-*s  %s%*s  %*s  %*s  %s\n", methods, r.method, target, w.short(r.label, r.target, target), end,
			outcomes-utf8.RuneCountInString(r.outcome), "", sizes, r.bytes, times, r.elapsed, strings.TrimRight(bar, " "))
	}
	end := ms(w.total)
	line(rows[0], "0"+strings.Repeat(" ", max(1, w.bar-1-len(end)))+end)
	for _, f := range fetches {
		for _, r := range w.rows(&f) {
			line(r, w.draw(r.cells))
		}
	}
	fmt.Fprintf(out, "%s\n\n", w.legend())
}

// rows are a fetch's line and, if it took more than one exchange, one for each of them.
func (w *waterfall) rows(f *tracedFetch) []row {
	end := fmt.Sprint(f.Status)
	switch {
	case f.Code != "" && f.Status != 0:
		end = fmt.Sprintf("%s %d", f.Code, f.Status)
	case f.Code != "":
		end = f.Code
	case f.Status == 0:
		end = f.State
	}
	if f.Cache != "" {
		end += " " + f.Cache
	}
	first := row{
		method: column(f.Method), target: target(f.URL), outcome: column(end), bytes: bytesText(f.Bytes), elapsed: ms(f.Elapsed),
		good: f.State == "fulfilled" && f.Code == "", cells: w.cells(),
	}
	waiting := phaseBlocked
	if len(f.Exchanges) == 0 {
		waiting = phaseUnsent
	}
	w.fill(first.cells, f.Start, f.Elapsed, func(_, _ float64) int { return waiting })
	rows := []row{first}
	for i := range f.Exchanges {
		x := &f.Exchanges[i]
		w.fill(first.cells, x.Start, x.Elapsed, x.phaseIn)
		if len(f.Exchanges) == 1 {
			break
		}
		end := fmt.Sprint(x.Status)
		if x.Code != "" {
			end = x.Code
		} else if x.Status == 0 {
			end = "-"
		}
		r := row{
			method: column(x.Method), label: w.branch(x, f), outcome: column(end), bytes: bytesText(x.Decoded), elapsed: ms(x.Elapsed),
			good: x.Code == "" && x.Status != 0, cells: w.cells(),
		}
		if x.Hop > 0 {
			r.target = target(x.URL)
		}
		w.fill(r.cells, x.Start, x.Elapsed, x.phaseIn)
		rows = append(rows, r)
	}
	return rows
}

// branch says which of a fetch's exchanges one is.
func (w *waterfall) branch(x *tracedExchange, f *tracedFetch) string {
	text := "- "
	if w.fancy {
		text = "└ "
	}
	if f.Attempts > 1 || x.Attempt > 1 {
		text += fmt.Sprintf("try %d ", x.Attempt)
	}
	if f.Hops > 0 || x.Hop > 0 {
		text += fmt.Sprintf("hop %d ", x.Hop)
	}
	if x.Hedge {
		text += "hedge "
	}
	return text
}

func (w *waterfall) cells() []int {
	cells := make([]int, w.bar)
	for i := range cells {
		cells[i] = noPhase
	}
	return cells
}

// fill draws what began at start, since the guest's turn came, and took so long: one cell at least.
func (w *waterfall) fill(cells []int, start, took float64, phase func(from, to float64) int) {
	start, took = sane(start), sane(took)
	scale := float64(len(cells)) / max(w.total, 1e-3)
	at := func(t float64) int { return int(min(max(t*scale, 0), float64(len(cells)))) }
	first := min(at(w.queue+start), len(cells)-1)
	for i := first; i < max(at(w.queue+start+took), first+1); i++ {
		from, to := float64(i)/scale-w.queue-start, float64(i+1)/scale-w.queue-start
		cells[i] = phase(max(from, 0), min(to, took))
	}
}

func (w *waterfall) draw(cells []int) string {
	var b strings.Builder
	for _, c := range cells {
		if c == noPhase {
			b.WriteByte(' ')
		} else {
			b.WriteRune(w.sign(c))
			w.used[c] = true
		}
	}
	return b.String()
}

func (w *waterfall) sign(phase int) rune {
	if w.fancy {
		return phases[phase].fancy
	}
	return phases[phase].plain
}

// legend explains the signs that were drawn.
func (w *waterfall) legend() string {
	var parts []string
	for i, p := range phases {
		if w.used[i] {
			parts = append(parts, fmt.Sprintf("%c %s", w.sign(i), p.name))
		}
	}
	return strings.Join(parts, "  ")
}

// target is a URL's host and path.
func target(url string) string {
	if _, rest, ok := strings.Cut(url, "://"); ok {
		url = rest
	}
	url, _, _ = strings.Cut(url, "?")
	url, _, _ = strings.Cut(url, "#")
	return column(strings.TrimSuffix(url, "/"))
}

// column is printable for a text that stands in a column, where a tab would break it.
func column(text string) string {
	const most = 1000
	if len(text) > most {
		text = text[:most]
	}
	return printable(strings.ReplaceAll(text, "\t", " "))
}

// short cuts a text in its middle: a path's end tells as much as a host's beginning. Where there is no room for it, it's left out.
func (w *waterfall) short(label, text string, width int) string {
	runes, gap := []rune(text), "…"
	if !w.fancy {
		gap = "~"
	}
	width -= utf8.RuneCountInString(label)
	switch {
	case len(runes) == 0 || width < 10:
		return strings.TrimRight(label, " ")
	case len(runes) <= width:
		return label + text
	}
	keep := max(width-utf8.RuneCountInString(gap), 0)
	head := keep / 2
	return label + string(runes[:head]) + gap + string(runes[len(runes)-(keep-head):])
}
