package cli

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// held is a call that stays open at the upstream's /hold until it is released.
type held struct {
	arrived, let chan struct{}
	answer       chan string // the caller's, "" if the connection was cut
}

func newHeld() *held {
	return &held{arrived: make(chan struct{}, 1), let: make(chan struct{}), answer: make(chan string, 1)}
}

func (h *held) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.arrived <- struct{}{}
	select {
	case <-h.let:
		_, _ = io.WriteString(w, "released")
	case <-r.Context().Done():
	}
}

// hold is `hold URL`: it makes a call in the background and waits until it has reached the upstream's /hold.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	s := sessionOf(ts)
	if neg || len(args) != 1 || s.held == nil {
		ts.Fatalf("usage: hold URL, after upstream")
	}
	s.held.answer = make(chan string, 1)
	answer := s.held.answer
	go func() {
		var out strings.Builder
		if status, err := curl(&out, nil, args); err != nil || status != http.StatusOK {
			out.Reset()
		}
		answer <- out.String()
	}()
	select {
	case <-s.held.arrived:
	case got := <-answer:
		ts.Fatalf("the call ended before it was held: %s\n%s", got, s.server.stderr.text())
	case <-time.After(patience):
		ts.Fatalf("the call hasn't reached the upstream")
	}
}

// release is `[!] release`: it lets the held call end, and prints its answer; with ! the call must have been cut off already.
func release(ts *testscript.TestScript, neg bool, args []string) {
	s := sessionOf(ts)
	if !neg {
		s.held.let <- struct{}{}
	}
	select {
	case answer := <-s.held.answer:
		if (answer == "") != neg {
			ts.Fatalf("the held call was answered with %q", answer)
		}
		_, _ = io.WriteString(ts.Stdout(), answer)
	case <-time.After(patience):
		ts.Fatalf("the held call doesn't end")
	}
}

// interrupt is `interrupt [TEXT]`: it sends SIGINT, and waits until the server has said TEXT.
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	p := sessionOf(ts).server
	if neg || len(args) > 1 || p == nil {
		ts.Fatalf("usage: interrupt [TEXT], after start")
	}
	ts.Check(p.cmd.Process.Signal(syscall.SIGINT))
	if len(args) == 0 {
		return
	}
	said := func(lines []string) bool { return strings.Contains(strings.Join(lines, "\n"), args[0]) }
	if err := p.stderr.until(said); err != nil {
		ts.Fatalf("waiting for %q: %v\n%s", args[0], err, p.stderr.text())
	}
}

// drains is `drains`: it waits until /readyz says that the server drains.
func drains(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: drains")
	}
	for begin := time.Now(); ; {
		var out strings.Builder
		status, err := curl(&out, nil, []string{ts.Getenv("SORTIE_SERVER") + "/readyz"})
		ts.Check(err)
		if status == http.StatusServiceUnavailable && strings.Contains(out.String(), `"code":"draining"`) {
			return
		}
		if time.Since(begin) > patience {
			ts.Fatalf("/readyz still answers %d: %s", status, out.String())
		}
	}
}

// ended is `ended STATUS FILE`: it waits for the server's end, and writes what it printed to FILE. Status -1 is a signal's.
func ended(ts *testscript.TestScript, neg bool, args []string) {
	s := sessionOf(ts)
	if neg || len(args) != 2 || s.server == nil {
		ts.Fatalf("usage: ended STATUS FILE, after start")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := s.finish(ts, args[1]); got != want {
		ts.Fatalf("the server ended with status %d, want %d\n%s", got, want, ts.ReadFile(args[1]))
	}
}
