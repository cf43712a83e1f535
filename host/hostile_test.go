package host_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

// The issue: each misdeed gets the contract's problem, the memory comes back, and a thousand good invocations follow.
func TestHostileGuests(t *testing.T) {
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, "limits: {wall: 20s, cpu: 300ms, memory: 64MiB, output: 1KiB, input: 10}")
	call(t, p, "/state")
	before := resident(t)
	for _, tc := range []struct{ path, code, detail string }{
		{"/loop", "limit_cpu", "300ms"},
		{"/recurse", "", ""}, // Go's own stack is guest memory: which limit ends it first depends on the machine
		{"/allocate", "limit_memory", "64MiB"},
		{"/panic", "plugin_error", "at the disco"},
		{"/panic-elsewhere", "plugin_error", "panic: in a goroutine"},
		{"/exit", "plugin_error", "status 3"},
		{"/exit-as-if-stopped", "plugin_error", "status 4294967295"},
		{"/error", "plugin_error", "no luck"},
	} {
		t.Run(tc.path[1:], func(t *testing.T) {
			start := time.Now()
			_, report, err := try(p, "", tc.path)
			e, ok := errors.AsType[*host.Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if tc.code != "" && e.Code != tc.code || !strings.Contains(e.Detail, tc.detail) {
				t.Errorf("%s: %s; log %v", e.Code, e.Detail, report.Logs)
			}
			if e.Code == "internal_error" || time.Since(start) > 15*time.Second {
				t.Errorf("%s after %s", e.Code, time.Since(start))
			}
			t.Logf("%s (%d): %s, guest %s", e.Code, e.Status, e.Detail, report.Guest)
		})
	}
	if _, _, err := try(p, "", "/bytes", "n", "1025"); err == nil || !strings.HasPrefix(err.Error(), "limit_output") {
		t.Errorf("output: %v", err)
	}
	if _, _, err := try(p, "12345678901", "/echo"); err == nil || !strings.HasPrefix(err.Error(), "limit_input") {
		t.Errorf("input: %v", err)
	}
	for range 1000 {
		if body, _ := call(t, p, "/state"); body != "1" {
			t.Fatal(body)
		}
	}
	runtime.GC()
	if after := resident(t); after > before+200<<20 {
		t.Errorf("resident memory went from %d to %d MiB", before>>20, after>>20)
	}
}

func TestWallLimit(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, "limits: {wall: 300ms}")
	start := time.Now()
	_, _, err := try(p, "", "/sleep", "for", "1m")
	if e, ok := errors.AsType[*host.Error](err); !ok || e.Code != "limit_wall" || e.Status != 504 {
		t.Errorf("%v", err)
	}
	if time.Since(start) > 10*time.Second {
		t.Error("a sleeping guest isn't cancelled")
	}
}

// A guest whose own recursion isn't bounded by its memory runs out of native stack, which wazero grows to hundreds of megabytes.
func TestRunawayRecursion(t *testing.T) {
	rt := newRuntime(t, fetch.Config{})
	// (func (export "handle") (result i32) call 0)
	wasm := header + "\x01\x05\x01\x60\x00\x01\x7f" + "\x03\x02\x01\x00" + "\x07\x0a\x01\x06handle\x00\x00" + "\x0a\x06\x01\x04\x00\x10\x00\x0b"
	m := manifest.Default()
	m.Limits.CPU = manifest.Duration(20 * time.Second)
	p, err := rt.Load(t.Context(), host.Source{Name: "deep", Wasm: []byte(wasm), Manifest: m})
	if err != nil {
		t.Fatal(err)
	}
	before := resident(t)
	for range 3 {
		_, _, err := try(p, "", "/")
		if e, ok := errors.AsType[*host.Error](err); !ok || e.Code != "plugin_trapped" || !strings.Contains(e.Detail, "stack") {
			t.Fatalf("%v", err)
		}
	}
	eventually(t, "the stack's memory is given back", func() bool { return resident(t) < before+100<<20 })
}

// A guest that is stopped while it waits gives its memory back, as one that ends by itself does.
func TestStoppedGuestsGiveMemoryBack(t *testing.T) {
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, "limits: {wall: 1s, memory: 100MiB}")
	before := resident(t)
	for range 8 {
		_, report, err := try(p, "", "/hold")
		if e, ok := errors.AsType[*host.Error](err); !ok || e.Code != "limit_wall" {
			t.Fatal(err)
		}
		if report.Memory < 64<<20 {
			t.Fatalf("it held %d bytes only", report.Memory)
		}
	}
	if grown := resident(t) - before; grown > 256<<20 {
		t.Errorf("%d MiB more than before", grown>>20)
	}
}

