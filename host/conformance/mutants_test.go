package conformance_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/conformance"
)

// mutant is a guard taken out of a host, and the class of vectors that has to notice it.
type mutant struct{ name, file, guard, instead, class string }

// TestGoMutants takes guards out of the Go host, one by one, and wants vectors to fail each time. It compiles the host for each, so it runs where
// SORTIE_MUTANTS is set: make mutants.
func TestGoMutants(t *testing.T) {
	if os.Getenv("SORTIE_MUTANTS") == "" {
		t.Skip("run by make mutants")
	}
	controlled := map[string]bool{}
	for _, m := range []mutant{
		{"a denial is an error", "fetch/redirect.go", "if !h.decision.Allowed {", "if false {", "policy"},
		{"addresses are judged", "fetch/transport.go", "return t.client.policy.AddressAllowed(t.decision, u, a)", "return nil", "policy"},
		{"hidden paths satisfy no path rule", "fetch/policy/rule.go", `u.disguise != "" || !strings.HasPrefix`, `!strings.HasPrefix`, "policy"},
		{"requests are charged", "fetch/budget.go", "if used >= b.maxRequests {", "if false {", "budgets"},
		{"bytes are charged", "fetch/budget.go", "used > b.maxBytes {\n\t\tb.bytes.Add(-n)", "false {\n\t\tb.bytes.Add(-n)", "budgets"},
		{"response_bytes is metered", "fetch/body.go", "s.total > most {", "false {", "budgets"},
		{"the mode cancels the others", "fetch/groupcall.go", "if decided {", "if decided && false {", "modes"},
		{"redirects are counted", "fetch/redirect.go", "f.hops >= most", "f.hops > most", "redirects"},
		{"credentials stay with their origin", "fetch/redirect.go", "if !sameCredentials(h.url, u) {", "if false {", "redirects"},
		{"nothing follows a coding's end", "fetch/decode.go", "return n, errTrailing", "return n, io.EOF", "decoding"},
		{"only idempotent requests are repeated", "fetch/exchange.go", "return failure.Idempotent(h.method) || hasIdempotencyKey(h.header)", "return true", "failures"},
		{"output is bounded", "internal/guest/body.go", "if hd.response && hd.up.taking() && c.written+int64(len(from)) > c.Limits.Output {", "if false {", "streams"},
		{"input is bounded, in pieces", "inbound.go", "n, err := b.from.Read(p[:min(int64(len(p)), b.left)])\n\tif b.left -= int64(n); b.left == 0 {", "n, err := b.from.Read(p)\n\tif false {", "streams"},
		{"a result that isn't 0 is a failure", "run.go", "case end.err == nil && end.result == 0 && end.said", "case end.err == nil && end.said", "limits"},
		{"the CPU limit ends a guest", "plugin.go", "c.Meter, c.OnOver = guest.NewMeter(limit), over", "c.Meter, c.OnOver = guest.NewMeter(limit), func() {}", "limits"},
		{"state is brought back", "snapshot.go", "n, err := p.quota.Restore()", "n, err := 0, error(nil)", "limits"},
		{"the caller's leaving ends the guest", "invoke.go", "ctx, life := newLife(ctx, arrived, limits)", "ctx, life := newLife(context.WithoutCancel(ctx), arrived, limits)", "cancellation"},
		{"blocks are what a guest may write to", "internal/abi/extism_memory.go", "!c.Blocks.Holds(offset, uint64(len(b))) || !blocks", "!blocks", "raw"},
		{"bytes left over are refused", "internal/abi/wire.go", "return !d.bad && len(d.b) == 0", "return !d.bad", "abi"},
		{"our fields can't be set", "request.go", "if !isOurs(f.Name) && !connectionFields", "if !connectionFields", "abi"},
	} {
		if !controlled[m.class] { // that vectors fail says something only if they don't otherwise
			controlled[m.class] = true
			if out, err := goVectors(t, "", m.class); err != nil {
				t.Fatalf("%s fails as it is: %s", m.class, out)
			}
		}
		t.Run(m.name, func(t *testing.T) { m.inGo(t) })
	}
}

