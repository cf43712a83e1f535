package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// terminal tells whether w is a terminal that understands control sequences.
func (a *app) terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) && a.getenv("TERM") != "dumb"
}

// progressDelay keeps what is over at once from flickering.
const progressDelay = 200 * time.Millisecond

// progress shows what is being waited for and for how long, on a terminal only, until the returned function is called; that
// leaves the line empty and must be called once before anything else is printed.
func (a *app) progress(what string) (done func()) {
	if !a.terminal(a.stderr) {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		begin, wait := time.Now(), time.NewTimer(progressDelay)
		defer wait.Stop()
		for {
			select {
			case <-stop:
				fmt.Fprint(a.stderr, "\r\x1b[K")
				return
			case <-wait.C:
				fmt.Fprintf(a.stderr, "\r\x1b[K%s … %.1f s", what, time.Since(begin).Seconds())
				wait.Reset(100 * time.Millisecond)
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}

// painter colours text for w: green, red and dim where a person looks and hasn't refused colours (https://no-color.org).
func (a *app) painter(w io.Writer) func(style, text string) string {
	if !a.terminal(w) || a.getenv("NO_COLOR") != "" {
		return func(_, text string) string { return text }
	}
	codes := map[string]string{"good": "32", "bad": "31", "dim": "2"}
	return func(style, text string) string { return "\x1b[" + codes[style] + "m" + text + "\x1b[0m" }
}

// printJSON writes v, indented, as the answer.
func (a *app) printJSON(v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := a.stdout.Write(escaped(text.Bytes()))
	return err
}

// escaped is the same JSON without characters that drive a terminal, which stand in its strings.
func escaped(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if drives(r) && r >= ' ' || r == utf8.RuneError { // below are the spaces between; strings have them escaped
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, text[:size]...)
		}
		text = text[size:]
	}
	return out
}

// bytesText prints a size as the manifest would, to one decimal.
func bytesText(n int64) string {
	const kib = 1 << 10
	value, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < kib {
			break
		}
		value, unit = value/kib, next
	}
	if value == float64(int64(value)) {
		return fmt.Sprintf("%d%s", int64(value), unit)
	}
	return fmt.Sprintf("%.1f%s", value, unit)
}

// millis prints a duration in milliseconds, as `12.5 ms`.
func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
