package cli

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/sortie-run/sortie/host"
)

// traced is the part of a server's report that is shown.
type traced struct {
	ID      string         `json:"id"`
	Plugin  string         `json:"plugin"`
	Version int            `json:"version"`
	Started time.Time      `json:"started"`
	Method  string         `json:"method"`
	Path    string         `json:"path"`
	Status  int            `json:"status"`
	Code    string         `json:"code"`
	Detail  string         `json:"detail"`
	Queue   float64        `json:"queue_ms"`
	Guest   float64        `json:"guest_ms"`
	Fetch   float64        `json:"fetch_ms"`
	Total   float64        `json:"total_ms"`
	Fetches []tracedFetch  `json:"fetches"`
	Budget  []host.Budget  `json:"budget"`
	Logs    []host.LogLine `json:"logs"`
}

type tracedFetch struct {
	Method    string           `json:"method"`
	URL       string           `json:"url"`
	State     string           `json:"state"`
	Status    int              `json:"status"`
	Code      string           `json:"code"`
	Message   string           `json:"message"`
	Attempts  int              `json:"attempts"`
	Hops      int              `json:"hops"`
	Bytes     int64            `json:"bytes"`
	Cache     string           `json:"cache"`
	Start     float64          `json:"start_ms"`
	Elapsed   float64          `json:"elapsed_ms"`
	Exchanges []tracedExchange `json:"exchanges"`
}

type tracedExchange struct {
	Method  string  `json:"method"`
	URL     string  `json:"url"`
	Attempt int     `json:"attempt"`
	Hop     int     `json:"hop"`
	Hedge   bool    `json:"hedge"`
	Status  int     `json:"status"`
	Code    string  `json:"code"`
	Decoded int64   `json:"decoded"`
	Start   float64 `json:"start_ms"`
	Elapsed float64 `json:"elapsed_ms"`
	Blocked float64 `json:"blocked_ms"`
	DNS     float64 `json:"dns_ms"`
	Connect float64 `json:"connect_ms"`
	TLS     float64 `json:"tls_ms"`
	Send    float64 `json:"send_ms"`
	Wait    float64 `json:"wait_ms"`
	Receive float64 `json:"receive_ms"`
}

// phaseIn is the phase that takes most of the time between two moments, in milliseconds after the exchange's beginning.
func (x *tracedExchange) phaseIn(from, to float64) int {
	best, most, begun := phaseBlocked, 0.0, 0.0
	for i, took := range []float64{x.Blocked, x.DNS, x.Connect, x.TLS, x.Send, x.Wait, x.Receive} {
		end := begun + sane(took)
		if share := min(to, end) - max(from, begun); share > most {
			best, most = i, share
		}
		if most == 0 && took > 0 {
			best = i // what came last, where the phases end before the exchange does
		}
		begun = end
	}
	return best
}

// printTrace writes the waterfall, what was used of the budget, and the outcome.
func (a *app) printTrace(r *traced) error {
	var out bytes.Buffer
	paint := a.painter(a.stdout)
	fmt.Fprintf(&out, "%s version %d  %s %s\n", printable(r.Plugin), r.Version, printable(r.Method), printable(r.Path))
	fmt.Fprintf(&out, "%s  started %s\n\n", printable(r.ID), r.Started.UTC().Format("2006-01-02T15:04:05.000Z"))
	if len(r.Fetches) > 0 {
		w := &waterfall{queue: sane(r.Queue), total: sane(r.Total), fancy: a.fancy()}
		w.print(&out, r.Fetches, a.width(), paint)
	} else {
		fmt.Fprint(&out, "no fetches\n\n")
	}
	style, end := "good", fmt.Sprint(r.Status)
	if r.Code != "" {
		style, end = "bad", r.Code
	}
	fmt.Fprintf(&out, "%s in %s (queue %s, guest %s, fetches %s)\n", paint(style, printable(end)), ms(r.Total), ms(r.Queue), ms(r.Guest), ms(r.Fetch))
	if r.Detail != "" {
		fmt.Fprintln(&out, printableLines(r.Detail))
	}
	var used []string
	for _, b := range r.Budget {
		if text := budgetText(b); text != "" {
			used = append(used, printable(text))
		}
	}
	if len(used) > 0 {
		fmt.Fprintf(&out, "used %s\n", strings.Join(used, ", "))
	}
	if n := len(r.Logs); n > 0 {
		fmt.Fprintf(&out, "log lines: %d; sortie logs %s shows them\n", n, printable(r.Plugin))
	}
	_, err := a.stdout.Write(out.Bytes())
	return err
}

// fancy tells whether stdout shows more than ASCII and colours.
func (a *app) fancy() bool { return a.terminal(a.stdout) && a.getenv("NO_COLOR") == "" }

// width is that of the terminal, or the usual one.
func (a *app) width() int {
	const usual, least = 80, 60
	if file, ok := a.stdout.(*os.File); ok {
		if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 0 {
			return max(columns, least)
		}
	}
	return usual
}

func ms(value float64) string { return fmt.Sprintf("%.1f ms", sane(value)) }

// sane keeps what an answer says of a time within years, so that it can be reckoned with.
func sane(milliseconds float64) float64 { return min(max(milliseconds, 0), 1e12) }
