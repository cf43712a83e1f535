package host_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

// Much at once: what waits costs next to nothing, and all of it is cleaned up.

// crowded starts a runtime that lets n invocations and fetches be under way.
func crowded(t testing.TB, n int) *host.Runtime {
	t.Helper()
	op := manifest.DefaultOperator()
	op.Private = []string{"http://127.0.0.1:*"}
	op.Process.Invocations = n
	rt, _ := start(t, fetch.Config{Fetches: n, PerOrigin: n}, op)
	return rt
}

// Ten thousand goroutines of one guest fetch at once; a thousand of the fetches are under way at a time.
func TestTenThousandGoroutines(t *testing.T) {
	const concurrency, together = 1000, 500
	n := 10_000
	if testing.Short() {
		n = 1000
	}
	roomForFiles(t, 2*concurrency+200)
	before := runtime.NumGoroutine()
	t.Run("all", func(t *testing.T) {
		p := load(t, crowded(t, concurrency), guestDir, fmt.Sprintf(`
fetch:
  allow: [{url: "http://127.0.0.1:*", private: true}]
  limits: {requests: 20000, concurrency: %d, timeout: 5m, connect_timeout: 1m, pool_timeout: 5m, read_timeout: 1m}
limits: {wall: 5m, cpu: 2m, memory: 512MiB}`, concurrency))
		var g, held gauge
		hold := held.hold(50 * time.Millisecond)
		crowd := make(chan struct{}) // closed when so many have been in flight at once
		var once sync.Once
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			g.enter()
			defer g.leave()
			if g.now.Load() >= together {
				once.Do(func() { close(crowd) })
			}
			<-crowd // on a slow machine the first would be gone before the last are there
			hold(w, r)
		}))
		defer srv.Close()
		body, report := call(t, p, "/goroutines", "n", strconv.Itoa(n), "url", srv.URL+"/")
		answers := fromJSON[[]string](t, body)
		for i, got := range answers {
			if got != strconv.Itoa(i) {
				t.Fatalf("result %d is %q", i, got)
			}
		}
		if len(answers) != n || g.all.Load() != int64(n) || report.Budget[0].Used != int64(n) {
			t.Errorf("%d answers, %d at the upstream, budget %+v", len(answers), g.all.Load(), report.Budget[0])
		}
		if most := g.most.Load(); most < together || most > concurrency {
			t.Errorf("%d in flight at once", most)
		}
		eventually(t, "nothing is in flight", func() bool { return g.now.Load() == 0 })
		t.Logf("%d fetches, %d at once, took %s, of which the guest %s; its memory has %d MiB", n, g.most.Load(), report.Total, report.Guest,
			report.Memory>>20)
	})
	eventually(t, "its goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
}

// Five hundred guests wait at once, for two seconds and more, which costs next to nothing; the whole takes less than a second of processor time,
// with their instances made for it: 0.6 to 0.8 s with the SDK, for which a busy machine gets twice that.
func TestFiveHundredWaiting(t *testing.T) {
	if testing.Short() || instrumented() {
		t.Skip("it measures time")
	}
	const n, each = 500, 2 * time.Second
	roomForFiles(t, n+200)
	rt := crowded(t, n)
	const yaml = `
fetch:
  allow: [{url: "http://127.0.0.1:*", private: true}]
  limits: {timeout: 2m, read_timeout: 2m, connect_timeout: 1m, pool_timeout: 1m}
limits: {wall: 3m}`
	for _, guest := range []struct {
		name   string
		plugin *host.Plugin
		ask    func(url string) *host.Request
		most   time.Duration // of processor time
	}{
		{"with the SDK", load(t, rt, guestDir, yaml), func(url string) *host.Request {
			return &host.Request{Path: "/fetch", RawQuery: "url=" + url}
		}, 2 * time.Second},
		{"by hand", loadWat(t, rt, "abi_v1", yaml), func(url string) *host.Request {
			return &host.Request{Path: "/fetch", Body: []byte(url)}
		}, time.Second},
	} {
		t.Run(guest.name, func(t *testing.T) {
			url, entered := elsewhere(t, n, each)
			if _, report, err := guest.plugin.Invoke(t.Context(), guest.ask(url+"/warm")); err != nil || report.Fetches[0].Code != "" {
				t.Fatalf("%v, %+v", err, report.Fetches)
			}
			start, began := processorTime(t), time.Now()
			var failed atomic.Int64
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					if _, report, err := guest.plugin.Invoke(context.Background(), guest.ask(url+"/")); err != nil || report.Fetches[0].Code != "" {
						failed.Add(1)
						t.Errorf("%v, %+v", err, report.Fetches)
					}
				})
			}
			over := make(chan struct{})
			go func() { wg.Wait(); close(over) }()
			select {
			case <-entered:
			case <-over: // some have failed, so that the upstream waits in vain
			}
			waiting, after := processorTime(t), time.Since(began)
			<-over
			end := processorTime(t)
			if failed.Load() > 0 {
				return
			}
			t.Logf("%d invocations took %s; processor time: %s altogether, of which %s after all of them waited (%s)", n, time.Since(began),
				end-start, end-waiting, after)
			if used := end - start; used >= guest.most {
				t.Errorf("%s of processor time for all of it", used)
			}
			if used := end - waiting; used >= 2*time.Second { // 0.8 to 1.3 s on two busy cores, much of it for giving memory back
				t.Errorf("%s of processor time once all of them waited", used)
			}
		})
	}
}