// A raw plugin can write the headers of Extism's memory blocks. Whatever it makes of them, the host's search through them ends with
// the invocation.
func TestCorruptedExtismKernel(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, fetch.Config{})
	for _, entry := range []string{"config", "variable", "set", "fetch", "stale"} {
		t.Run(entry, func(t *testing.T) {
			t.Parallel()
			p := load(t, rt, "testdata/kernel", "entry: "+entry+"\nconfig: {a: b}\nlimits: {wall: 20s, cpu: 500ms}")
			done := make(chan error, 1)
			go func() { _, _, err := try(p, "", "/"); done <- err }()
			select {
			case err := <-done:
				if e, ok := errors.AsType[*host.Error](err); !ok || e.Code != "plugin_error" || !strings.Contains(e.Detail, "outside of the blocks") {
					t.Error(err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("it can't be stopped")
			}
		})
	}
}

// Starting is computing too.
func TestCPULimitCoversTheStart(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, fetch.Config{})
	// (func (export "handle") (result i32) i32.const 0) (func $start loop br 0 end) (start $start)
	wasm := header + "\x01\x08\x02\x60\x00\x01\x7f\x60\x00\x00" + "\x03\x03\x02\x00\x01" + "\x07\x0a\x01\x06handle\x00\x00" + "\x08\x01\x01" +
		"\x0a\x0e\x02\x04\x00\x41\x00\x0b\x07\x00\x03\x40\x0c\x00\x0b\x0b"
	m := manifest.Default()
	m.Limits.CPU = manifest.Duration(100 * time.Millisecond)
	start := time.Now()
	_, err := rt.Load(t.Context(), host.Source{Name: "spin", Wasm: []byte(wasm), Manifest: m})
	if e, ok := errors.AsType[*host.Error](err); !ok || e.Code != "invalid_wasm" || !strings.Contains(e.Detail, "limits.cpu") {
		t.Errorf("%v", err)
	}
	if time.Since(start) > 30*time.Second {
		t.Errorf("after %s", time.Since(start))
	}
}

// An endless loop is ended soon after its limit, counted in the guest's CPU time. On a busy machine whoever ends it may be late now and then.
func TestCPULimitIsClose(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, "limits: {cpu: 50ms}")
	var used []int64
	for range 5 {
		_, report, err := try(p, "", "/loop")
		if e, ok := errors.AsType[*host.Error](err); !ok || e.Code != "limit_cpu" {
			t.Fatalf("%v", err)
		}
		for _, b := range report.Budget {
			if b.Name == "limits.cpu" {
				used = append(used, b.Used)
			}
		}
	}
	t.Logf("%d ms of CPU time", used)
	if slices.Sort(used); len(used) != 5 || used[0] < 50 || used[2] > 150 || used[4] > 1000 {
		t.Errorf("%d ms of CPU time", used)
	}
}

// Waiting is not computing: the CPU limit is far below the time waited.
func TestCPULimitExcludesWaiting(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, "limits: {cpu: 200ms}")
	body, report := call(t, p, "/sleep", "for", "1s")
	if body != "slept" || report.Fetch != 0 || report.Guest > time.Second {
		t.Errorf("%s; fetches %s, guest %s", body, report.Fetch, report.Guest)
	}
}

// Nor is waiting for fetches: 2 s of them under a limit of 50 ms. A machine that is busy enough makes so little computing take that long now and then.
func TestCPULimitExcludesFetches(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(2 * time.Second):
		case <-r.Context().Done():
		}
	}))
	defer up.Close()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, allowLoopback+"\nlimits: {cpu: 50ms}")
	for range 3 {
		_, report, err := try(p, "", "/group", "n", "10", "url", up.URL+"/")
		if e, ok := errors.AsType[*host.Error](err); ok && e.Code == "limit_cpu" {
			continue
		}
		if err != nil || report.Fetch < 1900*time.Millisecond || len(report.Fetches) != 10 {
			t.Errorf("%d fetches, %s, %v", len(report.Fetches), report.Fetch, err)
		}
		return
	}
	t.Error("three of three ended by limits.cpu")
}

// resident is the process's resident memory in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc/self/statm: this system doesn't tell resident memory")
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
