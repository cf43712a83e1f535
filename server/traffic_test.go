package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/server/store"
)

// moves changes a plugin's traffic, and returns the status.
func (s *testServer) moves(name, table string, header ...string) answer {
	s.t.Helper()
	return s.send(http.MethodPut, "/v1/plugins/"+name+"/traffic", strings.NewReader(table), header...)
}

func (s *testServer) rolls(name, body string) answer {
	s.t.Helper()
	return s.send(http.MethodPost, "/v1/plugins/"+name+"/rollback", strings.NewReader(body))
}

// shows is the plugin as the API has it, and its ETag.
func (s *testServer) shows(name string) (p Plugin, etag string) {
	s.t.Helper()
	a := s.get("/v1/plugins/" + name)
	if err := json.Unmarshal([]byte(a.body), &p); a.StatusCode != 200 || err != nil {
		s.t.Fatalf("GET %s = %d %s", name, a.StatusCode, a.body)
	}
	return p, a.Header.Get("ETag")
}

func TestTrafficIsMovedToWhatIsLoaded(t *testing.T) {
	t.Parallel()
	st := openStore(t)
	for _, wasm := range []string{"one", "two", "bad three"} {
		r := store.PutRequest{Change: store.Change{Name: "a"}, Wasm: []byte(wasm), Traffic: wasm == "one"}
		if _, err := st.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, says("hello"), options{store: st})
	a := s.moves("a", `[{"version":1,"weight":50},{"version":3,"weight":50}]`)
	wantProblem(t, a, 500, "internal_error")
	if p, _ := s.shows("a"); len(p.Traffic) != 1 {
		t.Errorf("traffic moved to a version that can't be loaded: %v", p.Traffic)
	}
	if a := s.moves("a", `[{"version":2,"weight":100}]`); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if loaded, open := s.host.counts("two"); loaded != 1 || open != 1 {
		t.Errorf("loaded %d times, %d open, before the first call", loaded, open)
	}
	if a := s.get("/p/a"); a.StatusCode != 200 || a.Header.Get("Sortie-Version") != "2" {
		t.Errorf("%d, version %s", a.StatusCode, a.Header.Get("Sortie-Version"))
	}
	if a := s.rolls("a", ""); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	eventually(t, "the version without traffic is closed", func() bool { _, open := s.host.counts("two"); return open == 0 })
	eventually(t, "one guest of version 1 is open", func() bool { _, open := s.host.counts("one"); return open == 1 })
	if loaded, _ := s.host.counts("one"); loaded != 2 {
		t.Errorf("version 1 is loaded %d times", loaded)
	}
}

// TestIfMatch has every change expect the plugin as it was seen.
func TestIfMatch(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{})
	s.deployed("a", "", "one", "")
	_, first := s.shows("a")
	s.deployed("a", "", "two", "")
	_, now := s.shows("a")
	if first == now || first != `"1"` || now != `"2"` {
		t.Fatalf("ETags %s and %s", first, now)
	}
	wasm := []string{"Content-Type", "application/wasm"}
	for _, stale := range []answer{
		s.moves("a", `[{"version":1,"weight":100}]`, "If-Match", first),
		s.send("POST", "/v1/plugins/a/rollback", nil, "If-Match", first),
		s.send("DELETE", "/v1/plugins/a", nil, "If-Match", first),
		s.send("PUT", "/v1/plugins/a", strings.NewReader("three"), append(wasm, "If-Match", first)...),
		s.send("PUT", "/v1/plugins/new", strings.NewReader("three"), append(wasm, "If-Match", first)...),
	} {
		wantProblem(t, stale, 409, "conflict")
	}
	for _, bad := range []string{"2", `"2`, `W/"2"`, `"-1"`, `"0"`, `"02"`, `"2", "3"`, ""} {
		wantProblem(t, s.moves("a", `[{"version":1,"weight":100}]`, "If-Match", bad), 400, "bad_request")
	}
	if p, _ := s.shows("a"); p.Revision != 2 || p.Versions != 2 {
		t.Errorf("a refused change changed something: %+v", p)
	}
	if loaded, _ := s.host.counts("three"); loaded != 0 {
		t.Errorf("a deploy that was to be refused was loaded %d times", loaded)
	}
	a := s.moves("a", `[{"version":1,"weight":100}]`, "If-Match", now)
	if a.StatusCode != 200 || a.Header.Get("ETag") != `"3"` {
		t.Errorf("%d %s, ETag %s", a.StatusCode, a.body, a.Header.Get("ETag"))
	}
	if a := s.send("DELETE", "/v1/plugins/a", nil, "If-Match", "*"); a.StatusCode != 204 {
		t.Errorf("whichever there is: %d %s", a.StatusCode, a.body)
	}
}

