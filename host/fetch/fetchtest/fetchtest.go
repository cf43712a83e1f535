// Package fetchtest holds whoever makes fetches to how fetches behave: a table of cases, each of them a line that says what is asked for and
// what comes of it, run against real upstreams on loopback over every kind of connection.
//
//	{class: "redirects", name: "303 turns PUT into GET", do: `PUT /to/303/echo body=x`, want: `200 "GET /echo" redirected`},
//
// A [Target] is a way to fetch: the engine's own call, a group's member, a stream; or what a guest has.
//
// # What is asked for
//
// Steps follow each other behind a semicolon. A step is one fetch, or a group: its mode, maybe with `count`, `concurrency` and `timeout` in
// parentheses, a colon, and the members between bars. A fetch is a method, a target, and what else it has:
//
//	accept:text/plain            a header field
//	body=text  body=*1000        a body, or one of so many bytes; upload= is one that comes in pieces
//	timeout=1s  retry=3  …       options, named as in the contract's fetch_all
//	*5                           five members like this
//
// A target that begins with a slash is the upstream's; upstream.go says what that can do. {up}, {other} and the like are origins, see network.go.
//
// # What comes of it
//
// The same, with an outcome for each fetch: a status or a code, both with http_status; several codes, with slashes between, if any of them will do.
// Then, maybe, a body in quotes, or a part of one (~"text"); a field of the response (name:value, or -name for none); attempts=2, redirected or direct,
// at=/path; retryable or final. After # stand the facts about the whole: requests= and bytes= that were charged, seen= by upstreams, gone= of those
// that upstreams saw cancelled, most= of them at once, cache= and hops= of the last fetch.
//
// Every case is held to some things beside: what was charged is what upstreams have seen, unless the facts say otherwise; what they have seen is on
// record; what the policy denies is never connected to.
package fetchtest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

// testCase is one behaviour.
type testCase struct {
	class, name string
	policy      string // assignments to the manifest's fetch and, behind `operator.`, to the operator's configuration
	do, want    string
	needs       need
	wires       string // the names of those where it makes sense; "": all
}

// need is what a case can't do without.
type need uint8

const (
	whole   need = 1 << iota // the body before the outcome: a stream's is decided by the head
	upload                   // bodies of requests in pieces
	options                  // options of a fetch, such as its timeout
	groups                   // groups
	spelled                  // methods and fields just as they were spelled
	large                    // bodies of many megabytes
)

// Target is a way to make fetches.
type Target struct {
	Name string

	// Run makes the steps one after the other under a policy, in one session.
	Run func(ctx context.Context, t testing.TB, s Setting, steps []Step) Outcome

	Streams   bool         // a fetch settles with its head, and a body that fails does so afterwards
	NoUploads bool         // it can't send bodies in pieces
	NoOptions bool         // a fetch is no more than a method, a URL, a header and a body
	Bare      bool         // a request's fields are a map, and a response is no more than a status and a body
	NoLarge   bool         // many megabytes take it too long
	Modes     []fetch.Mode // of groups; nil: all
}

// Step is a group, or a single fetch.
type Step struct {
	fetch.Group
	Single bool
}

// Setting is what the fetches of a case are made under.
type Setting struct {
	Engine   fetch.Config
	Manifest *manifest.Manifest
	Operator *manifest.Operator // with the private addresses and the secrets that the manifest needs
	Secrets  map[string]string  // values by name
}

// Outcome is what came of a case.
type Outcome struct {
	Results [][]fetch.Result // of each step; bodies are read, and an error of reading one is the fetch's
	Usage   fetch.Usage
	Records []fetch.Record
}

// patience is how long a case may take.
const patience = 2 * time.Minute

// Run runs all cases that make sense for a target, over the wires named, or over all.
func Run(t *testing.T, target Target, over ...string) {
	checkNames(t, over)
	for _, c := range cases() {
		checkNames(t, c.over())
	}
	for _, w := range wires {
		if len(over) > 0 && !slices.Contains(over, w.name) {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range cases() {
				if c.fits(target, w) {
					t.Run(c.class+": "+c.name, func(t *testing.T) {
						t.Parallel()
						c.run(t, target, w)
					})
				}
			}
		})
	}
}

// checkNames wants wires to be there.
func checkNames(t *testing.T, names []string) {
	for _, name := range names {
		if !slices.ContainsFunc(wires, func(w wire) bool { return w.name == name }) {
			t.Fatalf("there is no wire %q", name)
		}
	}
}

func cases() []testCase {
	var all []testCase
	for _, table := range [][]testCase{
		methodCases, headerCases, urlCases, redirectCases, cookieCases, decodingCases, timeoutCases, retryCases, hedgeCases, cacheCases, groupCases,
		limitCases, upstreamCases, secretCases,
	} {
		all = append(all, table...)
	}
	return all
}

// over is the names of the wires; none: all.
func (c *testCase) over() []string {
	if c.wires == "" {
		return nil
	}
	return strings.Split(c.wires, ", ")
}

// fits tells whether a case makes sense for a target over a wire.
func (c *testCase) fits(target Target, w wire) bool {
	if c.wires != "" && !slices.Contains(c.over(), w.name) {
		return false
	}
	n := c.needs
	if n&whole != 0 && target.Streams || n&upload != 0 && target.NoUploads || n&options != 0 && target.NoOptions ||
		n&spelled != 0 && target.Bare || n&large != 0 && target.NoLarge {
		return false
	}
	if n&groups == 0 || target.Modes == nil {
		return true
	}
	steps, err := parseSteps(c.do, "")
	return err == nil && !slices.ContainsFunc(steps, func(s Step) bool { return !s.Single && !slices.Contains(target.Modes, s.Mode) })
}

func (c *testCase) run(t *testing.T, target Target, w wire) {
	t.Helper()
	n := newNetwork(t, w)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	steps, err := parseSteps(n.fill(c.do), n.origins["up"])
	if err != nil {
		t.Fatalf("%q: %v", c.do, err)
	}
	wanted, err := parseWanted(n.fill(c.want))
	if err != nil {
		t.Fatalf("%q: %v", c.want, err)
	}
	got := target.Run(ctx, t, n.setting(t, c.policy), steps)
	if wrong := wanted.compare(got, n, target.Bare); len(wrong) > 0 {
		t.Errorf("%s\n\twant %s\n\tgot  %s\n\t%s", c.do, c.want, tell(got, n), strings.Join(wrong, "\n\t"))
	}
}