// Any is over when the fast one has answered; the slow ones are cancelled, and their upstream sees it.
func TestAnyOverOneFastFourSlow(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, allowLoopback)
	var fast, slow gauge
	var done atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/2" {
			eventually(t, "all in flight", func() bool { return slow.now.Load()+done.Load() == 4 })
			fast.hold(20*time.Millisecond)(w, r)
			return
		}
		slow.hold(time.Minute)(w, r) // longer than a busy machine takes for the rest
		if r.Context().Err() == nil {
			done.Add(1)
		}
	}))
	defer srv.Close()
	body, report := call(t, p, "/group", "n", "5", "url", srv.URL+"/", "mode", "any")
	if !strings.Contains(body, `"status":200`) || done.Load() != 0 {
		t.Errorf("%s after %s; %d of the slow ones were done before", body, report.Total, done.Load())
	}
	eventually(t, "four cancellations", func() bool { return slow.gone.Load() == 4 })
}

// A timer of 30 ms beside a fetch that doesn't end: the guest sees the timer, and the fetch is cancelled.
func TestTimerBesideSlowFetch(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, allowLoopback)
	var g gauge
	srv := httptest.NewServer(g.hold(20 * time.Second))
	defer srv.Close()
	body, report := call(t, p, "/timer", "after", "30ms", "url", srv.URL+"/")
	eventually(t, "the upstream sees the cancellation", func() bool { return g.now.Load() == 0 })
	// On a busy machine the timer may be over before the upstream has seen the request.
	if body != "timer true" || len(report.Fetches) != 1 || report.Fetches[0].Code != "cancelled" || report.Total > 10*time.Second {
		t.Errorf("%s after %s; fetches: %+v", body, report.Total, report.Fetches)
	}
}

// instrumented tells whether the race detector makes everything slow.
func instrumented() bool {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" && s.Value == "true" {
			return true
		}
	}
	return false
}

// roomForFiles skips where the process can't have so many files open. Go raises the limit to the hard one by itself.
func roomForFiles(t *testing.T, n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		t.Skip("no /proc/self/limits: this system doesn't tell how many files may be open")
	}
	_, rest, _ := strings.Cut(string(b), "Max open files")
	if most, err := strconv.Atoi(strings.Fields(rest)[0]); err == nil && most < n {
		t.Skipf("it needs %d open files, this process may have %d", n, most)
	}
}

// processorTime is what this process has computed, in all its threads: user and system time in ticks of 10 ms (proc_pid_stat(5)).
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Skip("no /proc/self/stat: this system doesn't tell processor time")
	}
	_, rest, _ := strings.Cut(string(b), ") ") // of the name, which may have spaces
	fields := strings.Fields(rest)
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// elsewhere starts an upstream in a process of its own, so that what it computes isn't ours. It holds n requests until all are there, and
// that long; entered is closed when they are there. It answers /warm at once.
func elsewhere(t *testing.T, n int, each time.Duration) (url string, entered <-chan struct{}) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestUpstreamProcess$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", upstreamProcess, n, each))
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	all := make(chan struct{})
	var reading sync.WaitGroup
	t.Cleanup(func() { _ = in.Close(); reading.Wait(); _ = cmd.Wait() })
	if url, err = lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	reading.Go(func() {
		_, _ = lines.ReadString('\n') // also when the process ends
		close(all)
		_, _ = io.Copy(io.Discard, lines)
	})
	return strings.TrimSpace(url), all
}

// upstreamProcess is the variable that makes TestUpstreamProcess what elsewhere starts.
const upstreamProcess = "SORTIE_TEST_UPSTREAM"

// It serves until its input ends.
func TestUpstreamProcess(t *testing.T) {
	var n int64
	var text string
	if _, err := fmt.Sscan(os.Getenv(upstreamProcess), &n, &text); err != nil {
		t.Skip("only as the upstream of another test")
	}
	each, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	var g, held gauge
	hold, all := held.hold(each), make(chan struct{})
	var once sync.Once
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/warm" {
			return
		}
		if g.enter(); g.all.Load() >= n {
			once.Do(func() { fmt.Println("entered"); close(all) })
		}
		<-all
		hold(w, r)
	}))
	defer srv.Close()
	fmt.Println(srv.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
}