// inGo runs a class of vectors with a file of the Go host replaced.
func (m mutant) inGo(t *testing.T) {
	path, err := filepath.Abs(filepath.Join("..", m.file))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mutated, overlay := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json")
	m.write(t, path, mutated)
	text, err := json.Marshal(map[string]map[string]string{"Replace": {path: mutated}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := goVectors(t, overlay, m.class)
	noticed := strings.Index(out, "--- FAIL: TestGo/go/"+m.class+"/")
	switch {
	case err == nil:
		t.Error("no vector fails without it")
	case strings.Contains(out, "[build failed]"):
		t.Errorf("it doesn't compile: %s", out)
	case noticed >= 0:
		t.Logf("%.300s", out[noticed:])
	case !strings.Contains(out, "panic: "):
		t.Errorf("no vector failed: %s", out)
	}
}

// goVectors runs a class of vectors on the Go host with an overlay; "": none.
func goVectors(t *testing.T, overlay, class string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-timeout=150s", "-vet=off", "-overlay="+overlay, "-run", "TestGo$/go/"+class+"/", ".")
	cmd.Env = append(os.Environ(), "SORTIE_MUTANTS=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// write copies a file without the guard.
func (m mutant) write(t *testing.T, from, to string) {
	t.Helper()
	source, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), m.guard); n != 1 {
		t.Fatalf("%q stands %d times in %s: this test is behind the code", m.guard, n, m.file)
	}
	if err := os.WriteFile(to, []byte(strings.Replace(string(source), m.guard, m.instead, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBrowserMutants takes guards out of the browser host, one by one, before it is bundled, and wants vectors to fail each time: in Node, or in
// Chromium what only a page has.
func TestBrowserMutants(t *testing.T) {
	if os.Getenv("SORTIE_MUTANTS") == "" {
		t.Skip("run by make mutants")
	}
	node := []mutant{
		{"a denial is an error", "fetch/flight.ts", "return decision.allowed ? decision : fail(", "return true ? decision : fail(", "policy"},
		{"addresses are judged", "policy/index.ts", `if (kind === "" || (d.private`, "if (true || (d.private", "policy"},
		{"the operator's private counts", "policy/index.ts", "&& this.#private.covers(u, addr)", "", "policy"},
		{"hidden paths satisfy no path rule", "policy/rule.ts", `if (u.disguise !== "" || `, "if (", "policy"},
		{"prefixes end at segments", "policy/rule.ts", `return u.path.length === r.path.length || r.path.endsWith("/") || u.path[r.path.length] === "/";`, "return true;", "policy"},
		{"names are whole labels", "policy/rule.ts", `return name.endsWith("." + domain)`, "return name.endsWith(domain)", "policy"},
		{"the host's fields are dropped", "fetch/header.ts", "if (!hostOwned(lower)) ", "", "policy"},
		{"values have no line breaks", "fetch/header.ts", "if (!isFieldValue(value)) return fail(\"invalid_request\"", "if (false) return fail(\"invalid_request\"", "policy"},
		{"requests are charged", "fetch/budget.ts", "if (this.requests >= this.maxRequests) {", "if (false) {", "budgets"},
		{"bytes are charged", "fetch/budget.ts", "if (this.bytes + n <= this.maxBytes) return undefined;", "return undefined;", "budgets"},
		{"response_bytes is metered", "fetch/body.ts", "if (this.total > most) ", "if (false) ", "budgets"},
		{"a group has its concurrency", "fetch/group.ts", "!(concurrency > 0) || ", "true || ", "budgets"},
		{"the mode cancels the others", "fetch/group.ts", "if (this.#decided()) ", "if (false) ", "modes"},
		{"redirects are counted", "fetch/redirect.ts", "if (f.hops >= most) ", "if (f.hops > most) ", "redirects"},
		{"credentials stay with their origin", "fetch/redirect.ts", "if (!sameCredentials(h.url, u)) {", "if (false) {", "redirects"},
		{"only idempotent requests are repeated", "fetch/retry.ts", "return idempotent(h.method) || ", "return true || ", "failures"},
		{"Retry-After counts", "fetch/retry.ts", `retryAfter(response.headers.get("retry-after")) ?? backoff(f)`, "backoff(f)", "failures"},
		{"the loser of a hedge is cancelled", "fetch/retry.ts", "other.scope.end(stops.hedge);", "", "cancellation"},
		{"output is bounded", "guest/call.ts", "if (response && handle.up.taking() && this.written + n > this.limits.output) {", "if (false) {", "streams"},
		{"a result that isn't 0 is a failure", "invocation/outcome.ts", "if (returned && end.result === 0 && ", "if (returned && ", "limits"},
		{"a refused growth is told from a trap", "invocation/outcome.ts", "if (end.refused > 0 || end.memory > limits.memory) {", "if (false) {", "limits"},
		{"an instance runs once", "invocation/pool.ts", `(this.pooled && end === "clean")`, `end === "clean"`, "limits"},
		{"blocks are what a guest may write to", "guest/kernel.ts", "if (!this.holds(offset, 1)) return false;", "", "raw"},
	}
	page := []mutant{
		{"forbidden headers are refused", "fetch/flight.ts", "if (forbidden) return fail(", "if (false) return fail(", "policy"},
		{"where a redirect ended is judged", "fetch/exchange.ts", "if (!decision.allowed) return fail(decision.code!, decision.reason);", "", "redirects"},
		{"a hop that was followed is charged", "fetch/exchange.ts", "?? session.budget.takeRequest()", "", "budgets"},
	}
	asItIs := driver(t, "node", "node", "node.mjs", "auto")
	for _, m := range node {
		t.Run("node/"+m.name, func(t *testing.T) { m.inBrowserHost(t, asItIs, "node.mjs", "auto") })
	}
	asItIs = driver(t, "chromium", "browser", "chromium.mjs", "jspi")
	for _, m := range page {
		t.Run("chromium/"+m.name, func(t *testing.T) { m.inBrowserHost(t, asItIs, "chromium.mjs", "jspi") })
	}
}

// inBrowserHost bundles the browser host without the guard, and runs a class of vectors until one notices which doesn't fail as the host is.
func (m mutant) inBrowserHost(t *testing.T, asItIs conformance.Target, script, mode string) {
	src, dir := t.TempDir(), t.TempDir()
	original := filepath.Join(browserDir, "src")
	if err := os.CopyFS(src, os.DirFS(original)); err != nil {
		t.Fatal(err)
	}
	m.write(t, filepath.Join(original, filepath.FromSlash(m.file)), filepath.Join(src, filepath.FromSlash(m.file)))
	if err := build(src, dir); err != nil {
		t.Fatal(err)
	}
	target := startDriver(t, m.name, asItIs.Host(), script, mode, dir)
	vectors, err := conformance.Vectors()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		if e := v.Exception(target.Host()); v.Class != m.class || e != nil && e.Expect == nil {
			continue
		}
		if why := wrong(t, target, v); why != "" && wrong(t, asItIs, v) == "" {
			t.Logf("%q notices: %.200s", v.Name, why)
			return
		}
	}
	t.Error("no vector fails without it")
}

// wrong is what a target does wrong with a vector; "": nothing.
func wrong(t *testing.T, target conformance.Target, v *conformance.Vector) string {
	t.Helper()
	problems, err := conformance.Check(t.Context(), target, v)
	if err != nil {
		return err.Error()
	}
	return strings.Join(problems, "\n")
}
