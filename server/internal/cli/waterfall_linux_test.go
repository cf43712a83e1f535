package cli

import (
	"bufio"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// TestTraceOnATerminal: as wide as it is, in colours, unless they are refused.
func TestTraceOnATerminal(t *testing.T) {
	t.Parallel()
	var report traced
	if err := json.Unmarshal([]byte(sampleReport), &report); err != nil {
		t.Fatal(err)
	}
	colours := regexp.MustCompile("\x1b\\[[0-9]*m")
	for _, test := range []struct {
		env     []string
		columns uint16
		fancy   bool
	}{
		{[]string{"TERM=xterm"}, 120, true}, {[]string{"TERM=xterm"}, 72, true}, {[]string{"TERM=xterm", "NO_COLOR=1"}, 100, false},
		{[]string{"TERM=dumb"}, 90, false}, {[]string{"TERM=xterm"}, 5, true}, {[]string{"TERM=xterm"}, 0, true},
	} {
		screen, terminal := pty(t)
		if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: test.columns}); err != nil {
			t.Fatal(err)
		}
		printed := make(chan error, 1)
		go func() { printed <- (&app{stdout: terminal, env: test.env}).printTrace(&report) }()
		var text strings.Builder
		widest := 0
		for lines := bufio.NewScanner(screen); lines.Scan(); {
			line := strings.TrimSuffix(lines.Text(), "\r")
			text.WriteString(line + "\n")
			if strings.Contains(line, "ms ") || strings.HasPrefix(line, "METHOD") {
				widest = max(widest, utf8.RuneCountInString(colours.ReplaceAllString(line, "")))
			}
			if strings.HasPrefix(line, "METHOD") && test.columns > 80 && utf8.RuneCountInString(line) != int(test.columns) {
				t.Errorf("%d columns: a line of %d", test.columns, utf8.RuneCountInString(line))
			}
			if strings.HasPrefix(line, "log lines") {
				break
			}
		}
		if err := <-printed; err != nil {
			t.Fatal(err)
		}
		most := max(int(test.columns), 74) // the columns need as much
		if test.columns == 0 {
			most = 80
		}
		if widest > most {
			t.Errorf("%d columns: %d wide\n%s", test.columns, widest, &text)
		}
		got := text.String()
		if test.fancy != strings.Contains(got, "█") || test.fancy != strings.Contains(got, "└ try 2") || test.fancy != strings.Contains(got, "\x1b[31m") ||
			test.fancy == strings.Contains(got, "- try 2") {
			t.Errorf("%+v:\n%s", test, got)
		}
	}
}
