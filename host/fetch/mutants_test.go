package fetch_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMutants takes guards out of the engine one by one, and wants some of the named tests to fail each time. It compiles the package for each,
// so it runs where SORTIE_MUTANTS is set: make mutants.
func TestMutants(t *testing.T) {
	if os.Getenv("SORTIE_MUTANTS") == "" {
		t.Skip("run by make mutants")
	}
	const matrix = "Behaviour/(Do|Stream)/HTTP/(1.1|2)$" // the table of fetchtest, over two of its wires
	mutants := []struct{ name, file, guard, instead, tests string }{
		{"a denial is an error", "redirect.go", "if !h.decision.Allowed {", "if false {", matrix},
		{"addresses are judged", "transport.go", "return t.client.policy.AddressAllowed(t.decision, u, a)", "return nil", matrix},
		{"credentials stay with their origin", "redirect.go", "if !sameCredentials(h.url, u) {", "if false {", matrix},
		{"redirects are counted", "redirect.go", "f.hops >= most", "f.hops > most", matrix},
		{"a 303 drops the body", "redirect.go", "method, body, upload = http.MethodGet, nil, nil", "method = http.MethodGet", matrix},
		{"what described the body goes with it", "redirect.go", `strings.HasPrefix(name, "Content-")`, `strings.HasPrefix(name, "Nothing-")`, matrix},
		{"userinfo is refused", "policy/url.go", "if hasUserinfo(text, false) {", "if false {", matrix},
		{"hidden paths satisfy no path rule", "policy/rule.go", `u.disguise != "" || !strings.HasPrefix`, `!strings.HasPrefix`, matrix},
		{"requests are charged", "budget.go", "if used >= b.maxRequests {", "if false {", matrix},
		{"bytes are charged", "budget.go", "used > b.maxBytes {\n\t\tb.bytes.Add(-n)", "false {\n\t\tb.bytes.Add(-n)", matrix},
		{"response_bytes is metered", "body.go", "s.total > most {", "false {", matrix},
		{"encoded bytes are bounded", "decode.go", "left: allowance}", "left: 1 << 60}", "Endless"},
		{"nothing follows a coding's end", "decode.go", "return n, errTrailing", "return n, io.EOF", matrix},
		{"the host's fields are dropped", "header.go", "if hostOwned(name) {", "if false {", matrix},
		{"values have no line breaks", "header.go", "if !httpguts.ValidHeaderFieldValue(value) {", "if false {", matrix},
		{"only idempotent requests are repeated", "exchange.go", "return failure.Idempotent(h.method) || hasIdempotencyKey(h.header)", "return true", matrix},
		{"what was begun isn't sent again", "exchange.go", "return h.upload == nil || h.upload.reclaim()", "return true", matrix},
		{"a body that was taken back isn't read", "upload.go", "!s.state.CompareAndSwap(unread, begun) && s.state.Load() != begun || ", "", "Upload"},
		{"a refused request isn't sent for ever", "exchange.go", "if n <= maxUnprocessed {", "if true {", "RefusedForEver"},
		{"a replay is paid for", "exchange.go", "\tx.again()\n", "", "Refused"},
		{"a full connection isn't the end", "exchange.go", "case x.stale(fail) || x.overfull(fail):", "case x.stale(fail):", "StreamTooMany"},
		{"what goes out is on record", "trace.go", "if !e.kept || f.session.traces.Add(1) > maxRecords {", "if true {", matrix},
		{"an end that we caused is none", "body.go", "return body, stopped(x.ctx)", "return body, nil", "AnEnd"},
		{"nor is it a stream's", "stream.go", "s.end(stopped(s.exchange.ctx), io.EOF)", "s.end(nil, io.EOF)", "AnEnd"},
		{"a group has its concurrency", "groupcall.go", "c.group.Concurrency == 0 || ", "true || ", matrix},
		{"a session has its concurrency", "session.go", "newSlots(c.limits.concurrency)", "newSlots(1 << 20)", matrix},
		{"an attempt has its time", "clock.go", "w.ends = now + w.attempt", "w.ends = now + 1<<60", matrix},
		{"slots come back", "exchange.go", "\t\t\t\ta.held.release()\n", "", matrix},
		{"a stream gives its slots back", "stream.go", "\ts.exchange.end(fail, s.source.total)\n\ts.body.Close()\n\ts.held.release()\n", "\ts.exchange.end(fail, s.source.total)\n\ts.body.Close()\n", matrix},
		{"clients take turns", "fair.go", "s.clients.MoveToBack(line.place)", "", "Slots"},
		{"the mode cancels the others", "groupcall.go", "if decided {", "if decided && false {", "Mode"},
		{"the loser of a hedge is cancelled", "retry.go", "loser(stopHedge)", "_ = loser", "Hedge"},
		{"Retry-After counts", "retry.go", "if !given {", "if !given || true {", matrix},
		{"retries have a budget", "admit.go", "return o.Retry()", "return true", matrix},
		{"the breaker is asked", "upstream/upstream.go", "if !o.breaker.TryAcquirePermit() {", "if false {", matrix},
		{"caches are private to credentials", "cache/key.go", `appendField(b, r.Header, "Authorization")`, "b", matrix},
		{"stored bytes are charged", "cached.go", "fail := f.session.budget.takeBytes(n); fail != nil", "fail := f.session.budget.takeBytes(0); fail != nil", matrix},
		{"secrets stay where they belong", "vault.go", "case s.bound != nil && !s.bound.Match(u):", "case false:", matrix},
		{"records hide credentials", "trace.go", "if hidden {", "if hidden && false {", "Records"},
		{"records hide userinfo", "trace.go", "url = withoutUserinfo(url)", "", "Records"},
		{"public suffixes have no cookies", "cookies.go", "{PublicSuffixList: publicsuffix.List})", "{})\n\t\t_ = publicsuffix.List", "Cookies"},
	}
	// Without these, tests wait for what never comes.
	endless := []string{"slots come back", "a stream gives its slots back", "the mode cancels the others", "response_bytes is metered", "an attempt has its time"}
	controlled := map[string]bool{}
	for _, m := range mutants {
		if !controlled[m.tests] { // that they fail says something only if they don't otherwise
			controlled[m.tests] = true
			if out, err := test(t, "", m.tests); err != nil {
				t.Fatalf("%s fails as it is: %s", m.tests, out)
			}
		}
		t.Run(m.name, func(t *testing.T) {
			mutate(t, m.file, m.guard, m.instead, m.tests, slices.Contains(endless, m.name))
		})
	}
}

