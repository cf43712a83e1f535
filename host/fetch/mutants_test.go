package fetch_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
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
	for _, m := range []struct{ name, file, guard, instead, tests string }{
		{"a denial is an error", "redirect.go", "if !d.Allowed {", "if false {", "Den|Redirect|Policy|Passes"},
		{"addresses are judged", "transport.go", "return t.client.policy.AddressAllowed(t.decision, u, a)", "return nil", "Private|Address|Rebind|Deni"},
		{"credentials stay with their origin", "redirect.go", "if !sameCredentials(h.url, u) {", "if false {", "Redirect|Credential"},
		{"redirects are counted", "redirect.go", "f.hops >= most", "f.hops > most", "Redirect"},
		{"a 303 drops the body", "redirect.go", "method, body, upload = http.MethodGet, nil, nil", "method = http.MethodGet", "Redirect"},
		{"userinfo is refused", "policy/url.go", "if hasUserinfo(text, false) {", "if false {", "URL|Parse"},
		{"requests are charged", "budget.go", "if used >= b.maxRequests {", "if false {", "Budget|Requests"},
		{"bytes are charged", "budget.go", "used > b.maxBytes {\n\t\tb.bytes.Add(-n)", "false {\n\t\tb.bytes.Add(-n)", "Budget|Bytes|Cache"},
		{"response_bytes is metered", "body.go", "s.total > most {", "false {", "Budget|Bytes|Stream|Decod|Bomb"},
		{"encoded bytes are bounded", "decode.go", "left: allowance}", "left: 1 << 60}", "Endless|Bomb"},
		{"the host's fields are dropped", "header.go", "if hostOwned(name) {", "if false {", "Header"},
		{"only idempotent requests are repeated", "exchange.go", "return h.idempotent() && h.whole() }", "return h.whole() }", "Retry|Hedge"},
		{"what was begun isn't sent again", "exchange.go", "return h.idempotent() && h.whole() }", "return h.idempotent() }", "Upload"},
		{"an attempt has its time", "exchange.go", "if f.attemptTimeout > 0 {", "if false {", "Timeout|Attempt"},
		{"slots come back", "exchange.go", "\t\t\t\ta.held.release()\n", "", "Slots|Thousand|Pool"},
		{"a stream gives its slots back", "stream.go", "\ts.exchange.end(fail, s.source.total)\n\ts.body.Close()\n\ts.held.release()\n", "\ts.exchange.end(fail, s.source.total)\n\ts.body.Close()\n", "Stream"},
		{"clients take turns", "fair.go", "s.clients.MoveToBack(line.place)", "", "Slots"},
		{"the mode cancels the others", "groupcall.go", "if decided {", "if decided && false {", "Mode|Group|Any"},
		{"retries have a budget", "admit.go", "return o.Retry()", "return true", "RetryBudget"},
		{"the breaker is asked", "upstream/upstream.go", "if !o.breaker.TryAcquirePermit() {", "if false {", "Breaker"},
		{"caches are private to credentials", "cache/key.go", `appendField(b, r.Header, "Authorization")`, "b", "Cache|Rules"},
		{"stored bytes are charged", "cached.go", "fail := f.session.budget.takeBytes(n); fail != nil", "fail := f.session.budget.takeBytes(0); fail != nil", "Cache"},
		{"records hide credentials", "trace.go", "if hidden {", "if hidden && false {", "Records"},
		{"records hide userinfo", "trace.go", "url = withoutUserinfo(url)", "", "Records"},
		{"public suffixes have no cookies", "cookies.go", "{PublicSuffixList: publicsuffix.List})", "{})\n\t\t_ = publicsuffix.List", "Cookies"},
	} {
		t.Run(m.name, func(t *testing.T) { mutate(t, m.file, m.guard, m.instead, m.tests) })
	}
}

// mutate runs tests with a piece of a file replaced.
func mutate(t *testing.T, file, guard, instead, tests string) {
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
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=60s", "-vet=off", "-overlay", overlay, "-run", tests, ".", "./policy", "./upstream", "./cache")
	cmd.Env = append(os.Environ(), "SORTIE_MUTANTS=")
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		t.Error("nothing fails without it")
	case strings.Contains(string(out), "[build failed]"):
		t.Errorf("it doesn't compile: %s", out)
	case !strings.Contains(string(out), "--- FAIL") && !strings.Contains(string(out), "panic:"):
		t.Errorf("no test failed: %s", out)
	}
}