// TestSmoke has versions that don't answer their smoke request as they should, in each way that traffic is moved.
func TestSmoke(t *testing.T) {
	t.Parallel()
	var seen atomic.Pointer[host.Request]
	var healed atomic.Bool
	invoke := func(_ context.Context, src host.Source, r *host.Request) (*host.Response, error) {
		seen.Store(r)
		switch {
		case strings.Contains(string(src.Wasm), "failing") && !healed.Load():
			return nil, host.NewError(host.CodePluginError, "it can't")
		case strings.Contains(string(src.Wasm), "teapot"):
			return &host.Response{Status: 418}, nil
		}
		return &host.Response{Status: 200, Body: src.Wasm}, nil
	}
	const manifest = "smoke: {method: POST, path: '/check?deep=1', headers: {x-smoke: yes}, body: hello, status: 200}"
	s := start(t, invoke, options{})
	s.deployed("a", manifest, "good one", "")
	if r := seen.Load(); r == nil || r.Method != "POST" || r.Path != "/check" || r.RawQuery != "deep=1" || string(r.Body) != "hello" ||
		r.Header.Get("X-Smoke") != "yes" || r.ID == "" {
		t.Errorf("the smoke request: %+v", r)
	}
	put := func(wasm, query string) answer {
		body, contentType := form("manifest", manifest, "wasm", wasm)
		return s.send(http.MethodPut, "/v1/plugins/a"+query, body, "Content-Type", contentType)
	}
	a := put("failing two", "")
	wantProblem(t, a, 409, "conflict")
	for _, part := range []string{"version 2", "POST /check?deep=1", "plugin_error: it can't", "Sortie-Version: 2"} {
		if !strings.Contains(a.problem().Detail, part) {
			t.Errorf("the detail lacks %q: %s", part, a.problem().Detail)
		}
	}
	_, id, _ := strings.Cut(a.problem().Detail, "of the invocation ")
	if r := s.get("/v1/invocations/" + strings.TrimSuffix(id, ".")); r.StatusCode != 200 {
		t.Errorf("the report: %d %s", r.StatusCode, r.body)
	}
	a = put("teapot three", "")
	wantProblem(t, a, 409, "conflict")
	if !strings.Contains(a.problem().Detail, "was answered with 418, not with 200") {
		t.Error(a.problem().Detail)
	}
	if a := put("teapot four", "?traffic=none"); a.StatusCode != 201 {
		t.Errorf("without traffic nobody asks: %d %s", a.StatusCode, a.body)
	}
	for _, table := range []string{`[{"version":2,"weight":100}]`, `[{"version":1,"weight":50},{"version":3,"weight":50}]`} {
		wantProblem(t, s.moves("a", table), 409, "conflict")
	}
	wantProblem(t, s.rolls("a", `{"version":4}`), 409, "conflict")
	wantProblem(t, put("failing two", ""), 409, "conflict") // stored already, and asked again
	if p, _ := s.shows("a"); fmt.Sprint(p.Traffic) != "[{1 100}]" || p.Versions != 4 {
		t.Errorf("traffic %v of %d versions", p.Traffic, p.Versions)
	}
	if a := s.get("/p/a"); a.body != "good one" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	healed.Store(true)
	if a := put("failing two", ""); a.StatusCode != 200 {
		t.Errorf("healed: %d %s", a.StatusCode, a.body)
	}
	if a := s.get("/p/a"); a.body != "failing two" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	healed.Store(false)
	if a := s.moves("a", `[{"version":2,"weight":50},{"version":1,"weight":50}]`); a.StatusCode != 200 {
		t.Errorf("a version that has traffic isn't asked again: %d %s", a.StatusCode, a.body)
	}
}

// TestAsManyPlugins bounds the plugins, and not what there is of them.
func TestAsManyPlugins(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{operator: "retention: {plugins: 2}"})
	s.deployed("a", "", "one", "")
	s.deployed("b", "", "one", "")
	c := func() answer {
		return s.send(http.MethodPut, "/v1/plugins/c", strings.NewReader("one"), "Content-Type", "application/wasm")
	}
	wantProblem(t, c(), 409, "conflict")
	s.deployed("a", "", "two", "")
	s.send(http.MethodDelete, "/v1/plugins/b", nil)
	if a := c(); a.StatusCode != 201 {
		t.Errorf("in the place of one that was removed: %d %s", a.StatusCode, a.body)
	}
}

