// Package conformance holds hosts of Sortie plugins to the same vectors.
//
// A [Vector] is data: a guest, a manifest, requests, what the upstream does, and what must come of it: answers, error codes, facts of the
// report and of the upstream. README.md describes the format. [Run] runs all vectors on a [Target], which is a host under test: [NewGo] is
// the Go host in this process, [StartProcess] any host in a process of its own, in whatever language, that reads a case a line and
// writes an outcome a line.
//
//	func TestMyHost(t *testing.T) {
//		target, err := conformance.StartProcess("my host", "node", exec.Command("my-driver"))
//		…
//		results := conformance.Run(t, target)
//	}
//
// What a host can't do by its nature is said in the vector, with the code under which it's documented, and what must hold there instead.
package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/conformance/upstream"
)

// Target is a host under test.
type Target interface {
	// Name tells targets apart in tests and tables.
	Name() string
	// Host is the kind of host that vectors make exceptions for: "go", "node", "browser", or "inline", a browser's page without workers.
	Host() string
	// Invoke loads the case's plugin, makes its requests, and lets go of the plugin. The error is the target's own, never the plugin's.
	// It may be called from several goroutines.
	Invoke(ctx context.Context, c *Case) (*Outcome, error)
}

// Case is what a target is given: a vector made concrete. Its JSON is the line that a [Process] reads.
type Case struct {
	ID         string            `json:"id"`
	Wasm       []byte            `json:"wasm"` // in JSON base64
	Manifest   json.RawMessage   `json:"manifest"`
	Operator   json.RawMessage   `json:"operator"` // of an operator's file: private, hosts, ceilings, defaults
	Secrets    map[string]string `json:"secrets"`  // values, for hosts that can be trusted with them
	Requests   []Request         `json:"requests"`
	Concurrent bool              `json:"concurrent"` // all requests at once, in place of one after the other
}

// Request is one invocation to be made.
type Request struct {
	Method  string      `json:"method"`
	URL     string      `json:"url"` // absolute; the path is the one below the plugin's
	Headers [][2]string `json:"headers"`
	Body    []byte      `json:"body"`     // in JSON base64
	Pieces  [][]byte    `json:"pieces"`   // in place of Body: a stream of unknown length
	AbortAt string      `json:"abort_at"` // the caller goes away as soon as a GET of this URL is answered
}

// Outcome is what became of a case. Its JSON is the line that a [Process] writes.
type Outcome struct {
	ID      string       `json:"id"`
	Refused *LoadFailure `json:"refused"` // the plugin wasn't loaded; nil: it was
	Answers []Answer     `json:"answers"` // in the order of the requests
	Error   string       `json:"error"`   // what the driver itself failed with
}

// LoadFailure says why a plugin wasn't loaded.
type LoadFailure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Answer is what became of one request. A failed invocation's is the problem that the contract's section 6 has for it.
type Answer struct {
	Status  int             `json:"status"`
	Headers [][2]string     `json:"headers"`
	Body    []byte          `json:"body"`    // in JSON base64; what came of it, if it was cut
	Cut     bool            `json:"cut"`     // the body ended with an error
	Aborted bool            `json:"aborted"` // the caller went away before there was an answer
	Report  json.RawMessage `json:"report"`  // the invocation's
}

// Result is what a vector came to on a target.
type Result struct {
	Vector, Class string
	Reason        string // the documented reason for which something else was expected, or nothing; ""
	Skipped       bool   // by Reason
	Failed        bool
	Ran           bool // false: the tests that were asked for didn't include it
	Took          time.Duration
}

// perVector bounds a vector's time.
const perVector = 30 * time.Second

// Run runs every vector on a target, each as a subtest with an upstream of its own, and returns the results in the order of [Vectors].
func Run(t *testing.T, target Target) []Result {
	t.Helper()
	vectors, err := Vectors()
	if err != nil {
		t.Fatal(err)
	}
	results := make([]Result, len(vectors))
	t.Run(target.Name(), func(t *testing.T) { // which ends when all of them have
		for i, v := range vectors {
			r := &results[i]
			r.Vector, r.Class = v.Name, v.Class
			t.Run(v.Class+"/"+v.Name, func(t *testing.T) {
				t.Parallel()
				started := time.Now()
				r.Ran, r.Failed = true, true
				defer func() { r.Took = time.Since(started) }()
				exception := v.Exception(target.Host())
				if exception != nil {
					r.Reason = exception.Reason
					if exception.Expect == nil {
						r.Skipped, r.Failed = true, false
						t.Skipf("%s: %s", exception.Reason, Reasons[exception.Reason])
					}
				}
				problems, err := Check(t.Context(), target, v)
				if err != nil {
					t.Fatalf("%s\n%v", v.Why, err)
				}
				for _, p := range problems {
					t.Error(p)
				}
				if len(problems) > 0 {
					t.Log(v.Why)
				}
				r.Failed = len(problems) > 0
			})
		}
	})
	return results
}

// Check runs one vector on a target and says in what it isn't as it must be. The error is one of the vector's own, or the target's.
func Check(ctx context.Context, target Target, v *Vector) (problems []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, perVector)
	defer cancel()
	up, err := upstream.Start(nil)
	if err != nil {
		return nil, err
	}
	defer up.Close()
	v, err = v.placed(up)
	if err != nil {
		return nil, err
	}
	up.Play(v.Upstream)
	c, err := v.makeCase(up)
	if err != nil {
		return nil, err
	}
	expect, err := v.expected(target.Host())
	if err != nil {
		return nil, err
	}
	outcome, err := target.Invoke(ctx, c)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", target.Name(), err)
	case outcome.Error != "":
		return nil, fmt.Errorf("%s: %s", target.Name(), outcome.Error)
	}
	found := &problemList{}
	expect.compare(found, outcome, len(c.Requests))
	expect.Upstream.compare(ctx, found, up)
	if len(*found) > 0 {
		for i := range outcome.Answers {
			found.add("answer %d was: %s", i, outcome.Answers[i].shown())
		}
		if outcome.Refused != nil {
			found.add("refused: %s: %s", outcome.Refused.Code, outcome.Refused.Message)
		}
	}
	return *found, nil
}

// problemList gathers what isn't as it must be.
type problemList []string

func (p *problemList) add(format string, args ...any) {
	*p = append(*p, fmt.Sprintf(format, args...))
}

// shown is an answer as a failed test shows it.
func (a *Answer) shown() string {
	const most = 4000
	text := fmt.Sprintf("status %d, headers %q, cut %t, aborted %t, body %q\nreport %s", a.Status, a.Headers, a.Cut, a.Aborted, a.Body, a.Report)
	if len(text) > most {
		text = text[:most] + "…"
	}
	return text
}
