package cli

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a script waits for a server to say or do something, on a slow machine that is busy.
const patience = 3 * time.Minute

// process is a `sortie serve`, or dev, in the background of a script.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *transcript
	heard          int // lines of stderr that says has gone through
}

// transcript keeps the lines that a process has printed, and tells who waits for them.
type transcript struct {
	mu     sync.Mutex
	lines  []string
	closed bool
	change chan struct{}
}

func record(r io.Reader) *transcript {
	t := &transcript{change: make(chan struct{})}
	go func() {
		scanner := bufio.NewScanner(r)
		for scanner.Scan() {
			t.update(func() { t.lines = append(t.lines, scanner.Text()) })
		}
		t.update(func() { t.closed = true })
	}()
	return t
}

func (t *transcript) update(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
	close(t.change)
	t.change = make(chan struct{})
}

var errEnded = errors.New("the process has ended")

// until waits for a state of the lines; until(nil) waits for the end.
func (t *transcript) until(reached func(lines []string) bool) error {
	timeout := time.After(patience)
	for {
		t.mu.Lock()
		lines, closed, change := t.lines, t.closed, t.change
		t.mu.Unlock()
		switch {
		case reached != nil && reached(lines), reached == nil && closed:
			return nil
		case closed:
			return errEnded
		}
		select {
		case <-change:
		case <-timeout:
			return errors.New("not in time")
		}
	}
}

func (t *transcript) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(append(t.lines[:len(t.lines):len(t.lines)], ""), "\n")
}

// session is what a script's commands share.
type session struct {
	server *process
	held   *held
}

type sessionKey struct{}

func sessionOf(ts *testscript.TestScript) *session { return ts.Value(sessionKey{}).(*session) }

// passedOn are the variables of a script that a server gets.
var passedOn = []string{
	"PATH", "HOME", "WORK", "TMPDIR", "XDG_DATA_HOME", "GOCACHE", "GOMODCACHE", "GOROOT", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN", "GOENV",
	"PORT", "SORTIE_ADDR", "SORTIE_ADMIN_TOKEN", "SORTIE_PRIVATE", "SORTIE_SECRETS_KEY_FILE", "SORTIE_PROCESS__DRAIN", "UPSTREAM_KEY",
}

func background(ts *testscript.TestScript, args []string) *process {
	path := filepath.Join(ts.Getenv("COMMAND_BIN"), "sortie")
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range passedOn {
		if value := ts.Getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	return &process{cmd: cmd, stdout: record(stdout), stderr: record(stderr)}
}

// start is `start ARGS…`: it runs `sortie serve ARGS…` in the background until it listens, with its address in
// $SORTIE_SERVER, $ADDRESS and $SERVER_PORT.
func start(ts *testscript.TestScript, neg bool, args []string) {
	listening(ts, neg, append([]string{"serve"}, args...))
}

// develop is `develop ARGS…`: start for `sortie dev ARGS…`.
func develop(ts *testscript.TestScript, neg bool, args []string) {
	listening(ts, neg, append([]string{"dev"}, args...))
}

func listening(ts *testscript.TestScript, neg bool, args []string) {
	s := sessionOf(ts)
	if neg || s.server != nil {
		ts.Fatalf("%s can't be negated, and only one server runs at a time", args[0])
	}
	var p *process
	ts.Defer(func() {
		if s.server == p {
			_ = p.cmd.Process.Kill()
			_ = p.wait()
			ts.Logf("[%s]\n%s%s", args[0], p.stdout.text(), p.stderr.text())
		}
	})
	var base string
	var err error
	// The port of a server that has ended may be some connection's for a moment.
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		p = background(ts, args)
		s.server = p
		if base, err = p.listens(); err == nil || !strings.Contains(p.stderr.text(), " is taken: ") || time.Since(begin) > patience {
			break
		}
		_ = p.wait()
	}
	if err != nil {
		ts.Fatalf("sortie %s: %v\n%s", args[0], err, p.stderr.text())
	}
	_, address, _ := strings.Cut(base, "://")
	_, port, err := net.SplitHostPort(address)
	ts.Check(err)
	ts.Setenv("SORTIE_SERVER", base)
	ts.Setenv("ADDRESS", address)
	ts.Setenv("SERVER_PORT", port)
}

// listens waits until the server listens, and returns its address.
func (p *process) listens() (base string, err error) {
	err = p.stderr.until(func(lines []string) bool {
		for _, line := range lines {
			if rest, ok := strings.CutPrefix(line, "listening on "); ok {
				base = rest
			}
		}
		return base != ""
	})
	return base, err
}

// await is `await N FILE`: it waits until the server has printed N lines to stdout, and writes them to FILE.
func await(ts *testscript.TestScript, neg bool, args []string) {
	p := sessionOf(ts).server
	if neg || len(args) != 2 || p == nil {
		ts.Fatalf("usage: await N FILE, after start")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	if err := p.stdout.until(func(lines []string) bool { return len(lines) >= n }); err != nil {
		ts.Fatalf("waiting for %d lines: %v\n%s%s", n, err, p.stdout.text(), p.stderr.text())
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(p.stdout.text()), 0o644))
}

// says is `says TEXT`: it waits until the server has printed TEXT to stderr, after what the says before has found.
func says(ts *testscript.TestScript, neg bool, args []string) {
	p := sessionOf(ts).server
	if neg || len(args) != 1 || p == nil {
		ts.Fatalf("usage: says TEXT, after start")
	}
	err := p.stderr.until(func(lines []string) bool {
		for i := p.heard; i < len(lines); i++ {
			if strings.Contains(lines[i], args[0]) {
				p.heard = i + 1
				return true
			}
		}
		return false
	})
	if err != nil {
		ts.Fatalf("waiting for %q after line %d: %v\n%s", args[0], p.heard, err, p.stderr.text())
	}
}

// shutdown is `[!] shutdown FILE`: it sends SIGINT, waits for a good exit (a bad one with !), and writes what the server printed to FILE.
func shutdown(ts *testscript.TestScript, neg bool, args []string) {
	s := sessionOf(ts)
	if len(args) != 1 || s.server == nil {
		ts.Fatalf("usage: [!] shutdown FILE, after start")
	}
	ts.Check(s.server.cmd.Process.Signal(syscall.SIGINT))
	if status := s.finish(ts, args[0]); (status != 0) != neg {
		ts.Fatalf("the server ended with status %d\n%s", status, ts.ReadFile(args[0]))
	}
}

// finish waits for the server's end, writes what it printed to file, and returns its exit status.
func (s *session) finish(ts *testscript.TestScript, file string) int {
	p := s.server
	_ = p.wait() // the status tells
	s.server = nil
	ts.Check(os.WriteFile(ts.MkAbs(file), []byte(p.stdout.text()+p.stderr.text()), 0o644))
	return p.cmd.ProcessState.ExitCode()
}

// wait waits for the process's end; its output must have been read before.
func (p *process) wait() error {
	if err := errors.Join(p.stdout.until(nil), p.stderr.until(nil)); err != nil {
		_ = p.cmd.Process.Kill()
	}
	return p.cmd.Wait()
}
