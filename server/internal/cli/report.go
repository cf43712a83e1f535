package cli

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

// runOutcome is what run prints with --json. Without a response the report's code says why.
type runOutcome struct {
	Response *runResponse `json:"response"`
	Report   *host.Report `json:"report"`
}

type runResponse struct {
	Status     int         `json:"status"`
	Headers    [][2]string `json:"headers"`
	Body       *string     `json:"body,omitempty"`
	BodyBase64 *string     `json:"body_base64,omitempty"` // in place of body where that isn't UTF-8
}

func runJSON(res *host.Response, report *host.Report) runOutcome {
	outcome := runOutcome{Report: report}
	if res == nil {
		return outcome
	}
	outcome.Response = &runResponse{Status: res.Status, Headers: [][2]string{}}
	for _, field := range res.Header {
		outcome.Response.Headers = append(outcome.Response.Headers, [2]string{field.Name, field.Value})
	}
	if text := string(res.Body); utf8.ValidString(text) {
		outcome.Response.Body = &text
	} else {
		coded := base64.StdEncoding.EncodeToString(res.Body)
		outcome.Response.BodyBase64 = &coded
	}
	return outcome
}

// printed writes a response to stdout: the body, after status line and headers if they are wanted, as curl -i does. It is the host's Writer
// for one that is streamed.
type printed struct {
	app     *app
	include bool
	last    byte // of the body; 0: there is none
}

// Begin implements host.Writer.
func (p *printed) Begin(res *host.Response) error {
	if !p.include {
		return nil
	}
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\n", res.Status, http.StatusText(res.Status))
	for _, field := range res.Header {
		head += fmt.Sprintf("%s: %s\r\n", field.Name, field.Value)
	}
	_, err := io.WriteString(p.app.stdout, head+"\r\n")
	return err
}

// Write implements host.Writer.
func (p *printed) Write(body []byte) (int, error) {
	if len(body) > 0 {
		p.last = body[len(body)-1]
	}
	return p.app.stdout.Write(body)
}

// Abort does nothing: a pipe that nobody reads holds the command up, as it does any other.
func (p *printed) Abort() {}

// end leaves a terminal's cursor on a line of its own.
func (p *printed) end() {
	if p.last != 0 && p.last != '\n' && p.app.terminal(p.app.stdout) {
		fmt.Fprintln(p.app.stdout)
	}
	p.last = 0
}

// printReport writes the plugin's log, the fetch table and the budget to stderr.
func (a *app) printReport(r *host.Report) {
	paint := a.painter(a.stderr)
	for _, line := range r.Logs {
		a.note("%s %s", paint("dim", line.Level), printableLines(line.Message))
	}
	if len(r.Fetches) > 0 {
		a.printFetches(r.Fetches, paint)
	}
	var parts []string
	for _, budget := range r.Budget {
		if text := budgetText(budget); text != "" {
			parts = append(parts, text)
		}
	}
	a.note("%s in %s (guest %s, waiting %s); %s", outcome(r, paint), millis(r.Total), millis(r.Guest), millis(r.Fetch), strings.Join(parts, ", "))
}

func outcome(r *host.Report, paint func(style, text string) string) string {
	if r.Code != "" {
		return paint("bad", r.Code)
	}
	return paint("good", fmt.Sprint(r.Status))
}

// printFetches writes a line for each fetch: when it began, how it ended, how long it took, what it moved, what it was.
func (a *app) printFetches(fetches []fetch.Record, paint func(style, text string) string) {
	// Colours have no width on the screen but have one for tabwriter: the coloured column comes last but for the URL, padded here.
	ends, width := make([]string, len(fetches)), len("OUTCOME")
	for i, f := range fetches {
		ends[i] = fetchOutcome(f)
		width = max(width, len(ends[i]))
	}
	table := tabwriter.NewWriter(a.stderr, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "START\tTIME\tBYTES\tTRIES\t%-*s  FETCH\n", width, "OUTCOME")
	for i, f := range fetches {
		style := "good"
		if f.State != fetch.Fulfilled {
			style = "bad"
		}
		more := ""
		if f.Hops > 0 {
			more = fmt.Sprintf(" (%d redirected)", f.Hops)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s%*s  %s %s%s\n", millis(f.Start), millis(f.Elapsed), bytesText(f.Bytes), f.Attempts,
			paint(style, ends[i]), width-len(ends[i]), "", printable(f.Method), printable(f.URL), more)
	}
	_ = table.Flush() // stderr: there is nobody to tell
}

func fetchOutcome(f fetch.Record) string {
	switch {
	case f.Code != "" && f.Status != 0:
		return fmt.Sprintf("%s %d", f.Code, f.Status)
	case f.Code != "":
		return string(f.Code)
	}
	return fmt.Sprint(f.Status)
}

// budgetText prints what was used of one limit, as `31/64 requests` or `3.1MiB/128MiB memory`; "" for a limit nobody touched.
func budgetText(b host.Budget) string {
	name := b.Name[strings.LastIndexByte(b.Name, '.')+1:]
	switch {
	case b.Unit == "requests":
		return fmt.Sprintf("%d/%d requests", b.Used, b.Limit)
	case b.Used == 0:
		return ""
	case b.Unit == "bytes":
		return fmt.Sprintf("%s/%s %s", bytesText(b.Used), bytesText(b.Limit), name)
	case b.Unit == "ms":
		return fmt.Sprintf("%s/%s %s", time.Duration(b.Used)*time.Millisecond, time.Duration(b.Limit)*time.Millisecond, name)
	}
	return fmt.Sprintf("%d/%d %s", b.Used, b.Limit, name)
}

// printableLines is printable for a text of several lines: those after the first are indented.
func printableLines(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n    ")
}

// printable keeps what a plugin chose from driving the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if drives(r) && r != '\t' {
			return '·'
		}
		return r
	}, text)
}

// drives reports whether a terminal obeys the character instead of showing it: control characters of both sets, line separators,
// and what turns the direction of writing around, so that text reads as what it isn't.
func drives(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x61c || r == 0x200e || r == 0x200f || r >= 0x2028 && r <= 0x202e ||
		r >= 0x2066 && r <= 0x2069
}