// mutate runs tests with a piece of a file replaced. hangs says that they may be expected not to end.
func mutate(t *testing.T, file, guard, instead, tests string, hangs bool) {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), guard); n != 1 {
		t.Fatalf("%q stands %d times in %s: this test is behind the code", guard, n, file)
	}
	dir := t.TempDir()
	mutant, overlay := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json")
	write := func(name string, text []byte) {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(mutant, []byte(strings.Replace(string(source), guard, instead, 1)))
	text, err := json.Marshal(map[string]map[string]string{"Replace": {path: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	write(overlay, text)
	out, err := test(t, overlay, tests)
	switch {
	case err == nil:
		t.Error("nothing fails without it")
	case strings.Contains(out, "[build failed]"):
		t.Errorf("it doesn't compile: %s", out)
	case !strings.Contains(out, "--- FAIL") && (!hangs || !strings.Contains(out, "test timed out")):
		t.Errorf("no test failed: %s", out)
	}
}

// test runs tests with an overlay; "": none.
func test(t *testing.T, overlay, tests string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=150s", "-vet=off", "-overlay="+overlay, "-run", tests, ".", "./policy", "./upstream", "./cache")
	cmd.Env = append(os.Environ(), "SORTIE_MUTANTS=", "SORTIE_SETTLING=1s")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
