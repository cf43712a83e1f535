package host_test

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

// Thousands of invocations, some of which grow their memory, trap or are stopped, leave nothing behind: no memory, goroutines, descriptors or
// mappings. SORTIE_SOAK says how many; `make soak` runs 200,000.
func TestSoak(t *testing.T) {
	n := 3000
	if s := os.Getenv("SORTIE_SOAK"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	if testing.Short() || instrumented() {
		n = 300
	}
	rt := newRuntime(t, fetch.Config{})
	p := load(t, rt, guestDir, "limits: {memory: 64MiB, cpu: 200ms}")
	raw := load(t, rt, rawDir, "entry: echo")
	run := func(n int) {
		var wg sync.WaitGroup
		for worker := range 4 {
			wg.Go(func() {
				for i := range n / 4 {
					soak(t, p, raw, i*4+worker)
				}
			})
		}
		wg.Wait()
	}
	run(min(n, 2000))
	before := held(t)
	run(n)
	var after holdings
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		after = held(t)
		if !after.more(before) || time.Now().After(deadline) {
			break
		}
	}
	t.Logf("%d invocations: from %+v to %+v", n, before, after)
	if after.more(before) {
		t.Errorf("%+v became %+v", before, after)
	}
}

func soak(t *testing.T, p, raw *host.Plugin, i int) {
	req := &host.Request{Method: "POST", Path: "/json", Body: []byte(sample)}
	want := ""
	switch {
	case i%1000 == 999:
		req.Path, want = "/loop", "limit_cpu"
	case i%100 == 99:
		req.Path, want = "/panic-elsewhere", "plugin_error"
	case i%50 == 49:
		req.Path, req.Body = "/plant", words("", 8) // which grows the memory
	case i%10 == 9:
		p = raw
	}
	_, _, err := p.Invoke(context.Background(), req)
	got := ""
	if err != nil {
		got = strings.SplitN(err.Error(), ":", 2)[0]
	}
	if got != want {
		t.Errorf("%s: %v", req.Path, err)
	}
}

// holdings are what a process has of the system.
type holdings struct{ Goroutines, Descriptors, Maps, MiB int }

func (h holdings) more(than holdings) bool {
	return h.Goroutines > than.Goroutines+8 || h.Descriptors > than.Descriptors+4 || h.Maps > than.Maps+64 || h.MiB > than.MiB+48
}

func held(t *testing.T) holdings {
	t.Helper()
	runtime.GC()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("no /proc/self/maps: this system doesn't tell what a process has")
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	kib, _ := strconv.Atoi(string(bytes.Fields(rest)[0]))
	return holdings{runtime.NumGoroutine(), len(fds), bytes.Count(maps, []byte("\n")), kib >> 10}
}