// TestRetention keeps what traffic goes to, and no more than the operator says.
func TestRetention(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{operator: "retention: {versions: 2}"})
	for n := range 5 {
		s.deployed("a", "", fmt.Sprint("module ", n+1), "?traffic=none")
		if n == 0 {
			s.moves("a", `[{"version":1,"weight":100}]`)
		}
	}
	a := s.get("/v1/plugins/a/versions")
	var list VersionList
	if err := json.Unmarshal([]byte(a.body), &list); err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, v := range list.Versions {
		numbers = append(numbers, v.Version)
	}
	if fmt.Sprint(numbers) != "[5 4 1]" {
		t.Errorf("versions %v", numbers)
	}
	wantProblem(t, s.get("/p/a", "Sortie-Version", "2"), 404, "version_not_found")
}

func TestSticky(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{})
	for name, manifest := range map[string]string{"header": "sticky: {header: x-user}", "cookie": "sticky: {cookie: session}", "none": ""} {
		s.deployed(name, manifest, "one", "")
		s.deployed(name, manifest, "two", "")
		if a := s.moves(name, `[{"version":1,"weight":80},{"version":2,"weight":20}]`); a.StatusCode != 200 {
			t.Fatal(a.body)
		}
	}
	version := func(name, user string) string {
		return s.get("/p/"+name, "X-User", user, "Cookie", "other=1; session="+user).Header.Get("Sortie-Version")
	}
	for _, name := range []string{"header", "cookie", "none"} {
		changed := false
		for user := range 20 {
			first := version(name, fmt.Sprint("user-", user))
			for range 5 {
				changed = changed || version(name, fmt.Sprint("user-", user)) != first
			}
		}
		if changed != (name == "none") {
			t.Errorf("sticky by %s: callers changed their version: %v", name, changed)
		}
	}
}

// TestPlaces looks at how keys are spread: as evenly as the weights say, and differently for each plugin.
func TestPlaces(t *testing.T) {
	t.Parallel()
	const n = 100_000
	below, both := 0, 0
	for i := range n {
		key := fmt.Sprintf("user-%d@example.com", i)
		a, b := place("a", key, 100) < 10, place("b", key, 100) < 10
		if a {
			below++
		}
		if a && b {
			both++
		}
	}
	shared(t, "10 % of the keys", below, n, 0.1, 5)
	shared(t, "1 % for two plugins", both, n, 0.01, 5)
	for key, want := range map[string]int{"user-1": 46, "user-2": 55, "user@example.com": 23} {
		if got := place("prices", key, 100); got != want {
			t.Errorf("%q is in place %d, was in %d: callers would change their version with a new release", key, got, want)
		}
	}
}

// shared checks a count of n that should be a share p, within so many standard deviations.
func shared(t *testing.T, what string, count, n int, p, sigmas float64) {
	t.Helper()
	if off := math.Abs(float64(count)-float64(n)*p) / math.Sqrt(float64(n)*p*(1-p)); off > sigmas {
		t.Errorf("%s: %d of %d, %.1f σ from %.0f", what, count, n, off, float64(n)*p)
	}
}

// TestConcurrentChanges has 20 clients make 200 changes of one plugin: each is made or refused as a whole, and the audit log replays to exactly
// what there is.
func TestConcurrentChanges(t *testing.T) {
	t.Parallel()
	st := openStore(t)
	s := start(t, says("hello"), options{store: st, operator: "retention: {versions: 20}"})
	s.deployed("a", "", "module 0", "")
	var made, refused atomic.Int32
	var clients sync.WaitGroup
	for client := range 20 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(client), 1))
			for i := range 10 {
				var header []string
				if random.IntN(2) == 0 {
					_, etag := s.shows("a")
					header = []string{"If-Match", etag}
				}
				var a answer
				switch random.IntN(4) {
				case 0:
					a = s.send("POST", "/v1/plugins/a/rollback", nil, header...)
				case 1:
					p, _ := s.shows("a")
					table, _ := json.Marshal([]store.Weight{{Version: p.Version, Weight: 100}})
					a = s.moves("a", string(table), header...)
				default:
					a = s.send("PUT", "/v1/plugins/a", strings.NewReader(fmt.Sprintf("module %d-%d", client, i)),
						append(header, "Content-Type", "application/wasm")...)
				}
				switch a.StatusCode {
				case 200, 201:
					made.Add(1)
				case 409, 404: // of a version that was pruned meanwhile
					refused.Add(1)
				default:
					t.Errorf("%d %s", a.StatusCode, a.body)
				}
			}
		})
	}
	clients.Wait()
	if made.Load() < 50 || refused.Load() == 0 {
		t.Errorf("%d changes made, %d refused: nobody was in another's way", made.Load(), refused.Load())
	}
	t.Logf("%d made, %d refused", made.Load(), refused.Load())
	var log AuditLog
	if err := json.Unmarshal([]byte(s.get("/v1/audit?limit=1000").body), &log); err != nil {
		t.Fatal(err)
	}
	replayed, err := store.Replay(log.Events)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := s.shows("a")
	got := replayed["a"]
	if diff := gocmp.Diff(p.Traffic, got.Traffic); diff != "" {
		t.Errorf("traffic (-now +replayed):\n%s", diff)
	}
	stored, err := st.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]string{}
	for _, v := range stored.Versions {
		want[v.Number] = v.Digest
		if _, err := st.Blob(t.Context(), v.Digest); err != nil {
			t.Errorf("version %d: %v", v.Number, err)
		}
	}
	if diff := gocmp.Diff(want, got.Versions); diff != "" {
		t.Errorf("versions (-now +replayed):\n%s", diff)
	}
	if p.Revision != log.Events[len(log.Events)-1].Seq || p.Versions != len(want) {
		t.Errorf("revision %d, last event %d; %d versions of %d", p.Revision, log.Events[len(log.Events)-1].Seq, p.Versions, len(want))
	}
}

