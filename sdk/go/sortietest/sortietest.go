// Package sortietest runs a plugin's handler in `go test`, natively and without a network: a fake host answers what the plugin fetches.
//
//	func TestPrices(t *testing.T) {
//		h := sortietest.New(t)
//		h.Config(map[string]any{"region": "eu"})
//		h.Reply("GET https://api.example.com/prices", sortietest.Reply{JSON: []int{1, 2}})
//		h.Reply("https://slow.example.com/*", sortietest.Reply{Code: "connect_timeout"})
//
//		resp, err := h.Invoke("GET", "/?q=tea")
//		…
//	}
//
// The plugin needs no change: importing it (a test in its own package does so by itself) runs its init, which registers the handler.
//
// # How true it is
//
// Codes, states and modes are those of the real host: groups cancel their losers, concurrency, time-outs, expected statuses, retries,
// redirects and budgets work, with the manifest's default limits or those given to [Host.Limit]. A fetch that nothing was
// registered for is rejected as host_denied, and fails the test. URLs are parsed by net/url here and as browsers do there; nothing is
// resolved or connected, so the codes of those phases come from a [Reply] alone; hedging is ignored, and so are the limits on memory, CPU
// and input. Streams are streams: a response's body is given as [Reply] has it in Chunks, with at most 64 KiB ahead of the plugin, and its
// fetch's times run on. The body of a request that the plugin sends by a BodyReader is read to its end before it is answered, though.
//
// # Time
//
// Delays are real time, or in a bubble of testing/synctest its fake time; then a test with seconds of delays takes none:
//
//	synctest.Test(t, func(t *testing.T) {
//		h := sortietest.New(t)
//		h.Reply("https://a.example/", sortietest.Reply{Delay: 5 * time.Second})
//		…
//	})
//
// # Parallel tests
//
// A plugin has one handler and maybe package variables; in a Wasm instance one invocation runs at a time. So invocations of one Host may
// overlap if a test starts several, but those of different Hosts wait for each other: tests with t.Parallel are safe.
package sortietest

import (
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// Host is a fake host. Its methods may be called from several goroutines, also while an invocation runs.
type Host struct {
	t testing.TB

	owning  sync.Mutex // guards active and restore; held while waiting for another Host's turn to end
	active  int
	restore func()

	mu          sync.Mutex // guards what follows
	rules       []*rule
	config      map[string]json.RawMessage
	configAll   []byte
	limits      Limits
	requests    []*sortie.Request
	logs        []LogLine
	inFlight    int
	maxInFlight int
}

// New makes a host for a test. It answers nothing yet, and has no config.
func New(t testing.TB) *Host {
	t.Helper()
	return &Host{t: t, limits: Limits{}.complete()}
}

// Limits are the manifest's; zero values are the manifest's defaults, given in brackets.
type Limits struct {
	Requests      int           // attempts and hops of one invocation (64)
	Concurrency   int           // fetches of one invocation at once (16)
	Redirects     int           // hops of one fetch (10)
	Timeout       time.Duration // of one fetch (10s)
	PoolTimeout   time.Duration // waiting for one of Concurrency (5s)
	RequestBytes  int64         // of one fetch's body (1 MiB)
	ResponseBytes int64         // of one response's body (8 MiB)
	TotalBytes    int64         // of all responses' bodies (32 MiB)
	Wall          time.Duration // of one invocation, until its answer begins (30s)
	Stream        time.Duration // of one invocation, from there on (5m)
	Output        int64         // of the answer's body (16 MiB)
}

func (l Limits) complete() Limits {
	set(&l.Requests, 64)
	set(&l.Concurrency, 16)
	set(&l.Redirects, 10)
	set(&l.Timeout, 10*time.Second)
	set(&l.PoolTimeout, 5*time.Second)
	set(&l.RequestBytes, 1<<20)
	set(&l.ResponseBytes, 8<<20)
	set(&l.TotalBytes, 32<<20)
	set(&l.Wall, 30*time.Second)
	set(&l.Stream, 5*time.Minute)
	set(&l.Output, 16<<20)
	return l
}

func set[T int | int64 | time.Duration](to *T, otherwise T) {
	if *to == 0 {
		*to = otherwise
	}
}

// Limit sets the limits of invocations that start later.
func (h *Host) Limit(l Limits) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.limits = l.complete()
}

// Config sets the manifest's `config`. The test fails if it can't be JSON.
func (h *Host) Config(config map[string]any) {
	h.t.Helper()
	all, err := json.Marshal(config)
	if err != nil {
		h.t.Fatalf("sortietest: config: %v", err)
	}
	values := make(map[string]json.RawMessage, len(config))
	if err := json.Unmarshal(all, &values); err != nil {
		h.t.Fatalf("sortietest: config: %v", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.config, h.configAll = values, all
}

// Requests returns what the plugin has sent, in the order in which the fetches began: one for each fetch, not for its retries and
// redirects. What was denied is among it; members of a group that was decided before their turn are not. A body that was a BodyReader is whole here,
// once it has been read.
func (h *Host) Requests() []*sortie.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	requests := make([]*sortie.Request, len(h.requests))
	for i, sent := range h.requests {
		request := *sent
		requests[i] = &request
	}
	return requests
}

// MaxInFlight returns how many fetches were being answered at once, at most.
func (h *Host) MaxInFlight() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.maxInFlight
}

// LogLine is one line that the plugin logged, with its attributes as text.
type LogLine struct {
	Level slog.Level
	Text  string
}

// Logs returns what the plugin has logged. It also is in the test's own log.
func (h *Host) Logs() []LogLine {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.logs)
}

func (h *Host) log(level int, line string) {
	h.mu.Lock()
	h.logs = append(h.logs, LogLine{slog.Level(level), line})
	h.mu.Unlock()
	h.t.Logf("%s %s", slog.Level(level), line)
}

func (h *Host) configValue(key string) ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if key == "" {
		if h.configAll == nil {
			return []byte("{}"), true
		}
		return h.configAll, true
	}
	value, ok := h.config[key]
	return value, ok
}

func (h *Host) begin(f *host.Fetch) *sortie.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	sent := captured(f)
	h.requests = append(h.requests, sent)
	return sent
}

// received completes a request whose body came in pieces.
func (h *Host) received(sent *sortie.Request, body []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sent.Body = body
}

func (h *Host) enter() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inFlight++
	h.maxInFlight = max(h.maxInFlight, h.inFlight)
}

func (h *Host) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inFlight--
}
