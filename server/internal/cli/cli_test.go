package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/sortie-run/sortie/server/internal/cli/demo"
)

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){
		"sortie": func() {
			os.Exit(Main(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// leakChecked fails the package's tests if goroutines outlive them.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	code := l.m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// TestScripts runs testdata/*.txt: each is a terminal session with the real command, offline, in a home of its own. What a plugin
// compiles to is shared through the outer Go build cache.
func TestScripts(t *testing.T) {
	out, err := exec.Command("go", "env", "-json", "GOCACHE", "GOMODCACHE", "GOROOT").Output()
	if err != nil {
		t.Fatalf("the scripts build plugins, which needs the go command: %v", err)
	}
	var outer map[string]string
	if err := json.Unmarshal(out, &outer); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[sessionKey{}] = &session{}
			home := env.WorkDir + "/home"
			env.Vars = append(env.Vars,
				"HOME="+home, "GOCACHE="+outer["GOCACHE"], "GOMODCACHE="+outer["GOMODCACHE"], "GOROOT="+outer["GOROOT"],
				"GOPROXY=off", "GOFLAGS=-mod=mod", "GOTOOLCHAIN=local", "GOENV=off", "TERM=xterm", "NO_COLOR=",
			)
			env.Setenv("COMMAND_BIN", commandDir(env.Getenv("PATH")))
			return os.MkdirAll(home, 0o700)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"start": start, "develop": develop, "says": says, "module": module, "fetcher": fetcher, "fromfile": fromFile, "await": await, "shutdown": shutdown, "curl": curlCommand, "paste": paste, "replace": replace, "upstream": upstreamCommand,
			"letters": letters, "publickey": publicKey, "sign": signFile, "status": status, "until": until,
			"certificate": certificateCommand,
			"hold":        hold, "release": release, "interrupt": interrupt, "ended": ended, "drains": drains,
		},
	})
}

// commandDir is the folder on a script's PATH that holds the command under test, and no go command.
func commandDir(path string) string {
	for _, dir := range filepath.SplitList(path) {
		if _, err := exec.LookPath(filepath.Join(dir, "sortie")); err == nil {
			return dir
		}
	}
	return ""
}

// upstreamCommand is `upstream`: it starts the demo's upstream for the script, with its origin in $UPSTREAM, and beside it /hold.
func upstreamCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: upstream")
	}
	handler, err := demo.Upstream()
	ts.Check(err)
	s := sessionOf(ts)
	s.held = newHeld()
	mux := http.NewServeMux()
	mux.Handle("/", handler)
	mux.Handle("/hold", s.held)
	server := httptest.NewServer(mux)
	ts.Defer(func() {
		server.CloseClientConnections()
		server.Close()
	})
	ts.Setenv("UPSTREAM", server.URL)
}

// status is `status N COMMAND ARGS…`: exec, with the exit status that is expected.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND ARGS…")
	}
	got, failed := 0, (*exec.ExitError)(nil)
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &failed):
		got = failed.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("status %d, want %s", got, args[0])
	}
}

// replace is `replace FILE OLD NEW`; OLD must be there.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	before := ts.ReadFile(args[0])
	if !strings.Contains(before, args[1]) {
		ts.Fatalf("%s doesn't contain %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(before, args[1], args[2])), 0o644))
}

// until is `until FILE TEXT`: it waits until the file, which something in the background writes, contains the text.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: until FILE TEXT")
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && strings.Contains(string(text), args[1]) {
			return
		}
		if time.Since(begin) > patience {
			ts.Fatalf("%s doesn't contain %q: %s", args[0], args[1], text)
		}
	}
}

// letters is `letters FILE BYTES`: it writes a file of that many letters.
func letters(ts *testscript.TestScript, neg bool, args []string) {
	var n int
	if neg || len(args) != 2 {
		ts.Fatalf("usage: letters FILE BYTES")
	}
	_, err := fmt.Sscan(args[1], &n)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Repeat("A", n)), 0o644))
}

// fromFile is `fromfile NAME FILE`: it sets an environment variable to a file's text.
func fromFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fromfile NAME FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// module is `module FILE N`: it writes a raw plugin that returns N, in one step.
func module(ts *testscript.TestScript, neg bool, args []string) {
	var n int
	if neg || len(args) != 2 {
		ts.Fatalf("usage: module FILE N")
	}
	_, err := fmt.Sscan(args[1], &n)
	ts.Check(err)
	file := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(file+"~", returning(n), 0o644))
	ts.Check(os.Rename(file+"~", file))
}