// TestTrafficUnderLoad deploys, shifts and rolls back real modules while clients call: no call fails, each is answered by the version that it
// says, and the shares are those of the table.
func TestTrafficUnderLoad(t *testing.T) {
	t.Parallel()
	s, stop := startReal(t, t.TempDir())
	defer stop()
	text := []fetch.Field{{Name: "content-type", Value: "text/plain"}}
	answering := func(n int) string { return string(responding(200, text, fmt.Sprint("version ", n))) }
	s.deployed("a", "", answering(1), "")
	stopping, callers := make(chan struct{}), sync.WaitGroup{}
	var calls atomic.Int64
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-stopping:
					return
				default:
				}
				a := s.get("/p/a")
				calls.Add(1)
				if a.StatusCode != 200 || a.body != "version "+a.Header.Get("Sortie-Version") {
					t.Errorf("%d %q by version %s", a.StatusCode, a.body, a.Header.Get("Sortie-Version"))
					return
				}
			}
		})
	}
	for n := 2; n <= 12; n++ {
		before := calls.Load()
		eventually(t, "there is a load", func() bool { return calls.Load() >= before+10 || t.Failed() }) // however slow the machine is
		if n%2 == 0 {
			s.deployed("a", "", answering(n), "")
		} else {
			s.deployed("a", "", answering(n), "?traffic=none")
			if a := s.moves("a", fmt.Sprintf(`[{"version":%d,"weight":50},{"version":%d,"weight":50}]`, n-1, n)); a.StatusCode != 200 {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
		}
		for range 2 {
			if a := s.rolls("a", ""); a.StatusCode != 200 {
				t.Errorf("rollback: %d %s", a.StatusCode, a.body)
			}
		}
	}
	close(stopping)
	callers.Wait()
	if calls.Load() < 100 {
		t.Errorf("%d calls are no load", calls.Load())
	}
	t.Logf("%d calls while 33 changes were made", calls.Load())
	if a := s.moves("a", `[{"version":3,"weight":10},{"version":4,"weight":30},{"version":5,"weight":60}]`); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	// Three standard deviations are passed by chance in 0.8 % of all runs of three shares, so there are three tries.
	for try := range 3 {
		if err := s.split(t, 2000, map[string]float64{"3": 0.1, "4": 0.3, "5": 0.6}); err == nil {
			return
		} else if t.Log(err); try == 2 {
			t.Error(err)
		}
	}
}

// split calls the plugin "a" n times, and says whether a version's share is more than 3 σ from what it should be.
func (s *testServer) split(t *testing.T, n int, want map[string]float64) error {
	t.Helper()
	var mu sync.Mutex
	counts := map[string]int{}
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range n / 4 {
				version := s.get("/p/a").Header.Get("Sortie-Version")
				mu.Lock()
				counts[version]++
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	var errs []error
	for version, p := range want {
		sigma := math.Sqrt(float64(n) * p * (1 - p))
		if off := math.Abs(float64(counts[version]) - float64(n)*p); off > 3*sigma {
			errs = append(errs, fmt.Errorf("version %s: %d of %d, want %.0f ± %.0f", version, counts[version], n, float64(n)*p, 3*sigma))
		}
	}
	return errors.Join(errs...)
}
