package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// pty opens a pseudo-terminal: what is written to terminal can be read from screen.
func pty(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return screen, terminal
}

func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	screen, terminal := pty(t)
	a := &app{stderr: terminal, env: []string{"TERM=xterm"}}
	done := a.progress("compiling prices")
	var shown []byte
	seconds := regexp.MustCompile(`compiling prices … \d+\.\d s`) // the first may be late
	for buffer := make([]byte, 256); !seconds.Match(shown); {
		n, err := screen.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, buffer[:n]...)
	}
	done()
	fmt.Fprint(terminal, "next")
	for buffer := make([]byte, 256); !bytes.HasSuffix(shown, []byte("next")); {
		n, err := screen.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, buffer[:n]...)
	}
	if !bytes.HasSuffix(shown, []byte("\r\x1b[Knext")) {
		t.Errorf("the line isn't left empty: %q", shown)
	}
}

func TestColours(t *testing.T) {
	t.Parallel()
	_, terminal := pty(t)
	for _, test := range []struct {
		name string
		to   io.Writer
		env  []string
		want string
	}{
		{"a terminal", terminal, []string{"TERM=xterm"}, "\x1b[31mx\x1b[0m"},
		{"NO_COLOR", terminal, []string{"TERM=xterm", "NO_COLOR=1"}, "x"},
		{"NO_COLOR, empty", terminal, []string{"TERM=xterm", "NO_COLOR="}, "\x1b[31mx\x1b[0m"},
		{"dumb", terminal, []string{"TERM=dumb"}, "x"},
		{"no terminal", &strings.Builder{}, []string{"TERM=xterm"}, "x"},
	} {
		a := &app{env: test.env}
		if got := a.painter(test.to)("bad", "x"); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestNoProgressElsewhere(t *testing.T) {
	t.Parallel()
	_, terminal := pty(t)
	for _, a := range []*app{{stderr: &bytes.Buffer{}}, {stderr: terminal, env: []string{"TERM=dumb"}}} {
		synctest.Test(t, func(t *testing.T) { // where only waiting takes time
			before := time.Now()
			a.progress("compiling")()
			if time.Since(before) > 0 {
				t.Error("it waited")
			}
		})
		if out, ok := a.stderr.(*bytes.Buffer); ok && out.Len() > 0 {
			t.Errorf("printed %q", out)
		}
	}
}
